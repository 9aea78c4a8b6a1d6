"""Time as an input: the edges read a clock, and the core gets the instant as an argument."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import monotonic, time_ns
from typing import ClassVar, Protocol

from hutong.errors import InvalidParameter

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


_BYTES = 8


class SandboxClock:
    """How far the time of a sandbox is ahead of its machine's: eight bytes of a file that all its processes map.

    Whatever one process adds, the others see at once, and the next ones when they start.

    Args:
        file: Is made if it is missing; its folder must exist.
    """

    AHEAD_MAX = timedelta(days=3660)

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._locked():
            if os.fstat(self._descriptor).st_size < _BYTES:
                os.ftruncate(self._descriptor, _BYTES)
        self._ahead_ns = memoryview(mmap.mmap(self._descriptor, _BYTES)).cast("q")

    @property
    def ahead_ns(self) -> int:
        return self._ahead_ns[0]

    def now(self) -> datetime:
        """Return the present instant of the sandbox."""
        return datetime.now(UTC) + timedelta(microseconds=self.ahead_ns // 1_000)

    def advance(self, step: timedelta) -> None:
        """Add to the distance; two that add at the same time both count.

        Errors:
            InvalidParameter: `step` is negative, or the distance would be more than `AHEAD_MAX`.
        """
        with self._locked():
            self._add(step)

    def advance_to(self, instant: datetime) -> None:
        """Add what is missing to an instant. Repeated, it is an error, as that instant has passed.

        Errors:
            InvalidParameter: as for `advance`.
        """
        with self._locked():
            self._add(instant - self.now())

    def _add(self, step: timedelta) -> None:
        if step < timedelta(0):
            raise InvalidParameter("the clock moves forward only, and this instant has passed", param="now")
        ahead_ns = self.ahead_ns + step // timedelta(microseconds=1) * 1_000
        if ahead_ns > self.AHEAD_MAX // timedelta(microseconds=1) * 1_000:
            reason = f"the clock can be at most {self.AHEAD_MAX.days} days ahead of the machine's"
            raise InvalidParameter(reason, param="now")
        self._ahead_ns[0] = ahead_ns

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


class SystemClock:
    """The machine's clock; in a sandbox, as far ahead of it as its clock was advanced (`follow`)."""

    _sandbox: ClassVar[SandboxClock | None] = None

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(microseconds=ahead_ns() // 1_000)

    def now_ns(self) -> int:
        return time_ns() + ahead_ns()


def follow(sandbox_clock: SandboxClock | None) -> None:
    """Let all system clocks of this process run ahead of the machine's as a sandbox's clock says; None: no longer."""
    SystemClock._sandbox = sandbox_clock


def ahead_ns() -> int:
    """Return how far the system clocks of this process are ahead of the machine's."""
    return 0 if SystemClock._sandbox is None else SystemClock._sandbox.ahead_ns


def machine_time(instant: datetime) -> datetime:
    """Return what the machine's clock shows at an instant of the system clock: the time that others know."""
    return instant - timedelta(microseconds=ahead_ns() // 1_000)


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
