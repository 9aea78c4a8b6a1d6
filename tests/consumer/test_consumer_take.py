"""Messages are handled once, an object's in order, whatever way they come in."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from hutong import consumer, db
from hutong.consumer import Message, Policy, Taken
from hutong.consumer.message import digest_hash, item_hash
from hutong.events.streams import messages as source
from support.fixtures.consumer import STREAM, World, digest, message


async def test_each_message_is_handled_once(world: World) -> None:
    listener = world.consumer()
    batch = [message(1), message(2, "b"), message(3, "a", 2)]
    assert await listener.take(batch) == Taken(3, 0, 0, 0)
    assert await listener.take([*batch, batch[0]]) == Taken(0, 4, 0, 0)
    assert await listener.take([message(4, "c"), message(4, "c")]) == Taken(1, 1, 0, 0)
    assert await world.applied() == [1, 2, 3, 4]


async def test_two_consumers_know_nothing_of_each_other(world: World) -> None:
    await world.consumer().take([message(1)])
    assert await world.consumer(name=world.name + "x").take([message(1)]) == Taken(1, 0, 0, 0)
    assert await world.applied() == [1, 1]


async def test_what_comes_early_waits_for_its_predecessor_and_nothing_else_does(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(4, "a", 2), message(5, "a", 3), message(3, "b", 1)])
    assert await world.applied() == [3]
    await listener.take([message(2, "a", 1)])
    assert await world.applied() == [3, 2, 4, 5]
    assert (await world.progress()).missing == 1  # number 1 has not come, and holds nobody up


async def test_a_message_without_predecessor_goes_when_no_number_below_it_is_missing(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(2, "a", 7)])
    assert await world.applied() == []
    await listener.take([message(1, "b", 4)])
    assert await world.applied() == [1, 2]


async def test_a_stream_joined_late_begins_with_what_comes_first(world: World) -> None:
    listener = world.consumer(policy=Policy(from_start=False))
    await listener.take([message(901, "a", 5), message(900, "b", 3), message(902, "a", 6)])
    assert await world.applied() == [900, 901, 902]
    assert await listener.take([message(17, "c")]) == Taken(0, 1, 0, 0)
    assert (await world.progress()).missing == 0


async def test_streams_are_counted_apart(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(1), message(1, stream="hutong.refund.0"), message(2, "b", stream="hutong.refund.0")])
    assert sorted(await world.applied()) == [1, 1, 2]
    assert (await world.progress("hutong.refund.0")).done_no == 2


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("stopped", [False, True])
async def test_what_a_handler_did_and_that_it_did_it_stand_or_fall_together(world: World, stopped: bool) -> None:
    calls = 0

    async def dies_after(tx: db.Tx, received: Message) -> None:
        nonlocal calls
        calls += 1
        await world.write_down(tx, received)
        if calls == 2:
            raise asyncio.CancelledError if stopped else Died

    with pytest.raises(asyncio.CancelledError if stopped else Died):
        await world.consumer(dies_after).take([message(1), message(2, "b")])
    assert await world.applied() == []
    listener = world.consumer()
    assert await listener.take([message(1), message(2, "b")]) == Taken(0, 2, 0, 0)
    if not stopped:  # it may still be at work; one that is stopped in good order hands its messages back
        assert await world.applied() == []
        world.clock.advance(Policy().lease)
        assert await listener.handle() == 2
    assert sorted(await world.applied()) == [1, 2]  # two objects, between which no order is promised


async def test_a_process_taken_for_dead_does_nothing_twice(world: World) -> None:
    """Its messages went to another one while it slept between picking them and its transaction."""
    sleeping, other = world.consumer(), world.consumer()
    await sleeping.receive([message(1)])
    picked = await sleeping._handling._pick(fresh=True)
    world.clock.advance(Policy().lease)
    assert await other.handle() == 1
    assert await sleeping._handling._handle(picked) == 0
    assert await world.applied() == [1]


async def test_processes_side_by_side_handle_each_message_once_and_in_order(world: World) -> None:
    processes = [world.consumer(policy=Policy(batch=7)) for _ in range(4)]
    bodies = [message(no, f"o{no % 30}", (no + 29) // 30) for no in range(1, 601)]
    parts = [bodies[at : at + 20] for at in range(0, 600, 20)]

    async def work(offset: int) -> None:
        for part in parts[offset::3]:
            await processes[offset].take(part)

    await asyncio.gather(*(work(offset) for offset in range(3)), work(0))
    while await processes[3].handle():
        pass
    assert sorted(await world.applied()) == list(range(1, 601))
    assert await world.objects() == {f"o{n}": list(range(1, 21)) for n in range(30)}


async def test_what_was_done_is_deleted_up_to_what_is_open(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(1), message(2, "b"), message(4, "c", 2), message(5, "d")])
    world.clock.advance(timedelta(days=8))
    assert await listener.tidy(keep=timedelta(days=7)) == 2  # number 3 is missing, and 4 waits for it
    assert await listener.take([message(1), message(2, "b")]) == Taken(0, 2, 0, 0)
    await listener.take([message(3, "e")])
    assert await listener.tidy(keep=timedelta(days=7)) == 0  # 3 and 4 were done just now
    world.clock.advance(timedelta(days=8))
    assert await listener.tidy(keep=timedelta(days=7)) == 3
    assert await listener.tidy(keep=timedelta(days=7)) == 0
    progress = await world.progress()
    assert (progress.tidied_no, progress.done_no, progress.last_no) == (5, 5, 5)
    assert await listener.take([message(6, "a", 2), digest([message(4, "c", 2)], 4)]) == Taken(1, 0, 1, 0)
    assert await listener.repair(world.source) == 0
    assert await world.open() == 0  # what is gone cannot be compared
    assert await world.applied() == [1, 2, 5, 3, 4, 6]


async def test_tables_may_be_installed_again_and_by_many_at_once(world: World) -> None:
    async def install() -> None:
        async with world.database.transaction() as tx:
            await consumer.install(tx)

    await asyncio.gather(*(install() for _ in range(4)))


async def test_only_the_topics_wanted_are_taken(world: World) -> None:
    listener = world.consumer(topics=["refund"])
    other = [message(1), message(2, stream="x"), digest([message(1)], 1)]
    assert await listener.take([*other, message(1, stream="hutong.refund.0")]) == Taken(1, 0, 0, 0)
    assert [one.stream for one in await world.all_progress()] == ["hutong.refund.0"]


def test_the_hashes_are_those_of_the_source() -> None:
    hashes = [item_hash(body) for body in (b"{}", b'{"no":2}')]
    assert hashes == [source.item_hash(body) for body in (b"{}", b'{"no":2}')]
    assert digest_hash(hashes).hex() == source.digest_hash(hashes)


async def test_an_event_published_again_in_the_next_epoch_is_handled_once(world: World) -> None:
    """A restored source gives the event a number of its new stream; its id is the same."""
    consumer = world.consumer(policy=Policy(from_start=False))
    next_epoch = f"{STREAM}-2"
    await consumer.take([message(8, "a", 1), message(9, "a", 2)])
    again = message(1, "a", 2, stream=next_epoch, id=f"evt_{STREAM}_9")
    other = message(3, "a", 2, stream=next_epoch, id="evt_other")
    await consumer.take([other, again])
    assert (await world.progress(next_epoch)).missing == 1, "begins at 1: the consumer follows the one before"
    await consumer.take([message(2, "b", 1, stream=next_epoch)])
    assert await world.objects() == {"a": [1, 2, 2], "b": [1]}
    assert await world.consumer().take([again]) == Taken(0, 1, 0, 0)


async def test_a_stream_of_a_later_epoch_that_follows_none_begins_where_the_policy_says(world: World) -> None:
    consumer = world.consumer(policy=Policy(from_start=False))
    await consumer.take([message(5, stream=f"{STREAM}-3")])
    assert (await world.progress(f"{STREAM}-3")).missing == 0
