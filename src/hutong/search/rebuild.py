"""Building the store anew beside the one in use, from all events or from the tables, and comparing the two."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from hutong import db, events, ids
from hutong.clock import instant
from hutong.errors import InvariantBroken
from hutong.payments import one_snapshot, stream_customers, stream_payments, stream_refunds
from hutong.search.errors import EventsArchived
from hutong.search.facts import refund_text
from hutong.search.model import Facts, PaymentFact, ProfileFact, RefundFact
from hutong.search.projection import BESIDE, HOUSE, apply
from hutong.search.projector import BATCH, Told, follow_stream, numbers_of, sources, watermarks
from hutong.search.statements import sql as _sql


@dataclass(frozen=True, slots=True)
class Digest:
    """How many bills a house holds, and a hash of all its rows in order."""

    bills: int
    value: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of a rebuild: the house as it was in use, the one built beside it, and whether they traded places."""

    live: Digest
    built: Digest
    swapped: bool

    @property
    def equal(self) -> bool:
        return self.live == self.built


async def rebuild(
    source: db.Database,
    store: db.Database,
    *,
    from_events: bool,
    number_events: Callable[[], Any],
    now: datetime,
    swap: bool = True,
    told: Told = lambda _: None,
) -> Rebuilt:
    """Build all bills anew, beside those in use; bring both to the same number of every source; compare them.

    Args:
        store: Opened as the owner of its schemas, who alone may have them trade places.
        from_events: From the streams' first numbers on; otherwise from the rows of payments and refunds.
        number_events: Has every event that is committed numbered.
        swap: Whether to use the new one if it is not equal.

    Effects:
        Keeps all applying out meanwhile: bills go on being shown, and lag. What was replaced is emptied.

    Errors:
        EventsArchived: old events are gone, so that only the tables know everything.
    """
    async with _alone(store):
        await _empty(store)
        if not from_events:
            await _from_tables(source, store, now=now, told=told)
        await number_events()
        targets = await sources(source)
        for stream, last_no in targets:
            for house in (HOUSE, BESIDE):
                await follow_stream(source, store, stream, upto=last_no, now=now, house=house, locked=True, told=told)
            if (await watermarks(store, BESIDE)).get(stream) != last_no:
                raise EventsArchived(f"{stream} does not begin at its first number any more; rebuild from tables")
        live, built = await _digest(store, HOUSE), await _digest(store, BESIDE)
        swapped = swap and live != built
        if swapped:
            async with store.transaction() as tx:
                await _sql.gather_statistics.execute(tx)
                await _sql.rename_live.execute(tx)
                await _sql.rename_beside.execute(tx)
                await _sql.rename_former.execute(tx)
        await _empty(store)
    return Rebuilt(live, built, swapped)


async def _from_tables(source: db.Database, store: db.Database, *, now: datetime, told: Told) -> None:
    """Take in every row as it was at one moment, and note the numbers given by then: what they stand for is in it."""
    async with source.transaction() as tx:
        await one_snapshot(tx)
        numbers = numbers_of(await events.list_streams(tx))
        done = 0
        async for rows in _batches(stream_payments(tx)):
            versions = await events.object_versions(tx, [row["id"] for row in rows])
            payments = [_payment(row, versions[row["id"]]) for row in rows if row["id"] in versions]
            await _apply(store, Facts(payments=payments))
            done += len(rows)
            told(done)
        async for rows in _batches(stream_refunds(tx)):
            versions = await events.object_versions(tx, [row["id"] for row in rows])
            refunds = [_refund(row, versions[row["id"]]) for row in rows if row["id"] in versions]
            await _apply(store, Facts(refunds=refunds))
            done += len(rows)
            told(done)
        async for rows in _batches(stream_customers(tx)):
            await _apply(store, Facts(profiles=[ProfileFact(*row.values()) for row in rows]))
            done += len(rows)
            told(done)
    async with store.transaction() as tx:
        await _sql.use_house.execute(tx, BESIDE)
        for stream, no in numbers:
            await _sql.move_watermark.execute(tx, stream, no, now, now)


async def _batches(rows: AsyncIterator[asyncpg.Record]) -> AsyncIterator[list[asyncpg.Record]]:
    batch: list[asyncpg.Record] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _apply(store: db.Database, facts: Facts) -> None:
    async with store.transaction() as tx:
        await _sql.use_house.execute(tx, BESIDE)
        await apply(tx, facts)


def _payment(row: asyncpg.Record, version: int) -> PaymentFact:
    customer = {} if row["customer"] is None else orjson.loads(row["customer"])
    return PaymentFact(
        row["id"], version, row["merchant_id"], row["status"], row["merchant_order_no"], row["subject"],
        row["amount_minor"], row["currency"], row["amount_captured_minor"], row["method"], row["channel"],
        customer.get("id"), customer.get("name"), customer.get("avatar"), row["created_at"], row["authorized_at"],
        row["succeeded_at"], row["closed_at"],
    )  # fmt: skip


def _refund(row: asyncpg.Record, version: int) -> RefundFact:
    document = None
    if row["kind"] == "refund" and row["state"] == "succeeded":
        document = refund_text(
            ids.encode("ref", row["id"]), row["merchant_refund_no"], row["amount_minor"], row["reason"], row["route"],
            instant(row["created_at"]), instant(row["finished_at"]),
        )  # fmt: skip
    return RefundFact(row["id"], version, row["payment_id"], row["amount_minor"], document)


@asynccontextmanager
async def _alone(store: db.Database) -> AsyncIterator[None]:
    """Keep all applying out for the length of a block; the lock goes with its connection, whatever happens."""
    async with store.pool.acquire() as connection:
        await _sql.keep_out.execute(connection)
        try:
            yield
        finally:
            await _sql.let_in.execute(connection)


async def _empty(store: db.Database) -> None:
    async with store.transaction() as tx:
        await _sql.empty_beside.execute(tx)


async def _digest(store: db.Database, house: str) -> Digest:
    async with store.transaction() as tx:
        await _sql.use_house.execute(tx, house)
        row = await _sql.digest_house.fetchrow(tx)
    if row is None:
        raise InvariantBroken("a statement that gives one row gave none")
    return Digest(row["bills"], row["digest"])


async def digest(store: db.Database) -> Digest:
    """The bills in use, as one value."""
    return await _digest(store, HOUSE)
