"""A transport that loses, repeats and shuffles, poison, and processes that die: in the end everything is as at the
source, and at each moment nothing is missing without being known."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from hutong import db
from hutong.consumer import Consumer, Message, Policy
from support.fixtures.consumer import STREAM, World, digest, message

EVENTS = 10_000
STREAMS = (STREAM, "hutong.refund.0")
INTERVAL = 1_000
"""A digest covers so many numbers; they take 10 s to send."""
BATCH = 200
POLICY = Policy(batch=100, tries=3, lease=timedelta(seconds=20), wait=timedelta(seconds=1))


class Died(BaseException):
    """The process is gone."""


def made(rng: random.Random) -> dict[str, list[bytes]]:
    """What the source sends: objects with up to six events each, mixed."""
    sent: dict[str, list[bytes]] = {}
    for stream in STREAMS:
        alive: list[tuple[str, int]] = []
        bodies: list[bytes] = []
        for no in range(1, EVENTS // len(STREAMS) + 1):
            if len(alive) < 30 or rng.random() < 0.3:
                alive.append((f"{stream}-{no}", 0))
            at = rng.randrange(len(alive))
            name, seq = alive[at]
            bodies.append(message(no, name, seq + 1, stream=stream, poison=rng.random() < 0.001))
            alive[at] = (name, seq + 1)
            if seq == 5:
                alive.pop(at)
        sent[stream] = bodies
    return sent


def carried(bodies: list[bytes], rng: random.Random) -> Iterator[list[bytes]]:
    """Batches as they arrive: 1 in 100 lost, 1 in 100 twice, each up to 150 places late."""
    late = [
        (place + rng.randrange(150), body)
        for place, body in enumerate(bodies)
        if rng.random() >= 0.01
        for _ in range(2 if rng.random() < 0.01 else 1)
    ]
    ordered = [body for _, body in sorted(late, key=lambda one: one[0])]
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


async def test_a_consumer_comes_to_what_the_source_sent_through_any_storm(world: World, rng: random.Random) -> None:
    sent = world.source.sent = made(rng)
    cured = False

    async def handler(tx: db.Tx, received: Message) -> None:
        await world.write_down(tx, received)
        if b'"poison":true' in received.body and not cured:
            raise ValueError("poison")
        if rng.random() < 0.0003:
            raise Died

    processes = [world.consumer(handler, policy=POLICY) for _ in range(2)]
    for first in range(0, EVENTS // len(STREAMS), INTERVAL):
        for stream in STREAMS:
            span = sent[stream][first : first + INTERVAL]
            for batch in carried(span, rng):
                world.clock.advance(timedelta(seconds=10) / (len(STREAMS) * INTERVAL / BATCH))
                await survived(rng.choice(processes), batch)
            await survived(processes[0], [digest(span, first + 1, stream=stream)])
        for stream in STREAMS:  # one interval later every number is here or asked for
            assert await known(world, stream) == list(range(1, first + INTERVAL + 1))
        await survived(processes[1], [])
        await processes[0].repair(world.source)
        answers, world.source.answers = world.source.answers, []
        await survived(processes[0], [one for one in answers if rng.random() > 0.05])

    await quiet(world, processes[0])
    heads, blocked = behind(sent)
    assert {one.reference for one in await world.parked()} == heads
    assert await world.objects() == expected(sent, blocked)
    assert sum(one.behind for one in await world.parked()) == len(blocked) - len(heads)
    cured = True
    while parked := await world.parked():
        await world.retry(*(one.reference for one in parked))
        await quiet(world, processes[1])
    assert await world.objects() == expected(sent, set())
    assert [(one.done_no, one.lost) for one in await world.all_progress()] == [(EVENTS // 2, 0)] * 2


async def survived(process: Consumer, batch: list[bytes]) -> None:
    """Give a batch until a process outlives it, as a broker does."""
    while True:
        try:
            await process.take(batch)
        except Died:
            continue
        return


async def quiet(world: World, process: Consumer) -> None:
    """Let time pass until nothing is missing, differs, or is about to be tried."""
    for _ in range(200):
        world.clock.advance(timedelta(seconds=30))
        await survived(process, [])
        await process.repair(world.source)
        answers, world.source.answers = world.source.answers, []
        await survived(process, answers)
        waiting = "SELECT count(*) FROM consumer.inbox WHERE consumer = $1 AND state = 'ready'"
        if not await world.open() and not await world.database.pool.fetchval(waiting, world.name):
            return
    raise AssertionError("it does not come to an end")


async def known(world: World, stream: str) -> list[int]:
    """The numbers that came, and those that are known to be missing."""
    query = """
    SELECT no FROM consumer.inbox WHERE consumer = $1 AND stream = $2
    UNION ALL SELECT generate_series(from_no, to_no) FROM consumer.gap WHERE consumer = $1 AND stream = $2 ORDER BY 1
    """
    return [row["no"] for row in await world.database.pool.fetch(query, world.name, stream)]


def behind(sent: dict[str, list[bytes]]) -> tuple[set[str], set[tuple[str, int]]]:
    """The first poisoned message of each object, and all places from there on."""
    heads: set[str] = set()
    blocked: set[tuple[str, int]] = set()
    dead: set[str] = set()
    for stream, bodies in sent.items():
        for no, body in enumerate(bodies, 1):
            name, _ = place(body)
            if b'"poison":true' in body and name not in dead:
                dead.add(name)
                heads.add(f"{stream}/{no}")
            if name in dead:
                blocked.add((stream, no))
    return heads, blocked


def expected(sent: dict[str, list[bytes]], without: set[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for stream, bodies in sent.items():
        for no, body in enumerate(bodies, 1):
            if (stream, no) not in without:
                name, seq = place(body)
                found[name].append(seq)
    return dict(found)


def place(body: bytes) -> tuple[str, int]:
    import orjson

    found = orjson.loads(body)
    return found["object_id"], found["object_seq"]
