"""Campaigns: business goes on while something dies or lies, then everything rests, and every log is compared.

Run by `make campaign NAME=kills`; ROUNDS, SECONDS, RATE and SEED change it. The report goes to docs/_build/campaigns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from campaigns import faults
from campaigns.installation import Installation, Layout, answers, machine
from campaigns.judge import Findings, judge, watching_the_books
from campaigns.listening import Audience
from campaigns.promises import Log
from campaigns.report import Injected, Report, make_report
from campaigns.shop import MISSTATED, Shop
from hutong.demo.merchant import Client
from support.storm_merchant import StormyServer, View

REPORTS = Path(__file__).parents[2] / "docs" / "_build" / "campaigns"
_CALM_S = 3.0
_PATIENCE_S = 240.0
_RECOVERY_LIMIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Campaign:
    """A kind of campaign.

    Attributes:
        faults: Its faults, with the number of each in the long form.
        layout: The installation that it needs.
        pause_s: The time between one recovery and the next fault, at least and at most.
        rest_s: How long everything may take to come to rest.
    """

    faults: Mapping[faults.Fault, int]
    layout: Layout = field(default_factory=Layout)
    pause_s: tuple[float, float] = (0.2, 3.0)
    rest_s: float = 60.0


CAMPAIGNS = {
    "kills": Campaign(faults.KILLS),
    "links": Campaign(faults.LINKS, Layout(database_link=True, channel_link=True)),
    "lies": Campaign(faults.LIES, Layout(channel_link=True), pause_s=(0.1, 0.5)),
    "floods": Campaign(faults.FLOODS),
    "broker": Campaign(faults.BROKER, Layout(broker=True)),
    "disk": Campaign(faults.DISK, Layout(disk_mb=1024)),
    "clock": Campaign(faults.CLOCK, Layout(own_clock=True), rest_s=400.0),
    "mixed": Campaign(faults.MIXED, Layout(channel_link=True), pause_s=(0.2, 1.0)),
}


class TimedView(View):
    """What a merchant knows from webhooks, when the last one arrived, and whether the API agreed at once."""

    last_at = 0.0
    verify: Callable[[dict[str, Any]], Coroutine[Any, Any, None]] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.verifying: set[asyncio.Task[None]] = set()

    def take(self, event: dict[str, Any]) -> None:
        super().take(event)
        self.last_at = asyncio.get_running_loop().time()
        if self.verify is not None and event["type"] in ("payment.succeeded", "payment.closed"):
            task = asyncio.create_task(self.verify(event["data"]))
            self.verifying.add(task)
            task.add_done_callback(self.verifying.discard)


@dataclass(frozen=True, slots=True)
class World:
    """An installation with a merchant whose server takes its webhooks."""

    installation: Installation
    client: Client
    key: str
    view: TimedView
    audience: Audience | None


@asynccontextmanager
async def a_world(folder: Path, layout: Layout) -> AsyncIterator[World]:
    """Start an installation for the length of a block."""
    server, view = StormyServer(), TimedView()
    server.storm, server.view = False, view
    connector = aiohttp.TCPConnector(limit=0)
    audience = Audience() if layout.broker else None
    async with AsyncExitStack() as stack:
        installation = await stack.enter_async_context(Installation(folder, layout).running())
        s = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        if audience is not None:
            await stack.enter_async_context(audience.listening(installation))
        client = Client(s, installation.address, installation.sandbox_address)
        key = await installation.create_merchant()
        await server.up()
        try:
            server.trust(await client.add_endpoint(key, server.url))
            yield World(installation, client, key, view, audience)
        finally:
            await server.down()


async def run(
    name: str,
    world: World,
    folder: Path,
    *,
    rounds: int,
    rate: float,
    seed: int,
    calm_s: float = _CALM_S,
    patience_s: float = _PATIENCE_S,
    limit_s: float = math.inf,
    misstated: float = MISSTATED,
) -> Report:
    """Run one campaign in a world, and report.

    Args:
        rounds: The number of faults.
        rate: How many payments begin each second.
        calm_s: The time before the first fault and after the last.
        patience_s: How long the client waits for an answer, and for a payment to come to an end.
        limit_s: After this time no further fault is injected.
        misstated: The share of paid orders about which the channel first reports another amount.
    """
    campaign, loop = CAMPAIGNS[name], asyncio.get_running_loop()
    log, findings, rng = Log(folder / f"{name}.promises.jsonl"), Findings(), random.Random(seed)
    shop = Shop(world.client, world.key, log, seed=seed, rate=rate, patience_s=patience_s, misstated=misstated)
    world.view.verify = shop.verify
    began, injected = loop.time(), list[Injected]()
    async with watching_the_books(await world.installation.database_url(), findings):
        async with shop.open():
            await asyncio.sleep(calm_s)
            quiet_until = loop.time()
            for fault in faults.schedule(campaign.faults, rounds, rng):
                if loop.time() > quiet_until + limit_s:
                    break
                injected.append(
                    await _inject(fault, faults.Rig(world.installation, world.client, rng), world, findings)
                )
                await asyncio.sleep(rng.uniform(*campaign.pause_s))
            quiet_from = loop.time()
            await asyncio.sleep(calm_s)
        await asyncio.gather(*world.view.verifying, return_exceptions=True)
        await judge(
            world.installation, world.client, world.key, world.view, log, findings, min(campaign.rest_s, patience_s)
        )
        if world.audience is not None:
            await world.audience.check(world.view, findings)
    return make_report(
        campaign=name,
        command=f"make campaign NAME={name} ROUNDS={rounds} RATE={rate:g} SEED={seed}",
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        seed=seed,
        seconds=loop.time() - began,
        injected=injected,
        log=log,
        findings=findings,
        quiet_until=quiet_until,
        quiet_from=quiet_from,
        versions=world.installation.versions(),
        machine=machine(),
    )


async def _inject(fault: faults.Fault, rig: faults.Rig, world: World, findings: Findings) -> Injected:
    """Inject a fault; wait until the API is ready and webhooks arrive again."""
    loop = asyncio.get_running_loop()
    kind = fault.__name__.replace("_", " ")
    began = loop.time()
    await fault(rig)
    try:
        async with asyncio.timeout_at(began + _RECOVERY_LIMIT_S):
            while not await asyncio.to_thread(answers, f"{world.installation.address}/readyz"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            while world.view.last_at < began + 0.1:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        findings.wrong("it recovers without a human step", f"{kind}: not within {_RECOVERY_LIMIT_S:g} s")
        return Injected(kind, began)
    return Injected(kind, began, world.view.last_at - began)


async def run_alone(name: str, folder: Path, *, broken: str = "", **run_options: Any) -> Report:
    """Run one campaign in a world of its own, which leaves nothing but its files."""
    async with a_world(folder, replace(CAMPAIGNS[name].layout, broken=broken)) as world:
        return await run(name, world, folder, **run_options)


def main() -> int:
    """Run a campaign by its name, print its report, and exit with 1 if anything is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=sorted(CAMPAIGNS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--break", dest="broken", default="")
    chosen = parser.parse_args()
    rounds = chosen.rounds or sum(CAMPAIGNS[chosen.name].faults.values())
    seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
    print(f"campaign {chosen.name}: {rounds} faults, seed {seed}", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(prefix="ht-"))
    folder.chmod(0o755)
    options = {"rounds": rounds, "rate": chosen.rate, "seed": seed, "limit_s": chosen.seconds}
    running = run_alone(chosen.name, folder, broken=chosen.broken, **options)
    try:
        report = asyncio.run(running)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{chosen.name}-{seed}.json").write_text(json.dumps(report.document(), indent=1, ensure_ascii=False))
    print(report.markdown())
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
