"""The life of differences over random days: suspense always holds exactly the open cases."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from difference_rows import missing, other_fee, unexpected, waiting
from difference_world import DAY, Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict
from hutong.reconciliation import differences
from hutong.reconciliation.model import DifferenceAction, DifferenceState
from support.fixtures.payments import World

_ACTIONS = [
    DifferenceAction.WRITE_OFF,
    DifferenceAction.ADJUST_FEE,
    DifferenceAction.CLAIM,
    DifferenceAction.SUSPENSE,
    DifferenceAction.CONFIRM,
]
_ROWS = st.tuples(
    st.sampled_from(["unexpected", "missing", "fee", "ours", "theirs"]), st.sampled_from("abc"), st.integers(1, 3)
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 2), st.lists(_ROWS, max_size=4, unique_by=lambda row: row[:2])),
        st.tuples(st.just("decide"), st.sampled_from(_ACTIONS), st.booleans()),
    ),
    min_size=1,
    max_size=8,
)


def _row(kind: str, key: str, amount: int) -> dict[str, Any]:
    if kind == "fee":
        return other_fee(key, 10_000, 60, 60 + amount)
    if kind in ("ours", "theirs"):
        return waiting(kind, key, amount)
    return unexpected(key, amount) if kind == "unexpected" else missing(key, amount)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
async def test_suspense_is_the_sum_of_the_open_cases_whatever_happens(
    database: Database, clock: ManualClock, steps: list[Any]
) -> None:
    desk = Desk(World(database, clock))
    for verb, first, second in steps:
        if verb == "run":
            # The same kind of a key may wait and be due at once; a matcher states either.
            rows = {(kind.replace("ours", "missing").replace("theirs", "unexpected"), key): _row(kind, key, amount)
                    for kind, key, amount in second}  # fmt: skip
            day: date = DAY + timedelta(days=first)
            await desk.record(rows.values(), day=day, late="abc")
            before = await desk.cases(states=tuple(DifferenceState))
            again = await desk.record(rows.values(), day=day, late="abc")
            assert (again.opened, again.reopened, again.changed, again.resolved) == (0, 0, 0, 0)
            assert await desk.cases(states=tuple(DifferenceState)) == before
        else:
            chosen = [differences.CaseDecision(case.difference_id, first, "x") for case in await desk.cases()]
            decided = await desk.decide(*chosen)
            if decided.proposal is not None:
                # The life cycle has none of these numbers.
                with suppress(Conflict):
                    await desk.approve(decided, approve=second)
        cases = await desk.cases(states=tuple(DifferenceState))
        assert -await desk.balance(2301) == sum(case.suspense_minor for case in cases)
        for case in cases:
            settled = case.state in (DifferenceState.RESOLVED, DifferenceState.ROLLED)
            assert case.suspense_minor == (0 if settled else case.amount_minor)
    async with database.transaction() as tx:
        assert await differences.check_suspense(tx) == []
