"""Runs of days that end themselves, by SIGKILL, while they book: `killed_booking.py URL FOLDER ACCOUNT BANK NOW RUN…`.

A run is `channel|bank:DAY:POINT`. Point 0 lies between the results' coming into place and the transaction, N after the
transaction's Nth statement, `commit` after its commit, and `end` nowhere. One with a decimal point is seconds after the
run's begin. Each run is a fork of one process, which has loaded everything; for each it prints how many statements were
counted, 0 if it was killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from paid_world import PaidWorld

from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.reconciliation import runs


class CountedDatabase(Database):
    """A database whose statements count from some moment on; at the last one the process ends."""

    last = sys.maxsize
    count: int | None = None

    def arm(self, point: str) -> None:
        """Begin to count."""
        self.count, self.last = 0, int(point) if point.isdigit() else sys.maxsize
        self.until_commit = point == "commit"
        self._seen: list[Any] = []
        if self.last == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with super().transaction() as tx:
            connection: Any = tx
            if self.count is not None and connection._con not in self._seen:
                self._seen.append(connection._con)
                tx.add_query_logger(self._take)
            yield tx

    def _take(self, taken: Any) -> None:
        assert self.count is not None
        self.count += 1
        if self.count >= self.last or (self.until_commit and taken.query.startswith("COMMIT")):
            os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, folder: str, account: str, bank: str, now: str, run: str) -> None:
    whose, day, point = run.split(":")
    clock = ManualClock()
    clock.advance(datetime.fromisoformat(now) - clock.now())
    async with CountedDatabase.open(url, size=2) as database:
        world = PaidWorld(database, clock, Path(folder))
        world.account_id = UUID(account)
        world.settle_to(UUID(bank))
        party = await (world.party() if whose == "channel" else world.bank_party())

        async def report(_day: date, stage: runs.Stage) -> None:
            if stage is runs.Stage.BOOK:
                database.arm(point)

        await runs.run_day(world.use, party, date.fromisoformat(day), report=report)
        print(database.count or 0, flush=True)


def fork(arguments: list[str], run: str) -> None:
    """Do a run in a process of its own; print 0 if it was killed."""
    child = os.fork()
    if not child:
        asyncio.run(main(*arguments, run))
        os._exit(0)
    point = run.rpartition(":")[2]
    if "." in point:
        time.sleep(float(point))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        print(0, flush=True)
    elif status:
        sys.exit("a run has failed")


for each in sys.argv[6:]:
    fork(sys.argv[1:6], each)
