"""A relay in a process of its own, to be killed: python relay_process.py DATABASE BROKER SOURCE LEASE_S."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from hutong import events
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids


async def main(url: str, broker: str, source: str, lease_s: float) -> None:
    clock = SystemClock()
    async with Database.open(url, size=4) as database:
        relay = events.Relay(
            database,
            clock,
            connect=events.connector(broker, source=source),
            new_id=Ids(clock).new,
            lease=timedelta(seconds=lease_s),
        )
        await relay.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
