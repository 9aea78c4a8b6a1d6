"""A message that cannot be handled is parked, its object's later ones wait behind it, everything else goes on."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

import support.processes
from hutong import consumer, db
from hutong.clock import ManualClock
from hutong.consumer import Consumer, Message, Policy, Taken
from hutong.errors import InvalidParameter, Unavailable
from support.fixtures.consumer import STREAM, World, message

POLICY = Policy(tries=3, batch=50)


class Poison:
    """A handler that fails for some numbers."""

    def __init__(self, world: World, *numbers: int) -> None:
        self.world, self.numbers = world, set(numbers)
        self.tries: list[int] = []

    async def __call__(self, tx: db.Tx, received: Message) -> None:
        if received.no in self.numbers:
            self.tries.append(received.attempt)
            await self.world.write_down(tx, received)
            raise ValueError("no such product\x00, token=abc123")
        await self.world.write_down(tx, received)


async def exhausted(world: World, listener: Consumer) -> None:
    """Let all tries pass."""
    for _ in range(POLICY.tries + 1):
        world.clock.advance(timedelta(minutes=10))
        await listener.handle()


async def test_poison_is_tried_parked_and_holds_up_its_object_alone(world: World) -> None:
    poison = Poison(world, 2)
    listener = world.consumer(poison, policy=POLICY)
    await listener.take(
        [message(1, "a", 1), message(2, "b", 1), message(3, "b", 2), message(4, "a", 2), message(5, "c")]
    )
    assert sorted(await world.applied()) == [1, 4, 5]
    assert await listener.handle() == 0  # not before the wait is over
    await exhausted(world, listener)
    assert poison.tries == [1, 2, 3]
    (parked,) = await world.parked()
    assert (parked.reference, parked.object_id, parked.attempts, parked.behind) == (f"{STREAM}/2", "b", 3, 1)
    assert parked.reason == "ValueError: no such product, token=[masked]"
    await listener.take([message(6, "b", 3), message(7, "a", 3)])
    assert sorted(await world.applied()) == [1, 4, 5, 7]
    assert [one.behind for one in await world.parked()] == [2]
    assert (await world.progress()).done_no == 1


async def test_a_parked_message_is_handled_again_on_request_and_its_object_goes_on(world: World) -> None:
    poison = Poison(world, 1)
    listener = world.consumer(poison, policy=POLICY)
    await listener.take([message(1), message(2, "a", 2)])
    await exhausted(world, listener)
    assert await world.retry(f"{STREAM}/1", f"{STREAM}/2") == [f"{STREAM}/1"]
    await exhausted(world, listener)
    assert poison.tries == [1, 2, 3, 1, 2, 3]
    poison.numbers.clear()
    await world.retry(f"{STREAM}/1")
    assert await listener.handle() == 2
    assert await world.applied() == [1, 2]
    assert await world.parked() == []


async def test_dropped_is_never_handled_and_lets_its_object_go_on(world: World) -> None:
    listener = world.consumer(Poison(world, 2), policy=POLICY)
    await listener.take([message(2), message(3, "a", 2)])
    await exhausted(world, listener)
    assert await world.drop(f"{STREAM}/2") == [f"{STREAM}/2"]
    assert await world.drop(f"{STREAM}/2") == []
    assert await listener.take([message(2)]) == Taken(0, 1, 0, 0)
    assert await world.applied() == [3]  # though number 1 is still missing
    await listener.take([message(1, "b")])
    world.clock.advance(timedelta(days=30))
    assert await listener.tidy(keep=timedelta(days=1)) == 2
    query = "SELECT no, reason FROM consumer.inbox WHERE consumer = $1 AND state = 'dropped'"
    rows = await world.database.pool.fetch(query, world.name)
    assert [tuple(row) for row in rows] == [(2, "not wanted; ValueError: no such product, token=[masked]")]


async def test_many_poisoned_among_many_leave_the_others_done(world: World) -> None:
    bad = {3, 4, 40, 77, 100}
    listener = world.consumer(Poison(world, *bad), policy=POLICY)
    await listener.take([message(no, f"o{no}") for no in range(1, 101)])
    assert sorted(await world.applied()) == sorted(set(range(1, 101)) - bad)
    await exhausted(world, listener)
    assert [one.reference for one in await world.parked()] == [f"{STREAM}/{no}" for no in sorted(bad)]


async def test_a_handler_that_swallows_a_failed_statement_stands_alone_in_the_end(world: World) -> None:
    async def swallows(tx: db.Tx, received: Message) -> None:
        if received.no == 2:
            try:
                await tx.execute("SELECT 1 / 0")
            except asyncpg.DivisionByZeroError:
                return
        await world.write_down(tx, received)

    listener = world.consumer(swallows, policy=POLICY)
    await listener.take([message(no, f"o{no}") for no in range(1, 10)])
    assert sorted(await world.applied()) == [1, *range(3, 10)]
    await exhausted(world, listener)
    assert [one.reference for one in await world.parked()] == [f"{STREAM}/2"]


async def test_a_handler_that_hangs_is_cut_off(world: World) -> None:
    async def hangs(tx: db.Tx, received: Message) -> None:
        await (asyncio.sleep(3600) if received.no == 1 else world.write_down(tx, received))

    listener = world.consumer(hangs, policy=Policy(tries=1, limit=timedelta(seconds=1)))
    await listener.take([message(1), message(2, "b")])
    assert await world.applied() == [2]
    assert [one.reason for one in await world.parked()] == ["TimeoutError"]


@pytest.mark.parametrize("error", [Unavailable("the shop does not answer"), asyncpg.DiskFullError("no space")])
async def test_what_is_no_fault_of_the_message_is_tried_until_it_works(world: World, error: Exception) -> None:
    down = True

    async def needs_another(tx: db.Tx, received: Message) -> None:
        if down and received.no == 1:
            raise error
        await world.write_down(tx, received)

    listener = world.consumer(needs_another, policy=POLICY)
    await listener.take([message(1), message(2, "b")])
    for _ in range(10):
        await exhausted(world, listener)
    assert await world.applied() == [2]
    assert await world.parked() == []
    down = False
    world.clock.advance(timedelta(minutes=10))
    assert await listener.handle() == 1


async def test_a_message_that_kills_the_process_is_parked_after_a_few_attempts(world: World) -> None:
    """A try is counted before it is made; whoever was in its company is tried apart from it."""
    deaths = 0

    async def kills(tx: db.Tx, received: Message) -> None:
        nonlocal deaths
        if received.no == 2:
            deaths += 1
            raise SystemExit
        await world.write_down(tx, received)

    for round_number in range(8):
        process = world.consumer(kills, policy=POLICY)
        try:
            if round_number == 0:
                await process.take([message(1), message(2, "b"), message(3, "c"), message(4, "b", 2)])
            await process.handle()
        except SystemExit:
            world.clock.advance(POLICY.lease)
    assert deaths == 3
    assert sorted(await world.applied()) == [1, 3]
    assert [(one.reason, one.behind) for one in await world.parked()] == [("the process died in each of 3 attempts", 1)]


async def test_a_process_killed_again_and_again_leaves_the_rest_done(world: World, own_url: str) -> None:
    """With a real process and a real signal: what was done in its transaction is undone with it."""
    program = Path(support.processes.__file__).parent / "consumer.py"
    bodies = [message(1), message(2, "killer"), message(3, "b")]
    ends = []
    for _ in range(10):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(program), own_url, world.name, stdin=asyncio.subprocess.PIPE
        )
        await process.communicate(b"\n".join(bodies))
        ends.append(process.returncode)
        if ends[-1] == 0:
            break
    assert ends == [-9, -9, 0]
    assert sorted(await world.applied()) == [1, 3]
    assert [one.reason for one in await world.parked()] == ["the process died in each of 2 attempts"]


UNREADABLE = [
    b"",
    b"\xff\xfe",
    b"[]",
    b'{"a":' * 5000,
    message(0),
    message(2**63),
    message(1, seq=-1),
    message(True),
    message("1"),
    message(1.5),
    message(1, data=[]),
    message(1, stream=""),
    message(1, stream="x\x00y"),
    message(1, None),
    message(1, id="x" * 300),
    message(1, version=0),
    message(20_000_001),
    message(1, type="stream.digest"),
]


@pytest.mark.parametrize("number", range(len(UNREADABLE)))
async def test_what_cannot_be_read_is_parked_and_never_stops_the_rest(world: World, number: int) -> None:
    listener = world.consumer()
    bad = UNREADABLE[number]
    assert await listener.take([message(1), bad, message(2, "b")]) == Taken(2, 0, 0, 1)
    assert await listener.take([bad]) == Taken(0, 0, 0, 1)
    assert await world.applied() == [1, 2]
    (parked,) = await world.parked()
    assert (parked.attempts, parked.event_id) == (2, None)
    assert await world.retry(parked.reference) == [parked.reference]
    (again,) = await world.parked()
    assert again.reference == parked.reference
    assert await world.drop(parked.reference) == [parked.reference]
    assert await listener.take([bad]) == Taken(0, 0, 0, 1)
    assert await world.parked() == []


async def test_a_version_that_is_not_known_waits_for_a_consumer_that_knows_it(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(1, version=2), message(2, "a", 2), message(3, "b")])
    assert await world.applied() == [3]
    (parked,) = await world.parked()
    assert parked.reason == "version 2 of payment.succeeded is not supported"
    await world.retry(parked.reference)
    assert await listener.handle() == 0
    await world.retry(parked.reference)
    assert await world.consumer(versions={"payment.succeeded": 2}).handle() == 2
    assert await world.applied() == [3, 1, 2]


async def test_a_message_too_large_is_parked_unread(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(1, data={"x": "y" * 1_000_000}), message(2, "a", 2), message(3, "b")])
    assert await world.applied() == [3]
    (parked,) = await world.parked()
    assert parked.reason.endswith("more than 262144")
    await world.retry(parked.reference)
    assert await world.consumer(policy=Policy(size_max=2_000_000)).handle() == 2


async def test_what_an_earlier_version_took_in_and_this_one_cannot_read_is_parked(world: World) -> None:
    listener = world.consumer()
    await listener.receive([message(1), message(2, "b")])
    await world.database.pool.execute(
        "UPDATE consumer.inbox SET body = '{}' WHERE consumer = $1 AND no = 1", world.name
    )
    assert await listener.handle() == 1
    assert [one.reference for one in await world.parked()] == [f"{STREAM}/1"]


@pytest.mark.parametrize("reference", ["x", "hutong.payment.0/x", "rejected/zz", ""])
async def test_a_reference_that_is_none_is_refused(world: World, reference: str) -> None:
    with pytest.raises(InvalidParameter):
        await world.retry(reference)


async def test_parked_of_all_consumers_are_listed(world: World, clock: ManualClock) -> None:
    other = World(world.database, clock)
    for one in (world, other):
        await one.consumer().take([b"{"])
    async with world.database.transaction() as tx:
        names = {one.consumer for one in await consumer.list_parked(tx, limit=10_000)}
    assert {world.name, other.name} <= names
