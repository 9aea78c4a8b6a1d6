"""The faults that a campaign injects: each is a function that does its harm, and returns once the harm is over."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from campaigns.installation import Installation
from front_door.attack import ATTACKS, SPAWN, attack
from hutong.demo.merchant import Client, Refused
from support.fakes.faulty_link import FaultyLink
from support.small_disk import fill


@dataclass(frozen=True, slots=True)
class Rig:
    """What a fault can reach."""

    installation: Installation
    client: Client
    rng: random.Random


Fault = Callable[[Rig], Awaitable[None]]


async def kill_api(rig: Rig) -> None:
    """Kill the API's processes."""
    rig.installation.kill(rig.installation.pids("api"))


async def kill_worker(rig: Rig) -> None:
    """Kill the worker."""
    rig.installation.kill(rig.installation.pids("worker"))


async def kill_database_backend(rig: Rig) -> None:
    """Kill one of the server's processes; the server then ends all of its connections and recovers."""
    if backends := rig.installation.backends():
        rig.installation.kill([rig.rng.choice(backends)])


async def kill_database_server(rig: Rig) -> None:
    """Kill the server's first process."""
    if (postmaster := rig.installation.server.pid()) is not None:
        rig.installation.kill([postmaster])


async def stop_database_immediately(rig: Rig) -> None:
    """Have the server stop at once, without a checkpoint."""
    if (postmaster := rig.installation.server.pid()) is not None:
        rig.installation.kill([postmaster], signal.SIGQUIT)


async def kill_everything(rig: Rig) -> None:
    """Kill every process but the channels at one moment, and start again as a machine does after a power failure."""
    await rig.installation.kill_everything()
    await rig.installation.start_serve()


KILLS: Mapping[Fault, int] = {
    kill_api: 300,
    kill_worker: 300,
    kill_database_backend: 200,
    kill_database_server: 60,
    stop_database_immediately: 20,
    kill_everything: 20,
}
"""The number of each in the long form."""


async def _hold(rig: Rig, least: float = 1.0, most: float = 5.0) -> None:
    await asyncio.sleep(rig.rng.uniform(least, most))


async def _spoil(rig: Rig, name: str, spoil: Callable[[FaultyLink], None]) -> None:
    """Make a link faulty for some seconds; what is left of its connections then breaks."""
    link = rig.installation.links[name]
    spoil(link)
    await _hold(rig)
    link.heal()
    link.cut()


async def delay_channels(rig: Rig) -> None:
    """Let each piece on the way to and from the channels wait."""
    await _spoil(rig, "channels", lambda link: setattr(link, "delay_s", rig.rng.uniform(0.1, 3.0)))


async def cut_channels_after_bytes(rig: Rig) -> None:
    """Break connections to the channels in the middle of an answer."""
    await _spoil(rig, "channels", lambda link: setattr(link, "cut_after", rig.rng.randrange(0, 600)))


async def silence_channels(rig: Rig) -> None:
    """Make a black hole of the way to the channels."""
    await _spoil(rig, "channels", FaultyLink.swallow)


async def swallow_answers_of_channels(rig: Rig) -> None:
    """Let the channels do what is requested, and let nobody know."""
    await _spoil(rig, "channels", lambda link: link.swallow(up=False))


async def reset_channels(rig: Rig) -> None:
    """Break all connections to the channels again and again."""
    for _ in range(20):
        rig.installation.links["channels"].cut()
        await asyncio.sleep(0.1)


async def delay_database(rig: Rig) -> None:
    """Let each piece on the way to and from the database wait."""
    await _spoil(rig, "database", lambda link: setattr(link, "delay_s", rig.rng.uniform(0.01, 0.1)))


async def silence_database(rig: Rig) -> None:
    """Make a black hole of the way to the database."""
    await _spoil(rig, "database", FaultyLink.swallow)


async def swallow_answers_of_database(rig: Rig) -> None:
    """Let the database do what is requested, and let nobody know: also commits."""
    await _spoil(rig, "database", lambda link: link.swallow(up=False))


async def reset_database(rig: Rig) -> None:
    """Break all connections to the database."""
    rig.installation.links["database"].cut()


LINKS: Mapping[Fault, int] = dict.fromkeys(
    (
        delay_channels,
        cut_channels_after_bytes,
        silence_channels,
        swallow_answers_of_channels,
        reset_channels,
        delay_database,
        silence_database,
        swallow_answers_of_database,
        reset_database,
    ),
    25,
)


def _page(status: str, head: str, body: str) -> bytes:
    length = len(body) + (500 if "truncated" in head else 0)
    return f"HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}".encode()


FOREIGN_ANSWERS = (
    _page("200 OK", "Content-Type: text/html", "<html><body>Sign in to the network</body></html>"),
    _page("302 Found", "Location: http://127.0.0.1:1/", ""),
    _page("200 OK", "Content-Type: application/json", '{"code":"SUCCESS","trade_state":"SUCCESS"}'),
    _page("200 OK", "Content-Type: application/json\r\nX-Body: truncated", '{"trade_state":"SUC'),
    _page("502 Bad Gateway", "Content-Type: text/html", "<html>Bad Gateway</html>"),
    b"SSH-2.0-OpenSSH_9.2\r\n",
)
"""What may be answered in a channel's place: by captive portals, by redirects, in halves, in other protocols."""


async def answer_for_channels(rig: Rig) -> None:
    """Answer in the channels' place, with something that no channel has signed."""
    await _spoil(rig, "channels", lambda link: setattr(link, "answer", rig.rng.choice(FOREIGN_ANSWERS)))


def _lie(kind: str) -> Fault:
    async def lie(rig: Rig) -> None:
        calls = [
            {"interface": interface, "kind": kind, "times": rig.rng.randint(1, 3)}
            for interface in rig.rng.sample(INTERFACES, 3)
        ]
        for channel in ("wechat", "alipay", "unionpay", "stripe"):
            for call in calls:
                with suppress(Refused):  # not every channel has every interface
                    await rig.client.control(channel, "next", **call)
        await _hold(rig, 1.0, 2.0)

    lie.__name__ = f"{kind}_answers"
    lie.__doc__ = f"Let the channels themselves give answers that are wrong: {kind}."
    return lie


INTERFACES = ("place", "query", "close", "refund", "query_refund", "capture")
LIES: Mapping[Fault, int] = {
    answer_for_channels: 100,
    **{
        _lie(kind): 100
        for kind in (
            "unsigned", "bad_signature", "stale", "malformed", "too_long", "other_order", "reply_lost",
            "paid_reply_lost", "error", "refund_fails_after_accept",
        )
    },
}  # fmt: skip


def _flood(name: str) -> Fault:
    async def flood(rig: Rig) -> None:
        ready = SPAWN.Event()
        number = FLOOD if name == "idle" else FLOOD // 10
        arguments = (rig.installation.port, name, number, ready.set)
        attacker = SPAWN.Process(target=attack, args=arguments, daemon=True)
        attacker.start()
        try:
            async with asyncio.timeout(60):
                await asyncio.to_thread(ready.wait)
            await _hold(rig, 5.0, 10.0)
        finally:
            attacker.kill()
            await asyncio.to_thread(attacker.join)

    flood.__name__ = f"flood_of_{name.replace(' ', '_')}"
    flood.__doc__ = f"Let others hold very many connections to the API: {name}."
    return flood


FLOOD = 10_000
FLOODS: Mapping[Fault, int] = {_flood(name): 5 for name in ATTACKS}


async def stop_broker(rig: Rig) -> None:
    """Stop the broker in order, and start it some seconds later."""
    broker = rig.installation.rabbitmq
    assert broker is not None
    await asyncio.to_thread(broker.stop)
    await _hold(rig, 5.0, 10.0)
    await asyncio.to_thread(broker.start)


async def kill_broker(rig: Rig) -> None:
    """Kill the broker, and start it again."""
    broker = rig.installation.rabbitmq
    assert broker is not None
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)


async def swallow_confirmations_of_broker(rig: Rig) -> None:
    """Let the broker take everything and confirm nothing."""
    link = rig.installation.links["broker"]
    link.swallow(up=False)
    await _hold(rig, 5.0, 10.0)
    link.heal()
    link.cut()


BROKER: Mapping[Fault, int] = {stop_broker: 5, kill_broker: 20, swallow_confirmations_of_broker: 5}


async def fill_disk(rig: Rig) -> None:
    """Fill the disk that database, log and data folder share to the last byte, for some seconds."""
    home = rig.installation.home
    ballast = await asyncio.to_thread(fill, home)
    try:
        await _hold(rig, 4.0, 10.0)
    finally:
        ballast.unlink()


DISK: Mapping[Fault, int] = {fill_disk: 20}


def _shift(seconds: int) -> Fault:
    async def shift(rig: Rig) -> None:
        rig.installation.set_clock(f"{seconds:+d}")
        await _hold(rig, 4.0, 8.0)
        rig.installation.set_clock("+0")

    shift.__name__ = f"clock_{seconds:+d}_s"
    shift.__doc__ = f"Show Hutong's processes a clock that is off by {seconds} seconds, for some seconds."
    return shift


async def clock_back_again_and_again(rig: Rig) -> None:
    """Let the clock go back by a second every other second."""
    for seconds in range(5):
        rig.installation.set_clock(f"{-seconds:+d}")
        await asyncio.sleep(2.0)
    rig.installation.set_clock("+0")


CLOCK: Mapping[Fault, int] = dict.fromkeys(
    (_shift(300), _shift(-300), _shift(86_400), _shift(-86_400), clock_back_again_and_again), 10
)
MIXED: Mapping[Fault, int] = {
    **dict.fromkeys((kill_everything, kill_api, kill_worker, kill_database_server), 10),
    **dict.fromkeys((swallow_answers_of_channels, answer_for_channels, cut_channels_after_bytes, silence_channels), 10),
}


def schedule(counts: Mapping[Fault, int], rounds: int, rng: random.Random) -> list[Fault]:
    """Return so many faults in random order: each at least once if there is room, the rest in proportion."""
    kinds, whole = list(counts), sum(counts.values())
    wanted = {kind: max(count * rounds // whole, 1) for kind, count in counts.items()}
    chosen = kinds + [kind for kind in kinds for _ in range(wanted[kind] - 1)]
    chosen = chosen[:rounds] + rng.choices(kinds, weights=list(counts.values()), k=max(rounds - len(chosen), 0))
    rng.shuffle(chosen)
    return chosen
