"""Group commit for single callers: concurrent commands become one list and one transaction."""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from hutong.errors import HutongError, InvariantBroken, OutcomeUnknown, Overloaded, Unavailable

C = TypeVar("C")
R = TypeVar("R")

_SIZE = Histogram(
    "hutong_batch_size",
    "Commands in one batch.",
    ["queue"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
_WAIT = Histogram(
    "hutong_batch_wait_seconds",
    "Time the oldest command of a batch waited to be taken up.",
    ["queue"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
_SPLITS = Counter("hutong_batch_splits_total", "Batches halved to find a poisoned command.", ["queue"])
_DEPTH = Gauge("hutong_batch_queue_depth", "Commands waiting for a batch.", ["queue"])


@dataclass(slots=True, eq=False)
class _Entry(Generic[C, R]):
    command: C
    answer: asyncio.Future[R]
    since: float


class Coalescer(Generic[C, R]):
    """Joins concurrent `submit` calls into lists for one handler.

    While batches are in flight the next commands gather. With few callers the batches are spread over the free
    places, so that joining never costs against single transactions; with many they grow.

    A batch that fails is halved until the command at fault stands alone. Three failures belong to the whole batch
    and are not tried again: Unavailable, OutcomeUnknown, and a handler that gives a wrong number of results.

    Batches in flight at the same time have no order between them.

    Args:
        handler: Takes a list and returns one result per command, in order. It must be whole or nothing (one
            transaction), and a command that is handled twice must have one effect, because an error whose outcome
            is not known leads to a second run.
        name: Names the queue in metrics and errors.
        max_batch: The most commands handed over at once.
        queue_limit: The most commands that may wait; beyond it `submit` raises Overloaded.
        in_flight: The most batches handled at once.
    """

    def __init__(
        self,
        handler: Callable[[Sequence[C]], Awaitable[Sequence[R]]],
        *,
        name: str,
        max_batch: int = 512,
        queue_limit: int = 4096,
        in_flight: int = 2,
    ) -> None:
        self._handler = handler
        self._name = name
        self._max_batch = max_batch
        self._queue_limit = queue_limit
        self._in_flight = in_flight
        self._waiting: OrderedDict[_Entry[C, R], None] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False
        self._size = _SIZE.labels(name)
        self._wait = _WAIT.labels(name)
        self._splits = _SPLITS.labels(name)
        _DEPTH.labels(name).set_function(lambda: len(self._waiting))

    async def submit(self, command: C) -> R:
        """Hand one command in and wait for its own result.

        Cancelling the caller takes the command back if no batch holds it yet; once one does, the command runs to
        its end with the others and only its result is dropped.

        Errors:
            Overloaded: the queue is full; the command was not taken on.
            Unavailable: it is closed, or the handler could do nothing.
            OutcomeUnknown: the handler cannot tell whether it was done, or was stopped in the middle.
            Whatever else the handler raises for this command when it stands alone.
        """
        if self._closed:
            raise Unavailable("shutting down")
        if len(self._waiting) >= self._queue_limit:
            raise Overloaded(f"too much is waiting for {self._name}")
        loop = asyncio.get_running_loop()
        entry: _Entry[C, R] = _Entry(command, loop.create_future(), time.perf_counter())
        self._waiting[entry] = None
        self._schedule(loop)
        try:
            return await entry.answer
        finally:
            self._waiting.pop(entry, None)  # there only if the caller was cancelled before a batch took it up

    async def close(self) -> None:
        """Take nothing more on, and wait until everything taken on has its answer."""
        self._closed = True
        while self._waiting or self._running:
            await asyncio.sleep(0)
            if self._running:
                await asyncio.wait(self._running)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        # One turn of the loop later, so that callers of the same turn share a batch.
        if not self._scheduled and len(self._running) < self._in_flight:
            self._scheduled = True
            loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._waiting and (free := self._in_flight - len(self._running)) > 0:
            share = min(self._max_batch, math.ceil(len(self._waiting) / free))
            batch = [self._waiting.popitem(last=False)[0] for _ in range(share)]
            self._size.observe(len(batch))
            self._wait.observe(time.perf_counter() - batch[0].since)
            task = asyncio.create_task(self._run(batch), name=f"coalescer:{self._name}")
            self._running.add(task)
            task.add_done_callback(partial(self._finished, batch))

    def _finished(self, batch: list[_Entry[C, R]], task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # Only a task that was stopped leaves any unanswered; their callers were not, and are told what is known.
        _fail(batch, OutcomeUnknown(f"{self._name} was stopped in the middle"))
        if self._waiting:
            self._schedule(task.get_loop())

    async def _run(self, batch: list[_Entry[C, R]]) -> None:
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                await self._handle(part)
            except (Unavailable, OutcomeUnknown, _WrongCount) as error:
                _fail(part, error)
            except Exception as error:  # noqa: BLE001 - every kind of failure goes to the caller it belongs to
                if len(part) == 1:
                    _fail(part, error)
                else:
                    self._splits.inc()
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]

    async def _handle(self, part: list[_Entry[C, R]]) -> None:
        results = await self._handler([entry.command for entry in part])
        if len(results) != len(part):
            raise _WrongCount(f"{self._name} answered {len(results)} of {len(part)} commands")
        for entry, result in zip(part, results, strict=True):
            if not entry.answer.done():
                entry.answer.set_result(result)


class _WrongCount(InvariantBroken):
    """The handler's answers cannot be told apart, and what it did may be committed: doing it again is no cure."""

    code = InvariantBroken.code


def _fail(part: Sequence[_Entry[C, R]], error: Exception) -> None:
    for entry in part:
        if not entry.answer.done():
            # Each caller raises an error of its own: a shared one would gather the traces of all.
            entry.answer.set_exception(_own(error) if len(part) > 1 else error)
            entry.answer.exception()  # a caller cancelled at this very moment will not look; that is no mistake


def _own(error: Exception) -> Exception:
    if not isinstance(error, HutongError):
        return error
    own = copy.copy(error)
    own.__cause__ = error
    return own
