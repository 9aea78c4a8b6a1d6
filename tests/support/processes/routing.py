"""One process with routing state, as the platform runs it, controlled by lines on its standard input.

fail ACCOUNT COUNT     let attempts at the account fail
health INSTANT         print the health of every account at that instant
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.routing import AttemptResult, RoutingState, StateSync
from hutong.telemetry import configure_logging
from support.fixtures.routing_processes import ONE, TWO, offers

ACCOUNTS = {"one": ONE, "two": TWO}


async def main(url: str) -> None:
    clock = SystemClock()
    ids, state, stop = Ids(clock), RoutingState(draw=lambda: 0.5), asyncio.Event()
    state.offer(await offers())
    async with Database.open(url, size=2) as database:
        state_sync = StateSync(database, state, clock=clock, process_id=ids.new(), offers=offers)
        running = asyncio.create_task(state_sync.run(stop))
        while line := await asyncio.to_thread(sys.stdin.readline):
            verb, *rest = line.split()
            if verb == "fail":
                for _ in range(int(rest[1])):
                    result = AttemptResult(clock.now(), ids.new(), fault=True, interface="qr")
                    state.router.learn(ACCOUNTS[rest[0]], result)
            else:
                now = datetime.fromisoformat(rest[0])
                health = {name: asdict(state.router.health(each, now, "qr")) for name, each in ACCOUNTS.items()}
                print(json.dumps(health, default=str), flush=True)
        stop.set()
        await running


if __name__ == "__main__":
    configure_logging(level="error", output="json")
    asyncio.run(main(sys.argv[1]))
