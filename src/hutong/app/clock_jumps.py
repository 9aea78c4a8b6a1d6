"""Jumps of the machine's clock, noticed by a clock that only counts."""

from __future__ import annotations

import time
from datetime import timedelta

from hutong.clock import Clock

JUMP = timedelta(seconds=30)
"""The least difference that counts; smaller ones delay nothing by much."""


class ClockJumps:
    """Compares the clock of the platform with the seconds that have really passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.accept()

    def accept(self) -> None:
        """Take the clock as it is from now on."""
        self._at, self._counted_s = self._clock.now(), time.monotonic()

    def jump(self) -> timedelta | None:
        """Return how far the clock has jumped since it was accepted; None if it has not."""
        passed = timedelta(seconds=time.monotonic() - self._counted_s)
        jump = self._clock.now() - self._at - passed
        return jump if abs(jump) >= JUMP else None
