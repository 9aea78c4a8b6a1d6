"""Parked messages, which wait for a person's decision, and the progress of each stream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from hutong import db
from hutong.consumer.intake import keep_to_indexes, lock_streams, promote, receive
from hutong.consumer.message import read
from hutong.consumer.model import Parked, Policy, Progress
from hutong.consumer.statements import sql
from hutong.errors import InvalidParameter

_REJECTED = "rejected/"


async def list_parked(tx: db.Tx, consumer: str | None = None, *, limit: int = 100) -> list[Parked]:
    """Return the parked messages of one consumer or of all."""
    messages = [
        Parked(
            consumer=row["consumer"],
            reference=f"{row['stream']}/{row['no']}",
            event_id=row["event_id"],
            type=row["type"],
            object_id=row["object_id"],
            attempts=row["attempts"],
            reason=row["reason"],
            received_at=row["received_at"],
            behind=row["behind"],
        )
        for row in await sql.list_parked.fetch(tx, consumer, limit)
    ]
    rejects = [
        Parked(
            consumer=row["consumer"],
            reference=_REJECTED + row["hash"].hex(),
            event_id=None,
            type=None,
            object_id=None,
            attempts=row["times"],
            reason=row["reason"],
            received_at=row["received_at"],
            behind=0,
        )
        for row in await sql.list_rejects.fetch(tx, consumer, limit)
    ]
    return (messages + rejects)[:limit]


async def retry_parked(tx: db.Tx, consumer: str, references: Sequence[str], *, now: datetime) -> list[str]:
    """Have parked messages handled again, with all their attempts, and read unreadable ones again.

    Args:
        references: The references that `list_parked` returns.

    Returns:
        The references that were parked. A message that still cannot be read is parked again.
    """
    streams, numbers, hashes = _split(references)
    await keep_to_indexes(tx)
    await lock_streams(tx, consumer, streams)
    rows = await sql.retry_parked.fetch(tx, consumer, streams, numbers)
    await promote(tx, consumer, [(row["stream"], row["object_id"]) for row in rows], now=now)
    rejects = await sql.take_rejects.fetch(tx, consumer, hashes) if hashes else []
    await receive(tx, consumer, [read(row["body"]) for row in rejects], policy=Policy(), now=now)
    return _references(rows, rejects)


async def drop_parked(tx: db.Tx, consumer: str, references: Sequence[str], *, reason: str, now: datetime) -> list[str]:
    """Drop parked messages: they are never handled, and the messages behind them continue.

    Effects:
        Their rows stay, with the reason.

    Returns:
        The references that were parked.
    """
    streams, numbers, hashes = _split(references)
    await keep_to_indexes(tx)
    await lock_streams(tx, consumer, streams)
    rows = await sql.drop_parked.fetch(tx, consumer, streams, numbers, now, reason)
    await promote(tx, consumer, [(row["stream"], row["object_id"]) for row in rows], now=now)
    rejects = await sql.drop_rejects.fetch(tx, consumer, hashes, now, reason) if hashes else []
    return _references(rows, rejects)


async def progress(tx: db.Tx, consumer: str | None = None) -> list[Progress]:
    """Return the progress in each stream, of one consumer or of all."""
    return [Progress(**row) for row in await sql.watermarks.fetch(tx, consumer)]


async def tidy(tx: db.Tx, consumer: str, *, before: datetime) -> int:
    """Delete messages handled before an instant, up to the first one that is not.

    Returns:
        The number of rows deleted.
    """
    await keep_to_indexes(tx)
    await lock_streams(tx, consumer, [one.stream for one in await progress(tx, consumer)])
    streams = await progress(tx, consumer)
    command = await sql.tidy.execute(
        tx,
        consumer,
        [one.stream for one in streams],
        before,
        [one.tidied_no for one in streams],
        [one.done_no for one in streams],
    )
    return int(command.rpartition(" ")[2])


def _references(rows: Sequence[asyncpg.Record], rejects: Sequence[asyncpg.Record]) -> list[str]:
    return [f"{row['stream']}/{row['no']}" for row in rows] + [_REJECTED + row["hash"].hex() for row in rejects]


def _split(references: Sequence[str]) -> tuple[list[str], list[int], list[bytes]]:
    streams: list[str] = []
    numbers: list[int] = []
    hashes: list[bytes] = []
    for reference in references:
        stream, _, end = reference.rpartition("/")
        try:
            if f"{stream}/" == _REJECTED:
                hashes.append(bytes.fromhex(end))
            else:
                numbers.append(int(end))
                streams.append(stream)
        except ValueError as error:
            raise InvalidParameter(
                f"reference must be STREAM/NUMBER or rejected/HASH, not {reference!r}", param="reference"
            ) from error
    return streams, numbers, hashes
