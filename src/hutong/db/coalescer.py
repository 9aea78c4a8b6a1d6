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

from hutong.db.pool import marking_commits
from hutong.errors import HutongError, InvariantBroken, OutcomeUnknown, Overloaded, Unavailable
from hutong.telemetry import get_logger

_log = get_logger(__name__)
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
    "Time that the oldest command of a batch waited.",
    ["queue"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
_SPLITS = Counter("hutong_batch_splits_total", "Batches halved to isolate a command that fails.", ["queue"])
_REPLACED = Counter("hutong_batch_replaced_total", "Batches stopped because their handler was stuck.", ["queue"])
_DEPTH = Gauge("hutong_batch_queue_depth", "Commands waiting for a batch.", ["queue"])


@dataclass(slots=True, eq=False)
class _Entry(Generic[C, R]):
    command: C
    answer: asyncio.Future[R]
    since: float


class Coalescer(Generic[C, R]):
    """A queue that joins concurrent `submit` calls into lists for one handler.

    While batches are in flight the next commands gather. With few callers the commands are spread over the free
    places, so that joining never costs more than single transactions; with many callers the batches grow.

    A batch that fails is halved until the faulty command stands alone. Some failures belong to the whole batch and are
    not retried: Unavailable, OutcomeUnknown, a wrong number of results from the handler, and whatever goes wrong after
    a commit.

    Batches that are in flight at the same time have no order between them.

    Args:
        handler: Takes a list and returns one result per command, in order. It must be atomic (one transaction), and
            a command that is handled twice must have one effect, because an error with an unknown outcome leads to
            a second run.
        name: The name of the queue in metrics and errors.
        max_batch: The largest number of commands in one list.
        queue_limit: The largest number of waiting commands; beyond it `submit` raises Overloaded.
        in_flight: The largest number of batches handled at once.
        limit_s: The longest that a handler may take. One that takes longer is stopped, its commands get OutcomeUnknown,
            and its place is free, whether it stops or not.
    """

    def __init__(
        self,
        handler: Callable[[Sequence[C]], Awaitable[Sequence[R]]],
        *,
        name: str,
        max_batch: int = 512,
        queue_limit: int = 4096,
        in_flight: int = 2,
        limit_s: float = 30.0,
    ) -> None:
        self._handler = handler
        self._name = name
        self._max_batch = max_batch
        self._queue_limit = queue_limit
        self._in_flight = in_flight
        self._limit_s = limit_s
        self._waiting: OrderedDict[_Entry[C, R], None] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()
        self._handling: set[asyncio.Future[Sequence[R]]] = set()
        self._scheduled = False
        self._closed = False
        self._size = _SIZE.labels(name)
        self._wait = _WAIT.labels(name)
        self._splits = _SPLITS.labels(name)
        self._replaced = _REPLACED.labels(name)
        _DEPTH.labels(name).set_function(lambda: len(self._waiting))

    async def submit(self, command: C) -> R:
        """Submit one command and wait for its own result.

        Cancelling the caller withdraws the command if no batch holds it yet. Once a batch holds it, the command runs
        to its end with the others and only its result is dropped.

        Errors:
            Overloaded: the queue is full; the command was not accepted.
            Unavailable: the queue is closed, or the handler did nothing.
            OutcomeUnknown: the handler does not know whether the command was done, or was stopped in the middle.
            Any other error that the handler raises for this command alone.
        """
        if self._closed:
            raise Unavailable("this process is shutting down")
        if len(self._waiting) >= self._queue_limit:
            raise Overloaded(f"too many commands wait for {self._name}")
        loop = asyncio.get_running_loop()
        entry: _Entry[C, R] = _Entry(command, loop.create_future(), time.perf_counter())
        self._waiting[entry] = None
        self._schedule(loop)
        try:
            return await entry.answer
        finally:
            self._waiting.pop(entry, None)  # present only if the caller was cancelled before a batch held it

    async def close(self) -> None:
        """Accept no more commands, and wait until every accepted one has its answer."""
        self._closed = True
        while self._waiting or self._running:
            await asyncio.sleep(0)
            if self._running:
                await asyncio.wait(self._running)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        # One turn of the event loop later, so that callers of the same turn share a batch.
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
        # Only a stopped task leaves commands unanswered. Their callers still wait, and get the known outcome.
        _fail(batch, OutcomeUnknown(f"{self._name} was stopped in the middle"))
        if self._waiting:
            self._schedule(task.get_loop())

    async def _run(self, batch: list[_Entry[C, R]]) -> None:
        parts = [batch]
        while parts:
            part = parts.pop()
            with marking_commits() as mark:
                try:
                    await self._handle(part)
                except (Unavailable, OutcomeUnknown, _WrongCount) as error:
                    _fail(part, error)
                except Exception as error:  # noqa: BLE001 - each failure goes to its own caller
                    if mark.committed:
                        _log.error("batch_failed_after_commit", queue=self._name, reason=repr(error))
                        _fail(part, OutcomeUnknown(f"{self._name} was committed, and its answers were lost"))
                    elif len(part) == 1:
                        _fail(part, error)
                    else:
                        self._splits.inc()
                        half = len(part) // 2
                        parts += [part[half:], part[:half]]

    async def _handle(self, part: list[_Entry[C, R]]) -> None:
        results = await self._within_limit([entry.command for entry in part])
        if len(results) != len(part):
            raise _WrongCount(f"{self._name} answered {len(results)} of {len(part)} commands")
        for entry, result in zip(part, results, strict=True):
            if not entry.answer.done():
                entry.answer.set_result(result)

    async def _within_limit(self, commands: list[C]) -> Sequence[R]:
        """Return the handler's results, or leave a handler that is stuck to its end."""
        task = asyncio.ensure_future(self._handler(commands))
        self._handling.add(task)
        task.add_done_callback(self._handled)
        try:
            await asyncio.wait({task}, timeout=self._limit_s)
        finally:  # it is also stopped when this task is
            task.cancel()
        if task.done():
            return task.result()
        self._replaced.inc()
        _log.error("batch_stuck", queue=self._name, commands=len(commands))
        raise OutcomeUnknown(f"{self._name} was stuck and has been stopped")

    def _handled(self, task: asyncio.Future[Sequence[R]]) -> None:
        self._handling.discard(task)
        if not task.cancelled():
            task.exception()  # marked as read: nobody may wait for it any more


class _WrongCount(InvariantBroken):
    """The answers cannot be assigned to commands, and the work may be committed, so that a retry does not help."""

    code = InvariantBroken.code


def _fail(part: Sequence[_Entry[C, R]], error: Exception) -> None:
    for entry in part:
        if not entry.answer.done():
            # Each caller raises a copy: a shared error would gather the tracebacks of all callers.
            entry.answer.set_exception(_copy(error) if len(part) > 1 else error)
            entry.answer.exception()  # marked as read: a caller cancelled at this moment will not read it


def _copy(error: Exception) -> Exception:
    if not isinstance(error, HutongError):
        return error
    copied = copy.copy(error)
    copied.__cause__ = error
    return copied
