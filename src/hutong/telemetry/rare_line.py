"""A log line that what happens thousands of times a second may not write each time."""

from __future__ import annotations

from time import monotonic
from typing import Any

_EVERY_S = 60.0


class RareLine:
    """A line of one logger that is written once a minute at most; `left_out` counts those in between.

    Args:
        level: The level, as the logger's method is called.
        event: The name of the event.
    """

    def __init__(self, logger: Any, level: str, event: str) -> None:
        self._logger, self._level = logger, level
        self._event = event
        self._written_at: float | None = None
        self._left_out = 0

    def write(self, **fields: object) -> None:
        """Write the line, unless it was written within the last minute."""
        now = monotonic()
        if self._written_at is not None and now - self._written_at < _EVERY_S:
            self._left_out += 1
            return
        getattr(self._logger, self._level)(self._event, **fields, left_out=self._left_out)
        self._written_at, self._left_out = now, 0
