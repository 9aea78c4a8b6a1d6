"""Jumps of the machine's clock are noticed, whichever way it jumps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hutong.clock import JUMP, ClockJumps, ManualClock


@pytest.mark.parametrize("by", [timedelta(days=1), timedelta(days=-1), JUMP, -JUMP])
def test_a_jump_is_noticed_until_it_is_accepted_and_once_more_some_seconds_later(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    counted = 0.0
    monkeypatch.setattr("hutong.clock.monotonic", lambda: counted)
    jumps = ClockJumps(clock)

    def passes(seconds: float, jump: timedelta = timedelta(0)) -> timedelta | None:
        nonlocal counted
        counted += seconds
        clock.advance(timedelta(seconds=seconds) + jump)
        return jumps.jump()

    assert passes(5.0) is None
    assert passes(5.0, jump=by) == by
    assert passes(5.0) == by
    jumps.accept()
    assert passes(9.0) is None
    assert passes(1.0) == timedelta(0), "what was written during the jump is there by now"
    jumps.accept()
    assert passes(3600.0) is None
    assert passes(1.0, jump=JUMP / 2) is None
