"""The part of `make recon-proof` that books: runs that are killed while they do, and the days of a bank account."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from bank_days import PLANS, Statement, play
from booking_kills import RUNS, later, prepare, run
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from hutong.clock import ManualClock
from hutong.db import Database, EmbeddedServer
from hutong.telemetry import configure_logging
from support import let_through, migrated_database


def prove_bookings(seed: int, folder: Path, kills: int, plans: int) -> None:
    """Hold that killed bookings come to the same, and the rules of a bank's days over random plans of them."""
    configure_logging(level="error")
    let_through(folder)
    server = EmbeddedServer(folder / "home")
    try:
        url = migrated_database(server.start())
        asyncio.run(_prove_kills(url, seed, folder, kills))
        print(f"{time.strftime('%H:%M:%S')} {kills} kills before and within the booking: equal", flush=True)
        _prove_days(url, seed, folder, plans)
        print(f"{time.strftime('%H:%M:%S')} {plans} plans of bank days hold", flush=True)
    finally:
        server.stop()


async def _prove_kills(url: str, seed: int, folder: Path, kills: int) -> None:
    clock, dice = ManualClock(), random.Random(seed)
    later(clock)
    async with Database.open(url, size=4) as database:
        whole = await prepare(database, clock, folder / "whole")
        killed = await prepare(database, clock, folder / "killed")
        for name in RUNS:
            started = time.monotonic()
            (count,) = await asyncio.to_thread(run, whole, url, [f"{name}:end"])
            took_s = time.monotonic() - started
            points = [
                str(dice.randint(0, count)) if dice.random() < 0.7 else f"{dice.uniform(0, took_s):.3f}"
                for _ in range(kills // len(RUNS))
            ]
            await asyncio.to_thread(run, killed, url, [f"{name}:{point}" for point in [*points, "commit", "end"]])
        booked = await whole.booked()
        for kind, rows in (await killed.booked()).items():
            if rows != booked[kind]:
                raise AssertionError(f"after kills, other {kind}: {sorted(set(rows) ^ set(booked[kind]))[:1]}")


def _prove_days(url: str, seed: int, folder: Path, plans: int) -> None:
    @seeded(seed)
    @settings(
        max_examples=plans, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(plan=PLANS)
    def holds(plan: Sequence[Statement]) -> None:
        asyncio.run(_play(url, Path(mkdtemp(dir=folder)), plan))

    holds()


async def _play(url: str, folder: Path, plan: Sequence[Statement]) -> None:
    async with Database.open(url, size=4) as database:
        await play(database, ManualClock(), folder, plan)
