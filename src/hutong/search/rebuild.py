"""A second set of payment records beside the live one, built from all events or from the tables, and compared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from hutong import db, events, ids, payments
from hutong.clock import instant
from hutong.customers import stream_customers
from hutong.errors import InvariantBroken
from hutong.search.errors import EventsArchived
from hutong.search.facts import refund_text
from hutong.search.model import Facts, PaymentFact, ProfileFact, RefundFact
from hutong.search.projection import LIVE, SHADOW, apply_facts
from hutong.search.projector import (
    BATCH,
    OnProgress,
    project_stream,
    read_sources,
    read_watermarks,
    sources_among,
)
from hutong.search.statements import sql


@dataclass(frozen=True, slots=True)
class RecordsDigest:
    """The number of payment records in a schema, and a hash of all its rows in order."""

    records: int
    value: str


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """The digests of the live records and of the rebuilt ones, and whether the two traded places."""

    live: RecordsDigest
    rebuilt: RecordsDigest
    swapped: bool

    @property
    def equal(self) -> bool:
        return self.live == self.rebuilt


async def rebuild_records(
    source: db.Database,
    store: db.Database,
    *,
    from_events: bool,
    number_events: Callable[[], Any],
    now: datetime,
    swap: bool = True,
    on_progress: OnProgress = lambda _: None,
) -> RebuildResult:
    """Build all payment records beside the live ones, bring both to the same numbers, and compare them.

    Args:
        store: Opened as the owner of its schemas; only the owner may rename them.
        from_events: Build from the first number of each stream; otherwise from the rows of payments and refunds.
        number_events: Gives every committed event its number.
        swap: Replace the live records if the rebuilt ones differ.

    Effects:
        Keeps all other projections out: records are still shown meanwhile, and lag. Empties what was replaced.

    Errors:
        EventsArchived: old events are gone, so that only the tables are complete.
    """
    async with _projection_locked(store):
        await _empty_shadow(store)
        if not from_events:
            await _fill_from_tables(source, store, now=now, on_progress=on_progress)
        await number_events()
        for stream, last_no in await read_sources(source):
            for schema in (LIVE, SHADOW):
                await project_stream(
                    source, store, stream, upto=last_no, now=now, schema=schema, locked=True, on_progress=on_progress
                )
            if (await read_watermarks(store, SHADOW)).get(stream) != last_no:
                raise EventsArchived(f"the first events of {stream} are archived; rebuild from the tables instead")
        live, rebuilt = await digest_schema(store, LIVE), await digest_schema(store, SHADOW)
        swapped = swap and live != rebuilt
        if swapped:
            async with store.transaction() as tx:
                await sql.analyze_shadow.execute(tx)
                await sql.move_live_aside.execute(tx)
                await sql.make_shadow_live.execute(tx)
                await sql.make_former_shadow.execute(tx)
        await _empty_shadow(store)
    return RebuildResult(live, rebuilt, swapped)


async def _fill_from_tables(source: db.Database, store: db.Database, *, now: datetime, on_progress: OnProgress) -> None:
    """Apply every row as of one moment, and set the watermarks to the numbers given by then.

    The rows contain what the events up to these numbers say.
    """
    async with source.transaction() as tx:
        await sql.one_snapshot.execute(tx)
        sources = sources_among(await events.list_streams(tx))
        applied = 0
        async for rows in _batches(payments.export.stream_payments(tx)):
            versions = await events.object_versions(tx, [row["id"] for row in rows])
            facts = [_payment(row, versions[row["id"]]) for row in rows if row["id"] in versions]
            await _apply_to_shadow(store, Facts(payments=facts))
            applied += len(rows)
            on_progress(applied)
        async for rows in _batches(payments.export.stream_refunds(tx)):
            versions = await events.object_versions(tx, [row["id"] for row in rows])
            refunds = [_refund(row, versions[row["id"]]) for row in rows if row["id"] in versions]
            await _apply_to_shadow(store, Facts(refunds=refunds))
            applied += len(rows)
            on_progress(applied)
        async for rows in _batches(stream_customers(tx)):
            await _apply_to_shadow(store, Facts(profiles=[_profile(row) for row in rows]))
            applied += len(rows)
            on_progress(applied)
    async with store.transaction() as tx:
        await sql.use_schema.execute(tx, SHADOW)
        for stream, no in sources:
            await sql.move_watermark.execute(tx, stream, no, now, now)


async def _batches(rows: AsyncIterator[asyncpg.Record]) -> AsyncIterator[list[asyncpg.Record]]:
    batch: list[asyncpg.Record] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _apply_to_shadow(store: db.Database, facts: Facts) -> None:
    async with store.transaction() as tx:
        await sql.use_schema.execute(tx, SHADOW)
        await apply_facts(tx, facts)


def _payment(row: asyncpg.Record, version: int) -> PaymentFact:
    customer = {} if row["customer"] is None else orjson.loads(row["customer"])
    return PaymentFact(
        payment_id=row["id"],
        version=version,
        merchant_id=row["merchant_id"],
        status=row["status"],
        merchant_order_no=row["merchant_order_no"],
        subject=row["subject"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        amount_captured_minor=row["amount_captured_minor"],
        amount_paid_minor=row["amount_paid_minor"],
        amount_settled_minor=row["amount_settled_minor"],
        method=row["method"],
        channel=row["channel"],
        customer_id=customer.get("id"),
        customer_name=customer.get("name"),
        customer_avatar=customer.get("avatar"),
        created_at=row["created_at"],
        authorized_at=row["authorized_at"],
        succeeded_at=row["succeeded_at"],
        closed_at=row["closed_at"],
    )


def _refund(row: asyncpg.Record, version: int) -> RefundFact:
    document = None
    if row["kind"] == "refund" and row["state"] == "succeeded":
        document = refund_text(
            ids.encode("ref", row["id"]), row["merchant_refund_no"], row["amount_minor"], row["reason"], row["route"],
            instant(row["created_at"]), instant(row["finished_at"]),
        )  # fmt: skip
    return RefundFact(row["id"], version, row["payment_id"], row["amount_minor"], document)


def _profile(row: asyncpg.Record) -> ProfileFact:
    return ProfileFact(
        row["merchant_id"], row["customer_id"], row["name"], row["avatar"], at=row["updated_at"], by=row["event_id"]
    )


@asynccontextmanager
async def _projection_locked(store: db.Database) -> AsyncIterator[None]:
    """Keep all other projections out for a block. The lock ends with its connection, whatever happens."""
    async with store.pool.acquire() as connection:
        await sql.lock_projection.execute(connection)
        try:
            yield
        finally:
            await sql.unlock_projection.execute(connection)


async def _empty_shadow(store: db.Database) -> None:
    async with store.transaction() as tx:
        await sql.empty_shadow.execute(tx)


async def digest_schema(store: db.Database, schema: str) -> RecordsDigest:
    """Return the payment records of a schema as one value."""
    async with store.transaction() as tx:
        await sql.use_schema.execute(tx, schema)
        row = await sql.digest_schema.fetchrow(tx)
    if row is None:
        raise InvariantBroken("a statement that returns one row returned none")
    return RecordsDigest(row["records"], row["value"])
