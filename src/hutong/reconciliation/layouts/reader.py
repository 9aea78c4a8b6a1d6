"""The exact way to read one row: for the rows that the quick way leaves, and for what it must be equal to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations_with_replacement, islice
from typing import Any

from hutong.channels import BillRefused
from hutong.errors import InvalidParameter
from hutong.reconciliation.layouts.model import Column, Kind, Layout, offset
from hutong.reconciliation.model import RowState

MINOR_MAX = 2**63 - 1
_SURPLUS_MAX = 12
NEAR = (timedelta(days=-40), timedelta(days=2))
"""How far from noon of the file's day a time without a year may be."""


class NotThisFile(Exception):
    """A row is of another merchant or day: the file is refused whole. Never leaves this package."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class RowReader:
    """Reads rows of a layout.

    Attributes:
        merchant: The merchant's number of all rows; None until the first row names it.
    """

    def __init__(self, layout: Layout, places: Mapping[str, int], day: date, merchant: str | None) -> None:
        self.layout = layout
        self.places = places
        self.day = day
        self.merchant = merchant

    def texts(self, values: Sequence[str]) -> dict[str, str]:
        """Return the texts of a row by the layout's names."""
        return {
            name: to_text(column, values[self.places[name]]) if name in self.places else ""
            for name, column in self.layout.columns.items()
        }

    def amount(self, name: str, texts: Mapping[str, str]) -> int:
        """Return an amount in the units of the layout's sums.

        Errors:
            BillRefused: it cannot be read.
        """
        return to_units(self.layout.columns[name], texts[name], self.layout.decimals, name)

    def is_typed(self, texts: Mapping[str, str]) -> bool:
        """Return whether every amount and every time of a row can be read."""
        try:
            for name, column in self.layout.columns.items():
                if column.form == "amount" and (texts[name] or column.required):
                    self.amount(name, texts)
                elif column.form == "time" and texts[name]:
                    self.instant(name, texts)
        except BillRefused:
            return False
        return True

    def parts(self, texts: Mapping[str, str]) -> dict[str, int]:
        """Return what a row adds to the file's totals.

        Errors:
            BillRefused: that is not certain.
        """
        kind = self.kind(texts)
        return {
            check.total: 0
            if check.kinds and (kind is None or kind.kind not in check.kinds)
            else 1
            if check.sum is None
            else self.amount(check.sum, texts)
            for check in self.layout.checks
        }

    def kind(self, texts: Mapping[str, str]) -> Kind | None:
        """Return the kind of a row; None if it is of none."""
        return next((kind for kind in self.layout.resolved if kind.holds_for(dict(texts))), None)

    def check(self, texts: Mapping[str, str]) -> None:
        """Check that a row belongs to this file.

        Errors:
            NotThisFile: it is of another merchant or another day.
        """
        merchant = first(texts, self.layout.merchant)
        if self.merchant is None and merchant:
            self.merchant = merchant
        if any(name in self.places for name in self.layout.merchant) and merchant != self.merchant:
            raise NotThisFile("a row belongs to another merchant")
        within = self.layout.frame.within
        if within is not None and self._date(within, texts) != self.day:
            raise NotThisFile("a row belongs to another day")

    def row(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the row, without the columns `file` and `line`.

        Errors:
            NotThisFile, BillRefused.
        """
        self.check(texts)
        kind = self.kind(texts)
        if kind is None:
            raise BillRefused("it is of no kind that the layout names")
        currency = first(texts, kind.currency or ()) or self.layout.currency or ""
        sums = self._money(kind, texts, currency)
        at = None if kind.at is None else self.instant(kind.at, texts)
        return {
            "kind": kind.kind.value,
            "key": first(texts, kind.key or ()),
            "channel_no": first(texts, kind.channel_no or ()),
            "original_key": first(texts, kind.original_key or ()),
            "merchant": first(texts, self.layout.merchant) or self.merchant or "",
            "day": self.day if kind.day is None else self._date(kind.day, texts),
            "at": at,
            "currency": currency,
            **sums,
            "state": self._state(kind, texts),
            "batch": first(texts, kind.batch or ()),
            "settle_day": None if kind.settle_day is None else self._date(kind.settle_day, texts),
            "memo": first(texts, kind.memo or ()),
            "reference": "",
        }

    def _money(self, kind: Kind, texts: Mapping[str, str], currency: str) -> dict[str, int | None]:
        try:
            factor = self.layout.factor(currency)
        except InvalidParameter:
            raise BillRefused("its currency is not known") from None
        units: dict[str, int] = {}
        result: dict[str, int | None] = {}
        for name in ("ordered", "paid", "settled", "fee"):
            terms = kind.sum(name)
            if terms is None:
                result[name] = None
                continue
            units[name] = sum(count * self.amount(column, texts) for column, count in terms.items())
            rounded = any(self.layout.columns[column].rounded for column in terms)
            result[name] = to_minor(units[name], factor, rounded=rounded)
        for comparison in kind.comparisons:
            value = sum(
                count * (units[name] if name in units else self.amount(name, texts))
                for name, count in comparison.terms.items()
            )
            if not comparison.holds(value):
                raise BillRefused("its sums contradict each other, or have the wrong sign")
        return result

    def _state(self, kind: Kind, texts: Mapping[str, str]) -> str:
        otherwise = kind.otherwise or RowState.SUCCEEDED
        return (otherwise if kind.state is None else (kind.states or {}).get(texts[kind.state], otherwise)).value

    def instant(self, name: str, texts: Mapping[str, str]) -> datetime | None:
        """Return a time in UTC, without a zone; None for an empty text of a column that is not required.

        Errors:
            BillRefused: it cannot be read.
        """
        column, text = self.layout.columns[name], texts[name]
        if not text and not column.required:
            return None
        try:
            read = _read_time(column.format, text, self.day)
            if read.tzinfo is not None:
                return read.astimezone(UTC).replace(tzinfo=None)
            zone = self.layout.zone if column.zone_column is None else column.zones[texts[column.zone_column]]
            return read - offset(zone)
        except (ValueError, KeyError, OverflowError):
            raise BillRefused(f"its time `{name}` cannot be read") from None

    def _date(self, name: str, texts: Mapping[str, str]) -> date | None:
        instant = self.instant(name, texts)
        if instant is None:
            return None
        column = self.layout.columns[name]
        zone = self.layout.zone if column.zone_column is None else column.zones[texts[column.zone_column]]
        return (instant + offset(zone)).date()


def _read_time(format_: str, text: str, day: date) -> datetime:
    if format_ == "epoch":
        if not re.fullmatch("[0-9]{1,11}", text):
            raise ValueError(text)
        return datetime.fromtimestamp(int(text), UTC)
    if format_ != "MMDDhhmmss":
        return datetime.strptime(text, format_)  # noqa: DTZ007 (the layout states the zone)
    if not re.fullmatch("[0-9]{10}", text):
        raise ValueError(text)
    noon = datetime.combine(day, time(12))
    for year in (day.year, day.year - 1, day.year + 1):
        try:
            read = datetime.strptime(f"{year}{text}", "%Y%m%d%H%M%S")  # noqa: DTZ007
        except ValueError:
            continue  # no such day in this year
        if NEAR[0] < read - noon < NEAR[1]:
            return read
    raise ValueError(text)


def regrouped(values: Sequence[str], width: int, free: Sequence[int], separator: str) -> Iterator[list[str]]:
    """Yield the ways to read a row whose free texts hold separators, so that it has too many values.

    Args:
        free: The places of free texts.
    """
    surplus = len(values) - width
    if not 0 < surplus <= _SURPLUS_MAX:
        return
    for chosen in combinations_with_replacement(free, surplus):
        rest = iter(values)
        yield [separator.join(islice(rest, 1 + chosen.count(place))) for place in range(width)]


def first(texts: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the first text of some columns that is not empty."""
    return next((texts[name] for name in names if texts[name]), "")


def to_text(column: Column, value: str) -> str:
    """Return a value as the layout reads it."""
    if value in column.absent:
        return ""
    for pattern, replacement in column.rewrite:
        value = re.sub(pattern, replacement, value)
    return value.upper() if column.upper else value


def amount_pattern(column: Column) -> str:
    """Return the pattern of an amount, in the form that Python and DuckDB share."""
    if column.digits is not None:
        digits = f"[0-9]{{{column.digits}}}"
    elif column.thousands:
        digits = f"([0-9]{{1,14}}|[0-9]{{1,3}}(\\{column.thousands}[0-9]{{3}}){{1,4}})"
    else:
        digits = "[0-9]{1,14}"
    fraction = f"(\\{column.mark}[0-9]{{1,{column.decimals}}})?" if column.decimals else ""
    sign = f"[{''.join(column.letters)}]" if column.letters else "[-+]?"
    return f"{sign}{digits}{fraction}"


def to_units(column: Column, text: str, decimals: int, name: str) -> int:
    """Return an amount in units of the given number of decimals.

    Errors:
        BillRefused: it cannot be read.
    """
    if text == "" and (column.blank or not column.required):
        return 0
    if not re.fullmatch(amount_pattern(column), text):
        raise BillRefused(f"its amount `{name}` cannot be read")
    sign = column.letters.get(text[0], -1 if text[0] == "-" else 1)
    digits = text.lstrip("+-" + "".join(column.letters))
    if column.thousands:
        digits = digits.replace(column.thousands, "")
    whole, _, fraction = digits.partition(column.mark)
    return sign * int(whole + fraction.ljust(decimals, "0"))


def to_minor(units: int, factor: int, *, rounded: bool) -> int:
    """Return a sum in minor units.

    Errors:
        BillRefused: it has a part of a minor unit, and is not to be rounded; or is too large.
    """
    if units % factor and not rounded:
        raise BillRefused("an amount has a part of a minor unit")
    minor = (abs(units) * 2 + factor) // (2 * factor) if rounded else abs(units) // factor
    if minor > MINOR_MAX:
        raise BillRefused("an amount is too large")
    return -minor if units < 0 else minor
