"""The clock of a sandbox: one distance for all processes, which only grows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run

import pytest

from hutong.clock import SandboxClock, SystemClock, follow, machine_time, to_ns
from hutong.errors import InvalidParameter

DAY = timedelta(days=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sandbox-clock"


@pytest.fixture
def ahead(file: Path) -> Iterator[SandboxClock]:
    clock = SandboxClock(file)
    follow(clock)
    yield clock
    follow(None)


def test_a_new_clock_shows_the_time_of_the_machine(ahead: SandboxClock) -> None:
    assert ahead.ahead_ns == 0
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_all_system_clocks_go_ahead_with_it_and_the_machine_time_does_not(ahead: SandboxClock) -> None:
    ahead.advance(40 * DAY)
    now = SystemClock().now()
    assert abs(now - datetime.now(UTC) - 40 * DAY) < timedelta(seconds=5)
    assert abs(SystemClock().now_ns() - to_ns(now)) < 5_000_000_000
    assert abs(machine_time(now) - datetime.now(UTC)) < timedelta(seconds=5)


def test_another_process_sees_it_and_keeps_it(ahead: SandboxClock, file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hutong.clock import SandboxClock; from datetime import timedelta;"
    )
    code += "clock = SandboxClock(Path(sys.argv[1])); print(clock.ahead_ns); clock.advance(timedelta(seconds=2))"
    ahead.advance(timedelta(seconds=1))
    seen = run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True).stdout
    assert (int(seen), ahead.ahead_ns, SandboxClock(file).ahead_ns) == (1_000_000_000, 3_000_000_000, 3_000_000_000)


def test_steps_of_many_at_once_all_count(ahead: SandboxClock, file: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: SandboxClock(file).advance(timedelta(seconds=1)), range(200)))
    assert ahead.ahead_ns == 200 * 1_000_000_000


def test_it_moves_to_an_instant_and_never_back(ahead: SandboxClock) -> None:
    instant = datetime.now(UTC) + 3 * DAY
    ahead.advance_to(instant)
    assert abs(SystemClock().now() - instant) < timedelta(seconds=5)
    for back in (lambda: ahead.advance_to(instant - DAY), lambda: ahead.advance(-DAY)):
        with pytest.raises(InvalidParameter, match="forward only"):
            back()
    assert abs(SystemClock().now() - instant) < timedelta(seconds=5)


def test_it_has_a_farthest_distance(ahead: SandboxClock) -> None:
    ahead.advance(SandboxClock.AHEAD_MAX - DAY)
    with pytest.raises(InvalidParameter, match="3660 days"):
        ahead.advance(2 * DAY)
    assert ahead.ahead_ns == (SandboxClock.AHEAD_MAX - DAY) // timedelta(microseconds=1) * 1_000
