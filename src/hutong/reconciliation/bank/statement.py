"""A bank statement becomes rows: each entry once, proven, with the group key that it names."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from hutong.channels import BillRefused
from hutong.reconciliation.bank import bai, camt, swift
from hutong.reconciliation.bank.model import OwnAccount, StatementEntry
from hutong.reconciliation.bank.references import group_key
from hutong.reconciliation.duck import connect, create_table, literal
from hutong.reconciliation.model import RowKind, RowState
from hutong.reconciliation.normalised import Normalised
from hutong.reconciliation.rows import ROW_COLUMNS

STATEMENT_BYTES_MAX = 1 << 30
"""The largest statement in XML, which is read in a stream."""
TEXT_BYTES_MAX = 1 << 26
"""The largest statement of the older formats, which are read whole."""

_READERS: Mapping[str, tuple[Callable[[Path, OwnAccount], Iterator[StatementEntry]], int]] = {
    "camt": (camt.read_entries, STATEMENT_BYTES_MAX),
    "mt940": (swift.read_entries, TEXT_BYTES_MAX),
    "bai2": (bai.read_entries, TEXT_BYTES_MAX),
}
_NULL = "\\N"


def normalise_statement(
    path: Path,
    out: Path,
    *,
    format: str,  # noqa: A002 - the field's own name
    number: str,
    currency: str,
    file_index: int = 0,
    memory_mb: int = 512,
) -> Normalised:
    """Read a bank statement into rows of kind `entry`.

    Args:
        out: The Parquet file of rows; written whole or not at all.
        format: One of `FORMATS`.
        number, currency: The account's own; the file may have no other.
        file_index: The place of the file in the run's list of inputs.

    Repeat:
        The same rows.

    Returns:
        What was read. The day is that of the last booking.

    Errors:
        BillRefused: the file is not of its format, not whole, of another account, too large, or its balances do not
            hold. None of it counts.
    """
    read, largest = _READERS[format]
    if path.stat().st_size > largest:
        raise BillRefused(f"the statement is larger than {largest >> 20} MB")
    raw, part = out.with_suffix(".csv"), out.with_suffix(".writing")
    totals: Counter[str] = Counter()
    last: date | None = None
    repeated: Counter[str] = Counter()
    try:
        with raw.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
            for entry in read(path, OwnAccount(number, currency)):
                writer.writerow(_row(entry, number, currency, file_index, repeated))
                totals["rows"] += 1
                totals["settled_in" if entry.amount_minor > 0 else "settled_out"] += entry.amount_minor
                last = entry.booked if last is None else max(last, entry.booked)
        _write_parquet(raw, part, memory_mb)
        part.replace(out)
    finally:
        raw.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    sums = {"rows": totals["rows"], "settled": totals["settled_in"] + totals["settled_out"]}
    return Normalised(
        rows=totals["rows"], exceptions=[], totals={RowKind.ENTRY: {currency: sums}}, day=last, merchant=number
    )


def finish_rows(rows: Path, *, memory_mb: int = 512) -> None:
    """Give the rows of a statement that a layout has read what readers of statements give theirs.

    Effects:
        Rewrites the file: rows without a group key get the one that their texts name, and rows without the bank's
        reference, or with one that another row has, get one of their own.
    """
    part = rows.with_suffix(".finished")
    content = "concat_ws('|', day, settle_day, settled, key, memo)"
    named = f"if(channel_no = '', 'sha:' || substr(sha256({content}), 1, 24), channel_no)"
    numbered = "if(repeat = 1, named, concat(named, '#', repeat))"
    key = "if(batch = '', named_group(key, memo, channel_no), batch)"
    columns = ", ".join(f'"{name}"' for name in ROW_COLUMNS)
    try:
        with connect(rows.parent, memory_mb=memory_mb) as connection:
            connection.create_function(
                "named_group", lambda key, memo, number: group_key([key, memo, number]), ["VARCHAR"] * 3, "VARCHAR"
            )
            connection.execute(
                f"COPY (SELECT {columns} FROM (SELECT * REPLACE ({numbered} AS channel_no, {key} AS batch) FROM ("
                f"SELECT *, {named} AS named, row_number() OVER (PARTITION BY {named} ORDER BY file, line) AS repeat "
                f"FROM read_parquet({literal(rows)}))) ORDER BY file, line) TO {literal(part)} (FORMAT parquet)"
            )
        part.replace(rows)
    finally:
        part.unlink(missing_ok=True)


def _row(entry: StatementEntry, number: str, currency: str, file_index: int, repeated: Counter[str]) -> list[Any]:
    """Return a row in the order of `ROW_COLUMNS`."""
    values = {
        "kind": RowKind.ENTRY,
        "channel_no": _number(entry, repeated),
        "merchant": number,
        "day": entry.booked.isoformat(),
        "at": _NULL,
        "currency": currency,
        "ordered": entry.amount_minor,
        "paid": entry.amount_minor,
        "settled": entry.amount_minor,
        "fee": _NULL,
        "state": RowState.SUCCEEDED,
        "batch": group_key([*entry.references, entry.text, entry.number]),
        "settle_day": entry.value.isoformat(),
        "memo": " ".join(entry.text.replace("\0", " ").split()),
        "file": file_index,
        "line": entry.line,
    }
    return [values.get(column, "") for column in ROW_COLUMNS]


def _number(entry: StatementEntry, repeated: Counter[str]) -> str:
    """Return the bank's reference. An entry without one gets one that the same statement gives it again, and entries of
    one reference are distinguished by their order."""
    number = entry.number
    if not number:
        content = f"{entry.booked}|{entry.value}|{entry.amount_minor}|{'|'.join(entry.references)}|{entry.text}"
        number = "sha:" + hashlib.sha256(content.encode()).hexdigest()[:24]
    repeated[number] += 1
    return number if repeated[number] == 1 else f"{number}#{repeated[number]}"


def _write_parquet(raw: Path, out: Path, memory_mb: int) -> None:
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in ROW_COLUMNS.items())
    with connect(raw.parent, memory_mb=memory_mb) as connection:
        connection.execute(create_table("entry"))
        if raw.stat().st_size:
            connection.execute(
                f"INSERT INTO entry FROM read_csv({literal(raw)}, header = false, columns = {{{columns}}}, "
                f"nullstr = {literal(_NULL)}, delim = ',', quote = '\"', escape = '\"', strict_mode = true, "
                "force_not_null = ['key', 'channel_no', 'original_key', 'merchant', 'batch', 'memo', 'reference'])"
            )
        connection.execute(f"COPY entry TO {literal(out)} (FORMAT parquet)")
