"""Sixteen tries over a day, spread by a tenth."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hutong.events.webhooks.retry import ATTEMPTS_MAX, delay_after


def test_sixteen_attempts_take_a_day() -> None:
    delays = [delay_after(attempts, lambda: 0.5) for attempts in range(1, ATTEMPTS_MAX)]
    assert len(delays) == 15
    assert None not in delays
    total = sum((delay for delay in delays if delay), timedelta())
    assert timedelta(hours=24) <= total <= timedelta(hours=24, minutes=15)
    assert delays == sorted(delays)
    assert delay_after(ATTEMPTS_MAX, lambda: 0.5) is None


@given(attempts=st.integers(1, ATTEMPTS_MAX - 1), number=st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_a_tenth(attempts: int, number: float) -> None:
    middle, delay = delay_after(attempts, lambda: 0.5), delay_after(attempts, lambda: number)
    assert middle is not None
    assert delay is not None
    assert abs(delay / middle - 1) <= 0.1 + 1e-6


def test_with_any_jitter_sixteen_attempts_take_about_a_day() -> None:
    for number in (0.0, 0.999999):
        delays = [delay_after(attempts, lambda drawn=number: drawn) for attempts in range(1, ATTEMPTS_MAX)]  # type: ignore[misc]
        total = sum((delay for delay in delays if delay), timedelta())
        assert timedelta(hours=21, minutes=30) <= total <= timedelta(hours=26, minutes=45)
