"""Rows by name: a field and a column that differ are found at import, and no order of columns mixes values up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import pytest

from hutong.db import Tx, reader
from hutong.db.statements import Statement


class State(StrEnum):
    """Where a refund stands."""

    HELD = "held"
    FAILED = "failed"


@dataclass(slots=True)
class Refund:
    """One row, with fields of every kind."""

    refund_id: int
    state: State
    notes: list[str] = field(default_factory=list)
    before: State | None = None
    lines: tuple[int, ...] = ()
    shown: bool = True
    amount_minor: int = 0


COLUMNS = ("amount_minor", "before", "lines", "refund_id", "state")
WITHOUT = ("notes", "shown")


def _lines(text: str | None) -> tuple[int, ...]:
    return () if text is None else tuple(map(int, text.split()))


async def test_fields_are_read_by_name_whatever_the_order_of_the_columns(tx: Tx) -> None:
    read = reader(Refund, COLUMNS, without=WITHOUT, lines=_lines)
    rows = await Statement(
        "rows",
        "SELECT * FROM (VALUES (7, 'held', '1 2', 3, 'failed', 'x'), (8, NULL, NULL, 4, 'held', 'y'))"
        " AS r (amount_minor, before, lines, refund_id, state, more)",
    ).fetch(tx)
    first, second = map(read, rows)
    assert first == Refund(3, State.FAILED, [], State.HELD, (1, 2), True, 7)
    assert second == Refund(4, State.HELD, [], None, (), True, 8)
    assert first.state is State.FAILED
    assert first.before is State.HELD
    assert first.notes is not second.notes


async def test_a_row_with_a_value_that_the_enum_lacks_is_refused(tx: Tx) -> None:
    read = reader(Refund, COLUMNS, without=WITHOUT, lines=_lines)
    row = await Statement(
        "row", "SELECT 7 AS amount_minor, NULL AS before, NULL AS lines, 3 AS refund_id, 'lost' AS state"
    ).fetchrow(tx)
    assert row is not None
    with pytest.raises(ValueError, match="'lost' is not a valid State"):
        read(row)


@pytest.mark.parametrize(
    ("columns", "without", "complaint"),
    [
        (COLUMNS[1:], WITHOUT, "amount_minor is not both"),
        ((*COLUMNS, "currency"), WITHOUT, "currency is not both"),
        (COLUMNS, ("notes",), "shown is not both"),
        (COLUMNS, (*WITHOUT, "fee"), "fee is not both"),
        (COLUMNS, (*WITHOUT, "lines"), "lines is not both"),
        (COLUMNS[:4], (*WITHOUT, "state"), "state is no column and has no default"),
    ],
)
def test_fields_and_columns_that_differ_are_refused(
    columns: tuple[str, ...], without: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        reader(Refund, columns, without=without)


def test_a_converter_of_no_column_is_refused() -> None:
    converters: dict[str, Callable[[object], object]] = {"notes": str}
    with pytest.raises(ValueError, match="notes is converted, but no column"):
        reader(Refund, COLUMNS, without=WITHOUT, **converters)


def test_a_dataclass_that_takes_no_positions_is_refused() -> None:
    @dataclass(kw_only=True)
    class Named:
        """Fields by keyword only."""

        one: int
        two: int

    with pytest.raises(ValueError, match="may be given by position"):
        reader(Named, ("one", "two"))
