"""Cases as a spreadsheet and back: exported, decided in Excel, imported with a check of each line.

What is read back is the id, the content that was exported, and the decision; figures are never taken from a
spreadsheet, which rounds and reformats them.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from hutong import ids, money
from hutong.channels import BillRefused
from hutong.errors import InvalidParameter, NotFound
from hutong.export import to_csv
from hutong.operators import OPERATOR_PREFIX
from hutong.reconciliation.differences.cases import BULK_MAX
from hutong.reconciliation.differences.decisions import CaseDecision, RefusedCase
from hutong.reconciliation.differences.documents import public_account
from hutong.reconciliation.differences.explain import explain
from hutong.reconciliation.differences.rules import allowed_actions
from hutong.reconciliation.layouts.delivery import BROKEN, members
from hutong.reconciliation.layouts.model import Delivery
from hutong.reconciliation.model import DIFFERENCE_PREFIX, Difference, DifferenceAction

_CONTENT_DIGITS = 16
SHEET_BYTES_MAX = 64 << 20
_UNPACKED = Delivery().model_copy(update={"members_max": 1_000, "size_max": 256 << 20})
_ZIP = b"PK\x03\x04"
_NEEDED = ("id", "content", "decision", "reason")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOM = "\ufeff"
_COLUMNS = (
    "id", "content", "account", "layer", "class", "column", "key", "reference", "currency", "amount", "age_days",
    "state", "owner", "explanation", "说明", "allowed", "decision", "partner", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sheet:
    """The decisions of a file.

    Attributes:
        decisions: Of the lines that can be read and decide something.
        lines: The line of each decision, from 1 with the heading.
        faults: What is wrong with other lines, by line.
    """

    decisions: list[CaseDecision] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[tuple[int, str, str]] = field(default_factory=list)


def write_sheet(cases: Iterable[Difference], *, today: date) -> str:
    """Return cases as CSV that Excel opens as it is: with a mark of its encoding, and empty columns to decide in."""
    return _BOM + (to_csv(_lines(cases, today)) or ",".join(_COLUMNS) + "\r\n")


def write_workbook(cases: Iterable[Difference], *, today: date) -> bytes:
    """Return cases as a workbook with the lines of the CSV. All cells are text, which no program runs or rounds."""
    # A leaf import: the library costs time that commands without a spreadsheet do not pay.
    from xlsxwriter import Workbook

    output = io.BytesIO()
    with Workbook(output, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet("differences")
        sheet.freeze_panes(1, 0)
        for row, values in enumerate([_COLUMNS, *(_values(case, today) for case in cases)]):
            for column, value in enumerate(values):
                sheet.write_string(row, column, str(value))
    return output.getvalue()


def _lines(cases: Iterable[Difference], today: date) -> list[dict[str, Any]]:
    return [dict(zip(_COLUMNS, _values(case, today), strict=True)) for case in cases]


def _values(case: Difference, today: date) -> tuple[str | int, ...]:
    explanation = explain(case)
    return (
        ids.encode(DIFFERENCE_PREFIX, case.difference_id),
        f"c{case.content[:_CONTENT_DIGITS]}",  # with a letter, so that no spreadsheet reads a number
        public_account(case),
        case.layer.value,
        case.klass.value,
        case.column,
        case.key,
        case.reference,
        case.currency,
        money.to_major(case.amount_minor, case.currency),
        max((today - case.first_day).days, 0),
        case.state.value,
        "" if case.owner_id is None else ids.encode(OPERATOR_PREFIX, case.owner_id),
        explanation["en"],
        explanation["zh"],
        " ".join(action.value for action in allowed_actions(case)),
        "",
        "",
        "",
    )


def read_sheet(path: Path) -> Sheet:
    """Read the decisions of a CSV or XLSX file. A line without a decision decides nothing.

    Errors:
        InvalidParameter: the file cannot be read, is too large, or lacks a column; `param` is "file".
    """
    try:
        if path.stat().st_size > SHEET_BYTES_MAX:
            raise InvalidParameter("the file is larger than 64 MiB", param="file")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidParameter(f"the file cannot be read: {error.strerror}", param="file") from error
    rows = _xlsx_rows(content) if content.startswith(_ZIP) else _csv_rows(content)
    if not rows:
        raise InvalidParameter("the file is empty", param="file")
    names = [name.strip().lower() for name in rows[0]]
    if missing := [name for name in _NEEDED if name not in names]:
        raise InvalidParameter(f"the file lacks the column {missing[0]}", param="file")
    if len(rows) - 1 > BULK_MAX:
        raise InvalidParameter(f"the file has more than {BULK_MAX} lines", param="file")
    sheet = Sheet()
    for number, cells in enumerate(rows[1:], 2):
        line = dict(zip(names, cells, strict=False))
        text = {name: line.get(name, "").strip() for name in (*_NEEDED, "partner")}
        if not text["decision"]:
            continue
        try:
            sheet.decisions.append(_decision(text, line.get("reason", "")))
            sheet.lines.append(number)
        except InvalidParameter as error:
            sheet.faults.append((number, text["id"], error.detail))
    return sheet


def write_faults(sheet: Sheet, refused: Sequence[RefusedCase]) -> list[dict[str, Any]]:
    """Return what was not taken of a file, by line: what could not be read, and what was refused."""
    unread = [{"line": line, "id": identifier, "reason": reason} for line, identifier, reason in sheet.faults]
    turned_down = [
        {
            "line": sheet.lines[refusal.place],
            "id": ids.encode(DIFFERENCE_PREFIX, refusal.difference_id),
            "reason": refusal.reason,
        }
        for refusal in refused
    ]
    return sorted([*unread, *turned_down], key=lambda fault: int(str(fault["line"])))


def _decision(text: dict[str, str], reason: str) -> CaseDecision:
    try:
        identifier = ids.decode(DIFFERENCE_PREFIX, text["id"])
    except NotFound as error:
        raise InvalidParameter("the id is not that of a difference", param="id") from error
    if not text["content"]:
        raise InvalidParameter("the content is missing; export again", param="content")
    try:
        action = DifferenceAction(text["decision"].lower())
    except ValueError as error:
        raise InvalidParameter("the decision is not an action", param="decision") from error
    if reason.startswith(_FORMULA):
        raise InvalidParameter("the reason begins like a formula", param="reason")
    if not text["reason"]:
        raise InvalidParameter("the reason is missing", param="reason")
    try:
        partner = ids.decode(DIFFERENCE_PREFIX, text["partner"]) if text["partner"] else None
    except NotFound as error:
        raise InvalidParameter("the partner is not the id of a difference", param="partner") from error
    return CaseDecision(identifier, action, text["reason"], partner, text["content"].removeprefix("c"))


def _csv_rows(content: bytes) -> list[list[str]]:
    """Return the cells of a CSV file as Excel saves it: in UTF-8 or GB 18030, with commas, semicolons or tabs."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise InvalidParameter("the file is neither in UTF-8 nor in GB 18030", param="file") from error
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    try:
        return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise InvalidParameter(f"the file is not CSV: {error}", param="file") from error


def _xlsx_rows(content: bytes) -> list[list[str]]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            members(packed, _UNPACKED)
        rows = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python(nrows=BULK_MAX + 2)
    except BillRefused as error:
        raise InvalidParameter(f"the file is not a spreadsheet: {error.detail}", param="file") from error
    except (*BROKEN, CalamineError, ValueError, IndexError) as error:
        raise InvalidParameter(f"the file is not a spreadsheet: {error}", param="file") from error
    return [["" if cell is None else str(cell) for cell in row] for row in rows]
