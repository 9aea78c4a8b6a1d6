"""Reports say what the rows of a day add up to, per merchant and in all; nothing counts as explained that is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.errors import NotFound
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.model import Layer
from hutong.reconciliation.reports import daily_report, write_differing_rows
from hutong.reconciliation.reports.figures import percent
from hutong.reconciliation.reports.merchant_rows import MerchantRow, merchant_rows
from reconciliation.kept_days import DAYS, LIMITS, keep_days

BILLS = (Layer.PAYMENT_BILL, Layer.REFUND_BILL)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Sequence[RunFolder]:
    return keep_days(tmp_path_factory.mktemp("reported") / "days", seed=11)


def total(files: Sequence[Path], figures: str) -> tuple[int, ...]:
    paths = ", ".join(f"'{path}'" for path in files)
    (row,) = duckdb.sql(f"SELECT {figures} FROM read_parquet([{paths}])").fetchall()
    return tuple(int(figure) for figure in row)


def test_a_report_adds_up_to_the_rows_of_its_results(days: Sequence[RunFolder]) -> None:
    report = daily_report(days[1], limits=LIMITS)
    lines = [line for part in report["merchants"] for line in part["matched"]]
    stated = [sum(line[name] for line in lines) for name in ("count", "ordered_minor", "settled_minor", "fee_minor")]
    matched = [days[1].matched(layer) for layer in BILLS]
    assert tuple(stated) == total(matched, "count(*), sum(ordered), sum(settled), sum(fee)")
    counts: Counter[tuple[str, str]] = Counter()
    for part in report["merchants"]:
        for line in part["differences"]:
            counts[line["layer"], line["class"]] += line["count"]
    for layer in BILLS:
        rows = duckdb.sql(f"FROM read_parquet('{days[1].differences(layer)}') SELECT class").fetchall()
        assert Counter(klass for (klass,) in rows) == {
            klass: count for (name, klass), count in counts.items() if name == layer
        }
    (share,) = report["explained"]
    differing = [days[1].differences(layer) for layer in BILLS]
    (open_minor,) = total(differing, "sum(abs(amount)) FILTER (WHERE class <> 'pending')")
    assert share["unexplained_minor"] == open_minor > 0
    assert share["volume_minor"] > total(matched, "sum(abs(settled))")[0]
    assert "0" < share["explained_percent"] < "99.999999"


def test_a_merchants_report_has_its_own_part_alone(days: Sequence[RunFolder]) -> None:
    whole = daily_report(days[0], limits=LIMITS)
    names = [part["merchant_id"] for part in whole["merchants"] if part["merchant_id"]]
    own = daily_report(days[0], merchant=names[0], limits=LIMITS)
    assert own["merchants"] == [part for part in whole["merchants"] if part["merchant_id"] == names[0]]
    assert own["explained"] == own["merchants"][0]["explained"]
    with pytest.raises(NotFound):
        daily_report(RunFolder(days[0].root, days[0].account, DAYS[0].replace(year=2020)))


@given(part=st.integers(0, 10**15), whole=st.integers(0, 10**15))
def test_per_cent_are_cut_and_only_all_is_a_hundred(part: int, whole: int) -> None:
    part = min(part, whole)
    text = percent(part, whole)
    if whole == 0:
        assert text is None
        return
    assert text is not None
    units, _, digits = text.partition(".")
    exact = int(units + digits)
    assert exact * whole <= part * 100 * 10**12 < (exact + 1) * whole
    assert (text == "100.000000000000") == (part == whole)


def test_merchants_get_all_of_their_rows_and_no_others_page_by_page(days: Sequence[RunFolder]) -> None:
    assert merchant_rows(days[0], "mer_x", limit=10) == []
    path = write_differing_rows(days[0], LIMITS)
    content = path.read_bytes()
    assert write_differing_rows(days[0], LIMITS).read_bytes() == content
    matched = [days[0].matched(layer) for layer in BILLS]
    files = ", ".join(f"'{file}'" for file in (*matched, path))
    named = duckdb.sql(f"FROM read_parquet([{files}]) SELECT DISTINCT merchant WHERE merchant <> ''").fetchall()
    states: Counter[str] = Counter()
    for (merchant,) in named:
        rows: list[MerchantRow] = []
        while page := merchant_rows(days[0], merchant, after=rows[-1].place if rows else 0, limit=7, limits=LIMITS):
            rows += page
        assert [row.place for row in rows] == sorted({row.place for row in rows})
        assert rows == merchant_rows(days[0], merchant, limit=1_000_000, limits=LIMITS)
        states.update(row.status for row in rows)
    assert (states["reconciled"],) == total(matched, "count(*)")
    assert (states["different"] + states["pending"],) == total([path], "count(*)")
    assert states["different"] > 0
    assert states["pending"] > 0
    assert merchant_rows(days[0], "mer_x", limit=10) == []
