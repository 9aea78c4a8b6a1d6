"""Expressions of DuckDB for the parts of a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hutong.reconciliation.duck import literal
from hutong.reconciliation.layouts.formula import Sum
from hutong.reconciliation.layouts.model import Condition, Kind, offset
from hutong.reconciliation.model import RowState

_USUAL_TIME = "%Y-%m-%d %H:%M:%S"


_IN_MAX = 4
_MARK = "\x1f"


def is_among(text: str, texts: Sequence[str]) -> str:
    """Return the condition that a text is one of several.

    Of a longer IN DuckDB makes a join, after which rows have lost their order and wait in memory for their numbers.
    """
    if len(texts) <= _IN_MAX:
        return f"{text} IN ({', '.join(literal(each) for each in texts)})"
    joined = literal("".join(f"{_MARK}{each}" for each in texts) + _MARK)
    mark = literal(_MARK)
    return f"(contains({joined}, {mark} || {text} || {mark}) AND NOT contains({text}, {mark}))"


def condition_of(each: Condition) -> str:
    """Return a condition on a column."""
    text, parts = f"t_{each.column}", []
    if each.among is not None:
        parts.append(is_among(text, each.among))
    if each.starts is not None:
        parts.append(f"starts_with({text}, {literal(each.starts)})")
    if each.present is not None:
        parts.append(f"{text} {'<>' if each.present else '='} ''")
    if each.differs is not None:
        parts.append(f"{text} <> t_{each.differs}")
    return "(" + (" AND ".join(parts) or "true") + ")"


def terms_of(terms: Mapping[str, int]) -> str:
    """Return a sum of columns."""
    parts = []
    for name, count in terms.items():
        times = f"{abs(count)} * " if abs(count) > 1 else ""
        parts.append(f"{'+' if count > 0 else '-'} {times}{name}")
    return " ".join(parts).removeprefix("+ ") or "0"


def sum_of(terms: Sum | None) -> str:
    """Return a sum of amounts in units."""
    return "NULL::BIGINT" if terms is None else terms_of({f"a_{name}": count for name, count in terms.items()})


def to_minor(units: str, factor: str, *, rounded: bool) -> str:
    """Return a sum in minor units."""
    if factor == "1":
        return units
    if rounded:
        return f"CAST(sign({units}) AS BIGINT) * ((abs({units}) * 2 + {factor}) // (2 * {factor}))"
    return f"{units} // {factor}"


def state_of(kind: Kind) -> str:
    """Return the state of a row of a kind."""
    otherwise = literal((kind.otherwise or RowState.SUCCEEDED).value)
    if kind.state is None or not kind.states:
        return otherwise
    cases = " ".join(f"WHEN {literal(text)} THEN {literal(state.value)}" for text, state in kind.states.items())
    return f"(CASE t_{kind.state} {cases} ELSE {otherwise} END)"


def strict_time(text: str, format_: str) -> str:
    """Return a local time, if it is written exactly as the format has it."""
    if format_ == _USUAL_TIME:
        return (
            f"CASE WHEN CAST(TRY_CAST({text} AS TIMESTAMP) AS VARCHAR) = {text} THEN TRY_CAST({text} AS TIMESTAMP) END"
        )
    read = f"try_strptime({text}, {literal(format_)})"
    return f"CASE WHEN strftime({read}, {literal(format_)}) = {text} THEN {read} END"


def minus_zone(zone: str) -> str:
    """Return what brings a local time to UTC."""
    minutes = int(offset(zone).total_seconds()) // 60
    return f" - to_minutes({minutes})" if minutes else ""
