"""Following the sources: reading what is new, applying it, and knowing how far that has got."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from prometheus_client import Gauge

from hutong import db, events
from hutong.search.facts import TOPICS, facts_of
from hutong.search.model import Progress
from hutong.search.projection import HOUSE, apply
from hutong.search.statements import sql
from hutong.telemetry import get_logger

BATCH = 1_000
Told = Callable[[int], None]
"""Is told how many rows or events have been applied so far."""

_log = get_logger(__name__)
_told_archived: set[tuple[str, int]] = set()
"""What this process has said once is not said twice a second."""

_LAG = Gauge("hutong_query_lag_events", "Events of a source that bills do not show yet.", ["source"])
_LAG_S = Gauge("hutong_query_lag_seconds", "How long the first of them has been waiting.", ["source"])


async def follow(source: db.Database, store: db.Database, *, now: datetime) -> int:
    """Apply what the sources have told since the last time.

    Args:
        source: Where the events are.
        store: Where the bills are; it may be the same database.

    Effects:
        Each batch is applied together with its watermark. What another process is applying is left to it.

    Returns:
        How many events were applied.
    """
    done = 0
    for stream, last_no in await sources(source):
        done += await follow_stream(source, store, stream, upto=last_no, now=now)
    for one in await progress(source, store, now=now):
        _LAG.labels(one.source).set(one.lag)
        _LAG_S.labels(one.source).set(one.lag_s)
    return done


async def sources(source: db.Database) -> list[tuple[str, int]]:
    """The streams that bills are made of, and the last number of each."""
    async with source.transaction() as tx:
        streams = await events.list_streams(tx)
    return numbers_of(streams)


def numbers_of(streams: Sequence[events.Stream]) -> list[tuple[str, int]]:
    """Those of some streams that bills are made of, with their last numbers."""
    return [(one.stream, one.last_no) for one in streams if one.stream.rsplit(".", 2)[-2] in TOPICS]


async def follow_stream(
    source: db.Database,
    store: db.Database,
    stream: str,
    *,
    upto: int,
    now: datetime,
    house: str = HOUSE,
    locked: bool = False,
    told: Told = lambda _: None,
) -> int:
    """Apply a stream up to a number.

    Args:
        house: Which of the two houses to apply to.
        locked: Whether the caller keeps all other applying out already.

    Returns:
        How many events were applied here.
    """
    after = (await watermarks(store, house)).get(stream, 0)
    done = 0
    while after < upto:
        async with source.transaction() as tx:
            batch = await events.read_stream(tx, stream, after + 1, min(after + BATCH, upto))
        if not batch or batch[0].no != after + 1:
            # The numbers have no gap, so what is missing was archived; only the tables still know what it told.
            if (stream, after) not in _told_archived:
                _told_archived.add((stream, after))
                _log.error("bill_events_archived", source=stream, after=after)
            break
        facts = facts_of(entry.event for entry in batch)
        last, event = batch[-1].no, batch[-1].event
        async with store.transaction() as tx:
            await sql.use_house.execute(tx, house)
            if not locked and not await sql.try_lock.fetchval(tx):
                break
            known = {row["source"]: row["no"] for row in await sql.read_watermarks.fetch(tx)}
            if known.get(stream, 0) != after:
                break  # another one has been here between our reading and our lock
            await apply(tx, facts)
            await sql.move_watermark.execute(tx, stream, last, event.created_at, now)
        done += len(batch)
        after = last
        told(done)
    return done


async def progress(source: db.Database, store: db.Database, *, now: datetime) -> list[Progress]:
    """How far each source has been read, in order of their names."""
    known = await watermarks(store)
    found = []
    for stream, last_no in await sources(source):
        no = known.get(stream, 0)
        lag_s = 0.0
        if no < last_no:
            async with source.transaction() as tx:
                waiting = await events.read_stream(tx, stream, no + 1, no + 1)
            lag_s = max(0.0, (now - waiting[0].event.created_at).total_seconds()) if waiting else 0.0
        found.append(Progress(stream, no, last_no, lag_s))
    return found


async def watermarks(store: db.Database, house: str = HOUSE) -> dict[str, int]:
    """The last number of each source that has been applied."""
    async with store.transaction() as tx:
        await sql.use_house.execute(tx, house)
        return {row["source"]: row["no"] for row in await sql.read_watermarks.fetch(tx)}


async def as_of(source: db.Database, store: db.Database, *, now: datetime) -> datetime:
    """Until when bills show all that has happened."""
    return now - timedelta(seconds=max((one.lag_s for one in await progress(source, store, now=now)), default=0.0))
