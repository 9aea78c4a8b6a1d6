"""The coalescer: every command gets exactly one answer, its own, whatever happens to its neighbors."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from hutong.db import Coalescer
from hutong.errors import InvariantBroken, OutcomeUnknown, Overloaded, Unavailable

Handler = Callable[[Sequence[int]], Awaitable[Sequence[int]]]


@pytest.fixture(autouse=True)
async def no_complaints() -> AsyncIterator[None]:
    """Nothing may be left that the loop complains about: lost errors, tasks never looked at."""
    complaints: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    gc.collect()
    loop.set_exception_handler(None)
    assert complaints == []


def metric(name: str, queue: str) -> float:
    return REGISTRY.get_sample_value(name, {"queue": queue}) or 0.0


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def echo(commands: Sequence[int]) -> list[int]:
    await asyncio.sleep(0)
    return [command * 10 for command in commands]


class Gate:
    """A handler that waits to be let through, and keeps what it was given."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.batches: list[list[int]] = []

    async def __call__(self, commands: Sequence[int]) -> list[int]:
        self.batches.append(list(commands))
        await self.open.wait()
        return [command * 10 for command in commands]


class Fate(Enum):
    FINE = auto()
    POISON = auto()
    BROKEN_BOOKS = auto()
    TIME_OUT = auto()


@dataclass(frozen=True)
class Command:
    number: int
    fate: Fate
    turns_before: int
    cancelled_after: int | None


ERRORS = {Fate.POISON: ValueError, Fate.BROKEN_BOOKS: InvariantBroken, Fate.TIME_OUT: TimeoutError}
command_lists = st.lists(
    st.tuples(
        st.sampled_from([Fate.FINE] * 5 + list(Fate)),
        st.integers(0, 6),
        st.none() | st.integers(0, 8),
    ),
    max_size=40,
).map(lambda rows: [Command(number, *row) for number, row in enumerate(rows)])


async def world(commands: list[Command], handler_turns: list[int], max_batch: int, in_flight: int) -> None:
    """Run the commands through a coalescer and check what it promises."""
    committed: Counter[int] = Counter()
    running = 0
    most_running = 0

    async def handler(batch: Sequence[Command]) -> list[int]:
        nonlocal running, most_running
        running += 1
        most_running = max(running, most_running)
        try:
            await turns(handler_turns[len(committed) % len(handler_turns)])
            for command in batch:
                if command.fate in ERRORS:
                    raise ERRORS[command.fate](str(command.number))
            committed.update(command.number for command in batch)
            return [command.number * 10 for command in batch]
        finally:
            running -= 1
            assert 0 < len(batch) <= max_batch

    coalescer: Coalescer[Command, int] = Coalescer(handler, name="world", max_batch=max_batch, in_flight=in_flight)

    async def caller(command: Command) -> int:
        await turns(command.turns_before)
        return await coalescer.submit(command)

    async def canceller(task: asyncio.Task[int], after: int) -> None:
        await turns(after)
        task.cancel()

    tasks = [asyncio.create_task(caller(command)) for command in commands]
    cancellers = [
        asyncio.create_task(canceller(task, command.cancelled_after))
        for task, command in zip(tasks, commands, strict=True)
        if command.cancelled_after is not None
    ]
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    await asyncio.gather(*cancellers)
    await coalescer.close()

    for command, answer in zip(commands, answers, strict=True):
        if isinstance(answer, asyncio.CancelledError):
            assert command.cancelled_after is not None, "a caller was cancelled for another one's sake"
            assert committed[command.number] <= 1
        elif command.fate in ERRORS:
            assert type(answer) is ERRORS[command.fate]
            assert str(answer) == str(command.number)
            assert committed[command.number] == 0
        else:
            assert answer == command.number * 10
            assert committed[command.number] == 1
    assert most_running <= in_flight
    assert not coalescer._waiting
    assert not coalescer._running
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "coalescer:world"]


@settings(max_examples=150, deadline=None)
@given(
    commands=command_lists,
    handler_turns=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    max_batch=st.integers(1, 12),
    in_flight=st.integers(1, 3),
)
def test_every_caller_gets_its_own_answer_once(
    commands: list[Command], handler_turns: list[int], max_batch: int, in_flight: int
) -> None:
    asyncio.run(world(commands, handler_turns, max_batch, in_flight))


async def test_callers_of_one_turn_share_a_batch_spread_over_the_free_places() -> None:
    gate = Gate()
    coalescer = Coalescer(gate, name="turn")
    tasks = [asyncio.create_task(coalescer.submit(n)) for n in range(5)]
    await turns(4)
    assert gate.batches == [[0, 1, 2], [3, 4]]
    later = [asyncio.create_task(coalescer.submit(n)) for n in range(5, 9)]
    await turns(4)
    assert len(gate.batches) == 2, "no place is free, so the next ones gather"
    gate.open.set()
    assert await asyncio.gather(*tasks, *later) == [n * 10 for n in range(9)]
    assert gate.batches[2:] == [[5, 6, 7, 8]] or gate.batches[2:] == [[5, 6], [7, 8]]


async def test_a_caller_that_comes_back_at_once_joins_the_next_batch() -> None:
    sizes: list[int] = []

    async def handler(commands: Sequence[int]) -> Sequence[int]:
        sizes.append(len(commands))
        await asyncio.sleep(0)
        return commands

    coalescer = Coalescer(handler, name="again", in_flight=1)

    async def caller() -> None:
        for n in range(10):
            await coalescer.submit(n)

    await asyncio.gather(*(caller() for _ in range(7)))
    assert sizes == [7] * 10


async def test_a_poisoned_command_fails_alone() -> None:
    calls: list[list[int]] = []

    async def handler(commands: Sequence[int]) -> Sequence[int]:
        calls.append(list(commands))
        if 13 in commands:
            raise ValueError("unlucky")
        return commands

    before = metric("hutong_batch_splits_total", "poison")
    coalescer = Coalescer(handler, name="poison", in_flight=1)
    answers = await asyncio.gather(*(coalescer.submit(n) for n in range(32)), return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, ValueError)] == [13]
    assert [answer for answer in answers if not isinstance(answer, BaseException)] == [n for n in range(32) if n != 13]
    assert len(calls) == 11  # 32, then two for each of five halvings
    assert metric("hutong_batch_splits_total", "poison") - before == 5


@pytest.mark.parametrize("error", [Unavailable("gone"), OutcomeUnknown("lost")])
async def test_a_failure_of_the_database_goes_to_all_callers_and_is_not_retried(error: Exception) -> None:
    calls = 0

    async def handler(commands: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        raise error

    coalescer = Coalescer(handler, name="gone", in_flight=1)
    answers = await asyncio.gather(*(coalescer.submit(n) for n in range(8)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(error)] * 8
    assert len({id(answer) for answer in answers}) == 8, "each caller raises an error of its own"
    assert {str(answer) for answer in answers} == {str(error)}
    assert calls == 1


@pytest.mark.parametrize("difference", [-1, 1])
async def test_a_wrong_number_of_results_reaches_nobody_as_a_result(difference: int) -> None:
    calls = 0

    async def handler(commands: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        return [7] * (len(commands) + difference)

    coalescer = Coalescer(handler, name="wrong", in_flight=1)
    answers = await asyncio.gather(*(coalescer.submit(n) for n in range(4)), return_exceptions=True)
    assert all(isinstance(answer, InvariantBroken) for answer in answers)
    assert calls == 1, "what was done may be committed, so it is not done again"


async def test_a_caller_cancelled_while_waiting_takes_its_command_back() -> None:
    gate = Gate()
    coalescer = Coalescer(gate, name="back", in_flight=1, queue_limit=1)
    first = asyncio.create_task(coalescer.submit(1))
    await turns(3)
    second = asyncio.create_task(coalescer.submit(2))
    await turns(1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.create_task(coalescer.submit(3))  # the place in the queue is free again
    await turns(1)
    gate.open.set()
    assert await asyncio.gather(first, third) == [10, 30]
    assert gate.batches == [[1], [3]]


async def test_a_caller_cancelled_in_a_batch_leaves_the_batch_alone() -> None:
    gate = Gate()
    coalescer = Coalescer(gate, name="leave", in_flight=1)
    tasks = [asyncio.create_task(coalescer.submit(n)) for n in range(3)]
    await turns(3)
    tasks[1].cancel()
    await turns(1)
    gate.open.set()
    assert (await tasks[0], await tasks[2]) == (0, 20)
    assert tasks[1].cancelled()
    assert gate.batches == [[0, 1, 2]]


async def test_a_caller_cancelled_as_its_error_arrives_leaves_no_lost_error() -> None:
    holder: dict[str, asyncio.Task[int]] = {}

    async def fail_then_cancel(commands: Sequence[int]) -> Sequence[int]:
        asyncio.get_running_loop().call_soon(holder["task"].cancel)
        raise ValueError("too late")

    coalescer = Coalescer(fail_then_cancel, name="late")
    task = holder["task"] = asyncio.create_task(coalescer.submit(1))
    with pytest.raises((asyncio.CancelledError, ValueError)):
        await task
    del task
    holder.clear()


async def test_a_full_queue_refuses_at_once_and_serves_those_it_took() -> None:
    gate = Gate()
    coalescer = Coalescer(gate, name="full", in_flight=1, max_batch=2, queue_limit=3)
    tasks = [asyncio.create_task(coalescer.submit(n)) for n in range(2)]
    await turns(3)
    tasks += [asyncio.create_task(coalescer.submit(n)) for n in range(2, 5)]
    await turns(1)
    assert metric("hutong_batch_queue_depth", "full") == 3
    with pytest.raises(Overloaded) as refused:
        await coalescer.submit(99)
    assert (refused.value.http_status, refused.value.retry_after_s) == (503, 1)
    gate.open.set()
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40]
    assert await coalescer.submit(5) == 50
    assert metric("hutong_batch_queue_depth", "full") == 0


async def test_close_answers_all_it_took_and_takes_no_more() -> None:
    gate = Gate()
    coalescer = Coalescer(gate, name="close", in_flight=1, max_batch=2)
    tasks = [asyncio.create_task(coalescer.submit(n)) for n in range(7)]
    await turns(1)
    closing = asyncio.create_task(coalescer.close())
    await turns(3)
    with pytest.raises(Unavailable):
        await coalescer.submit(99)
    assert not closing.done()
    gate.open.set()
    await closing
    assert all(task.done() for task in tasks)
    assert await asyncio.gather(*tasks) == [n * 10 for n in range(7)]
    assert [99] not in gate.batches
    await coalescer.close()


@pytest.mark.parametrize("after_turns", [0, 1, 2])
async def test_a_batch_that_is_stopped_tells_its_callers_that_nobody_knows(after_turns: int) -> None:
    gate = Gate()
    coalescer = Coalescer(gate, name="stopped", in_flight=1)
    callers = [asyncio.create_task(coalescer.submit(n)) for n in range(3)]
    await turns(2)
    assert coalescer._running
    await turns(after_turns)
    for task in coalescer._running:
        task.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 3


async def test_a_batch_stopped_while_it_is_halved_forgets_nobody() -> None:
    async def handler(commands: Sequence[int]) -> Sequence[int]:
        if len(commands) > 1:
            raise ValueError("halve me")
        await asyncio.sleep(600)
        return commands

    coalescer = Coalescer(handler, name="halved", in_flight=1)
    callers = [asyncio.create_task(coalescer.submit(n)) for n in range(4)]
    await turns(8)
    for task in coalescer._running:
        task.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 60)
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 4


async def test_size_and_wait_of_batches_are_counted() -> None:
    before = {name: metric(f"hutong_batch_{name}", "counted") for name in ("size_sum", "size_count")}
    waits = metric("hutong_batch_wait_seconds_count", "counted")
    coalescer = Coalescer(echo, name="counted", in_flight=1)
    await asyncio.gather(*(coalescer.submit(n) for n in range(6)))
    assert metric("hutong_batch_size_sum", "counted") - before["size_sum"] == 6
    assert metric("hutong_batch_size_count", "counted") - before["size_count"] == 1
    assert metric("hutong_batch_wait_seconds_count", "counted") - waits == 1
