"""Spreadsheets: their numbers are floats, so that each is used only where it is exact."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO

from hutong.channels import BillRefused
from hutong.reconciliation.layouts.delivery import BROKEN, Bounded, members
from hutong.reconciliation.layouts.model import Column, Layout

_PACKED_MAX = 64 << 20
_DIGITS_MAX = 10**15
"""Above it, numbers of a spreadsheet have lost digits."""

Value = str | int | float | bool | datetime | date | time | timedelta | None


def sheet_rows(stream: Bounded, layout: Layout) -> Iterator[Sequence[Value]]:
    """Return the rows of the first sheet that has some.

    Errors:
        BillRefused: not a workbook, or above the limits.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    parts: list[bytes] = []
    while data := stream.read(1 << 20):
        parts.append(data)
        if len(parts) > _PACKED_MAX >> 20:
            raise BillRefused("the workbook is larger than the limit")
    content = BytesIO(b"".join(parts))
    try:
        with zipfile.ZipFile(content) as packed:
            members(packed, layout.delivery.model_copy(update={"members_max": 10_000, "extra": ""}))
        content.seek(0)
        workbook = CalamineWorkbook.from_filelike(content)
        for name in workbook.sheet_names:
            rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            if any(map(any, rows)):
                return iter(rows)
    except (*BROKEN, CalamineError, ValueError) as error:
        raise BillRefused(f"the workbook cannot be read: {type(error).__name__}") from None
    return iter(())


def to_cell_text(value: Value, column: Column | None = None, place: int = 0, number: int = 0) -> str:
    """Return a cell as text.

    Args:
        column: Its column in the layout; None for one that the layout does not name.
        place, number: Its column from 0 and its row from 1.

    Errors:
        BillRefused: a number that has lost digits, or an amount with more decimals than its column has.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value, column, place, number)
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, time):
        return value.isoformat()
    if column is not None and column.form == "time":
        return value.strftime(column.format)
    return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()


def _number(value: float, column: Column | None, place: int, number: int) -> str:
    """Return a number with the digits that it is shown with. Errors as `to_cell_text`."""
    exact = Decimal(repr(value))
    text = f"{exact:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if column is None:
        return text
    if abs(exact) >= _DIGITS_MAX:
        raise BillRefused(f"the number in cell {cell(place, number)} has lost digits: its column must be text")
    decimals = len(text.partition(".")[2])
    if column.form == "amount" and decimals > column.decimals:
        raise BillRefused(f"the amount in cell {cell(place, number)} is not exact: it has {decimals} decimals")
    return text.replace(".", column.mark) if column.form == "amount" else text


def cell(place: int, number: int) -> str:
    """Return the name of a cell."""
    letters, rest = "", place + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{number}"
