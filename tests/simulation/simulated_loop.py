"""An event loop without a world: no sockets, no machine clock. Time moves only when the simulation says so."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

OWNER: contextvars.ContextVar[dict[asyncio.Task[Any], None] | None] = contextvars.ContextVar("owner", default=None)
"""The tasks of the process that is running; what it starts belongs to it and dies with it."""

_HANDLES_MAX = 100_000


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order in which they became ready, as asyncio does; `drain` until none is left.

    What waits for the outside (the database, a channel, time) waits for the simulation, which decides what is next.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._sequence = itertools.count()
        self._now = 0.0

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._sequence), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are skipped when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            owner[task] = None
            task.add_done_callback(lambda done: owner.pop(done, None))
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # What the simulation asks of it

    def drain(self) -> None:
        """Run what is ready until everything waits for the outside."""
        outside = events._get_running_loop()
        events._set_running_loop(self)
        try:
            for _ in range(_HANDLES_MAX):
                if not self._ready:
                    return
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
            raise AssertionError("something runs on and on without waiting for the outside")
        finally:
            events._set_running_loop(outside)

    def next_timer(self) -> float | None:
        """When the next timer is due."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def pass_time(self) -> None:
        """Move on to the next timer and make it ready."""
        when = self.next_timer()
        assert when is not None
        self._now = max(self._now, when)
        self._ready.append(heapq.heappop(self._timers)[2])
