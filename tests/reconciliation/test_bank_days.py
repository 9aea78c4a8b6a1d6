"""Statements in any order and form: each fen of the bank lies in one place, and paid bills alone are closed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from bank_days import DAY, ONE, PLANS, WHOLE, Statement, play
from hypothesis import HealthCheck, example, given, settings

from hutong.clock import ManualClock
from hutong.db import Database

REVERSED = (
    Statement(1, [(WHOLE[DAY], DAY)], "whole", late=False),
    Statement(2, [(-WHOLE[DAY], DAY), (77, None)], "halves", late=False),
    Statement(3, [(WHOLE[DAY], DAY)], "corrected", late=True),
)

TAKEN_BACK = (Statement(1, [(WHOLE[DAY] - 9, DAY)], "corrected", late=False),)
"""First it states the whole of the bill, and then nine less."""


async def test_money_that_came_before_its_bill_pays_it_once_that_is_known(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    plan = [
        Statement(1, [(WHOLE[DAY + ONE], None)], "whole", late=False),
        Statement(2, [(WHOLE[DAY], DAY)], "whole", late=False),
    ]
    booked = await play(database, clock, tmp_path, plan)
    assert [(case[2], case[5]) for case in booked["cases"] if case[2] == "B1-0"] == [("B1-0", "resolved")]
    assert [(name, state) for _, name, state in booked["files"] if name == "bill.zm"] == [("bill.zm", "closed")] * 2


@settings(max_examples=1, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=PLANS)
@example(plan=REVERSED)
@example(plan=TAKEN_BACK)
async def test_money_of_the_bank_is_in_one_place_and_closes_its_bill(
    database: Database, tmp_path: Path, plan: Sequence[Statement]
) -> None:
    await play(database, ManualClock(), Path(mkdtemp(dir=tmp_path)), plan)
