"""A consumer in a process of its own that one object's message kills: python consumer_process.py DATABASE NAME.

It reads messages from standard input, one a line, and ends when nothing is left to do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

from hutong import consumer, db


async def handler(tx: db.Tx, received: consumer.Message) -> None:
    await tx.execute("INSERT INTO applied (consumer, no) VALUES ($1, $2)", sys.argv[2], received.no)
    if received.object_id == "killer":
        os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, name: str) -> None:
    policy = consumer.Policy(tries=2, lease=timedelta(milliseconds=300))
    async with db.Database.open(url, size=2, role=None) as database:
        listener = consumer.Consumer(name, handler, database, policy=policy)
        await listener.take([line.strip() for line in sys.stdin.buffer])
        while any(one.waiting for one in await database.run(lambda tx: consumer.progress(tx, name))):
            await asyncio.sleep(0.05)
            await listener.handle()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
