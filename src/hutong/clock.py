"""Time as an input: the edges read a clock, and the core gets the instant as an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from time import monotonic, time_ns
from typing import Protocol

BEIJING = timezone(timedelta(hours=8))
"""The zone in which Chinese channels write times and count days; it has had no summer time since 1991."""


def instant(value: datetime) -> str:
    """Format an instant as RFC 3339, in UTC, to the millisecond."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


class Clock(Protocol):
    """The source of time for the edges."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...

    def now_ns(self) -> int:
        """Return the current instant in nanoseconds since 1970-01-01T00:00:00Z."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def now_ns(self) -> int:
        return time_ns()


class ManualClock:
    """A clock that moves only by `advance`, for tests and simulations."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("`start` must be an aware instant")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def now_ns(self) -> int:
        return to_ns(self._now)

    def advance(self, delta: timedelta) -> datetime:
        """Move the clock forward by `delta` and return the new instant."""
        self._now += delta
        return self._now


JUMP = timedelta(seconds=30)
"""The least difference that counts as a jump; smaller ones delay nothing by much."""
_ECHO_S = 10.0
"""After a jump, transactions that began before it may still be committed for so long."""


class ClockJumps:
    """Compares a clock with the seconds that have really passed, for those who keep instants and must drop them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._echo_s: float | None = None
        self._start()

    def jump(self) -> timedelta | None:
        """Return how far the clock has jumped since it was accepted; None if it has not.

        Ten seconds after a jump was accepted, a jump of 0 is returned: what was being written then is committed by now.
        """
        passed = monotonic() - self._counted_s
        jump = self._clock.now() - self._at - timedelta(seconds=passed)
        if abs(jump) >= JUMP:
            return jump
        return timedelta(0) if self._echo_s is not None and passed >= self._echo_s else None

    def accept(self) -> None:
        """Take the clock as it is from now on."""
        self._echo_s = _ECHO_S if self.jump() else None
        self._start()

    def _start(self) -> None:
        self._at, self._counted_s = self._clock.now(), monotonic()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(instant: datetime) -> int:
    """Return an aware instant as nanoseconds since 1970, exact to its microsecond."""
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
