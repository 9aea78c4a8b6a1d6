"""Every engine finds what the oracle finds, day after day, and proves it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from matching_oracle import Oracle, Row
from matching_worlds import FIRST, WINDOW, World, answer_of, match

from hutong.reconciliation import LAYERS, Layer
from hutong.reconciliation.matching.fingerprint import FingerprintEngine
from hutong.reconciliation.matching.model import CARRY_COLUMNS
from hutong.reconciliation.matching.one_sql import OneSqlEngine

PAYMENT = LAYERS[Layer.PAYMENT_BILL]
CASES = {
    "payment": (PAYMENT, ["payment"]),
    "tolerance": (replace(PAYMENT, tolerance={"settled": 1, "fee": 1}), ["payment", "refund"]),
    "refund": (LAYERS[Layer.REFUND_BILL], ["refund", "refund_failure"]),
    "order": (LAYERS[Layer.ORDER_PAYMENT], ["payment", "refund"]),
    "ledger": (LAYERS[Layer.LEDGER_ORDER], ["payment"]),
    "dispute": (LAYERS[Layer.DISPUTE_BILL], ["dispute"]),
    "tolerated dispute": (replace(LAYERS[Layer.DISPUTE_BILL], tolerance={"settled": 5}), ["dispute"]),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(seed=st.integers(0, 10**9), rolls=st.integers(0, 2))
def test_engines_equal_the_oracle_over_days(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int, rolls: int
) -> None:
    """`hutong` proves the sums itself in each run: theirs less ours is what the differences amount to."""
    layer, kinds = CASES[name]
    folder, world = tmp_path_factory.mktemp("world"), World(seed, kinds)
    window = replace(WINDOW, rolls=rolls)
    days = [FIRST + timedelta(days=place) for place in range(2)]
    rows = {day: world.day(day) for day in days}
    carried: tuple[list[Row], list[Row]] = ([], [])
    for place, day in enumerate(days):
        ours, theirs = rows[day]
        # The first rows of ours of the next day lie within the margin.
        early = [row for row in rows[days[place + 1]][0][:3] if row["day"] > day] if place < 1 else []
        ours = [*ours, *early]
        expected = Oracle(layer, day, rolls, [*carried[0], *ours], [*carried[1], *theirs]).answer()
        for engine in (FingerprintEngine(), FingerprintEngine(bits=3) if place else OneSqlEngine()):
            result = match(
                folder / f"{place}{engine.name}{getattr(engine, 'bits', '')}", engine, layer, ours, theirs, day=day,
                window=window, carried=carried,
            )  # fmt: skip
            found = answer_of(result)
            assert found.differences == expected.differences
            assert found.matched == expected.matched
            assert found.carry_ours == [{name: row[name] for name in CARRY_COLUMNS} for row in expected.carry_ours]
            assert found.carry_theirs == [{name: row[name] for name in CARRY_COLUMNS} for row in expected.carry_theirs]
        carried = (found.carry_ours, found.carry_theirs)
