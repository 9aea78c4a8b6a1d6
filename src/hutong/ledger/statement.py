"""What a finance team reads: statements, the general ledger, the trial balance by subject; and their export."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_type_hints
from uuid import UUID

import orjson

from hutong import db
from hutong.clock import to_ns
from hutong.errors import NotFound
from hutong.ledger.chart import CHART, Side
from hutong.ledger.rows import uuid_of

_sql = db.statements(__package__)
_PARQUET_TYPES = {int: "BIGINT", str: "VARCHAR", UUID: "VARCHAR", date: "DATE"}


@dataclass(frozen=True, slots=True)
class Line:
    """One booking on an account; `balance` stands on the account's normal side."""

    id: UUID
    timestamp: int
    accounting_date: date
    event: int
    other_account: UUID
    reference: UUID
    debit: int
    credit: int
    balance: int


@dataclass(frozen=True, slots=True)
class Statement:
    """An account between two moments: opening + bookings = closing."""

    account_id: UUID
    code: int
    ledger: int
    opening: int
    lines: list[Line]
    closing: int


@dataclass(frozen=True, slots=True)
class SubjectBalance:
    """One line of the general ledger: a subject of a ledger over a day, or as it stands."""

    ledger: int
    code: int
    name_en: str
    name_zh: str
    opening: int
    debits: int
    credits: int
    closing: int


async def statement(tx: db.Tx, account_id: int, *, since: datetime, until: datetime) -> Statement:
    """The statement of an account from `since` up to before `until`.

    Errors:
        NotFound: no such account.
    """
    uuid = uuid_of(account_id)
    account = await _sql.account_code.fetchrow(tx, uuid)
    if account is None:
        raise NotFound("no account has this id")
    sign = _sign(account["code"])
    before = await _sql.balance_before.fetchrow(tx, uuid, to_ns(since))
    opening = sign * (before["debits"] - before["credits"]) if before is not None else 0
    records = await _sql.statement_lines.fetch(tx, uuid, to_ns(since), to_ns(until))
    lines = [
        Line(
            r["id"], r["timestamp"], r["accounting_date"], r["code"], r["other"], r["reference"], r["debit"],
            r["credit"], sign * (r["debits"] - r["credits"]),
        )
        for r in records
    ]  # fmt: skip
    return Statement(
        UUID(int=account_id), account["code"], account["ledger"], opening, lines,
        lines[-1].balance if lines else opening,
    )  # fmt: skip


async def general_ledger(tx: db.Tx, *, day: date | None = None) -> list[SubjectBalance]:
    """The subjects of every ledger on a closed day, or as they stand now.

    Returns:
        One line per ledger and subject that ever moved. Balances stand on the subject's normal side; over the lines of
        one ledger, those on debit sides equal those on credit sides.
    """
    records = await (_sql.subject_balances.fetch(tx, day) if day else _sql.subject_balances_now.fetch(tx))
    return [_subject_balance(record) for record in records]


def roll_up(lines: Sequence[SubjectBalance]) -> list[SubjectBalance]:
    """The same lines with their parents added: a parent is the sum of its children, on the debit side."""
    sums: dict[tuple[int, int], list[int]] = {}
    for line in lines:
        subject = CHART.get(line.code)
        parent = subject.parent if subject else 0
        sign = _sign(line.code)
        total = sums.setdefault((line.ledger, parent), [0, 0, 0, 0])
        for place, value in enumerate((sign * line.opening, line.debits, line.credits, sign * line.closing)):
            total[place] += value
    parents = [SubjectBalance(ledger, code, "", "", *total) for (ledger, code), total in sums.items()]
    return sorted([*lines, *parents], key=lambda line: (line.ledger, line.code))


def to_csv(lines: Iterable[Any]) -> str:
    """Lines of one kind (dataclasses or dictionaries) as CSV with a heading; text that a spreadsheet would run is made
    harmless.
    """
    rows = [line if isinstance(line, dict) else asdict(line) for line in lines]
    output = io.StringIO()
    if rows:
        writer = csv.DictWriter(output, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return output.getvalue()


def to_parquet(kind: type[Any], lines: Iterable[Any], path: Path) -> None:
    """Write lines of one kind as a Parquet file: integers as 64 bits, dates as dates, ids and names as text.

    Args:
        kind: The dataclass of the lines; also of none, for an empty file has its columns.

    Effects:
        Replaces the file.
    """
    columns = {name: _PARQUET_TYPES[hint] for name, hint in get_type_hints(kind).items()}
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as rows:
        rows.writelines(orjson.dumps(asdict(line), option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        rows.flush()
        db.write_parquet(Path(rows.name), columns, path)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _subject_balance(record: Any) -> SubjectBalance:
    subject = CHART.get(record["code"])
    sign = _sign(record["code"])

    def side(which: str) -> int:
        return int(sign * (record[f"{which}_debits"] - record[f"{which}_credits"]))

    daily = "debits" in record
    return SubjectBalance(
        ledger=record["ledger"],
        code=record["code"],
        name_en=subject.name_en if subject else "",
        name_zh=subject.name_zh if subject else "",
        opening=side("opening") if daily else 0,
        debits=int(record["debits"]) if daily else int(record["closing_debits"]),
        credits=int(record["credits"]) if daily else int(record["closing_credits"]),
        closing=side("closing"),
    )


def _sign(code: int) -> int:
    subject = CHART.get(code)
    return -1 if subject is not None and subject.normal_side is Side.CREDIT else 1
