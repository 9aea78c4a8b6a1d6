"""The figures of a day, from its run's results: what has matched, what differs, and how much money is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import KNOWN, Limits
from hutong.reconciliation.duck import connect, literal, literals
from hutong.reconciliation.layers import LayerDefinition, SideSource
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.model import DifferenceClass

_DIGITS = 12


@dataclass(frozen=True, slots=True)
class MatchedLine:
    """What has matched of one merchant, kind and currency. Amounts are signed; fees that we pay are above zero.

    Attributes:
        money_minor: What settles, without signs.
        content: A digest of all that the rows state, in any order; 0 if it was not asked for.
    """

    merchant: str
    layer: str
    kind: str
    currency: str
    count: int
    ordered_minor: int
    paid_minor: int
    settled_minor: int
    fee_minor: int
    money_minor: int
    content: int = 0


@dataclass(frozen=True, slots=True)
class DifferenceLine:
    """The differences of one merchant, layer, class and currency. Long and short are never netted.

    Attributes:
        merchant: Empty where neither side's row is of a known payment.
        money_minor: The money of their rows without signs.
    """

    merchant: str
    layer: str
    klass: str
    currency: str
    count: int
    long_minor: int
    short_minor: int
    money_minor: int


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The figures of an account's day, sorted."""

    matched: Sequence[MatchedLine]
    differences: Sequence[DifferenceLine]


def read_figures(folder: RunFolder, limits: Limits | None = None, *, with_content: bool = False) -> DayFigures:
    """Return the figures of a day that was run, of the layers that a party takes part in."""
    limits = limits or Limits()
    layers = [layer for layer in Manifest.read(folder.manifest).layers if _is_with_a_party(layer)]
    matched: list[MatchedLine] = []
    differences: list[DifferenceLine] = []
    with connect(folder.path, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        _name_merchants(duck, folder, [folder.differences(layer.layer) for layer in layers])
        content = content_of(
            "key, reference, kind, theirs_day, currency, ordered, paid, settled, fee, batch, settle_day"
        )
        for layer in layers:
            rows = duck.execute(
                f"FROM read_parquet({literal(folder.matched(layer.layer))}) SELECT merchant, kind, currency, count(*), "
                "sum(ordered)::BIGINT, sum(paid)::BIGINT, sum(settled)::BIGINT, coalesce(sum(fee), 0)::BIGINT, "
                f"sum(abs(settled))::BIGINT{f', {content}' if with_content else ''} GROUP BY ALL ORDER BY ALL"
            ).fetchall()
            matched += [MatchedLine(row[0], layer.layer.value, *row[1:]) for row in rows]
            rows = duck.execute(_differences(folder, layer)).fetchall()
            differences += [DifferenceLine(row[0], layer.layer.value, *row[1:]) for row in rows]
    return DayFigures(matched, differences)


def explained(figures: DayFigures, merchant: str | None = None) -> list[dict[str, Any]]:
    """Return how much of the money of a day is explained, by currency, of one merchant or of all.

    What only waits for its partner is neither explained nor unexplained.
    """
    volumes: dict[str, int] = {}
    open_minor: dict[str, int] = {}
    for line in figures.matched:
        if merchant in (None, line.merchant):
            volumes[line.currency] = volumes.get(line.currency, 0) + line.money_minor
    for difference in figures.differences:
        if merchant in (None, difference.merchant) and difference.klass != DifferenceClass.PENDING:
            currency = difference.currency
            unexplained = difference.long_minor + difference.short_minor
            volumes[currency] = volumes.get(currency, 0) + max(difference.money_minor, unexplained)
            open_minor[currency] = open_minor.get(currency, 0) + unexplained
    return [
        {
            "currency": currency,
            "volume_minor": volume,
            "unexplained_minor": open_minor.get(currency, 0),
            "explained_percent": percent(volume - open_minor.get(currency, 0), volume),
        }
        for currency, volume in sorted(volumes.items())
    ]


def percent(part: int, whole: int) -> str | None:
    """Return a part in per cent with twelve decimals, cut and never rounded up: 100 means all. None of nothing."""
    if whole == 0:
        return None
    digits = part * 100 * 10**_DIGITS // whole
    return f"{digits // 10**_DIGITS}.{digits % 10**_DIGITS:0{_DIGITS}d}"


def _is_with_a_party(layer: LayerDefinition) -> bool:
    return layer.theirs in (SideSource.BILL, SideSource.BANK)


def content_of(columns: str) -> str:
    """Return a digest of the values of rows, in any order; equal rows count as often as they are there.

    A version of DuckDB that hashes otherwise costs an event more for a day that is run again; a lasting digest costs
    five times the time.
    """
    return f"sum(hash({columns}))"


def _name_merchants(duck: Any, folder: RunFolder, differences: Sequence[Path]) -> None:
    """Make a table of the merchants of our numbers that differences name."""
    ours = [folder.rows(SideSource.JOURNAL), folder.carried(SideSource.JOURNAL), folder.path / "rows" / KNOWN]
    found = [path for path in ours if path.exists()]
    duck.execute("CREATE TABLE named (key VARCHAR, merchant VARCHAR)")
    if found and differences:
        form = literal('[{"key": "VARCHAR", "original_key": "VARCHAR"}]')
        sides = " UNION ALL ".join(
            f"SELECT unnest(from_json({side}, {form})) AS r FROM read_parquet({literals(differences)})"
            for side in ("ours", "theirs")
        )
        duck.execute(
            f"INSERT INTO named WITH sides AS ({sides}) SELECT key, max(merchant) "
            f"FROM read_parquet({literals(found)}, union_by_name = true) "
            "SEMI JOIN (SELECT r.key FROM sides UNION SELECT r.original_key FROM sides) AS wanted USING (key) "
            "WHERE merchant <> '' GROUP BY key"
        )


def _differences(folder: RunFolder, layer: LayerDefinition) -> str:
    form = literal('[{"key": "VARCHAR", "original_key": "VARCHAR", "settled": "BIGINT"}]')
    money = "coalesce(list_sum(list_transform({side}, lambda r: abs(r.settled))), 0)"
    return (
        f"WITH d AS (SELECT *, from_json(ours, {form}) AS o, from_json(theirs, {form}) AS t "
        f"FROM read_parquet({literal(folder.differences(layer.layer))})), "
        "n AS (SELECT coalesce(a.merchant, b.merchant, '') AS merchant, d.class, d.currency, d.amount, "
        f"greatest({money.format(side='d.t')}, {money.format(side='d.o')}) AS money "
        "FROM d LEFT JOIN named AS a ON a.key = coalesce(d.o[1].key, d.t[1].key) "
        "LEFT JOIN named AS b ON b.key = coalesce(d.o[1].original_key, d.t[1].original_key)) "
        "SELECT merchant, class, currency, count(*), coalesce(sum(amount) FILTER (WHERE amount > 0), 0)::BIGINT, "
        "coalesce(-sum(amount) FILTER (WHERE amount < 0), 0)::BIGINT, sum(money)::BIGINT "
        "FROM n GROUP BY ALL ORDER BY ALL"
    )
