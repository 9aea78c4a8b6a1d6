"""What a restored source has forgotten is published again in the streams of its next epoch."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from hutong.consumer import Policy, Taken
from support import SEED
from support.fixtures.consumer import STREAM, World, message

NEXT = f"{STREAM}-2"
DAY = timedelta(days=1)


def again(no: int, object_id: str, seq: int, old_no: int) -> bytes:
    """The event of an old number, published again under a number of the next epoch: its id is the same."""
    return message(no, object_id, seq, stream=NEXT, id=f"evt_{STREAM}_{old_no}")


async def test_a_message_behind_a_forgotten_number_is_handled_when_its_event_is_published_again(
    world: World,
) -> None:
    listener = world.consumer()
    world.source.sent[STREAM] = [message(1, "a", 1)]  # the rest is forgotten: 2 got lost on its way, 3 arrived
    await listener.take([message(1, "a", 1), message(3, "a", 3)])
    world.clock.advance(timedelta(minutes=1))
    await listener.repair(world.source)
    assert (world.source.resends, world.source.answers) == ([(STREAM, 2, 2)], [])
    await listener.take([message(4, "a", 4, stream=NEXT, id="evt_new")])
    assert await world.objects() == {"a": [1]}, "what follows 3 in the next epoch waits for 3"
    await listener.take([again(1, "a", 2, 2)])
    assert await world.objects() == {"a": [1, 2, 3, 4]}, "at once, and not after a day"
    assert await listener.take([again(2, "a", 3, 3)]) == Taken(1, 0, 0, 0)
    assert await world.objects() == {"a": [1, 2, 3, 4]}, "3 was handled under its old number"
    world.clock.advance(2 * DAY)
    await listener.repair(world.source)
    await listener.handle()
    assert await world.objects() == {"a": [1, 2, 3, 4]}
    assert await world.parked() == []
    assert (await world.progress()).lost == 1, "the number itself never arrives"


async def test_a_number_whose_event_is_never_published_again_is_given_up_after_a_day(
    world: World,
) -> None:
    listener = world.consumer()
    await listener.take([message(1, "a", 1), message(3, "a", 3), message(1, "a", 4, stream=NEXT)])
    await listener.take([message(2, "b", 1, stream=NEXT)])
    assert await world.objects() == {"a": [1], "b": [1]}, "only the messages of the object wait"
    world.clock.advance(DAY + timedelta(seconds=1))
    await listener.repair(world.source)
    await listener.handle()
    assert await world.objects() == {"a": [1, 3, 4], "b": [1]}


async def test_a_parked_message_of_the_epoch_before_holds_up_its_object_alone(world: World) -> None:
    async def refuse(_tx: object, received: object) -> None:
        raise ValueError("not today")

    await world.consumer(refuse, policy=Policy(tries=1)).take([message(1, "a", 1)])
    (parked,) = await world.parked()
    listener = world.consumer()
    await listener.take([message(1, "a", 2, stream=NEXT), message(2, "b", 1, stream=NEXT)])
    assert await world.objects() == {"b": [1]}
    await world.drop(parked.reference)
    await listener.handle()
    assert await world.objects() == {"b": [1], "a": [2]}


@pytest.mark.parametrize("late", [timedelta(minutes=1), 2 * DAY], ids=["while_awaited", "after_it_was_given_up"])
async def test_a_forgotten_number_that_arrives_late_is_not_handled_a_second_time(world: World, late: timedelta) -> None:
    listener = world.consumer()
    await listener.take([message(1, "a", 1), message(3, "b", 1)])
    await listener.take([again(1, "a", 2, 2)])
    world.clock.advance(late)
    await listener.repair(world.source)
    await listener.take([message(2, "a", 2)])
    assert await world.objects() == {"a": [1, 2], "b": [1]}
    assert await world.parked() == []
    progress = await world.progress()
    assert (progress.done_no, progress.missing, progress.lost) == (3, 0, 0)


async def test_a_forgotten_number_that_arrives_after_later_messages_of_the_next_epoch_is_parked(world: World) -> None:
    listener = world.consumer()
    await listener.take([message(1, "a", 1), message(3, "b", 1)])
    await listener.take([message(1, "a", 3, stream=NEXT)])
    world.clock.advance(2 * DAY)
    await listener.repair(world.source)
    assert await world.objects() == {"a": [1, 3], "b": [1]}
    await listener.take([message(2, "a", 2)])
    assert await world.objects() == {"a": [1, 3], "b": [1]}
    (parked,) = await world.parked()
    assert "later messages" in parked.reason


@pytest.mark.parametrize("run", range(6))
async def test_losses_and_a_restore_at_any_time_change_no_order_and_lose_and_repeat_nothing(
    world: World, run: int
) -> None:
    rng = random.Random(f"{SEED}-{run}")
    objects, length = [f"o{n}" for n in range(8)], 6
    events = [(name, seq) for seq in range(1, length + 1) for name in objects]
    before, kept = len(events) * 2 // 3, len(events) // 3  # the source's last number, and the one it is restored to
    old = dict(enumerate(events[:before], 1))
    lost = set(rng.sample(range(kept + 1, before + 1), 6))
    first = [message(no, *event) for no, event in old.items() if no not in lost]
    rng.shuffle(first)
    listeners = [world.consumer() for _ in range(3)]
    await _deliver(listeners, first, rng)
    # Published again under the numbers of the next epoch, with the same ids.
    second = [
        message(no, *event, stream=NEXT, id=f"evt_{STREAM}_{kept + no}") for no, event in enumerate(events[kept:], 1)
    ]
    rng.shuffle(second)
    await _deliver(listeners, second, rng)
    for _ in range(3):
        await listeners[0].handle()
    assert await world.objects() == {name: list(range(1, length + 1)) for name in objects}
    assert await world.parked() == []


async def _deliver(listeners: list, bodies: list[bytes], rng: random.Random) -> None:
    while bodies:
        batches = []
        for listener in listeners:
            size = rng.randint(1, 5)
            batch, bodies = bodies[:size], bodies[size:]
            batches.append(listener.take(batch))
        await asyncio.gather(*batches)
