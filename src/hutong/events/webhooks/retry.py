"""The delays between delivery attempts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

_MINUTE, _HOUR = 60, 3600
_DELAYS_S = (
    *(5, 15, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 20, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 4, 6, 7)),
)
ATTEMPTS_MAX = len(_DELAYS_S) + 1
"""The attempts of one delivery: 16 within 24 hours and some minutes."""

_JITTER = 0.1


def delay_after(attempts: int, random: Callable[[], float]) -> timedelta | None:
    """Return the delay after a failed attempt, up to a tenth longer or shorter; None if it was the last attempt.

    Args:
        attempts: The attempts made so far, the failed one included.
        random: Returns numbers from 0 up to 1, to spread deliveries that failed together.
    """
    if attempts >= ATTEMPTS_MAX:
        return None
    return timedelta(seconds=_DELAYS_S[attempts - 1] * (1 + _JITTER * (2 * random() - 1)))
