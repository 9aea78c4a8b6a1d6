"""A layout: how files of one kind are read, as data.

A layout names the columns of a file, once by the file's names and once by short names of its own; the rows' kinds, each
with its conditions; and what each column of `ROW_COLUMNS` is, as a column or as a sum of columns with signs.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hutong import money
from hutong.reconciliation.layouts.formula import Sum, SumCondition, parse
from hutong.reconciliation.model import FileSource, RowKind, RowState

Name = Annotated[str, Field(pattern="^[a-z][a-z_]*$", max_length=64)]
Names = tuple[str, ...]
Zone = Annotated[str, Field(pattern=r"^[+-][0-9]{2}:[0-9]{2}$")]
EXCEPTIONS_MAX = 1_000
"""A file with more rows that cannot be read is not of its layout."""
MONEY = ("ordered", "paid", "settled", "fee")


def offset(zone: str) -> timedelta:
    """Return the offset of a zone such as "+08:00"."""
    return timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6])) * (-1 if zone[0] == "-" else 1)


def power(decimals: int) -> int:
    """Return ten to the power of a number of decimals."""
    return int("1".ljust(decimals + 1, "0"))


class _Data(BaseModel):
    """A part of a layout: unknown entries are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Data):
    """One column of the file.

    Attributes:
        header: Its names in the header; the first that the header has counts.
        position: Its place from 1, in files without a header.
        width: Of a fixed-width file: its bytes; columns follow each other, with `text.gap` bytes between them.
        path: In JSON: where it is, such as "source.id" or "fees[type=tax].amount"; the first that exists counts.
        form: Text, an amount, or a time (also of a date).
        required: Whether a header without it is refused; otherwise it is empty.
        free: Free text, which may hold the separator.
        absent: Texts that mean that there is nothing.
        rewrite: Patterns and what replaces them, one after another.
        upper: Whether it is put into capital letters.
        decimals: The most decimals of an amount.
        written: The number of decimals that it is usually written with, which is the quick way to read it.
        rounded: Whether a part of a minor unit is rounded, half away from zero; otherwise it is refused.
        letters: The sign that a leading letter stands for.
        digits: The exact number of digits.
        mark, thousands: The decimal mark, and what separates thousands.
        blank: Whether an empty amount is zero.
        format: Of a time: as `strptime` has it, "epoch" for seconds since 1970, or "MMDDhhmmss" without a year.
        zones: By the text of `zone_column`, the zone of the row's time.
    """

    header: Names = ()
    position: Annotated[int, Field(ge=1)] | None = None
    width: Annotated[int, Field(ge=1)] | None = None
    path: Names = ()
    form: Literal["text", "amount", "time"] = "text"
    required: bool = True
    free: bool = False
    absent: Names = ()
    rewrite: tuple[tuple[str, str], ...] = ()
    upper: bool = False
    decimals: Annotated[int, Field(ge=0, le=8)] = 2
    written: Annotated[int, Field(ge=0, le=8)] | None = None
    rounded: bool = False
    letters: dict[str, Literal[1, -1]] = {}
    digits: Annotated[int, Field(ge=1, le=18)] | None = None
    mark: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    blank: bool = False
    format: str = "%Y-%m-%d %H:%M:%S"
    zone_column: str | None = None
    zones: dict[str, Zone] = {}

    @field_validator("header", "path", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Condition(_Data):
    """A condition on one column.

    Attributes:
        among: The texts that satisfy it.
        starts: The beginning of the texts that satisfy it.
        present: Whether the column must have a text, or must have none.
        differs: Another column whose text must not be the same.
    """

    column: str
    among: Names | None = None
    starts: str | None = None
    present: bool | None = None
    differs: str | None = None

    def holds(self, texts: dict[str, str]) -> bool:
        """Return whether a row satisfies it."""
        text = texts[self.column]
        return (
            (self.among is None or text in self.among)
            and (self.starts is None or text.startswith(self.starts))
            and (self.present is None or (text != "") is self.present)
            and (self.differs is None or text != texts[self.differs])
        )


class Row(_Data):
    """What the columns of a row are; in a kind, only what is different from the layout's own.

    Attributes:
        key, channel_no, original_key, batch, memo, currency: Columns, of which the first that is not empty counts.
        ordered, paid, settled, fee: Sums of amounts; no fee is "none".
        at, day, settle_day: Columns of times. Without `day` it is the day of the file.
        state, states, otherwise: A column, the state that each of its texts means, and that of all other texts.
        holds: Comparisons of sums that a row must satisfy; ordered, paid, settled and fee are those of the row.
    """

    key: Names | None = None
    channel_no: Names | None = None
    original_key: Names | None = None
    batch: Names | None = None
    memo: Names | None = None
    currency: Names | None = None
    ordered: str | None = None
    paid: str | None = None
    settled: str | None = None
    fee: str | None = None
    at: str | None = None
    day: str | None = None
    settle_day: str | None = None
    state: str | None = None
    states: dict[str, RowState] | None = None
    otherwise: RowState | None = None
    holds: Names | None = None

    @field_validator("key", "channel_no", "original_key", "batch", "memo", "currency", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return ((value,) if value else ()) if isinstance(value, str) else value

    def sum(self, name: str) -> Sum | None:
        """Return a money column as a sum; None if rows have none."""
        text = getattr(self, name)
        return None if text == "none" else parse(text)

    @cached_property
    def comparisons(self) -> tuple[SumCondition, ...]:
        """The comparisons that a row must satisfy."""
        return tuple(SumCondition.parse(text) for text in self.holds or ())


class Kind(Row):
    """The rows of one kind: those that satisfy all of `all`, and one of `any` if there are some."""

    kind: RowKind
    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()

    def holds_for(self, texts: dict[str, str]) -> bool:
        """Return whether a row is of this kind."""
        return all(each.holds(texts) for each in self.all) and (
            not self.any or any(each.holds(texts) for each in self.any)
        )


class Text(_Data):
    """The characters of a file.

    Attributes:
        bom: Whether it must begin with a byte order mark; one is always read over.
        separator: Between values; may hold characters that stand before each value.
        prefix: Characters before the first value of a row.
        quoted: Whether values may stand in double quotes.
        line_end: "crlf" alone, or "any".
        strip: Whether blanks and tabs around values are read over.
        gap: Bytes between the columns of a fixed-width file.
        row_start: A pattern with which each row begins; lines without it continue the row before them.
    """

    encoding: Literal["utf-8", "gbk", "gb18030", "ascii"] = "utf-8"
    bom: bool = False
    separator: Annotated[str, Field(min_length=1, max_length=4)] = ","
    prefix: str = ""
    quoted: bool = False
    line_end: Literal["crlf", "any"] = "any"
    strip: bool = False
    gap: Annotated[int, Field(ge=0, le=1)] = 0
    row_start: str = ""


class Frame(_Data):
    """The lines around the rows.

    Attributes:
        before: Patterns of the lines before the header, in order. `<day:%Y-%m-%d>` and `<next:%Y-%m-%d>` stand for the
            day of the file and the day after it. The groups `merchant` and `day` are read.
        header: Whether a line of column names follows.
        after: Patterns of the last lines; their groups are totals.
        table: Whether the last two lines are a header of totals and their values.
        totals: Of JSON lines: the object of the last line has this text in `object`.
        within: A time of each row that must be within the file's day, in the layout's zone.
    """

    before: Names = ()
    header: bool = True
    after: Names = ()
    table: bool = False
    totals: str = ""
    within: str | None = None


class TotalCheck(_Data):
    """A total of the file, and what it must be equal to.

    Attributes:
        total: Its name: of a group of a pattern, of a heading, or of a member of JSON.
        sum: The amount that is added up; the rows are counted without it.
        kinds: Only rows of these kinds count.
        by: The total is one of a table by this column.
    """

    total: str
    sum: str | None = None
    kinds: tuple[RowKind, ...] = ()
    by: str | None = None


class Summary(_Data):
    """A second file with totals.

    Attributes:
        before: Patterns of its first lines, as in `Frame`.
        line: The pattern of the line with the totals, which are its groups.
    """

    before: Names
    line: str


class Delivery(_Data):
    """How files come, and the limits for them.

    Attributes:
        member: A pattern of the names of a zip's members that hold rows; empty: they are known by their first line.
        extra: A pattern of the names of members that may be there and are not read.
        size_max: The most bytes of all files, unpacked.
        ratio_max: The most bytes for each byte packed, of files above a mebibyte.
        members_max: The most members of a zip.
    """

    member: str = ""
    extra: str = ""
    size_max: Annotated[int, Field(ge=1)] = 16 << 30
    ratio_max: Annotated[int, Field(ge=1)] = 200
    members_max: Annotated[int, Field(ge=1, le=64)] = 8


class Layout(_Data):
    """The layout of a kind of file.

    Attributes:
        currency: Of files whose rows do not name it.
        merchant: Columns of the merchant's number, of which the first that is not empty counts; rows of several
            merchants are refused.
        unit: Whether amounts are in major units (yuan) or minor ones (fen).
        units: How many of the file's minor units are one of ours, by currency.
        sources: Where the layout is published.
    """

    name: Name
    title: str
    title_zh: str
    sources: Names
    source: FileSource = FileSource.BILL
    form: Literal["csv", "fixed", "json", "xlsx"]
    zone: Zone = "+00:00"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    merchant: Names = ()
    unit: Literal["major", "minor"] = "major"
    units: dict[str, int] = {}
    delivery: Delivery = Delivery()
    text: Text = Text()
    frame: Frame = Frame()
    summary: Summary | None = None
    columns: dict[Name, Column]
    row: Row
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)]
    checks: tuple[TotalCheck, ...] = ()

    @field_validator("merchant", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_names(self) -> Layout:
        for kind in self.resolved:
            for name in ("ordered", "paid", "settled", "fee"):
                if getattr(kind, name) is None:
                    raise ValueError(f"kind {kind.kind} has no `{name}`")
                self._need(kind.sum(name) or (), amounts=True)
            for comparison in kind.comparisons:
                self._need(set(comparison.terms) - set(MONEY), amounts=True)
            for names in (kind.key, kind.channel_no, kind.original_key, kind.batch, kind.memo, kind.currency):
                self._need(names or ())
            self._need([each for each in (kind.at, kind.day, kind.settle_day) if each], times=True)
            self._need([kind.state] if kind.state else [])
            self._need([each.column for each in (*kind.all, *kind.any)])
            if not kind.currency and self.currency is None:
                raise ValueError(f"kind {kind.kind} has no `currency`")
        self._need(self.merchant)
        self._need([self.frame.within] if self.frame.within else [], times=True)
        self._need([check.sum for check in self.checks if check.sum], amounts=True)
        for column in self.columns.values():
            re.compile("|".join(pattern for pattern, _ in column.rewrite))
        return self

    def _need(self, names: object, *, amounts: bool = False, times: bool = False) -> None:
        for name in names:  # type: ignore[attr-defined]
            form = self.columns[name].form if name in self.columns else None
            if form is None or (amounts and form != "amount") or (times and form != "time"):
                raise ValueError(f"`{name}` is not {'an amount' if amounts else 'a time' if times else 'a column'}")

    @cached_property
    def resolved(self) -> tuple[Kind, ...]:
        """The kinds, each with what the layout has for all rows."""
        common = self.row.model_dump(exclude_none=True)
        return tuple(Kind.model_validate(common | kind.model_dump(exclude_none=True)) for kind in self.kinds)

    @cached_property
    def used(self) -> tuple[str, ...]:
        """The columns that are read, in the layout's order."""
        used: set[str] = {*self.merchant, *(check.sum or "" for check in self.checks)}
        used.update(check.by or "" for check in self.checks)
        for kind in self.resolved:
            for names in (kind.key, kind.channel_no, kind.original_key, kind.batch, kind.memo, kind.currency):
                used.update(names or ())
            used.update(each or "" for each in (kind.at, kind.day, kind.settle_day, kind.state, self.frame.within))
            for condition in (*kind.all, *kind.any):
                used.update((condition.column, condition.differs or ""))
            for name in MONEY:
                used.update(kind.sum(name) or ())
            for comparison in kind.comparisons:
                used.update(comparison.terms)
        used.update(self.columns[name].zone_column or "" for name in used & set(self.columns))
        return tuple(name for name in self.columns if name in used)

    @cached_property
    def decimals(self) -> int:
        """The decimals in which amounts are added up: the most that any column has, and any currency."""
        most = max((each.decimals for each in self.columns.values() if each.form == "amount"), default=0)
        if self.unit == "minor":
            return most
        return max(most, 3 if self.currency is None else money.currency(self.currency).exponent)

    def factor(self, currency: str) -> int:
        """Return how many units of the sums are one minor unit of a currency.

        Errors:
            InvalidParameter: there is no such currency.
        """
        exponent = money.currency(currency).exponent
        if self.unit == "minor":
            return power(self.decimals) * self.units.get(currency, 1)
        return power(self.decimals - exponent)
