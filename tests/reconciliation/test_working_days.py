"""A bank account waits for statements of days on which its bank works: weekends and holidays do not let time pass."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from bank_world import BankWorld, credit
from hypothesis import given
from hypothesis import strategies as st

from hutong.db import Database
from hutong.errors import ConfigurationError
from hutong.ids import encode
from hutong.reconciliation import read_windows, verify
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.model import DayWindow

ONE = timedelta(days=1)
OCTOBER = date(2026, 10, 1)
GOLDEN_WEEK = tuple(OCTOBER + timedelta(days) for days in range(7))
CHINA = DayWindow(timedelta(0), rolls=2, weekends=False, holidays=GOLDEN_WEEK, workdays=(date(2026, 10, 10),))
days = st.dates(date(2026, 9, 1), date(2026, 11, 30))
WINDOWS = {
    "bank": {
        "rolls": 2, "weekends": False, "holidays": [day.isoformat() for day in GOLDEN_WEEK], "workdays": ["2026-10-10"]
    }
}  # fmt: skip


def test_the_next_day_passes_over_weekends_and_holidays_but_no_working_saturday() -> None:
    assert CHINA.next_day(date(2026, 9, 30)) == date(2026, 10, 8)
    assert CHINA.next_day(date(2026, 10, 9)) == date(2026, 10, 10)
    assert CHINA.next_day(date(2026, 10, 16)) == date(2026, 10, 19)
    assert DayWindow(timedelta(0)).next_day(date(2026, 9, 30)) == OCTOBER


@given(day=days, since=days, rolls=st.integers(0, 9), window=st.sampled_from([CHINA, DayWindow(timedelta(0))]))
def test_a_row_has_waited_once_so_many_days_that_count_have_passed(
    day: date, since: date, rolls: int, window: DayWindow
) -> None:
    passed = sum(window.counts(since + timedelta(n)) for n in range(1, (day - since).days + 1))
    assert (since <= window.over_until(day, rolls)) == (since <= day and passed >= rolls)
    if since <= day:
        assert window.positions(since, day)[day] == passed


def test_a_day_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="`holidays`"):
        read_windows({"bank": {"holidays": ["2026-10-32"]}})


async def test_a_batch_before_the_holidays_is_missing_only_after_two_days_of_work(
    database: Database, tmp_path: Path
) -> None:
    world = BankWorld(database, tmp_path / "reconciliation", windows=read_windows(WINDOWS))
    await world.open()
    billed = date(2026, 9, 30)
    await world.bill("m100", 1_000, billed)
    await world.bill("m200", 75, billed)
    await world.statement(OCTOBER, [])
    states = {}
    for day in (date(2026, 10, 5), date(2026, 10, 8), date(2026, 10, 9)):
        await world.statement(day, [credit("B1", 75)] if day.day == 9 else [])
        states[day.day] = {case[0].partition(":")[0]: case[2] for case in await world.cases()}
    # Nine days lie between, of which two count: the sum is near enough to be proof.
    assert states == {
        5: {"m100": "rolled", "m200": "rolled"},
        8: {"m100": "rolled", "m200": "rolled"},
        9: {"m100": "open"},
    }
    account = encode("bka", world.accounts["main"].bank_account_id)
    found = verify.verify_day(world.config.folder, account, date(2026, 10, 9), engine="one_sql", limits=Limits(256))
    assert found.finding is None
