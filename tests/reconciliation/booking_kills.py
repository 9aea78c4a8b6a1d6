"""Two worlds with the same business, of which one's runs are killed while they book."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from bill_world import DAY, READY, bill
from paid_world import FEE, PaidWorld

from hutong.clock import ManualClock
from hutong.db import Database

ONE = timedelta(days=1)
RUNS = (f"channel:{DAY}", f"bank:{DAY + ONE}")
"""Fees, waiting rows and a case with suspense; then an arrival that closes the bill, and money that waits."""
_PROCESS = Path(__file__).parents[1] / "support" / "processes" / "killed_booking.py"


async def prepare(database: Database, clock: ManualClock, folder: Path) -> PaidWorld:
    """Make a world with a bill and a statement, of which no day has been run."""
    world = PaidWorld(database, clock, folder)
    await world.register()
    ours = [_row(1, 1_000), _row(2, 1_000), _row(3, 900), _row(9, 500)]
    world.lay_ours(DAY, ours)
    await world.take(bill([1, 2, 3, 4]))
    await world.state([("B1", 4 * (1_000 - FEE), DAY), ("B2", -77, DAY + ONE)], DAY + ONE)
    return world


def _row(number: int, amount: int) -> dict[str, object]:
    return {"key": f"{number:08d}", "ordered": amount, "paid": amount, "settled": amount}


def run(world: PaidWorld, url: str, runs: Sequence[str]) -> list[int]:
    """Do runs in other processes, see `killed_booking`; return how many statements each has booked by."""
    arguments = [
        url,
        str(world.config.folder),
        str(world.account_id),
        str(world.bank_id),
        str(world.clock.now()),
        *runs,
    ]
    path = os.pathsep.join((str(_PROCESS.parents[2]), str(Path(__file__).parent)))
    done = subprocess.run(
        [sys.executable, str(_PROCESS), *arguments], env={**os.environ, "PYTHONPATH": path}, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split() if line.isdigit()]


def later(clock: ManualClock) -> None:
    """Let the days be over, with their margins."""
    clock.advance(READY + 3 * ONE)
