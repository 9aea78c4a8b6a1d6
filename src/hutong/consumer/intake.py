"""Taking messages in: each once, what is missing written down, what may be handled made ready."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from hutong import db, telemetry
from hutong.consumer.gaps import Gap, close
from hutong.consumer.model import Digest, Message, Policy, Reject, Taken
from hutong.consumer.statements import sql as _sql

_log = telemetry.get_logger(__name__)


@dataclass(slots=True)
class _Stream:
    """A stream under its lock."""

    first_no: int
    last_no: int
    seen_no: int
    tidied_no: int


async def install(tx: db.Tx) -> None:
    """Make the tables of consumers, in a schema of their own, where they are absent.

    Repeat:
        Changes nothing.
    """
    await _sql.install.execute(tx)


async def receive(
    tx: db.Tx, consumer: str, arrived: Sequence[Message | Digest | Reject], *, policy: Policy, now: datetime
) -> Taken:
    """Write a batch into the inbox.

    Args:
        arrived: In any order, with or without repetitions.

    Effects:
        One statement per table. Holds the rows of the streams until the transaction ends.

    Repeat:
        What is known already changes nothing.
    """
    await keep_to_indexes(tx)
    streams = await _lock(tx, consumer, arrived, policy)
    rejects = [one for one in arrived if isinstance(one, Reject)]
    messages: dict[tuple[str, int], Message] = {}
    digests: list[Digest] = []
    for one in arrived:
        if isinstance(one, Reject):
            continue
        known = streams[one.stream]
        if (one.no if isinstance(one, Message) else one.last) > known.last_no + policy.jump_max:
            rejects.append(_too_far(one))
        elif isinstance(one, Digest):
            digests.append(one)
        elif one.no >= known.first_no and one.no > known.tidied_no:
            messages.setdefault((one.stream, one.no), one)
    new = await _insert(tx, consumer, list(messages.values()), now)
    repeated = messages.keys() - set(new)
    corrected = await _repeated(tx, consumer, [messages[key] for key in sorted(repeated)], now)
    if digests:
        await _keep_digests(tx, consumer, digests, now)
    if rejects:
        await _keep_rejects(tx, consumer, rejects, now)
    fresh = [messages[key] for key in new]
    await _settle(tx, consumer, streams, fresh, digests, corrected, policy=policy, now=now)
    return Taken(len(new), len(arrived) - len(new) - len(digests) - len(rejects), len(digests), len(rejects))


async def keep_to_indexes(tx: db.Tx) -> None:
    """Have no plan made in the rest of this transaction that reads the whole inbox."""
    await _sql.keep_to_indexes.execute(tx)


async def promote(
    tx: db.Tx,
    consumer: str,
    objects: Iterable[tuple[str, str]],
    advanced: Sequence[tuple[str, int, int]] = (),
    *,
    now: datetime,
) -> None:
    """Make ready what may be handled. The streams' rows must be held.

    Args:
        objects: Stream and object of what came or was done.
        advanced: Streams of which nothing is missing any more from one number up to another.
    """
    pairs = sorted(set(objects))
    await _sql.promote.execute(
        tx,
        consumer,
        [stream for stream, _ in pairs],
        [object_id for _, object_id in pairs],
        [stream for stream, _, _ in advanced],
        [before for _, before, _ in advanced],
        [after for _, _, after in advanced],
        now,
    )


async def lock_streams(tx: db.Tx, consumer: str, streams: Iterable[str]) -> dict[str, _Stream]:
    """Hold the rows of these streams until the transaction ends."""
    rows = await _sql.lock_streams.fetch(tx, consumer, sorted(set(streams)))
    return {row["stream"]: _Stream(row["first_no"], row["last_no"], row["seen_no"], row["tidied_no"]) for row in rows}


async def insert_gaps(tx: db.Tx, consumer: str, gaps: Sequence[tuple[str, Gap, datetime]]) -> None:
    """Write gaps down, each with its stream and when it is asked for."""
    await _sql.insert_gaps.execute(
        tx,
        consumer,
        [stream for stream, _, _ in gaps],
        [gap.first for _, gap, _ in gaps],
        [gap.last for _, gap, _ in gaps],
        [gap.found_at for _, gap, _ in gaps],
        [gap.lost_at for _, gap, _ in gaps],
        [gap.asked for _, gap, _ in gaps],
        [next_at for _, _, next_at in gaps],
    )


async def settle(tx: db.Tx, consumer: str, streams: dict[str, _Stream]) -> list[tuple[str, int, int]]:
    """Write what is known of streams whose gaps changed; returns those of which less is missing than before."""
    names = sorted(streams)
    rows = await _sql.settle_streams.fetch(tx, consumer, names, [streams[name].last_no for name in names])
    return [
        (row["stream"], streams[row["stream"]].seen_no, row["seen_no"])
        for row in rows
        if row["seen_no"] > streams[row["stream"]].seen_no
    ]


async def _lock(
    tx: db.Tx, consumer: str, arrived: Sequence[Message | Digest | Reject], policy: Policy
) -> dict[str, _Stream]:
    """Hold the streams; those met for the first time begin where the policy says."""
    lowest: dict[str, int] = {}
    for one in arrived:
        if not isinstance(one, Reject):
            no = one.no if isinstance(one, Message) else one.first
            lowest[one.stream] = min(no, lowest.get(one.stream, no))
    streams = await lock_streams(tx, consumer, lowest)
    if missing := sorted(lowest.keys() - streams.keys()):
        starts = [1 if policy.from_start else lowest[stream] for stream in missing]
        await _sql.open_streams.execute(tx, consumer, missing, starts)
        streams = await lock_streams(tx, consumer, lowest)
    return streams


async def _insert(tx: db.Tx, consumer: str, messages: Sequence[Message], now: datetime) -> list[tuple[str, int]]:
    if not messages:
        return []
    rows = await _sql.insert_messages.fetch(tx, consumer, now, *_columns(messages))
    return [(row["stream"], row["no"]) for row in rows]


def _columns(messages: Sequence[Message]) -> tuple[list[object], ...]:
    return (
        [one.stream for one in messages],
        [one.no for one in messages],
        [one.event_id for one in messages],
        [one.type for one in messages],
        [one.object_id for one in messages],
        [one.object_seq for one in messages],
        [one.hash for one in messages],
        [one.body for one in messages],
    )


async def _repeated(tx: db.Tx, consumer: str, messages: Sequence[Message], now: datetime) -> list[tuple[str, str]]:
    """Look at what came again: the same is nothing new; what differs is right or wrong by the source's own word.

    Returns:
        Stream and object of what was corrected, before and after.
    """
    if not messages:
        return []
    rows = await _sql.differing.fetch(
        tx,
        consumer,
        [one.stream for one in messages],
        [one.no for one in messages],
        [one.hash for one in messages],
    )
    if not rows:
        return []
    by_number = {(one.stream, one.no): one for one in messages}
    right = [by_number[row["stream"], row["no"]] for row in rows if row["right"]]
    doubtful = [(row["stream"], row["no"]) for row in rows if not row["right"]]
    if right:
        await _sql.correct_messages.execute(tx, consumer, *_columns(right))
        _log.warning("stream_message_corrected", consumer=consumer, numbers=[(m.stream, m.no) for m in right][:10])
    if doubtful:
        _log.warning("stream_message_differs", consumer=consumer, numbers=doubtful[:10])
        numbers = [no for _, no in doubtful]
        await _sql.insert_digests.execute(
            tx, consumer, now, [stream for stream, _ in doubtful], numbers, numbers, [None] * len(doubtful)
        )
    before = [(row["stream"], row["object_id"]) for row in rows if row["right"]]
    return before + [(one.stream, one.object_id) for one in right]


async def _keep_digests(tx: db.Tx, consumer: str, digests: Sequence[Digest], now: datetime) -> None:
    await _sql.insert_digests.execute(
        tx,
        consumer,
        now,
        [one.stream for one in digests],
        [one.first for one in digests],
        [one.last for one in digests],
        [one.hash for one in digests],
    )


async def _keep_rejects(tx: db.Tx, consumer: str, rejects: Sequence[Reject], now: datetime) -> None:
    await _sql.insert_rejects.execute(
        tx, consumer, now, [one.hash for one in rejects], [one.body for one in rejects], [one.reason for one in rejects]
    )
    _log.warning("stream_message_rejected", consumer=consumer, reasons=sorted({one.reason for one in rejects}))


async def _settle(
    tx: db.Tx,
    consumer: str,
    streams: dict[str, _Stream],
    fresh: Sequence[Message],
    digests: Sequence[Digest],
    corrected: Sequence[tuple[str, str]],
    *,
    policy: Policy,
    now: datetime,
) -> None:
    """Close and find gaps, then make ready what waited for nothing else."""
    came: dict[str, list[int]] = defaultdict(list)
    for one in fresh:
        came[one.stream].append(one.no)
    known: dict[str, int] = defaultdict(int)
    for digest in digests:
        known[digest.stream] = max(known[digest.stream], digest.last)
    touched = {
        name: streams[name]
        for name in {*came, *known}
        if came[name] or known[name] > streams[name].last_no  # a digest that says nothing new changes nothing
    }
    late: list[tuple[str, int]] = []
    if touched:
        late = await _gaps(tx, consumer, touched, came, known, policy=policy, now=now)
    advanced = await settle(tx, consumer, touched) if touched else []
    if late:
        await _sql.park_late.execute(tx, consumer, [stream for stream, _ in late], [no for _, no in late])
    objects = [(one.stream, one.object_id) for one in fresh] + list(corrected)
    if objects or advanced:
        await promote(tx, consumer, objects, advanced, now=now)


async def _gaps(
    tx: db.Tx,
    consumer: str,
    streams: dict[str, _Stream],
    came: dict[str, list[int]],
    known: dict[str, int],
    *,
    policy: Policy,
    now: datetime,
) -> list[tuple[str, int]]:
    """Write the gaps as they are now; returns the numbers that had been given up and came after all."""
    before: dict[str, list[Gap]] = defaultdict(list)
    for row in await _sql.gaps_of_streams.fetch(tx, consumer, sorted(streams)):
        before[row["stream"]].append(Gap(row["from_no"], row["to_no"], row["found_at"], row["lost_at"], row["asked"]))
    closed: list[tuple[str, Gap]] = []
    opened: list[tuple[str, Gap]] = []
    late: list[tuple[str, int]] = []
    for name, stream in streams.items():
        after, stream.last_no = close(before[name], stream.last_no, came[name], known=known[name], now=now)
        closed += [(name, gap) for gap in before[name] if gap not in after]
        opened += [(name, gap) for gap in after if gap not in before[name]]
        for gap in before[name]:
            if gap.lost_at is not None:
                late += [(name, no) for no in came[name] if gap.first <= no <= gap.last]
    if closed:
        await _sql.delete_gaps.execute(tx, consumer, [name for name, _ in closed], [gap.first for _, gap in closed])
    if opened:
        await insert_gaps(tx, consumer, [(name, gap, now + policy.repeat_after(gap.asked)) for name, gap in opened])
    return late


def _too_far(one: Message | Digest) -> Reject:
    if isinstance(one, Message):
        return Reject(one.body, one.hash, "its number is far above all that is known")
    text = f"digest of {one.stream} {one.first} to {one.last}".encode()
    return Reject(text, one.hash, "its numbers are far above all that is known")
