"""What bills promise to the bank."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hutong.reconciliation import bank
from hutong.reconciliation.batches import SettledBill, arrived, export_batches
from hutong.reconciliation.rows import ROW_COLUMNS

DAY = date(2026, 11, 28)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows; what they leave out is empty."""
    defaults = dict.fromkeys(ROW_COLUMNS, "") | {
        "kind": "payment", "day": DAY, "at": None, "currency": "CNY", "ordered": 0, "paid": 0, "settled": 0,
        "fee": None, "state": "succeeded", "settle_day": None, "file": 0, "line": 1,
    }  # fmt: skip
    with duckdb.connect() as connection:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in ROW_COLUMNS.items())
        connection.execute(f"CREATE TABLE rows ({columns})")
        for row in rows:
            values = list((defaults | row).values())
            connection.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(values))})", values)
        connection.execute(f"COPY rows TO '{path}' (FORMAT parquet)")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        found = connection.execute(f"FROM read_parquet('{path}')")
        names = [column[0] for column in found.description or ()]
        assert names[: len(ROW_COLUMNS)] == list(ROW_COLUMNS)
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_a_batch_is_what_settles_less_the_fees(tmp_path: Path) -> None:
    wechat = write_rows(tmp_path / "wechat.parquet", [
        {"merchant": "1900000109", "settled": 10_000, "fee": 60},
        {"merchant": "1900000109", "settled": -3_000, "fee": -18, "kind": "refund"},
        {"merchant": "1900000109", "settled": 700, "state": "failed"},
        {"merchant": "1900000109", "settled": 500, "currency": "HKD"},
        {"merchant": "1900000109", "kind": "batch", "settled": 999},
    ])  # fmt: skip
    antom = write_rows(tmp_path / "antom.parquet", [
        {"batch": "S-1", "settled": 200, "fee": 2, "settle_day": date(2026, 12, 2)},
        {"batch": "S-1", "settled": 300, "settle_day": date(2026, 12, 2)},
        {"settled": -40, "kind": "refund"},
        {"batch": "S-0", "settled": 5, "fee": 5},
    ])  # fmt: skip
    out = tmp_path / "batches.parquet"
    bills = [SettledBill("acc_w", DAY, wechat), SettledBill("acc_a", DAY, antom)]
    assert export_batches(bills, out, currency="CNY", window=bank.BANK_WINDOW) == 3
    rows = read_rows(out)
    assert [(row["batch"], row["settled"], row["settle_day"], row["reference"]) for row in rows] == [
        ("S-1", 498, date(2026, 12, 2), "acc_a"),
        ("acc_a:2026-11-28", -40, date(2026, 11, 29), "acc_a"),
        ("1900000109:2026-11-28", 6_958, date(2026, 11, 29), "acc_w"),
    ]
    assert {(row["kind"], row["fee"], row["state"], row["original_key"], row["day"]) for row in rows} == {
        ("batch", None, "succeeded", "2026-11-28", DAY)
    }
    first = out.read_bytes()
    export_batches(bills[::-1], out, currency="CNY", window=bank.BANK_WINDOW)
    assert out.read_bytes() == first


def test_no_bill_promises_nothing(tmp_path: Path) -> None:
    assert export_batches([], tmp_path / "none.parquet", currency="CNY", window=bank.BANK_WINDOW) == 0
    assert read_rows(tmp_path / "none.parquet") == []


@pytest.mark.parametrize(
    ("expected", "received", "part"),
    [(1000, 1000, 1000), (1000, 999, 999), (1000, 2000, 1000), (1000, -5, 0), (-500, -400, -400), (-500, -600, -500)],
)
def test_money_arrives_as_far_as_the_batch_explains_it(expected: int, received: int, part: int) -> None:
    assert arrived(expected, received) == part
