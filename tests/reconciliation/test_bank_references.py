"""The group keys that entries name, and rows of statements that a layout has read."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from test_batches import read_rows, write_rows

from hutong.reconciliation import bank
from hutong.reconciliation.bank.references import group_key, reference_forms


@pytest.mark.parametrize(
    ("texts", "key"),
    [
        (["SETTLEMENT 1900000109 20261128"], "1900000109:2026-11-28"),
        (["x", "credit SETTLEMENT 2088102146225135 2026-11-28 thanks"], "2088102146225135:2026-11-28"),
        (["STRIPE po_1MtHbELkdIwHu7ixl4OzzPMv"], "po_1MtHbELkdIwHu7ixl4OzzPMv"),
        (["TestMerchant Batch Number 118"], "118"),
        (["SETTLEMENT 1900000109 20261328"], ""),
        (["", "rent"], ""),
        (["po_short"], ""),
    ],
)
def test_keys_are_found_by_their_form(texts: list[str], key: str) -> None:
    assert group_key(texts) == key


def test_each_form_has_its_source() -> None:
    assert all(form.source and form.name for form in reference_forms())


def test_rows_that_a_layout_has_read_get_keys_and_numbers(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "bank.parquet", [
        {"kind": "entry", "line": 1, "settled": 5, "memo": "SETTLEMENT 1900000109 20261128", "channel_no": "N1"},
        {"kind": "entry", "line": 2, "settled": 6, "channel_no": "N1", "batch": "own"},
        {"kind": "entry", "line": 3, "settled": 7, "memo": "rent"},
        {"kind": "entry", "line": 4, "settled": 7, "memo": "rent"},
    ])  # fmt: skip
    bank.finish_rows(path)
    rows = read_rows(path)
    assert [(row["line"], row["batch"]) for row in rows] == [(1, "1900000109:2026-11-28"), (2, "own"), (3, ""), (4, "")]
    assert [row["channel_no"] for row in rows[:2]] == ["N1", "N1#2"]
    assert rows[2]["channel_no"].startswith("sha:")
    assert rows[3]["channel_no"] == rows[2]["channel_no"] + "#2"
    assert {row["day"] for row in rows} == {date(2026, 11, 28)}
    first = path.read_bytes()
    bank.finish_rows(path)
    assert read_rows(path) == rows
    assert path.read_bytes() == first
