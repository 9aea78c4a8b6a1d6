"""The intake of messages: each is stored once, gaps are recorded, and messages that may be handled become ready."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from hutong import db, telemetry
from hutong.consumer.gaps import Gap, close
from hutong.consumer.model import Digest, Message, Policy, Reject, Taken
from hutong.consumer.statements import sql

_log = telemetry.get_logger(__name__)
_EPOCHS_MAX = 100


@dataclass(slots=True)
class _LockedStream:
    """A stream whose row is locked."""

    first_no: int
    last_no: int
    seen_no: int
    tidied_no: int


async def install(tx: db.Tx) -> None:
    """Create the tables of consumers, in a schema of their own, where they are absent.

    Repeat:
        Changes nothing.
    """
    await sql.install.execute(tx)


async def receive(
    tx: db.Tx, consumer: str, contents: Sequence[Message | Digest | Reject], *, policy: Policy, now: datetime
) -> Taken:
    """Write a batch into the inbox.

    Args:
        contents: In any order, with or without repetitions.

    Effects:
        One statement per table. Locks the rows of the streams until the transaction ends.

    Repeat:
        Messages that arrived before change nothing.
    """
    await keep_to_indexes(tx)
    streams = await _lock(tx, consumer, contents, policy)
    rejects = [content for content in contents if isinstance(content, Reject)]
    messages: dict[tuple[str, int], Message] = {}
    digests: list[Digest] = []
    for content in contents:
        if isinstance(content, Reject):
            continue
        stream = streams[content.stream]
        if (content.no if isinstance(content, Message) else content.last) > stream.last_no + policy.jump_max:
            rejects.append(_reject_far(content))
        elif isinstance(content, Digest):
            digests.append(content)
        elif content.no >= stream.first_no and content.no > stream.tidied_no:
            messages.setdefault((content.stream, content.no), content)
    new = await _insert(tx, consumer, list(messages.values()), now)
    repeated = messages.keys() - set(new)
    corrected = await _compare_repeated(tx, consumer, [messages[key] for key in sorted(repeated)], now)
    if digests:
        await _insert_digests(tx, consumer, digests, now)
    if rejects:
        await _insert_rejects(tx, consumer, rejects, now)
    fresh = [messages[key] for key in new]
    await _advance(tx, consumer, streams, fresh, digests, corrected, policy=policy, now=now)
    return Taken(len(new), len(contents) - len(new) - len(digests) - len(rejects), len(digests), len(rejects))


async def keep_to_indexes(tx: db.Tx) -> None:
    """Keep the plans of the rest of this transaction from reading the whole inbox."""
    await sql.keep_to_indexes.execute(tx)


async def promote(
    tx: db.Tx,
    consumer: str,
    objects: Iterable[tuple[str, str]],
    advanced: Sequence[tuple[str, int, int]] = (),
    *,
    now: datetime,
) -> None:
    """Make the messages ready that may be handled. The rows of the streams must be locked.

    Args:
        objects: Stream and object of messages that arrived or were handled.
        advanced: Streams, each with two numbers between which nothing is missing any longer.
    """
    pairs = sorted(set(objects))
    await sql.promote.execute(
        tx,
        consumer=consumer,
        object_streams=[stream for stream, _ in pairs],
        object_ids=[object_id for _, object_id in pairs],
        streams=[stream for stream, _, _ in advanced],
        befores=[before for _, before, _ in advanced],
        afters=[after for _, _, after in advanced],
        now=now,
    )


async def lock_streams(tx: db.Tx, consumer: str, streams: Iterable[str]) -> dict[str, _LockedStream]:
    """Lock the rows of these streams, and of the same ones in other epochs, until the transaction ends; return all."""
    rows = await sql.lock_streams.fetch(tx, consumer, sorted(set(streams)))
    return {
        row["stream"]: _LockedStream(row["first_no"], row["last_no"], row["seen_no"], row["tidied_no"]) for row in rows
    }


async def insert_gaps(tx: db.Tx, consumer: str, gaps: Sequence[tuple[str, Gap, datetime]]) -> None:
    """Record gaps, each with its stream and the instant of its next request."""
    await sql.insert_gaps.execute(
        tx,
        consumer=consumer,
        stream=[stream for stream, _, _ in gaps],
        from_no=[gap.first for _, gap, _ in gaps],
        to_no=[gap.last for _, gap, _ in gaps],
        found_at=[gap.found_at for _, gap, _ in gaps],
        lost_at=[gap.lost_at for _, gap, _ in gaps],
        asked=[gap.asked for _, gap, _ in gaps],
        next_at=[next_at for _, _, next_at in gaps],
    )


async def update_streams(tx: db.Tx, consumer: str, streams: dict[str, _LockedStream]) -> list[tuple[str, int, int]]:
    """Update streams whose gaps changed.

    Returns:
        The streams that advanced, each with the number up to which nothing was and nothing is missing.
    """
    names = sorted(streams)
    rows = await sql.update_streams.fetch(tx, consumer, names, [streams[name].last_no for name in names])
    return [
        (row["stream"], streams[row["stream"]].seen_no, row["seen_no"])
        for row in rows
        if row["seen_no"] > streams[row["stream"]].seen_no
    ]


async def _lock(
    tx: db.Tx, consumer: str, contents: Sequence[Message | Digest | Reject], policy: Policy
) -> dict[str, _LockedStream]:
    """Lock the streams of a batch; new ones start at the number that the policy sets."""
    lowest: dict[str, int] = {}
    for content in contents:
        if not isinstance(content, Reject):
            no = content.no if isinstance(content, Message) else content.first
            lowest[content.stream] = min(no, lowest.get(content.stream, no))
    streams = await lock_streams(tx, consumer, lowest)
    if missing := sorted(lowest.keys() - streams.keys()):
        starts = [
            1 if policy.from_start or await _continues(tx, consumer, stream) else lowest[stream] for stream in missing
        ]
        await sql.open_streams.execute(tx, consumer, missing, starts)
        streams = await lock_streams(tx, consumer, lowest)
    return streams


async def _continues(tx: db.Tx, consumer: str, stream: str) -> bool:
    """Tell whether a new stream is that of a later epoch of one that the consumer follows."""
    base, _, epoch = stream.rpartition("-")
    if not base or not epoch.isdecimal():
        return False
    earlier = [base, *(f"{base}-{number}" for number in range(max(2, int(epoch) - _EPOCHS_MAX), int(epoch)))]
    return bool(await sql.follows_any.fetchval(tx, consumer, earlier))


async def _insert(tx: db.Tx, consumer: str, messages: Sequence[Message], now: datetime) -> list[tuple[str, int]]:
    if not messages:
        return []
    rows = await sql.insert_messages.fetch(tx, consumer=consumer, now=now, rows=messages)
    return [(row["stream"], row["no"]) for row in rows]


async def _compare_repeated(
    tx: db.Tx, consumer: str, messages: Sequence[Message], now: datetime
) -> list[tuple[str, str]]:
    """Compare repeated messages with the stored ones; a differing one is right or wrong by the source's own digest.

    Returns:
        Stream and object of corrected messages, before and after the correction.
    """
    if not messages:
        return []
    rows = await sql.differing.fetch(
        tx,
        consumer,
        [message.stream for message in messages],
        [message.no for message in messages],
        [message.hash for message in messages],
    )
    if not rows:
        return []
    by_number = {(message.stream, message.no): message for message in messages}
    right = [by_number[row["stream"], row["no"]] for row in rows if row["right"]]
    doubtful = [(row["stream"], row["no"]) for row in rows if not row["right"]]
    if right:
        await sql.correct_messages.execute(tx, consumer=consumer, rows=right)
        _log.warning("stream_message_corrected", consumer=consumer, numbers=[(m.stream, m.no) for m in right][:10])
    if doubtful:
        _log.warning("stream_message_differs", consumer=consumer, numbers=doubtful[:10])
        numbers = [no for _, no in doubtful]
        await sql.insert_digests.execute(
            tx, consumer, now, [stream for stream, _ in doubtful], numbers, numbers, [None] * len(doubtful)
        )
    before = [(row["stream"], row["object_id"]) for row in rows if row["right"]]
    return before + [(message.stream, message.object_id) for message in right]


async def _insert_digests(tx: db.Tx, consumer: str, digests: Sequence[Digest], now: datetime) -> None:
    await sql.insert_digests.execute(
        tx,
        consumer,
        now,
        [digest.stream for digest in digests],
        [digest.first for digest in digests],
        [digest.last for digest in digests],
        [digest.hash for digest in digests],
    )


async def _insert_rejects(tx: db.Tx, consumer: str, rejects: Sequence[Reject], now: datetime) -> None:
    await sql.insert_rejects.execute(
        tx,
        consumer,
        now,
        [reject.hash for reject in rejects],
        [reject.body for reject in rejects],
        [reject.reason for reject in rejects],
    )
    _log.warning("stream_message_rejected", consumer=consumer, reasons=sorted({reject.reason for reject in rejects}))


async def _advance(
    tx: db.Tx,
    consumer: str,
    streams: dict[str, _LockedStream],
    fresh: Sequence[Message],
    digests: Sequence[Digest],
    corrected: Sequence[tuple[str, str]],
    *,
    policy: Policy,
    now: datetime,
) -> None:
    """Close and find gaps, then make the messages ready that need not wait any longer."""
    arrived: dict[str, list[int]] = defaultdict(list)
    for message in fresh:
        arrived[message.stream].append(message.no)
    known: dict[str, int] = defaultdict(int)
    for digest in digests:
        known[digest.stream] = max(known[digest.stream], digest.last)
    affected = {
        name: streams[name]
        for name in {*arrived, *known}
        if arrived[name] or known[name] > streams[name].last_no  # a digest of known numbers changes nothing
    }
    late: list[tuple[str, int]] = []
    if affected:
        late = await _update_gaps(tx, consumer, affected, arrived, known, policy=policy, now=now)
    advanced = await update_streams(tx, consumer, affected) if affected else []
    if late:
        await sql.park_late.execute(tx, consumer, [stream for stream, _ in late], [no for _, no in late])
    objects = [(message.stream, message.object_id) for message in fresh] + list(corrected)
    if objects or advanced:
        await promote(tx, consumer, objects, advanced, now=now)


async def _update_gaps(
    tx: db.Tx,
    consumer: str,
    streams: dict[str, _LockedStream],
    arrived: dict[str, list[int]],
    known: dict[str, int],
    *,
    policy: Policy,
    now: datetime,
) -> list[tuple[str, int]]:
    """Record the current gaps; return the numbers that had been given up and arrived nevertheless."""
    before: dict[str, list[Gap]] = defaultdict(list)
    for row in await sql.gaps_of_streams.fetch(tx, consumer, sorted(streams)):
        before[row["stream"]].append(Gap(row["from_no"], row["to_no"], row["found_at"], row["lost_at"], row["asked"]))
    closed: list[tuple[str, Gap]] = []
    opened: list[tuple[str, Gap]] = []
    late: list[tuple[str, int]] = []
    for name, stream in streams.items():
        after, stream.last_no = close(before[name], stream.last_no, arrived[name], known=known[name], now=now)
        closed += [(name, gap) for gap in before[name] if gap not in after]
        opened += [(name, gap) for gap in after if gap not in before[name]]
        for gap in before[name]:
            if gap.lost_at is not None:
                late += [(name, no) for no in arrived[name] if gap.first <= no <= gap.last]
    if closed:
        await sql.delete_gaps.execute(tx, consumer, [name for name, _ in closed], [gap.first for _, gap in closed])
    if opened:
        await insert_gaps(tx, consumer, [(name, gap, now + policy.repeat_after(gap.asked)) for name, gap in opened])
    return late


def _reject_far(content: Message | Digest) -> Reject:
    if isinstance(content, Message):
        return Reject(content.body, content.hash, "the number is far above all known ones")
    text = f"digest of {content.stream} {content.first} to {content.last}".encode()
    return Reject(text, content.hash, "the numbers are far above all known ones")
