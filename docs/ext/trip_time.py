"""The clock and the event loop for tracing: nothing expires and no job repeats, so only the code decides a trip."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from layers import SOURCE

from hutong.clock import SystemClock

_SLOWER = 100
_PUT_OFF_S = 3600.0


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop in which our background jobs run once, when they start, and then wait until they are stopped.

    Otherwise routing, for example, would exchange results with other processes every half second and evaluate all
    accounts again. A trip during such a round would call other functions than the trip before.
    """

    def __init__(self) -> None:
        super().__init__()
        self._starting = True
        self._background: set[asyncio.Task[Any]] = set()

    async def settle(self) -> None:
        """Wait until every background job waits. Tasks that start later keep their times."""
        while {task for task in asyncio.all_tasks() if _is_ours(task)} - self._background:  # noqa: ASYNC110 - jobs set no event
            await asyncio.sleep(0.01)
        self._starting = False

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        """Schedule a callback; that of a background job an hour later."""
        task = asyncio.current_task(self)
        if task is not None and self._starting and _is_ours(task):
            self._background.add(task)
        if task in self._background:
            when += _PUT_OFF_S
        return super().call_at(when, callback, *args, context=context)


def _is_ours(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(f"{SOURCE}/")


def slow_down() -> None:
    """Slow the platform's clock by a factor of a hundred, so that caches of seconds last through all trips."""
    real = SystemClock.now
    start = real(SystemClock())

    def now(clock: SystemClock) -> datetime:
        return start + (real(clock) - start) / _SLOWER

    SystemClock.now = now  # type: ignore[method-assign]
