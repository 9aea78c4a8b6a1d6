"""The projector: reads new events, applies them, and knows how far it has got."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from prometheus_client import Gauge

from hutong import db, events
from hutong.search.facts import TOPICS, facts_of
from hutong.search.model import SourceProgress
from hutong.search.projection import LIVE, apply_facts
from hutong.search.statements import sql
from hutong.telemetry import get_logger

BATCH = 1_000
OnProgress = Callable[[int], None]
"""Receives the number of rows or events applied so far."""

_log = get_logger(__name__)
_reported_archived: set[tuple[str, int]] = set()
"""What this process has reported already; otherwise it would report it twice a second."""

_LAG = Gauge("hutong_query_lag_events", "Events of a source that payment records do not show yet.", ["source"])
_LAG_S = Gauge("hutong_query_lag_seconds", "How long the oldest of these events has been waiting.", ["source"])


async def project_events(source: db.Database, store: db.Database, *, now: datetime) -> int:
    """Apply the events that payment records do not show yet.

    Args:
        source: The database of the events.
        store: The database of the payment records; it may be the same.

    Effects:
        Commits each batch together with its watermark. Leaves to another process what that one is applying.

    Returns:
        The number of events applied.
    """
    applied = 0
    for stream, last_no in await read_sources(source):
        applied += await project_stream(source, store, stream, upto=last_no, now=now)
    for progress in await read_progress(source, store, now=now):
        _LAG.labels(progress.source).set(progress.lag)
        _LAG_S.labels(progress.source).set(progress.lag_s)
    return applied


async def read_sources(source: db.Database) -> list[tuple[str, int]]:
    """Return the streams that payment records are made of, each with its last number."""
    async with source.transaction() as tx:
        streams = await events.list_streams(tx)
    return sources_among(streams)


def sources_among(streams: Sequence[events.Stream]) -> list[tuple[str, int]]:
    """Return those of some streams that payment records are made of, each with its last number."""
    return [(stream.stream, stream.last_no) for stream in streams if stream.stream.rsplit(".", 2)[-2] in TOPICS]


async def project_stream(
    source: db.Database,
    store: db.Database,
    stream: str,
    *,
    upto: int,
    now: datetime,
    schema: str = LIVE,
    locked: bool = False,
    on_progress: OnProgress = lambda _: None,
) -> int:
    """Apply a stream up to a number.

    Args:
        schema: The schema to apply to, LIVE or SHADOW.
        locked: The caller holds the lock of the projection already.

    Returns:
        The number of events applied by this call.
    """
    after = (await read_watermarks(store, schema)).get(stream, 0)
    applied = 0
    while after < upto:
        async with source.transaction() as tx:
            batch = await events.read_stream(tx, stream, after + 1, min(after + BATCH, upto))
        if not batch or batch[0].no != after + 1:
            # Numbers have no gap, so the missing events were archived. Only the tables still have their contents.
            if (stream, after) not in _reported_archived:
                _reported_archived.add((stream, after))
                _log.error("record_events_archived", source=stream, after=after)
            break
        facts = facts_of(entry.event for entry in batch)
        last, event = batch[-1].no, batch[-1].event
        async with store.transaction() as tx:
            await sql.use_schema.execute(tx, schema)
            if not locked and not await sql.try_lock.fetchval(tx):
                break
            watermarks = {row["source"]: row["no"] for row in await sql.read_watermarks.fetch(tx)}
            if watermarks.get(stream, 0) != after:
                break  # another process has applied them between our read and our lock
            await apply_facts(tx, facts)
            await sql.move_watermark.execute(tx, stream, last, event.created_at, now)
        applied += len(batch)
        after = last
        on_progress(applied)
    return applied


async def read_progress(source: db.Database, store: db.Database, *, now: datetime) -> list[SourceProgress]:
    """Return how far each source has been applied, in order of their names."""
    watermarks = await read_watermarks(store)
    progress = []
    for stream, last_no in await read_sources(source):
        no = watermarks.get(stream, 0)
        lag_s = 0.0
        if no < last_no:
            async with source.transaction() as tx:
                waiting = await events.read_stream(tx, stream, no + 1, no + 1)
            lag_s = max(0.0, (now - waiting[0].event.created_at).total_seconds()) if waiting else 0.0
        progress.append(SourceProgress(stream, no, last_no, lag_s))
    return progress


async def read_watermarks(store: db.Database, schema: str = LIVE) -> dict[str, int]:
    """Return the last applied number of each source."""
    async with store.transaction() as tx:
        await sql.use_schema.execute(tx, schema)
        return {row["source"]: row["no"] for row in await sql.read_watermarks.fetch(tx)}


async def as_of(source: db.Database, store: db.Database, *, now: datetime) -> datetime:
    """Return the instant up to which payment records are complete."""
    progress = await read_progress(source, store, now=now)
    return now - timedelta(seconds=max((one.lag_s for one in progress), default=0.0))
