"""A source in memory, and a consumer that writes down what it was told."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from hutong import consumer, db
from hutong.clock import ManualClock
from hutong.consumer import Consumer, Handler, Message, Policy

STREAM = "hutong.payment.0"


def message(no: Any, object_id: Any = "a", seq: int = 1, *, stream: str = STREAM, **fields: Any) -> bytes:
    """The bytes of one event."""
    return orjson.dumps(
        {
            "id": f"evt_{stream}_{no}",
            "stream": stream,
            "no": no,
            "type": "payment.succeeded",
            "version": 1,
            "object_id": object_id,
            "object_seq": seq,
            "merchant_id": "mer_1",
            "created_at": "2026-01-01T00:00:00.000Z",
            "data": {"object": object_id},
            **fields,
        }
    )


def digest(bodies: Sequence[bytes], first: int, *, stream: str = STREAM, **fields: Any) -> bytes:
    """The digest message of consecutive messages."""
    return orjson.dumps(
        {
            "id": f"dig_{first}",
            "type": "stream.digest",
            "version": 1,
            "stream": stream,
            "from": first,
            "to": first + len(bodies) - 1,
            "count": len(bodies),
            "hash": consumer.digest_hash(map(consumer.item_hash, bodies)).hex(),
            "created_at": "2026-01-01T00:00:00.000Z",
            **fields,
        }
    )


@dataclass
class MemorySource:
    """Answers requests from what it has; the answers wait in `answers`."""

    sent: dict[str, list[bytes]] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    resends: list[tuple[str, int, int]] = field(default_factory=list)
    asked_digests: list[tuple[str, int, int, int]] = field(default_factory=list)

    async def resend(self, stream: str, first: int, last: int) -> None:
        self.resends.append((stream, first, last))
        self.answers += self.sent.get(stream, [])[first - 1 : last]

    async def digests(self, stream: str, first: int, last: int, parts: int) -> None:
        self.asked_digests.append((stream, first, last, parts))
        size = -(-(last - first + 1) // parts)
        for start in range(first, last + 1, size):
            bodies = self.sent[stream][start - 1 : min(start + size - 1, last)]
            self.answers.append(digest(bodies, start, stream=stream, answer=True))


class World:
    """One consumer with a name of its own, its source, and its clock."""

    def __init__(self, database: db.Database, clock: ManualClock) -> None:
        self.database, self.clock = database, clock
        self.name = f"c{secrets.token_hex(6)}"
        self.source = MemorySource()

    def consumer(
        self,
        handler: Handler | None = None,
        *,
        policy: Policy | None = None,
        versions: Mapping[str, int] | None = None,
        name: str | None = None,
        topics: Sequence[str] | None = None,
    ) -> Consumer:
        return Consumer(
            name or self.name,
            handler or self.write_down,
            self.database,
            topics=topics,
            versions=versions,
            policy=policy,
            clock=self.clock,
        )

    async def write_down(self, tx: db.Tx, told: Message) -> None:
        await tx.execute(
            "INSERT INTO applied (consumer, object_id, seq, no) VALUES ($1, $2, $3, $4)",
            self.name,
            told.object_id,
            told.object_seq,
            told.no,
        )

    async def applied(self) -> list[int]:
        """The numbers handled, in the order they were."""
        rows = await self.database.pool.fetch("SELECT no FROM applied WHERE consumer = $1 ORDER BY n", self.name)
        return [row["no"] for row in rows]

    async def objects(self) -> dict[str, list[int]]:
        """The sequence numbers handled, per object, in the order they were."""
        found: dict[str, list[int]] = {}
        query = "SELECT object_id, seq FROM applied WHERE consumer = $1 ORDER BY n"
        for row in await self.database.pool.fetch(query, self.name):
            found.setdefault(row["object_id"], []).append(row["seq"])
        return found

    async def all_progress(self) -> list[consumer.Progress]:
        async with self.database.transaction() as tx:
            return await consumer.progress(tx, self.name)

    async def progress(self, stream: str = STREAM) -> consumer.Progress:
        return next(one for one in await self.all_progress() if one.stream == stream)

    async def parked(self) -> list[consumer.Parked]:
        async with self.database.transaction() as tx:
            return await consumer.list_parked(tx, self.name)

    async def retry(self, *references: str) -> list[str]:
        async with self.database.transaction() as tx:
            return await consumer.retry_parked(tx, self.name, references, now=self.clock.now())

    async def drop(self, *references: str) -> list[str]:
        async with self.database.transaction() as tx:
            return await consumer.drop_parked(tx, self.name, references, reason="not wanted", now=self.clock.now())

    async def open(self) -> int:
        """How many ranges are missing or not known to be the same."""
        count: int = await self.database.pool.fetchval(_OPEN, self.name)
        return count

    async def repaired(self, told: Consumer, *, rounds: int = 30, step: timedelta = timedelta(seconds=5)) -> None:
        """Let time pass and the source answer until nothing is missing and nothing differs."""
        for _ in range(rounds):
            self.clock.advance(step)
            await told.handle()
            await told.repair(self.source)
            answers, self.source.answers = self.source.answers, []
            await told.take(answers)
            if not await self.open():
                return
        raise AssertionError("it does not come to an end")


_OPEN = """
SELECT count(*) FROM (
    SELECT FROM consumer.gap WHERE consumer = $1 UNION ALL SELECT FROM consumer.digest WHERE consumer = $1
) AS open
"""
