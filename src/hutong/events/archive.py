"""Events whose time is over: out of the database, into files; and the word about one that is asked for."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from hutong import db, export, ids
from hutong.clock import instant
from hutong.errors import NotFound
from hutong.events.model import RecordedEvent
from hutong.events.partitions import detach_partitions, make_partitions
from hutong.events.statements import sql as _sql

if TYPE_CHECKING:
    import asyncpg

_COLUMN_TYPES = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp with time zone": "TIMESTAMPTZ",
}
"""DuckDB's types; what is not here is kept as text, byte for byte."""


class EventArchived(NotFound):
    """The event is so old that it lies in the archive."""

    code = "event_archived"


@dataclass(frozen=True, slots=True)
class Archived:
    """What one call did: taken out of their tables, still held there and why, written to files."""

    detached: list[str]
    held: dict[str, str]
    files: list[Path]


async def keep_events(
    database: db.Database, *, now: datetime, keep: timedelta, folder: Path | None, published: bool = False
) -> Archived:
    """Make partitions ahead, take out those older than `keep`, and move what was taken out into files.

    Args:
        published: Somebody listens at a broker, so that only published events may go.
        folder: Where the files go; None leaves the tables in the schema `events_archive`.

    Repeat:
        Goes on with what is left. Many workers may call it at once.
    """
    await make_partitions(database, now=now)
    done = await detach_partitions(database, now=now, keep=keep, published=published)
    files = [] if folder is None else await write_archive(database, folder, now=now)
    return Archived(done.names, done.held, files)


async def write_archive(database: db.Database, folder: Path, *, now: datetime) -> list[Path]:
    """Write what was detached into Parquet files, read each back, and drop its table.

    A table is dropped only when its file is on the disk and holds as many rows as the table. Killed in between, it
    writes the same file again.
    """
    waiting = await database.run(_sql.detached_partitions.fetch)
    return [await _write(database, row, folder, now) for row in waiting]


async def find_event(tx: db.Tx, event_id: UUID) -> RecordedEvent:
    """One event of the journal, for operators.

    Errors:
        NotFound: there is none.
        EventArchived: its time is over; the words say where it lies.
    """
    row = await _sql.find_event.fetchrow(tx, event_id)
    if row is not None:
        return RecordedEvent(**row)
    part = await _sql.archive_of.fetchrow(tx, _ms_of(event_id))
    if part is None:
        raise NotFound("no event has this id")
    where = part["file"] or f"the table events_archive.{part['name']}"
    raise EventArchived(f"{ids.encode('evt', event_id)} is in the archive: {where}")


async def refuse_archived(tx: db.Tx, first: UUID) -> None:
    """Make sure that the events from `first` on are at hand.

    Errors:
        EventArchived: those at the beginning are in the archive.
    """
    until_ms = await _sql.archived_until.fetchval(tx)
    if until_ms is not None and _ms_of(first) < until_ms:
        since = instant(datetime.fromtimestamp(until_ms / 1000, tz=UTC))
        raise EventArchived(f"events from before {since} are in the archive")


async def _write(database: db.Database, part: asyncpg.Record, folder: Path, now: datetime) -> Path:
    name = part["name"]
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    target = folder / f"{name}.parquet"
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as scratch:
        lines, made = Path(scratch) / "rows.jsonl", Path(scratch) / "rows.parquet"
        columns = await database.run(partial(_copy, name, lines))
        count = await asyncio.to_thread(export.write_parquet, lines, columns, made)
        await asyncio.to_thread(_put, made, target)
    await database.run(lambda tx: _sql.drop_archived.execute(tx, name, count, str(target), now))
    return target


async def _copy(name: str, lines: Path, tx: db.Tx) -> dict[str, str]:
    """Write the rows of a detached table as JSON lines; returns its columns."""
    columns = {
        row["name"]: _COLUMN_TYPES.get(row["type"], "VARCHAR") for row in await _sql.archived_columns.fetch(tx, name)
    }
    with lines.open("wb") as output:
        async for row in _sql.archived_rows.cursor(tx, name, prefetch=1_000):
            output.write(row["line"].encode() + b"\n")
    return columns


def _put(made: Path, target: Path) -> None:
    """Move a file to its place, so that it is there whole also after the power fails."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _ms_of(event_id: UUID) -> int:
    return event_id.int >> 80
