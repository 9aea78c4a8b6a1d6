"""Time while trips are traced: nothing expires and nothing comes round, so that a way depends on the code alone."""

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

    Routing, for one, learns every half second what other processes have learnt, and looks at all accounts afresh after
    that. A trip that this happens to comes by other functions than the one before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._starting = True
        self._background: set[asyncio.Task[Any]] = set()

    async def settle(self) -> None:
        """Wait until every background job waits; whatever starts from now on keeps its time."""
        while {task for task in asyncio.all_tasks() if _is_ours(task)} - self._background:  # noqa: ASYNC110 - they say nothing
            await asyncio.sleep(0.01)
        self._starting = False

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        """Call back at a time; an hour later for a background job."""
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
    """Let the platform's clock go a hundred times slower from now on: what is kept for seconds stays through all trips,
    however busy the machine is."""
    real = SystemClock.now
    start = real(SystemClock())

    def now(clock: SystemClock) -> datetime:
        return start + (real(clock) - start) / _SLOWER

    SystemClock.now = now  # type: ignore[method-assign]
