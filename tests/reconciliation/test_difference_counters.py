"""A counter and the list behind it are one selection, whatever the filter; old cases are counted by their age."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from difference_rows import missing, other_fee, unexpected, waiting
from difference_world import DAY, Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.reconciliation import differences
from hutong.reconciliation.model import DifferenceAction, DifferenceClass, DifferenceState, Layer
from support.fixtures.payments import World

_NOBODY = st.none()


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _NOBODY | values


FILTERS = st.fixed_dictionaries(
    {
        "layer": some(st.sampled_from(Layer)),
        "klass": some(st.sampled_from(DifferenceClass)),
        "states": some(st.lists(st.sampled_from(DifferenceState), min_size=1, max_size=6, unique=True).map(tuple)),
        "unowned": st.booleans(),
        "currency": some(st.sampled_from(["CNY", "USD"])),
        "at_least": some(st.integers(0, 1_000)),
        "at_most": some(st.integers(0, 1_000)),
        "first_until": some(st.integers(-1, 50).map(lambda days: DAY + timedelta(days=days))),
        "last_day": some(st.sampled_from([DAY, DAY + timedelta(days=40)])),
        "key": some(st.sampled_from(["a", "b", "nobody"])),
    }
)


@pytest.fixture
async def desk(database: Database, clock: ManualClock) -> Desk:
    """Cases of two layers, of all ages and states."""
    desk = Desk(World(database, clock))
    later = DAY + timedelta(days=40)
    await desk.record([unexpected("a", 700), missing("b", 300), other_fee("c", 10_000, 60, 75)])
    await desk.record([missing("f", 1), unexpected("g", 900), waiting("theirs", "h", 5)], layer=Layer.REFUND_BILL)
    await desk.record([missing("d", 20), waiting("ours", "e", 40)], day=later)
    await desk.settle("a", DifferenceAction.WRITE_OFF)
    await desk.settle("b", DifferenceAction.SUSPENSE)
    owner = await desk.operator()
    case = await desk.case("g")
    await database.run(
        lambda tx: differences.assign(
            tx, [case.difference_id], owner.operator_id, operator=owner, reason="x", now=clock.now()
        )
    )
    return desk


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=FILTERS)
async def test_every_counter_is_the_length_of_its_list(desk: Desk, where: dict[str, Any]) -> None:
    selected = differences.DifferenceFilter(account_id=desk.account_id, **where)
    async with desk.world.database.transaction() as tx:
        counts = await differences.count_differences(tx, selected)
        listed = await differences.list_all_differences(tx, selected)
    groups = Counter((case.layer, case.klass, case.state, case.currency) for case in listed)
    assert {(each.layer, each.klass, each.state, each.currency): each.count for each in counts} == groups
    for each in counts:
        narrowed = {"layer": each.layer, "klass": each.klass, "states": (each.state,), "currency": each.currency}
        own = differences.DifferenceFilter(account_id=desk.account_id, **where | narrowed)
        async with desk.world.database.transaction() as tx:
            cases = await differences.list_all_differences(tx, own)
        assert (each.count, each.oldest_day) == (len(cases), min(case.first_day for case in cases))
        for sign, amount, suspense in (
            (1, each.long_minor, each.suspense_long_minor),
            (-1, each.short_minor, each.suspense_short_minor),
        ):
            assert amount == sum(max(sign * case.amount_minor, 0) for case in cases)
            assert suspense == sum(max(sign * case.suspense_minor, 0) for case in cases)


async def test_open_cases_are_counted_by_layer_class_and_age(database: Database, clock: ManualClock) -> None:
    desk = Desk(World(database, clock))

    async def counted() -> tuple[int, list[float]]:
        now = clock.now().replace(year=2027, month=3, day=31)
        async with database.transaction() as tx:
            seen = await differences.report_open_cases(tx, now=now)
        labels = [{"layer": "payout_bill", "class": "missing", "age": age} for age in ("1d", "7d", "30d", "older")]
        return seen.count, [REGISTRY.get_sample_value("hutong_reconciliation_cases", each) or 0 for each in labels]

    count, before = await counted()
    for day, keys in ((30, "ab"), (24, "cde"), (1, "f")):
        rows = [missing(key, 7) for key in keys] + [waiting("ours", f"{keys} waits", 1)]
        await desk.record(rows, layer=Layer.PAYOUT_BILL, day=date(2027, 3, day))
    await desk.record([missing("g", 7)], layer=Layer.PAYOUT_BILL, day=date(2027, 2, 28))
    after = await counted()
    assert (after[0] - count, [new - old for new, old in zip(after[1], before, strict=True)]) == (7, [2, 3, 1, 1])
