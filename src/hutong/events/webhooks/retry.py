"""When to try again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

_MINUTE, _HOUR = 60, 3600
_DELAYS_S = (
    *(5, 15, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 20, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 4, 6, 7)),
)
TRIES = len(_DELAYS_S) + 1
"""Tries of one delivery: 16 within 24 hours and some minutes."""

_JITTER = 0.1


def delay_after(attempts: int, random: Callable[[], float]) -> timedelta | None:
    """How long to wait after a failed try, up to a tenth more or less; None when there is no other.

    Args:
        attempts: Tries made so far, the failed one included.
        random: Gives numbers from 0 up to 1; it spreads what failed together.
    """
    if attempts >= TRIES:
        return None
    return timedelta(seconds=_DELAYS_S[attempts - 1] * (1 + _JITTER * (2 * random() - 1)))
