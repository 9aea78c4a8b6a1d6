"""Requests for missing messages, and for digests of ever smaller ranges where received messages differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from hutong import db, telemetry
from hutong.consumer.gaps import Gap, pieces, select_requests
from hutong.consumer.intake import insert_gaps, keep_to_indexes, lock_streams, promote, update_streams
from hutong.consumer.model import PARTS, Policy, Source
from hutong.consumer.statements import sql

_log = telemetry.get_logger(__name__)
_AT_ONCE = 200
_IN_VAIN = 3


@dataclass(frozen=True, slots=True)
class RepairRequest:
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


async def due_gaps(tx: db.Tx, consumer: str, *, policy: Policy, now: datetime) -> list[RepairRequest]:
    """Return the requests for gaps that are due.

    Effects:
        A gap is requested again if none of it arrives for a while, which doubles each time. About 10,000 numbers of
        each stream are requested at once; a longer gap is split.
    """
    names = [row["stream"] for row in await sql.streams_with_due_gaps.fetch(tx, consumer, now)]
    if not names:
        return []
    await lock_streams(tx, consumer, names)
    rows = await sql.due_gaps.fetch(tx, consumer, now, names, _IN_VAIN, _AT_ONCE)
    requested: list[tuple[str, Gap]] = []
    postponed: list[tuple[str, Gap, datetime]] = []
    for stream, group in groupby(rows, key=itemgetter("stream")):
        due = list(group)
        gaps = [Gap(row["from_no"], row["to_no"], row["found_at"], asked=row["asked"]) for row in due]
        now_due, rest = select_requests(gaps, due[0]["awaited"])
        requested += [(stream, gap) for gap in now_due]
        postponed += [(stream, gap, now) for gap in rest]
    if requested:
        await sql.mark_asked.execute(
            tx,
            consumer,
            [stream for stream, _ in requested],
            [gap.first for _, gap in requested],
            [gap.last for _, gap in requested],
            [now + policy.repeat_after(gap.asked) for _, gap in requested],
        )
        _log.info("stream_gaps_asked", consumer=consumer, ranges=[(s, g.first, g.last) for s, g in requested][:10])
    if postponed:
        await insert_gaps(tx, consumer, postponed)
    return [RepairRequest(stream, gap.first, gap.last) for stream, gap in requested]


async def give_up(tx: db.Tx, consumer: str, *, policy: Policy, now: datetime) -> None:
    """Give up numbers that have been missing for too long, and release the messages that waited for them."""
    before = now - policy.give_up
    names = [row["stream"] for row in await sql.streams_to_give_up.fetch(tx, consumer, before)]
    if not names:
        return
    await keep_to_indexes(tx)
    streams = await lock_streams(tx, consumer, names)
    for row in await sql.give_up.fetch(tx, consumer, before, now, names):
        _log.error("stream_gap_lost", consumer=consumer, stream=row["stream"], first=row["from_no"], last=row["to_no"])
    await promote(tx, consumer, [], await update_streams(tx, consumer, streams), now=now)


async def due_digests(tx: db.Tx, consumer: str, *, policy: Policy, now: datetime) -> list[RepairRequest]:
    """Compare digests of the source with the received messages.

    Returns:
        For each differing range a request for the digests of its parts, and for a single differing message a request
        for the message.
    """
    equal: list[tuple[str, int, int]] = []
    later: list[tuple[str, int, int, bool]] = []
    requests: list[RepairRequest] = []
    for row in await sql.due_digests.fetch(tx, consumer, now, _AT_ONCE):
        place = (row["stream"], row["from_no"], row["to_no"])
        complete = row["count"] == row["to_no"] - row["from_no"] + 1
        if row["gone"] or (complete and row["hash"] == row["ours"]):
            equal.append(place)
        elif not complete:  # the missing messages are requested as gaps
            later.append((*place, False))
        else:
            later.append((*place, True))
            requests += _narrow(*place, confirmed=row["hash"] is not None)
            if not row["asked"]:
                _log.warning("stream_digest_differs", consumer=consumer, stream=place[0], first=place[1], last=place[2])
    if equal:
        await sql.delete_digests.execute(tx, consumer, *map(list, zip(*equal, strict=True)))
    if later:
        await sql.wait_for_digests.execute(
            tx,
            consumer,
            *map(list, zip(*later, strict=True)),
            now,
            policy.patience.total_seconds(),
            policy.repeat_max.total_seconds(),
        )
    return requests


def _narrow(stream: str, first: int, last: int, *, confirmed: bool) -> list[RepairRequest]:
    if first == last:
        return [RepairRequest(stream, first, last, 0 if confirmed else 1)]
    return [RepairRequest(stream, *piece, min(PARTS, piece[1] - piece[0] + 1)) for piece in pieces(first, last)]
