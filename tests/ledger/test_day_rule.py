"""When days end: by zone and cut time, on their own date or the date after it, whatever clocks do in between."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hutong.errors import InvalidParameter
from hutong.ledger.accounting.days import make_rule
from hutong.ledger.day_rule import CutBelongsTo, DayRule, day_of_timestamp, default_belonging, read_rule

SAME, NEXT = CutBelongsTo.SAME_DAY, CutBelongsTo.NEXT_DAY
ZONES = ["Asia/Shanghai", "America/New_York", "Pacific/Apia", "UTC", "Europe/Berlin", "Australia/Lord_Howe"]
DAY = timedelta(days=1)
rules = st.builds(
    DayRule, st.sampled_from(ZONES), st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.sampled_from(CutBelongsTo),
)  # fmt: skip
instants = st.integers(0, 60 * 366 * 86_400).map(
    lambda seconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
NEW_YORK = DayRule("America/New_York", time(1, 30), NEXT)


@given(rules, instants)
@example(NEW_YORK, datetime(2026, 11, 1, 5, 30, tzinfo=UTC))  # 01:30 for the first time
@example(NEW_YORK, datetime(2026, 11, 1, 6, 15, tzinfo=UTC))  # 01:15 for the second time
@example(DayRule("Pacific/Apia", time(6, 0), NEXT), datetime(2011, 12, 30, 12, tzinfo=UTC))  # the day that was left out
def test_each_instant_belongs_to_one_day_and_days_follow_one_another(rule: DayRule, instant: datetime) -> None:
    day = rule.day_of(instant)
    assert rule.end_of(day - DAY) <= instant < rule.end_of(day)
    assert rule.day_of(rule.end_of(day)) > day
    assert rule.last_due_day(instant) == day - DAY


@given(rules, instants, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_dates_do_not_fall(rule: DayRule, instant: datetime, later: timedelta) -> None:
    assert rule.day_of(instant) <= rule.day_of(instant + later)


@given(rules, st.dates(date(2000, 1, 1), date(2059, 12, 31)))
def test_a_day_ends_when_the_clock_on_the_wall_says_so(rule: DayRule, day: date) -> None:
    """Wherever clocks run evenly around the end of the day."""
    local = rule.end_of(day).astimezone(ZoneInfo(rule.zone))
    before, after = local - timedelta(hours=30), local + timedelta(hours=30)
    if before.utcoffset() == local.utcoffset() == after.utcoffset():
        assert local.time() == rule.cut_time
        assert local.date() == (day if rule.cut_belongs_to is SAME else day + DAY)


@given(rules, instants)
def test_the_day_of_a_timestamp_is_that_of_its_instant(rule: DayRule, instant: datetime) -> None:
    nanoseconds = int((instant - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1_000 + 999
    packed = f"{rule.cut_belongs_to.value} {rule.cut_time.isoformat()} {rule.zone}".encode()
    assert day_of_timestamp(read_rule(packed), nanoseconds) == rule.day_of(instant)


@pytest.mark.parametrize(
    ("zone", "cut_time", "belongs", "instant", "day"),
    [
        ("Asia/Shanghai", time(0, 0), None, datetime(2026, 3, 1, 15, 59, tzinfo=UTC), date(2026, 3, 1)),
        ("Asia/Shanghai", time(0, 0), None, datetime(2026, 3, 1, 16, 0, tzinfo=UTC), date(2026, 3, 2)),
        ("Asia/Shanghai", time(23, 0), None, datetime(2026, 3, 10, 2, 0, tzinfo=UTC), date(2026, 3, 10)),  # 10:00
        ("Asia/Shanghai", time(23, 0), None, datetime(2026, 3, 10, 15, 0, tzinfo=UTC), date(2026, 3, 11)),  # 23:00
        ("Asia/Shanghai", time(23, 0), NEXT, datetime(2026, 3, 10, 2, 0, tzinfo=UTC), date(2026, 3, 9)),
        ("Europe/Berlin", time(1, 30), None, datetime(2026, 7, 1, 23, 29, tzinfo=UTC), date(2026, 7, 1)),
        ("Europe/Berlin", time(1, 30), None, datetime(2026, 7, 1, 23, 30, tzinfo=UTC), date(2026, 7, 2)),
        ("America/New_York", time(0, 0), None, datetime(2026, 3, 9, 3, 59, tzinfo=UTC), date(2026, 3, 8)),  # 23 h
        ("America/New_York", time(0, 0), None, datetime(2026, 11, 2, 4, 59, tzinfo=UTC), date(2026, 11, 1)),  # 25 h
        ("America/New_York", time(2, 30), None, datetime(2026, 3, 8, 6, 59, tzinfo=UTC), date(2026, 3, 7)),  # 01:59
        ("America/New_York", time(2, 30), None, datetime(2026, 3, 8, 7, 0, tzinfo=UTC), date(2026, 3, 8)),  # then 03:00
        ("Pacific/Apia", time(23, 0), None, datetime(2011, 12, 30, 9, 59, tzinfo=UTC), date(2011, 12, 30)),  # the 29th
        ("Pacific/Apia", time(23, 0), None, datetime(2011, 12, 30, 10, 0, tzinfo=UTC), date(2011, 12, 31)),  # the 31st
        ("America/New_York", time(1, 30), None, datetime(2026, 11, 1, 6, 0, tzinfo=UTC), date(2026, 11, 1)),  # repeated
    ],
)  # fmt: skip
def test_days_of_known_instants(zone, cut_time, belongs, instant, day):
    assert make_rule(cut_time, zone, belongs).day_of(instant) == day


def test_evening_cut_times_end_their_own_day():
    assert [default_belonging(time(hour)) for hour in (0, 4, 11, 12, 15, 23)] == [NEXT, NEXT, NEXT, SAME, SAME, SAME]


@pytest.mark.parametrize(
    ("arguments", "param"),
    [((time(0), "Mars/Olympus"), "zone"), ((time(0), "/etc/passwd"), "zone"), ((time(0), ""), "zone"),
     ((time(0, 0, 1), "UTC"), "cut_time"), ((time(0, tzinfo=UTC), "UTC"), "cut_time")],
)  # fmt: skip
def test_a_rule_that_cannot_be_kept_is_refused(arguments, param):
    with pytest.raises(InvalidParameter) as refused:
        make_rule(*arguments)
    assert refused.value.param == param
