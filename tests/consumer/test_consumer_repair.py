"""What is missing is asked for until it comes; what differs is found and asked for again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hutong import db
from hutong.consumer import Message, Policy, Taken
from support.fixtures.consumer import STREAM, World, digest, message

SECOND = timedelta(seconds=1)


async def test_exactly_the_missing_range_is_asked_for_after_a_moment(world: World) -> None:
    listener = world.consumer()
    bodies = world.source.sent[STREAM] = [message(no, f"o{no}") for no in range(1, 21)]
    await listener.take([*bodies[:4], *bodies[7:12], *bodies[13:]])
    assert (await world.progress()).missing == 4
    assert await listener.repair(world.source) == 0  # it may only be late
    await listener.take([bodies[5]])
    world.clock.advance(2 * SECOND)
    await listener.repair(world.source)
    assert world.source.resends == [(STREAM, 5, 5), (STREAM, 7, 7), (STREAM, 13, 13)]
    assert await listener.take(world.source.answers) == Taken(3, 0, 0, 0)
    assert (await world.progress()).done_no == 20
    world.clock.advance(timedelta(days=1))
    assert await listener.repair(world.source) == 0


async def test_asking_is_repeated_ever_more_slowly(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(2)])
    asked = []
    for second in range(0, 820, 4):
        if await listener.repair(world.source):
            asked.append(second)
        world.clock.advance(4 * SECOND)
    assert asked == [4, 8, 12, 20, 36, 68, 132, 260, 516, 816]


async def test_what_is_sent_again_twice_changes_nothing(world: World) -> None:
    listener = world.consumer()
    bodies = [message(no, f"o{no}") for no in range(1, 11)]
    await listener.take(bodies)
    before = await world.progress()
    for _ in range(2):
        assert await listener.take(bodies[2:7]) == Taken(0, 5, 0, 0)
    assert await world.progress() == before
    assert await world.applied() == list(range(1, 11))


async def test_of_a_long_gap_ten_thousand_numbers_are_on_their_way_at_once(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(25_001), message(25_003)])
    for _ in range(3):
        world.clock.advance(SECOND)
        await listener.repair(world.source)
    assert world.source.resends == [(STREAM, 25_002, 25_002), (STREAM, 1, 9_999)]
    await listener.receive([message(no, f"o{no}") for no in range(1, 10_000)])
    world.source.resends.clear()
    await listener.repair(world.source)
    assert world.source.resends == [(STREAM, 10_000, 19_998)]
    assert (await world.progress()).missing == 15_002


async def test_what_comes_slowly_is_not_asked_for_again_meanwhile(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(2_001)])
    world.clock.advance(2 * SECOND)
    await listener.repair(world.source)
    for first in range(1, 2_001, 100):
        await listener.take([message(no, f"o{no}") for no in range(first, first + 100)])
        world.clock.advance(3 * SECOND)
        await listener.repair(world.source)
    assert world.source.resends == [(STREAM, 1, 2_000)]


async def test_what_was_asked_for_in_vain_keeps_nothing_else_from_being_asked_for(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(30_001)])
    for _ in range(30):
        world.clock.advance(2 * SECOND)
        await listener.repair(world.source)
    assert {first for _, first, _ in world.source.resends} == {1, 10_001, 20_001}


async def test_a_lost_last_message_is_found_by_the_digest(world: World) -> None:
    listener = world.consumer()
    bodies = world.source.sent[STREAM] = [message(no, f"o{no}") for no in range(1, 11)]
    await listener.take(bodies[:9])
    assert (await world.progress()).missing == 0
    await listener.take([digest(bodies, 1)])
    assert (await world.progress()).missing == 1
    await world.repaired(listener)
    assert world.source.resends == [(STREAM, 10, 10)]
    assert world.source.asked_digests == []
    assert (await world.progress()).done_no == 10


async def test_all_messages_lost_are_found_by_the_digest(world: World) -> None:
    listener = world.consumer()
    bodies = world.source.sent[STREAM] = [message(no, f"o{no}") for no in range(1, 11)]
    await listener.take([digest(bodies, 1)])
    await world.repaired(listener)
    assert await world.applied() == list(range(1, 11))


@pytest.mark.parametrize("tampered", [{1}, {500}, {1000}, {3, 4, 5}, {17, 400, 401, 999}])
async def test_a_digest_that_differs_is_narrowed_to_the_items_that_do(world: World, tampered: set[int]) -> None:
    listener = world.consumer()
    bodies = world.source.sent[STREAM] = [message(no, f"o{no}") for no in range(1, 1001)]
    await listener.take(
        [message(no, f"o{no}", data={"x": 1}) if no in tampered else bodies[no - 1] for no in range(1, 1001)]
    )
    await listener.take([digest(bodies, 1)])
    await world.repaired(listener)
    assert {(first, last) for _, first, last in world.source.resends} == {(no, no) for no in tampered}
    assert sorted(await world.applied()) == sorted([*range(1, 1001), *tampered])
    most = len(tampered) * 3 + 1  # from a thousand to sixteenths, to sixteenths of these, to single ones
    assert len({asked[1:3] for asked in world.source.asked_digests}) <= most


async def test_what_was_handled_wrong_is_handled_again_and_says_so(world: World) -> None:
    seen: list[tuple[dict[str, int], bool]] = []

    async def look(tx: db.Tx, received: Message) -> None:
        seen.append((dict(received.data), received.corrects))

    listener = world.consumer(look)
    right = [message(1, data={"x": 1}), message(2, "b", data={"x": 2})]
    world.source.sent[STREAM] = right
    await listener.take([message(1, data={"x": 9}), right[1], digest(right, 1)])
    await world.repaired(listener)
    assert seen == [({"x": 9}, False), ({"x": 2}, False), ({"x": 1}, True)]


async def test_of_two_messages_with_one_number_the_source_says_which_is_right(world: World) -> None:
    listener = world.consumer()
    right, wrong = message(1), message(1, data={"x": 9})
    world.source.sent[STREAM] = [right]
    await listener.take([right])
    await listener.take([wrong])  # not believed on its own
    await world.repaired(listener)
    assert world.source.asked_digests == [(STREAM, 1, 1, 1)]
    assert world.source.resends == []
    assert await world.applied() == [1]


async def test_a_parked_message_is_replaced_by_the_right_one(world: World) -> None:
    async def refuses(tx: db.Tx, received: Message) -> None:
        if "x" in received.data:
            raise ValueError
        await world.write_down(tx, received)

    listener = world.consumer(refuses, policy=Policy(tries=1))
    bodies = world.source.sent[STREAM] = [message(1), message(2, "a", 2)]
    await listener.take([message(1, "z", data={"x": 9}), bodies[1], digest(bodies, 1)])
    assert [one.object_id for one in await world.parked()] == ["z"]
    await world.repaired(listener)
    assert await world.parked() == []
    assert sorted(await world.applied()) == [1, 2]


async def test_what_never_comes_is_given_up_and_what_waited_goes_on(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(2, "a", 2), message(4, "a", 3), digest([message(no) for no in range(1, 5)], 1)])
    world.clock.advance(timedelta(hours=25))
    await listener.repair(world.source)
    assert await listener.handle() == 2
    progress = await world.progress()
    assert (progress.missing, progress.lost, progress.done_no) == (0, 2, 4)
    world.clock.advance(timedelta(hours=1))
    assert await listener.repair(world.source) == 0
    await listener.take([message(3, "b"), message(1, "a", 1)])  # and comes after all
    assert await world.applied() == [2, 4, 3]
    (parked,) = await world.parked()
    assert (parked.reference, parked.reason) == (f"{STREAM}/1", "arrived after later messages of its object")
    await world.retry(parked.reference)
    assert await listener.handle() == 1


async def test_a_request_that_could_not_be_sent_is_made_again(world: World) -> None:
    listener = world.consumer()
    world.source.sent[STREAM] = [message(1), message(2, "b")]
    await listener.take([message(2, "b")])
    world.clock.advance(2 * SECOND)
    send, world.source.resend = world.source.resend, broken  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await listener.repair(world.source)
    world.source.resend = send  # type: ignore[method-assign]
    await world.repaired(listener)
    assert sorted(await world.applied()) == [1, 2]


async def broken(stream: str, first: int, last: int) -> None:
    raise ConnectionError
