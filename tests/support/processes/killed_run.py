"""A process that reconciles a day of an account, to be killed: `killed_run.py URL FOLDER ACCOUNT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from bill_world import DAY, READY, BillWorld

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.reconciliation import runs


async def main(url: str, folder: str, account: str) -> None:
    clock = ManualClock()
    clock.advance(READY * 2)
    async with Database.open(url, size=2) as database:
        world = BillWorld(database, clock, Path(folder))
        world.account_id = UUID(account)
        party = await world.party()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await runs.run_day(world.use, party, DAY)
        print("done", flush=True)


asyncio.run(main(*sys.argv[1:]))
