"""`hutong bench channels`: the cost of an adapter, without the network.

Each adapter places one real order at its simulator and receives one real notification; both are recorded. The adapter
is measured on those recordings: build and sign the request, verify and parse the answer; verify and parse the
notification. Only the network is replaced, and every signature is verified each time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

import aiohttp
import psutil
from aiohttp import web
from rich.console import Console
from rich.table import Table

from hutong import channels, sandbox
from hutong.clock import SystemClock
from hutong.ids import Ids, encode

_CALLS = 200
_ROUNDS = 5
_AT_ONCE = 200
_WAVES = 15
_WARM_UP_WAVES = 5
_NOTICE_LIMIT_S = 10
_PAYER = {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "auth_code": "131234567890123456", "token": "pm_card_visa"}


@dataclass(frozen=True, slots=True)
class Pool:
    """Waves of 200 concurrent calls over one pool of connections.

    Attributes:
        blocks_before, blocks_after: Blocks of memory that Python holds; more of them afterwards would be a leak, while
            the size of the process also depends on its allocator.
    """

    calls_per_second: float
    memory_mb_before: float
    memory_mb_after: float
    blocks_before: int
    blocks_after: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The figures of one channel; None where a figure does not apply."""

    cpu_ms_pay: float
    cpu_ms_notify: float | None
    pool: Pool


class _Tape(channels.Http):
    """A recorder of the simulator's answers, which plays them back."""

    def __init__(self, http: channels.Http) -> None:
        self._http = http
        self._recorded: dict[tuple[str, str], list[channels.HttpReply]] = {}
        self._position: dict[tuple[str, str], int] = {}
        self.playing = False

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> channels.HttpReply:
        key = (method, url.partition("?")[0])
        if self.playing:
            replies = self._recorded[key]
            position = self._position.get(key, 0)
            self._position[key] = position + 1
            return replies[position % len(replies)]
        reply = await self._http.call(method, url, headers=headers, body=body)
        self._recorded.setdefault(key, []).append(reply)
        return reply


def run_bench_channels(*, as_json: bool) -> int:
    """Measure every simulated channel; return the exit status."""
    costs = asyncio.run(_measure())
    if as_json:
        print(json.dumps({name: asdict(cost) for name, cost in costs.items()}))
        return 0
    table = Table(
        "channel", "CPU ms, pay", "CPU ms, notification", "calls/s", "MB before", "after", "blocks before", "after"
    )
    for name, cost in costs.items():
        notify = "–" if cost.cpu_ms_notify is None else f"{cost.cpu_ms_notify:.3f}"
        pool = cost.pool
        row: tuple[str, ...] = (
            f"{cost.cpu_ms_pay:.3f}",
            notify,
            f"{pool.calls_per_second:.0f}",
            f"{pool.memory_mb_before:.1f}",
        )
        row += (f"{pool.memory_mb_after:.1f}", f"{pool.blocks_before}", f"{pool.blocks_after}")
        table.add_row(name, *row)
    Console().print(table)
    return 0


async def _measure() -> dict[str, Cost]:
    costs = {}
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder:
        async with sandbox.serve(sandbox.SandboxSettings(Path(folder), speed=1000)) as url, _Receiver() as receiver:
            for name, credentials in sandbox.accounts(Path(folder), url).items():
                async with channels.Http.open() as http, aiohttp.ClientSession() as session:
                    costs[name] = await _cost(name, credentials, http, session, url, receiver)
    return costs


async def _cost(
    name: str,
    credentials: Mapping[str, object],
    http: channels.Http,
    session: aiohttp.ClientSession,
    url: str,
    receiver: _Receiver,
) -> Cost:
    tape = _Tape(http)
    channel = channels.make_channel(name, credentials, tape, sandbox=True)
    unrecorded = channels.make_channel(name, credentials, http, sandbox=True)
    now = SystemClock().now()
    request = _request(channel, receiver.url, now)
    placed = await channel.pay(request, now=now)
    if placed.state not in (channels.ChannelState.PENDING, channels.ChannelState.SUCCEEDED):
        raise RuntimeError(f"{name} does not take an order: {placed.channel_code} {placed.channel_message}")
    tape.playing = True

    async def pay() -> None:
        answer = await channel.pay(request, now=now)
        assert answer.state is placed.state, answer

    cpu_ms_pay = await _cpu_ms(pay)
    tape.playing = False
    await _let_payer_pay(session, url, name, placed)
    cpu_ms_notify = None
    if (notice := await receiver.notice()) is not None:
        headers, body = notice

        async def notify() -> None:
            parsed = channel.parse_notification(headers, body, now=now)
            assert parsed.number == request.attempt_no, parsed

        cpu_ms_notify = await _cpu_ms(notify)
    return Cost(cpu_ms_pay, cpu_ms_notify, await _pool(unrecorded, request, placed))


def _request(channel: channels.Channel, notify_url: str, now: datetime) -> channels.PayRequest:
    """Return an order by the first method whose required values are at hand."""
    can = channel.capabilities
    method = next(name for name, offered in can.methods.items() if offered.requires <= _PAYER.keys())
    return channels.PayRequest(
        attempt_no=encode("att", Ids(SystemClock()).new()),
        method=method,
        amount_minor=max(8800, can.amount_minor_min),
        currency=sorted(can.currencies & {"CNY", "USD", "EUR"} or can.currencies)[0],
        subject="糖醋排骨",
        expires_at=now + timedelta(minutes=30),
        notify_url=notify_url,
        return_url="https://shop.example/thanks",
        payer={name: _PAYER[name] for name in can.methods[method].requires},
        placed_at=now,
    )


async def _let_payer_pay(session: aiohttp.ClientSession, url: str, name: str, placed: channels.ChannelAnswer) -> None:
    """Post the payer's form to the channel where there is one, and pay the order."""
    if placed.action is not None and placed.action.kind is channels.ActionKind.FORM:
        form = json.loads(placed.action.content)
        async with session.post(form["url"], data=form["fields"]) as shown:
            shown.raise_for_status()
    async with session.get(f"{url}/control/{name}/orders") as listed:
        orders = (await listed.json())["orders"]
    async with session.post(f"{url}/control/{name}/pay", json={"order_no": orders[-1]["order_no"]}) as paid:
        await paid.read()  # refused where the method was paid at once


async def _cpu_ms(work: Callable[[], Awaitable[None]]) -> float:
    """Return the processor time of one call: the median of several rounds."""
    await work()
    rounds = []
    for _ in range(_ROUNDS):
        gc.collect()
        start = time.process_time()
        for _ in range(_CALLS):
            await work()
        rounds.append((time.process_time() - start) / _CALLS * 1000)
    return round(median(rounds), 3)


async def _pool(channel: channels.Channel, request: channels.PayRequest, placed: channels.ChannelAnswer) -> Pool:
    """Query one order from many tasks at once, so that the simulator's memory does not grow."""
    now = SystemClock().now()
    order = channels.OrderReference(
        request.attempt_no, request.method, request.amount_minor, request.currency, now, placed.channel_order_no
    )

    async def wave() -> None:
        await asyncio.gather(*(channel.query(order, now=SystemClock().now()) for _ in range(_AT_ONCE)))

    for _ in range(_WARM_UP_WAVES):
        await wave()
    before, blocks, start = _memory_mb(), sys.getallocatedblocks(), time.perf_counter()
    for _ in range(_WAVES):
        await wave()
    seconds = time.perf_counter() - start
    after = _memory_mb()
    return Pool(round(_WAVES * _AT_ONCE / seconds, 1), before, after, blocks, sys.getallocatedblocks())


def _memory_mb() -> float:
    gc.collect()
    size: int = psutil.Process().memory_info().rss
    return round(size / 1e6, 1)


class _Receiver:
    """The receiver of the simulator's notifications."""

    def __init__(self) -> None:
        self.url = ""
        self._taken: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def __aenter__(self) -> _Receiver:
        app = web.Application()
        app.router.add_post("/notify", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/notify"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def notice(self) -> tuple[dict[str, str], bytes] | None:
        """Return the next notification; None if none comes."""
        try:
            async with asyncio.timeout(_NOTICE_LIMIT_S):
                return await self._taken.get()
        except TimeoutError:
            return None

    async def _take(self, request: web.Request) -> web.Response:
        await self._taken.put(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=200, text="success")
