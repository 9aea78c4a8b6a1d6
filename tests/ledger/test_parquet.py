"""The Parquet export: what is read back is what was written, with its types."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from uuid import UUID

import duckdb

from hutong import export, ledger

HOSTILE = '=1+1,"quoted"\nand more，中文'


def balance(code: int, name: str) -> ledger.SubjectBalance:
    return ledger.SubjectBalance(156, code, name, "应收渠道", -(2**62), 2**63 - 1, 0, 7)


def test_balances_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "balances.parquet"
    export.to_parquet(ledger.SubjectBalance, [balance(1101, HOSTILE), balance(2001, "")], file)
    rows = duckdb.read_parquet(str(file))
    assert rows.columns == ["ledger", "code", "name_en", "name_zh", "opening", "debits", "credits", "closing"]
    assert [str(kind) for kind in rows.types] == ["BIGINT", "BIGINT", "VARCHAR", "VARCHAR", *["BIGINT"] * 4]
    assert rows.fetchall() == [
        (156, 1101, HOSTILE, "应收渠道", -(2**62), 2**63 - 1, 0, 7),
        (156, 2001, "", "应收渠道", -(2**62), 2**63 - 1, 0, 7),
    ]


def test_lines_keep_ids_as_text_and_dates_as_dates(tmp_path: Path) -> None:
    file = tmp_path / "lines.parquet"
    first, second = UUID(int=1), UUID(int=2**127)
    line = ledger.StatementLine(first, 1_767_225_600_000_000_001, date(2026, 1, 1), 1, second, first, 100, 0, 100)
    export.to_parquet(ledger.StatementLine, [line], file)
    (row,) = duckdb.read_parquet(str(file)).fetchall()
    assert row[:6] == (str(first), 1_767_225_600_000_000_001, date(2026, 1, 1), 1, str(second), str(first))


def test_an_empty_statement_has_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "empty.parquet"
    export.to_parquet(ledger.StatementLine, [], file)
    rows = duckdb.read_parquet(str(file))
    assert rows.columns[:2] == ["id", "timestamp"]
    assert rows.fetchall() == []


def test_sums_beyond_64_bits_are_decimals_without_loss(tmp_path: Path) -> None:
    file = tmp_path / "large.parquet"
    large = ledger.SubjectBalance(156, 1101, "", "", 0, 3 * 2**63 + 1, 5, -(2**64) - 1)
    export.to_parquet(ledger.SubjectBalance, [large, balance(2001, "")], file)
    rows = duckdb.read_parquet(str(file))
    assert [str(kind) for kind in rows.types[4:]] == ["BIGINT", "DECIMAL(38,0)", "BIGINT", "DECIMAL(38,0)"]
    assert [row[4:] for row in rows.fetchall()] == [(0, 3 * 2**63 + 1, 5, -(2**64) - 1), (-(2**62), 2**63 - 1, 0, 7)]
