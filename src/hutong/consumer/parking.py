"""The manual hatch: what waits for a person, and what the person decides; and what is known of each stream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from hutong import db
from hutong.consumer.intake import keep_to_indexes, lock_streams, promote, receive
from hutong.consumer.message import read
from hutong.consumer.model import Parked, Policy, Progress
from hutong.consumer.statements import sql as _sql
from hutong.errors import InvalidParameter

_REJECTED = "rejected/"


async def list_parked(tx: db.Tx, consumer: str | None = None, *, limit: int = 100) -> list[Parked]:
    """What waits for a person, of one consumer or of all."""
    messages = [
        Parked(
            row["consumer"],
            f"{row['stream']}/{row['no']}",
            row["event_id"],
            row["type"],
            row["object_id"],
            row["attempts"],
            row["reason"],
            row["received_at"],
            row["behind"],
        )
        for row in await _sql.list_parked.fetch(tx, consumer, limit)
    ]
    rejects = [
        Parked(
            row["consumer"],
            _REJECTED + row["hash"].hex(),
            None,
            None,
            None,
            row["times"],
            row["reason"],
            row["received_at"],
            0,
        )
        for row in await _sql.list_rejects.fetch(tx, consumer, limit)
    ]
    return (messages + rejects)[:limit]


async def retry_parked(tx: db.Tx, consumer: str, references: Sequence[str], *, now: datetime) -> list[str]:
    """Have parked messages handled again, with all their tries before them; read again what could not be read.

    Args:
        references: As `list_parked` shows them.

    Returns:
        The references of those that were parked. What still cannot be read is parked again.
    """
    streams, numbers, hashes = _split(references)
    await keep_to_indexes(tx)
    await lock_streams(tx, consumer, streams)
    rows = await _sql.retry_parked.fetch(tx, consumer, streams, numbers)
    await promote(tx, consumer, [(row["stream"], row["object_id"]) for row in rows], now=now)
    rejects = await _sql.take_rejects.fetch(tx, consumer, hashes) if hashes else []
    await receive(tx, consumer, [read(row["body"]) for row in rejects], policy=Policy(), now=now)
    return _references(rows, rejects)


async def drop_parked(tx: db.Tx, consumer: str, references: Sequence[str], *, reason: str, now: datetime) -> list[str]:
    """Decide that parked messages are never handled; what stood behind them goes on.

    Effects:
        Their rows stay, with the reason.

    Returns:
        The references of those that were parked.
    """
    streams, numbers, hashes = _split(references)
    await keep_to_indexes(tx)
    await lock_streams(tx, consumer, streams)
    rows = await _sql.drop_parked.fetch(tx, consumer, streams, numbers, now, reason)
    await promote(tx, consumer, [(row["stream"], row["object_id"]) for row in rows], now=now)
    rejects = await _sql.drop_rejects.fetch(tx, consumer, hashes, now, reason) if hashes else []
    return _references(rows, rejects)


async def progress(tx: db.Tx, consumer: str | None = None) -> list[Progress]:
    """What is known of each stream, of one consumer or of all."""
    return [Progress(**row) for row in await _sql.watermarks.fetch(tx, consumer)]


async def tidy(tx: db.Tx, consumer: str, *, before: datetime) -> int:
    """Delete what was done before an instant, as far as nothing below it is open.

    Returns:
        How many rows were deleted.
    """
    await keep_to_indexes(tx)
    await lock_streams(tx, consumer, [one.stream for one in await progress(tx, consumer)])
    known = await progress(tx, consumer)
    command = await _sql.tidy.execute(
        tx,
        consumer,
        [one.stream for one in known],
        before,
        [one.tidied_no for one in known],
        [one.done_no for one in known],
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
            raise InvalidParameter(f"{reference!r} is not STREAM/NUMBER or rejected/HASH", param="reference") from error
    return streams, numbers, hashes
