"""A difference of one side names the other side's that it may belong to."""

from __future__ import annotations

from datetime import date

from difference_rows import missing, unexpected

from hutong.clock import ManualClock
from hutong.db import Tx
from hutong.ids import Ids
from hutong.reconciliation import Layer, differences


async def test_a_missing_row_is_shown_with_unexpected_ones_the_likest_first(
    tx: Tx, clock: ManualClock, ids: Ids
) -> None:
    account = ids.new()
    rows = [missing("P2026090100017", 1_990), unexpected("P202609010017", 1_990), unexpected("X-other-99", 1_990)]
    await differences.record(
        tx, account_id=account, day=date(2026, 11, 2), layer=Layer.PAYMENT_BILL, rows=rows, matched_late=set(),
        now=clock.now(), new_id=ids.new,
    )  # fmt: skip
    found = await differences.list_differences(tx, differences.DifferenceFilter(account_id=account))
    (case,) = [case for case in found if case.key == "P2026090100017"]
    partners = await differences.suggest_partners(tx, case)
    assert [(partner["key"], sorted(reason["name"] for reason in partner["reasons"])) for partner in partners] == [
        ("P202609010017", ["amount_equal", "number_alike", "time_near"]),
        ("X-other-99", ["amount_equal", "time_near"]),
    ]
