"""Asking for what is missing, and for digests of ever smaller ranges where what is here is not what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from hutong import db, telemetry
from hutong.consumer.gaps import Gap, allot, pieces
from hutong.consumer.intake import insert_gaps, keep_to_indexes, lock_streams, promote, settle
from hutong.consumer.model import PARTS, Policy, Source
from hutong.consumer.statements import sql as _sql

_log = telemetry.get_logger(__name__)
_AT_ONCE = 200
_IN_VAIN = 3


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
        Each is asked for again when nothing of it has come for a while, which doubles. Of each stream about 10,000
        numbers are on their way at once; a longer gap is split.
    """
    names = [row["stream"] for row in await _sql.streams_with_due_gaps.fetch(tx, consumer, now)]
    if not names:
        return []
    await lock_streams(tx, consumer, names)
    rows = await _sql.due_gaps.fetch(tx, consumer, now, names, _IN_VAIN, _AT_ONCE)
    asking: list[tuple[str, Gap]] = []
    resting: list[tuple[str, Gap, datetime]] = []
    for stream, found in groupby(rows, key=itemgetter("stream")):
        due = list(found)
        gaps = [Gap(row["from_no"], row["to_no"], row["found_at"], asked=row["asked"]) for row in due]
        ask, rest = allot(gaps, due[0]["awaited"])
        asking += [(stream, gap) for gap in ask]
        resting += [(stream, gap, now) for gap in rest]
    if asking:
        await _sql.mark_asked.execute(
            tx,
            consumer,
            [stream for stream, _ in asking],
            [gap.first for _, gap in asking],
            [gap.last for _, gap in asking],
            [now + policy.repeat_after(gap.asked) for _, gap in asking],
        )
        _log.info("stream_gaps_asked", consumer=consumer, ranges=[(s, g.first, g.last) for s, g in asking][:10])
    if resting:
        await insert_gaps(tx, consumer, resting)
    return [Wish(stream, gap.first, gap.last) for stream, gap in asking]


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
