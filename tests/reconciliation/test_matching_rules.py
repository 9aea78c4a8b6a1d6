"""The rules of matching, one by one, on the default engine."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from matching_worlds import FIRST, WINDOW, answer_of, make_row, match

from hutong import errors
from hutong.reconciliation import LAYERS, Layer, matching
from hutong.reconciliation.matching.fingerprint import FingerprintEngine
from hutong.reconciliation.matching.one_sql import OneSqlEngine
from hutong.reconciliation.matching.suggestions import suggest
from hutong.reconciliation.rows import ROW_COLUMNS

PAYMENT = LAYERS[Layer.PAYMENT_BILL]
REFUND = LAYERS[Layer.REFUND_BILL]
BANK = LAYERS[Layer.BATCH_BANK]
NOTHING = "''"
SOURCES = {
    "kind": "'payment'", "key": "'K' || n", "day": "DATE '2026-09-01'", "at": "NULL", "currency": "'CNY'",
    "ordered": "n", "paid": "n", "settled": "n", "fee": "1", "state": "'succeeded'", "settle_day": "NULL", "file": "0",
    "line": "n",
}  # fmt: skip
LATER = FIRST + timedelta(days=3)


def classes(found: Any) -> list[tuple[Any, ...]]:
    """RowSide, key, class, column and amount of each difference."""
    return [row[:4] + row[5:6] for row in found.differences]


def test_colliding_hashes_of_different_keys_are_no_pair(tmp_path: Path) -> None:
    ours, theirs = [make_row(key="K1")], [make_row(key="K2")]
    result = match(tmp_path, FingerprintEngine(bits=0), PAYMENT, ours, theirs, day=LATER)
    assert classes(answer_of(result)) == [
        ("ours", "K1", "missing", "", -99),
        ("theirs", "K2", "unexpected", "", 99),
    ]


@pytest.mark.parametrize("weak", ["k", "all"])
def test_keys_that_collide_alone_do_not_collide_in_what_must_agree(
    tmp_path: Path, weak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hash sees the first two characters of a text alone; where the other one is weak too, the totals show it."""

    class Weak(FingerprintEngine):
        def _hashes(self, *arguments: Any) -> dict[str, str]:
            hashes = super()._hashes(*arguments)
            shown = r"left(\1, 2)" if weak == "k" else "'K'"
            return {name: re.sub(r'(reverse\("key"\)|"key")(?! <>)', shown, each) for name, each in hashes.items()}

    asked: list[str] = []
    one_sql = OneSqlEngine.match
    monkeypatch.setattr(OneSqlEngine, "match", lambda self, job: asked.append(self.name) or one_sql(self, job))
    result = match(tmp_path, Weak(), PAYMENT, [make_row(key="K-1")], [make_row(key="K-2")], day=LATER)
    assert [row[:3] for row in classes(answer_of(result))] == [
        ("ours", "K-1", "missing"),
        ("theirs", "K-2", "unexpected"),
    ]
    assert asked == ([] if weak == "k" else ["one_sql"])


def test_one_number_of_the_channel_for_two_of_ours_is_a_double_posting(tmp_path: Path) -> None:
    ours = [make_row(key="K1", channel_no="C1"), make_row(key="K2", channel_no="C1", line=2)]
    result = match(tmp_path, FingerprintEngine(), PAYMENT, ours, [make_row(key="K1", channel_no="C1")], day=LATER)
    assert classes(answer_of(result)) == [("ours", "K2", "double_posting", "", -99)]


def test_refunds_of_one_payment_share_its_number_and_are_no_double_posting(tmp_path: Path) -> None:
    ours = [make_row(kind="refund", key=key, channel_no="C1", line=line) for line, key in ((1, "R1"), (2, "R2"))]
    theirs = [make_row(kind="refund", key="R1", channel_no="C1")]
    result = match(tmp_path, FingerprintEngine(), REFUND, ours, theirs, day=LATER)
    assert classes(answer_of(result)) == [("ours", "R2", "missing", "", -99)]


def test_a_refund_that_failed_again_is_nothing_where_the_bill_states_no_money(tmp_path: Path) -> None:
    ours = [
        make_row(kind="refund", key="R1", settled=-100, fee=None),
        make_row(kind="refund_failure", key="R1", settled=100, fee=None, line=2),
    ]
    theirs = [make_row(kind="refund", key="R1", settled=-100, state="failed")]
    found = answer_of(match(tmp_path / "1", FingerprintEngine(), REFUND, ours, theirs, day=LATER))
    assert (found.matched, found.differences, found.carry_ours) == ([], [], [])
    theirs[0]["state"] = "succeeded"
    found = answer_of(match(tmp_path / "2", FingerprintEngine(), REFUND, ours, theirs, day=LATER))
    assert [row[0] for row in found.matched] == ["R1"]
    assert classes(found) == [("ours", "R1/refund_failure", "missing", "", -100)]


def test_a_refund_that_came_back_within_the_margin_is_nothing_to_a_bill_that_states_it_as_failed(
    tmp_path: Path,
) -> None:
    ours = [
        make_row(kind="refund", key="R1", settled=-100, fee=None),
        make_row(kind="refund_failure", key="R1", settled=100, fee=None, line=2, day=FIRST + timedelta(days=1)),
    ]
    theirs = [make_row(kind="refund", key="R1", settled=-100, state="failed")]
    found = answer_of(match(tmp_path / "1", FingerprintEngine(), REFUND, ours, theirs))
    assert (found.matched, found.differences, found.carry_ours) == ([], [], [])
    ours[1]["settled"] = 99
    found = answer_of(match(tmp_path / "2", FingerprintEngine(), REFUND, ours, theirs))
    assert classes(found) == [("both", "R1", "mismatch", "state", 101)]


def test_a_late_bill_turns_a_waiting_row_into_a_match_and_time_into_missing(tmp_path: Path) -> None:
    rows = [make_row(key="K1"), make_row(key="K2", line=2)]
    first = answer_of(match(tmp_path / "1", FingerprintEngine(), PAYMENT, rows, []))
    assert [row[2] for row in first.differences] == ["pending", "pending"]
    day = FIRST + timedelta(days=1)
    carried = (first.carry_ours, first.carry_theirs)
    late = [make_row(key="K1", day=day)]
    second = answer_of(match(tmp_path / "2", FingerprintEngine(), PAYMENT, [], late, day=day, carried=carried))
    assert [(row[0], row[1]) for row in second.matched] == [("K1", "cross_day")]
    assert classes(second) == [("ours", "K2", "missing", "", -99)]
    assert [(row["waits"], row["side"], row["case"]) for row in second.carry_ours] == [("missing", "ours", "K2")]


def test_a_row_matched_within_the_margin_is_not_missed_on_its_own_day(tmp_path: Path) -> None:
    day = FIRST + timedelta(days=1)
    early = make_row(key="K1", day=day)
    first = answer_of(match(tmp_path / "1", FingerprintEngine(), PAYMENT, [early], [make_row(key="K1")]))
    assert [row[1] for row in first.matched] == ["cross_day"]
    carried = (first.carry_ours, first.carry_theirs)
    second = answer_of(match(tmp_path / "2", FingerprintEngine(), PAYMENT, [early], [], day=day, carried=carried))
    assert (second.matched, second.differences, second.carry_ours) == ([], [], [])


def test_a_duplicate_stays_a_duplicate_with_the_same_content(tmp_path: Path) -> None:
    theirs = [make_row(key="K1"), make_row(key="K1", line=2)]
    first = answer_of(match(tmp_path / "1", FingerprintEngine(), PAYMENT, [make_row(key="K1")], theirs))
    assert [row[1] for row in first.matched] == ["twin"]
    assert classes(first) == [("theirs", "K1", "duplicate", "", 99)]
    carried = (first.carry_ours, first.carry_theirs)
    second = answer_of(match(tmp_path / "2", FingerprintEngine(), PAYMENT, [], [], day=LATER, carried=carried))
    assert second.differences == first.differences


def test_a_key_in_two_currencies_is_two_sums_that_are_not_netted(tmp_path: Path) -> None:
    theirs = [make_row(key="K1", currency="USD")]
    found = answer_of(match(tmp_path, FingerprintEngine(), PAYMENT, [make_row(key="K1")], theirs))
    assert [row[:6] for row in found.differences] == [
        ("ours", "K1", "mismatch", "currency", "CNY", -99),
        ("theirs", "K1", "mismatch", "currency", "USD", 99),
    ]


def test_bank_money_of_a_batch_is_matched_by_sum_if_one_sum_explains_it(tmp_path: Path) -> None:
    ours = [make_row(kind="batch", batch=f"B{n}", settled=n * 100, line=n) for n in (1, 2, 4)]
    theirs = [
        make_row(kind="entry", batch="B1", settled=60, fee=None),
        make_row(kind="entry", batch="B1", settled=40, fee=None, line=2),
        make_row(kind="entry", settled=600, fee=None, line=3, memo="settlement"),
    ]
    found = answer_of(match(tmp_path, FingerprintEngine(), BANK, ours, theirs, day=LATER))
    assert [(row[0], row[1], row[5]) for row in found.matched] == [
        ("B1", "group", 1),
        ("B1", "group", 2),
        ("B2", "group", 3),
    ]
    assert found.differences == []


def test_bank_money_that_two_sums_explain_stays_open_with_its_candidates(tmp_path: Path) -> None:
    ours = [make_row(kind="batch", batch=f"B{n}", settled=100, line=n) for n in (1, 2)]
    theirs = [make_row(kind="entry", settled=100, fee=None, memo="settlement")]
    found = answer_of(match(tmp_path, FingerprintEngine(), BANK, ours, theirs, day=LATER))
    assert found.matched == []
    assert [row[2] for row in found.differences] == ["ambiguous"]
    assert found.differences[0][6].count('"key"') == 2


def test_a_tolerance_lets_a_cent_pass_and_says_so(tmp_path: Path) -> None:
    layer = replace(PAYMENT, tolerance={"settled": 1})
    ours = [make_row(key="K1"), make_row(key="K2", line=2)]
    theirs = [make_row(key="K1", settled=101), make_row(key="K2", settled=102, line=2)]
    result = match(tmp_path, FingerprintEngine(), layer, ours, theirs)
    found = answer_of(result)
    assert [(row[0], row[1]) for row in found.matched] == [("K1", "tolerated")]
    assert classes(found) == [("both", "K2", "mismatch", "settled", 2)]
    assert result.totals["matched"] == {"tolerated": {"CNY": {"count": 1, "ours": 99, "theirs": 100}}}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    ours = [make_row(key=f"K{n}", line=n) for n in range(50)]
    theirs = [make_row(key=f"K{n}", line=n, settled=100 + n // 40) for n in range(45)]
    results = [match(tmp_path / str(n), FingerprintEngine(), PAYMENT, ours, theirs) for n in range(2)]
    for name in ("matched", "differences", "carry_ours", "carry_theirs"):
        first, second = (getattr(result, name).read_bytes() for result in results)
        assert first == second


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(errors.InvalidParameter):
        matching.engine("abacus")


def test_suggestions_name_their_reasons_and_never_rest_on_the_amount_alone() -> None:
    row = {"kind": "payment", "currency": "CNY", "key": "P20260901000123", "settled": 1990, "at": "2026-09-01 04:00:00"}
    typo = row | {"key": "P2026090100012", "at": "2026-09-01 04:00:09"}
    found = suggest(row, [row | {"key": "X9", "at": None}, typo, row | {"currency": "USD"}])
    assert [suggestion.place for suggestion in found] == [1]
    assert [name for name, _ in found[0].reasons] == ["number_alike", "amount_equal", "time_near"]


def test_several_files_of_a_side_keep_their_places(tmp_path: Path) -> None:
    """Many rows, so that DuckDB reads the files at the same time."""
    files = []
    with duckdb.connect() as connection:
        for name, start in (("carry", 0), ("journal", 200_000), ("known", 400_000)):
            columns = ", ".join(
                f'{SOURCES.get(column, NOTHING)}::{kind} AS "{column}"' for column, kind in ROW_COLUMNS.items()
            )
            files.append(tmp_path / f"{name}.parquet")
            rows = f"SELECT {columns} FROM range({start}, {start + 200_000}) AS r (n)"
            connection.execute(f"COPY ({rows}) TO '{files[-1]}' (FORMAT parquet)")
    theirs = [files[2], files[0], files[1]]
    job = matching.MatchJob(PAYMENT, WINDOW, FIRST, files, theirs, tmp_path / "out")
    result = FingerprintEngine().match(job)
    with duckdb.connect() as connection:
        lines = connection.execute(f"SELECT ours_line FROM '{result.matched}'").fetchnumpy()["ours_line"]
        wrong = connection.execute(f"FROM '{result.matched}' WHERE ours_line <> theirs_line OR key <> 'K' || ours_line")
        assert wrong.fetchall() == []
    assert lines.tolist() == list(range(600_000))
