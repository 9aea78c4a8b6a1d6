"""The archive: events past their retention move out of the database into files."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg

from hutong import db, export, ids
from hutong.clock import instant
from hutong.durable_files import move_durably
from hutong.errors import NotFound
from hutong.events.model import RecordedEvent
from hutong.events.outbox import read_event
from hutong.events.partitions import detach_partitions, make_partitions
from hutong.events.statements import sql

_COLUMN_TYPES = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp with time zone": "TIMESTAMPTZ",
}
"""DuckDB's types; every other column is kept as text, byte for byte."""


_DERIVED = 8
"""The version of ids that follow from what they name."""


class EventArchived(NotFound):
    """The event is so old that it is in the archive."""

    code = "event_archived"


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """The partitions that one call detached, those that stay and why, and the files it wrote."""

    detached: list[str]
    held: dict[str, str]
    files: list[Path]


async def apply_retention(
    database: db.Database, *, now: datetime, keep: timedelta, folder: Path | None, published: bool = False
) -> RetentionResult:
    """Make partitions ahead, detach those older than `keep`, and write detached ones to files.

    Args:
        published: A broker is configured, so that only published events may go.
        folder: The folder of the files; None leaves the tables in the schema `events_archive`.

    Repeat:
        Continues with what is left. Many workers may call it at once.
    """
    await make_partitions(database, now=now)
    detached = await detach_partitions(database, now=now, keep=keep, published=published)
    files = [] if folder is None else await write_archive(database, folder, now=now)
    return RetentionResult(detached.names, detached.held, files)


async def write_archive(database: db.Database, folder: Path, *, now: datetime) -> list[Path]:
    """Write detached partitions to Parquet files, read each file back, and drop its table.

    A table is dropped only when its file is on the disk and has as many rows as the table. A call after a crash writes
    the same file again.
    """
    waiting = await database.run(sql.detached_partitions.fetch)
    written = [await _write(database, row, folder, now) for row in waiting]
    return [file for file in written if file is not None]


async def find_event(tx: db.Tx, event_id: UUID) -> RecordedEvent:
    """Return one event of the outbox, for operators.

    Errors:
        NotFound: no event has this id.
        EventArchived: the event is past its retention; the message names the file or table.
    """
    row = await sql.find_event.fetchrow(tx, await outbox_key(tx, event_id))
    if row is not None:
        return read_event(row)
    where = await (_file_with if event_id.version == _DERIVED else _part_with)(tx, event_id)
    if where is None:
        raise NotFound("no event has this id")
    raise EventArchived(f"{ids.encode('evt', event_id)} is in the archive: {where}")


async def outbox_key(tx: db.Tx, event_id: UUID) -> UUID:
    """Return the key under which the outbox keeps the event that receivers know by this id.

    Returns:
        The id itself if no event in the outbox is known by it.

    Errors:
        EventArchived: the event is in a table of the archive.
    """
    if event_id.version != _DERIVED:
        return event_id
    key: UUID | None = await sql.find_by_public_id.fetchval(tx, event_id)
    if key is None and (table := await sql.archived_event.fetchval(tx, event_id)) is not None:
        name = ids.encode("evt", event_id)
        raise EventArchived(f"{name} is in the archive: the table events_archive.{table}")
    return key or event_id


async def _file_with(tx: db.Tx, event_id: UUID) -> str | None:
    """Return the file of the archive that has the event; derived ids do not say which, so each is searched."""
    for row in await sql.archive_files.fetch(tx):
        if await asyncio.to_thread(export.parquet_has, Path(row["file"]), "public_id", str(event_id)):
            return str(row["file"])
    return None


async def _part_with(tx: db.Tx, key: UUID) -> str | None:
    """Return the file or the table of the archive for events of this key's time."""
    part = await sql.archive_of.fetchrow(tx, _ms_of(key))
    return None if part is None else part["file"] or f"the table events_archive.{part['name']}"


async def require_unarchived(tx: db.Tx, first: UUID) -> None:
    """Make sure that the events from `first` on are in the database.

    Errors:
        EventArchived: the first of them are in the archive.
    """
    until_ms = await sql.archived_until.fetchval(tx)
    if until_ms is not None and _ms_of(first) < until_ms:
        since = instant(datetime.fromtimestamp(until_ms / 1000, tz=UTC))
        raise EventArchived(f"events from before {since} are in the archive")


async def _write(database: db.Database, part: asyncpg.Record, folder: Path, now: datetime) -> Path | None:
    """Return the file of a detached table; None if another worker has written it and dropped the table meanwhile."""
    name = part["name"]
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    target = folder / f"{name}.parquet"
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as scratch:
        lines, parquet = Path(scratch) / "rows.jsonl", Path(scratch) / "rows.parquet"
        try:
            columns = await database.run(partial(_copy, name, lines))
        except asyncpg.UndefinedTableError:
            return None
        count = await asyncio.to_thread(export.write_parquet, lines, columns, parquet)
        await asyncio.to_thread(move_durably, parquet, target)
    await database.run(lambda tx: sql.drop_archived.execute(tx, name, count, str(target), now))
    return target


async def _copy(name: str, lines: Path, tx: db.Tx) -> dict[str, str]:
    """Write the rows of a detached table as JSON lines, and return the types of its columns."""
    columns = {
        row["name"]: _COLUMN_TYPES.get(row["type"], "VARCHAR") for row in await sql.archived_columns.fetch(tx, name)
    }
    with lines.open("wb") as output:
        async for row in sql.archived_rows.cursor(tx, name, prefetch=1_000):
            output.write(row["line"].encode() + b"\n")
    return columns


def _ms_of(event_id: UUID) -> int:
    return event_id.int >> 80
