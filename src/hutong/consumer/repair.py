"""Asking for what is missing, and for digests of ever smaller ranges where what is here is not what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hutong import db, telemetry
from hutong.consumer.gaps import pieces
from hutong.consumer.model import PARTS, Policy, Source
from hutong.consumer.receive import keep_to_indexes, lock_streams, promote, settle

_sql = db.statements(__package__)
_log = telemetry.get_logger(__name__)
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """One request to the source: the messages of a range, or with `parts` its digests."""

    stream: str
    first: int
    last: int
    parts: int = 0

    async def send(self, source: Source) -> None:
        if self.parts:
            await source.digests(self.stream, self.first, self.last, self.parts)
        else:
            await source.resend(self.stream, self.first, self.last)


async def due_gaps(tx: db.Tx, consumer: str, *, policy: Policy, now: datetime) -> list[Wish]:
    """Gaps that have to be asked for now.

    Effects:
        Each is asked for again after a wait that doubles.

    Returns:
        One wish per gap, of its first 10,000 numbers: when these have come, the rest is a gap of its own.
    """
    rows = await _sql.due_gaps.fetch(
        tx, consumer, now, policy.patience.total_seconds(), policy.repeat_max.total_seconds(), _AT_ONCE
    )
    wishes = [Wish(row["stream"], *next(pieces(row["from_no"], row["to_no"]))) for row in rows]
    if wishes:
        _log.info("stream_gaps_asked", consumer=consumer, ranges=[(w.stream, w.first, w.last) for w in wishes][:10])
    return wishes


async def give_up(tx: db.Tx, consumer: str, *, policy: Policy, now: datetime) -> None:
    """Stop waiting for what is missing for too long, and let through what waited for it."""
    before = now - policy.give_up
    names = [row["stream"] for row in await _sql.streams_to_give_up.fetch(tx, consumer, before)]
    if not names:
        return
    await keep_to_indexes(tx)
    streams = await lock_streams(tx, consumer, names)
    for row in await _sql.give_up.fetch(tx, consumer, before, now, names):
        _log.error("stream_gap_lost", consumer=consumer, stream=row["stream"], first=row["from_no"], last=row["to_no"])
    await promote(tx, consumer, [], await settle(tx, consumer, streams), now=now)


async def due_digests(tx: db.Tx, consumer: str, *, policy: Policy, now: datetime) -> list[Wish]:
    """Compare what the source says with what is here.

    Returns:
        For each range that differs a request for the digests of its parts; for a single message that differs, one for
        itself.
    """
    same: list[tuple[str, int, int]] = []
    later: list[tuple[str, int, int, bool]] = []
    wishes: list[Wish] = []
    for row in await _sql.due_digests.fetch(tx, consumer, now, _AT_ONCE):
        place = (row["stream"], row["from_no"], row["to_no"])
        complete = row["count"] == row["to_no"] - row["from_no"] + 1
        if row["gone"] or (complete and row["hash"] == row["ours"]):
            same.append(place)
        elif not complete:  # the missing ones are asked for as gaps
            later.append((*place, False))
        else:
            later.append((*place, True))
            wishes += _narrow(*place, known=row["hash"] is not None)
            if not row["asked"]:
                _log.warning("stream_digest_differs", consumer=consumer, stream=place[0], first=place[1], last=place[2])
    if same:
        await _sql.delete_digests.execute(tx, consumer, *map(list, zip(*same, strict=True)))
    if later:
        await _sql.wait_for_digests.execute(
            tx,
            consumer,
            *map(list, zip(*later, strict=True)),
            now,
            policy.patience.total_seconds(),
            policy.repeat_max.total_seconds(),
        )
    return wishes


def _narrow(stream: str, first: int, last: int, *, known: bool) -> list[Wish]:
    if first == last:
        return [Wish(stream, first, last, 0 if known else 1)]
    return [Wish(stream, *piece, min(PARTS, piece[1] - piece[0] + 1)) for piece in pieces(first, last)]
