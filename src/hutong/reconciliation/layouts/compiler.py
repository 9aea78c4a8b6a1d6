"""From a layout to the expressions of DuckDB that read its rows the quick way.

They accept the usual form of each value alone: everything else is left to the reader of single rows. Amounts never
become floats: they are cast to decimals, which must give the same text again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from hutong import money
from hutong.reconciliation.duck import literal
from hutong.reconciliation.layouts.characters import as_bytes, plain_texts
from hutong.reconciliation.layouts.expressions import (
    condition_of,
    is_among,
    minus_zone,
    state_of,
    strict_time,
    sum_of,
    terms_of,
    to_minor,
)
from hutong.reconciliation.layouts.formula import Sum, SumCondition
from hutong.reconciliation.layouts.model import MONEY, Column, Kind, Layout, TotalCheck, offset
from hutong.reconciliation.layouts.reader import NEAR, amount_pattern
from hutong.reconciliation.model import RowKind

_WHOLE_MAX = 18
_USUAL = ("CNY", "USD", "EUR")
"""Currencies that are looked for first."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The expressions of a layout, in layers: each may use the names of those before it.

    Attributes:
        texts: By name, the texts of the columns, from the values `c0`, `c1`, …
        amounts: The columns of amounts in the units of sums, and those of times; NULL where the form is not the usual.
        outputs: The columns of rows but `file` and `line`; `u_` with a money column's name is it in units.
        valid: Whether the quick way can read the row.
        plain: Whether the part of each total that such a row has follows from the columns of the row.
        claims: By total and kind of row, the sum of money columns that is its part; None where there is none.
    """

    texts: Mapping[str, str]
    amounts: Mapping[str, str]
    kind: str
    factor: str
    units: Mapping[str, str]
    outputs: Mapping[str, str]
    valid: str
    plain: str
    claims: Mapping[str, Mapping[RowKind, Sum]] | None

    def rows(self, source: str, columns: str, extra: Sequence[str] = ()) -> str:
        """Return the query of all rows of a source, numbered in its order as `line`.

        The numbers are given last: a condition on the rows is then not moved below them, where the expressions would
        be computed again for each use.

        Args:
            columns: What is selected, from the columns of all layers.
            extra: Values of the source that the expressions use, besides the texts.
        """
        texts = ", ".join([f"{sql} AS {name}" for name, sql in self.texts.items()] + list(extra))
        amounts = "".join(f", {sql} AS {name}" for name, sql in self.amounts.items())
        units = "".join(f", {sql} AS u_{name}" for name, sql in self.units.items())
        first = f"(FROM {source} SELECT {texts})"
        second = f"(FROM {first} SELECT *{amounts}, {self.kind} AS k)"
        layers = f"(FROM {second} SELECT *, {self.factor} AS f{units})"
        return f"(FROM (FROM {layers} SELECT {columns}) SELECT *, row_number() OVER () AS line)"


class _Compiler:
    def __init__(
        self, layout: Layout, places: Mapping[str, int], day: date, merchant: str | None, *, in_bytes: bool
    ) -> None:
        self._in_bytes = in_bytes
        self._layout = layout
        self._places = places
        self._day = day
        self._merchant = merchant
        self._kinds = layout.resolved
        self._used = layout.used

    def compile(self) -> Compiled:
        texts = {f"t_{name}": self._text(name) for name in self._used}
        amounts = {}
        for name in self._used:
            column = self._layout.columns[name]
            if column.form == "amount":
                amounts[f"a_{name}"] = self._amount(name, column)
            elif column.form == "time":
                amounts[f"d_{name}"] = self._time(name, column)
        units = {name: self._per_kind([sum_of(kind.sum(name)) for kind in self._kinds]) for name in MONEY}
        claims = self._claims()
        plain = "false" if claims is None else " AND ".join(self._residuals(claims)) or "true"
        rest = {"kind": self._kind(), "factor": self._factor_of(), "valid": self._valid(), "plain": plain}
        kind, factor, valid, plain = self._encoded(rest).values()
        outputs = self._encoded(self._outputs())
        return Compiled(self._encoded(texts), amounts, kind, factor, units, outputs, valid, plain, claims)

    def _encoded(self, expressions: Mapping[str, str]) -> dict[str, str]:
        return as_bytes(self._layout, expressions) if self._in_bytes else dict(expressions)

    def _text(self, name: str) -> str:
        column, text = self._layout.columns[name], self._layout.text
        if name not in self._places:
            return "''"
        place = self._places[name]
        sql = f"c{place}"
        if place == 0 and text.prefix:
            sql = f"substr(c0, {len(text.prefix) + 1})"
        if text.strip and self._layout.form in ("fixed", "json"):  # other files' values are spooled without blanks
            sql = f"trim({sql}, {literal(' ' + chr(9))})"
        if column.absent:
            sql = f"(CASE WHEN {is_among(sql, column.absent)} THEN '' ELSE {sql} END)"
        for pattern, replacement in column.rewrite:
            sql = f"regexp_replace({sql}, {literal(pattern)}, {literal(replacement)}, 'g')"
        return f"upper({sql})" if column.upper else sql

    def _amount(self, name: str, column: Column) -> str:
        """Return an amount in units of sums; NULL where its form is not the usual one."""
        text, decimals = f"t_{name}", self._layout.decimals
        if column.written is not None and not (column.letters or column.thousands or column.mark != "."):
            whole = _WHOLE_MAX - column.written
            cast = f"TRY_CAST({text} AS DECIMAL({whole}, {column.written}))"
            scaled = f"CAST({cast} * {10**column.written}::DECIMAL({column.written + 1}, 0) AS BIGINT)"
            more = f" * {10 ** (decimals - column.written)}" if decimals > column.written else ""
            nothing = "0" + ("." + "0" * column.written if column.written else "")
            sql = f"CASE WHEN {text} = '{nothing}' THEN 0 WHEN CAST({cast} AS VARCHAR) = {text} THEN {scaled}{more} END"
        else:
            digits = text
            sign = ""
            if column.letters:
                digits = f"substr({text}, 2)"
                cases = " ".join(f"WHEN {literal(letter)} THEN {factor}" for letter, factor in column.letters.items())
                sign = f"(CASE {text}[1] {cases} END) * "
            if column.thousands:
                digits = f"replace({digits}, {literal(column.thousands)}, '')"
            if column.mark != ".":
                digits = f"replace({digits}, {literal(column.mark)}, '.')"
            power = f"{10**decimals}::DECIMAL({decimals + 1}, 0)"
            cast = f"CAST(TRY_CAST({digits} AS DECIMAL(24, {column.decimals})) * {power} AS BIGINT)"
            sql = f"CASE WHEN regexp_full_match({text}, {literal(amount_pattern(column))}) THEN {sign}{cast} END"
        if column.blank or not column.required:
            sql = f"CASE WHEN {text} = '' THEN 0 ELSE {sql} END"
        return sql

    def _time(self, name: str, column: Column) -> str:
        """Return a time in UTC; NULL where its form is not the usual one."""
        text = f"t_{name}"
        if column.format == "epoch":
            instant = f"make_timestamp({text}::BIGINT * 1000000)"
            return f"CASE WHEN regexp_full_match({text}, '[0-9]{{1,11}}') THEN {instant} END"
        if column.format == "MMDDhhmmss":
            return self._near(text) + minus_zone(self._layout.zone)
        if column.format.endswith("%z"):
            local = column.format.removesuffix("%z")
            length = len(datetime(2000, 1, 1, tzinfo=None).strftime(local))  # noqa: DTZ001
            sign = f"(CASE {text}[{length + 1}] WHEN '+' THEN 1 WHEN '-' THEN -1 END)"
            hours, minutes = f"{text}[{length + 2}:{length + 3}]::BIGINT", f"{text}[{length + 5}:{length + 6}]::BIGINT"
            return (
                f"CASE WHEN regexp_full_match({text}[{length + 1}:], '[-+][0-9]{{2}}:[0-9]{{2}}') THEN "
                f"{strict_time(f'{text}[:{length}]', local)} - to_minutes({sign} * ({hours} * 60 + {minutes})) END"
            )
        read = strict_time(text, column.format)
        if column.zone_column is None:
            return read + minus_zone(self._layout.zone)
        cases = " ".join(
            f"WHEN {literal(zone)} THEN {int(offset(each).total_seconds()) // 60}"
            for zone, each in column.zones.items()
        )
        return f"{read} - to_minutes(CASE t_{column.zone_column} {cases} END)"

    def _near(self, text: str) -> str:
        """Return a time without a year as the one near the file's day."""
        noon = datetime.combine(self._day, time(12))
        low, high = (f"TIMESTAMP {literal(str(noon + distance))}" for distance in NEAR)
        years = [
            f"CASE WHEN x > {low} AND x < {high} THEN x END".replace(
                "x", f"try_strptime('{self._day.year + shift:04d}' || {text}, '%Y%m%d%H%M%S')"
            )
            for shift in (0, -1, 1)
        ]
        return f"(CASE WHEN regexp_full_match({text}, '[0-9]{{10}}') THEN coalesce({', '.join(years)}) END)"

    def _kind(self) -> str:
        cases = " ".join(f"WHEN {self._holds(kind)} THEN {place}" for place, kind in enumerate(self._kinds))
        return f"CASE {cases} END"

    def _holds(self, kind: Kind) -> str:
        parts = [condition_of(each) for each in kind.all]
        if kind.any:
            parts.append("(" + " OR ".join(condition_of(each) for each in kind.any) + ")")
        return " AND ".join(parts) or "true"

    def _per_kind(self, each: Sequence[str]) -> str:
        """Return an expression that depends on the kind of a row."""
        if len(set(each)) == 1:
            return each[0]
        cases = " ".join(f"WHEN {place} THEN {sql}" for place, sql in enumerate(each[:-1]))
        return f"CASE k {cases} ELSE {each[-1]} END"

    def _first(self, names: Sequence[str]) -> str:
        columns = [f"t_{name}" for name in names]
        if len(columns) < 2:
            return columns[0] if columns else "''"
        given = ", ".join(f"nullif({column}, '')" for column in columns)
        return f"coalesce({given}, '')"

    def _currency(self) -> str:
        return self._per_kind(
            [
                self._first(kind.currency) if kind.currency else literal(self._layout.currency or "")
                for kind in self._kinds
            ]
        )

    def _factor(self) -> str:
        """Return how many units of sums are a minor unit: a number, or the column with it."""
        factor = self._factor_of()
        return factor if factor.isdigit() else "f"

    def _factor_of(self) -> str:
        """Return how many units of sums are a minor unit; NULL for a currency that is not known."""
        if all(not kind.currency for kind in self._kinds) and self._layout.currency:
            return str(self._layout.factor(self._layout.currency))
        by_factor: dict[int, list[str]] = {}
        for code in money.codes():
            by_factor.setdefault(self._layout.factor(code), []).append(code)
        ordered, currency = sorted(by_factor.items(), key=lambda each: -len(each[1])), self._currency()
        usual = [(factor, [code for code in _USUAL if code in codes]) for factor, codes in ordered]
        cases = " ".join(
            f"WHEN {is_among(currency, codes)} THEN {factor}" for factor, codes in (*usual, *ordered) if codes
        )
        return f"(CASE {cases} END)"

    def _outputs(self) -> dict[str, str]:
        kinds = self._kinds
        outputs = {
            "kind": self._per_kind([literal(kind.kind.value) for kind in kinds]),
            "key": self._per_kind([self._first(kind.key or ()) for kind in kinds]),
            "channel_no": self._per_kind([self._first(kind.channel_no or ()) for kind in kinds]),
            "original_key": self._per_kind([self._first(kind.original_key or ()) for kind in kinds]),
            "merchant": self._merchant_of(),
            "day": self._per_kind([self._day_of(kind.day) for kind in kinds]),
            "at": self._per_kind([f"d_{kind.at}" if kind.at else "NULL::TIMESTAMP" for kind in kinds]),
            "currency": self._currency(),
        }
        for name in MONEY:
            rounded = any(self._layout.columns[each].rounded for kind in kinds for each in kind.sum(name) or ())
            outputs[name] = to_minor(f"u_{name}", self._factor(), rounded=rounded)
        outputs["state"] = self._per_kind([state_of(kind) for kind in kinds])
        outputs["batch"] = self._per_kind([self._first(kind.batch or ()) for kind in kinds])
        none = "NULL::DATE"
        outputs["settle_day"] = self._per_kind(
            [self._day_of(kind.settle_day) if kind.settle_day else none for kind in kinds]
        )
        outputs["memo"] = self._per_kind([self._first(kind.memo or ()) for kind in kinds])
        outputs["reference"] = "''"
        return outputs

    def _merchant_of(self) -> str:
        named = any(name in self._places for name in self._layout.merchant)
        return self._first(self._layout.merchant) if named else literal(self._merchant or "")

    def _day_of(self, name: str | None) -> str:
        if name is None:
            return f"DATE {literal(self._day.isoformat())}"
        minutes = int(offset(self._layout.zone).total_seconds()) // 60
        column = self._layout.columns[name]
        if column.zone_column is None:
            return f"CAST(d_{name} + to_minutes({minutes}) AS DATE)"
        cases = " ".join(
            f"WHEN {literal(zone)} THEN {int(offset(each).total_seconds()) // 60}"
            for zone, each in column.zones.items()
        )
        return f"CAST(d_{name} + to_minutes(CASE t_{column.zone_column} {cases} END) AS DATE)"

    def _valid(self) -> str:
        parts = ["k IS NOT NULL", *(plain_texts(self._layout) if self._in_bytes else ())]
        if self._layout.text.prefix:
            parts.append(f"starts_with(c0, {literal(self._layout.text.prefix)})")
        if any(name in self._places for name in self._layout.merchant):
            parts.append(f"{self._first(self._layout.merchant)} = {literal(self._merchant or '')}")
        if self._layout.frame.within:
            parts.append(f"{self._day_of(self._layout.frame.within)} = {self._day_of(None)}")
        factor = self._factor()
        if not factor.isdigit():
            parts.append(f"{factor} IS NOT NULL")
        for name in MONEY:
            if all(kind.sum(name) is None for kind in self._kinds):
                continue
            with_fee = [f"u_{name} IS NOT NULL" if kind.sum(name) is not None else "true" for kind in self._kinds]
            parts.append(self._per_kind(with_fee))
            if factor != "1" and not self._rounds(name):
                parts.append(f"coalesce(u_{name} % {factor} = 0, true)")
        parts += [f"a_{check.sum} IS NOT NULL" for check in self._layout.checks if check.sum]
        needed = [
            " AND ".join(f"{self._present(each)}" for each in (kind.at, kind.day, kind.settle_day) if each) or "true"
            for kind in self._kinds
        ]
        parts.append(self._per_kind([f"({each})" for each in needed]))
        parts.append(self._per_kind([self._comparisons(kind.comparisons) for kind in self._kinds]))
        return " AND ".join(dict.fromkeys(f"({part})" for part in parts if part not in ("true", "(true)")))

    def _present(self, name: str) -> str:
        return f"d_{name} IS NOT NULL" if self._layout.columns[name].required else (
            f"(d_{name} IS NOT NULL OR t_{name} = '')"
        )  # fmt: skip

    def _rounds(self, name: str) -> bool:
        return any(self._layout.columns[each].rounded for kind in self._kinds for each in kind.sum(name) or ())

    def _comparisons(self, comparisons: Sequence[SumCondition]) -> str:
        parts = []
        for each in comparisons:
            terms = {(f"u_{name}" if name in MONEY else f"a_{name}"): count for name, count in each.terms.items()}
            parts.append(f"coalesce({terms_of(terms)} {each.operator} 0, false)")
        return " AND ".join(parts) or "true"

    def _claims(self) -> dict[str, dict[RowKind, Sum]] | None:
        """Return from which money columns the totals follow; None where one does not."""
        claims: dict[str, dict[RowKind, Sum]] = {}
        for check in self._layout.checks:
            if check.by is not None:
                return None
            found: dict[RowKind, Sum] = {}
            for kind in self._kinds:
                claim = _claim(check, kind)
                if found.setdefault(kind.kind, claim) != claim:
                    return None
            claims[check.total] = found
        return claims

    def _residuals(self, claims: Mapping[str, Mapping[RowKind, Sum]]) -> list[str]:
        """Return the conditions under which a row's part of each total is what is claimed of it."""
        conditions: list[str] = []
        for check in self._layout.checks:
            if check.sum is None:
                continue
            each = []
            for kind in self._kinds:
                claim = claims[check.total][kind.kind]
                counts = not check.kinds or kind.kind in check.kinds
                parts = [f"a_{check.sum} = 0"] if counts and not claim else []
                parts += [f"u_{name} % {self._factor()} = 0" for name in claim if self._rounds(name)]
                each.append("(" + (" AND ".join(parts) or "true") + ")")
            conditions.append(self._per_kind(each))
        return [f"({each})" for each in dict.fromkeys(conditions) if each != "(true)"]


def _claim(check: TotalCheck, kind: Kind) -> Sum:
    """Return the sum of money columns that is equal to a row's part of a total; empty where none is."""
    if check.sum is None or (check.kinds and kind.kind not in check.kinds):
        return {}
    sums = {name: kind.sum(name) or {} for name in MONEY}
    wanted = {check.sum: 1}
    singles = [{name: sign} for name in MONEY for sign in (1, -1)]
    pairs = [{left: 1, right: -1} for left in MONEY for right in MONEY if left != right]
    for candidate in (*singles, *pairs):
        terms: dict[str, int] = {}
        for name, count in candidate.items():
            for column, factor in sums[name].items():
                terms[column] = terms.get(column, 0) + count * factor
        if {column: count for column, count in terms.items() if count} == wanted:
            return candidate
    return {}


def compile_layout(
    layout: Layout, places: Mapping[str, int], day: date, merchant: str | None, *, in_bytes: bool = False
) -> Compiled:
    """Return the expressions that read a file.

    Args:
        places: Where the layout's columns stand.
        merchant: The merchant's number that every row must name.
        in_bytes: Whether each byte of the lines is a character.
    """
    return _Compiler(layout, places, day, merchant, in_bytes=in_bytes).compile()
