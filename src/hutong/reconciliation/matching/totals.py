"""The control totals of a layer: what came in is what is matched and what is different, and both sides agree on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hutong import errors
from hutong.reconciliation.duck import literal
from hutong.reconciliation.matching.model import MatchJob
from hutong.reconciliation.matching.sides import LayerRules
from hutong.reconciliation.model import RowState
from hutong.reconciliation.rows import MONEY_COLUMNS

if TYPE_CHECKING:
    import duckdb


def prove_certain(connection: duckdb.DuckDBPyConnection, job: MatchJob) -> bool:
    """Return whether what came in less what is left over agrees on both sides: in count, keys and compared money.

    The digest of the keys shows a pair of rows whose keys differ, and so a collision of hashes: it is another hash than
    that which brought the rows together.
    """
    rules = LayerRules(job.layer)
    money = [column for column in MONEY_COLUMNS if column in rules.plain]
    sums = "".join(f", sum(sign * {column}) AS {column}" for column in money)
    changed = " OR ".join(f"{column} <> 0" for column in ("rows", "keys", *money))
    columns = ", ".join(["kind", "currency", f'"{job.layer.key}" AS key', *money])
    part = f"SELECT {{sign}} AS sign, {columns} FROM ({{rows}})"
    parts = [
        part.format(sign=1, rows="FROM all_ours"),
        part.format(sign=-1, rows="FROM rest_ours"),
        part.format(sign=-1, rows="FROM all_theirs"),
        part.format(sign=1, rows="FROM rest_theirs"),
    ]
    changes = connection.execute(f"""
        SELECT 1 FROM (
            SELECT sum(sign) AS rows, sum(sign * (hash(reverse(key)) >> 16)::BIGINT) AS keys{sums}
            FROM ({" UNION ALL ".join(parts)}) GROUP BY kind, currency
        ) WHERE {changed} LIMIT 1
    """).fetchall()
    return not changes


def totals_of(connection: duckdb.DuckDBPyConnection, job: MatchJob, matched: Path) -> Mapping[str, object]:
    """Return the totals of a layer by currency, proven against the rows that came in.

    Errors:
        InvariantBroken: a row is neither matched nor different, or its money is lost.
    """
    rules = LayerRules(job.layer)
    totals: dict[str, Any] = {"ours": {}, "theirs": {}, "matched": {}, "classes": {}}
    net = f"{rules.money} - coalesce(fee, 0)" if rules.fee else rules.money
    rows = connection.execute(f"""
        SELECT m.quality, m.currency, m.count, m.net, coalesce(d.delta, 0) FROM (
            SELECT quality, currency, count(*) AS count, sum({net})::HUGEINT AS net
            FROM read_parquet({literal(matched)}) GROUP BY ALL
        ) AS m LEFT JOIN (
            SELECT p.quality, t.currency, sum(p.delta)::HUGEINT AS delta FROM pairs AS p JOIN t ON t.pos = p.t
            WHERE p."column" IS NULL GROUP BY ALL
        ) AS d USING (quality, currency) ORDER BY ALL
    """).fetchall()
    for quality, currency, count, sum_theirs, delta in rows:
        entry = {"count": count, "ours": int(sum_theirs + delta), "theirs": int(sum_theirs)}
        totals["matched"].setdefault(quality, {})[currency] = entry
    rows = connection.execute("""
        SELECT class, currency, count(*), sum(amount)::HUGEINT, sum(abs(amount))::HUGEINT FROM cases
        GROUP BY ALL ORDER BY ALL
    """).fetchall()
    for klass, currency, count, amount, absolute in rows:
        entry = {"count": count, "amount": int(amount), "absolute": int(absolute)}
        totals["classes"].setdefault(klass, {})[currency] = entry
    totals["theirs"], _ = _side(connection, job, rules, "theirs")
    totals["ours"], unknown = _side(connection, job, rules, "ours")
    _prove(totals, unknown=unknown)
    return totals


def _side(
    connection: duckdb.DuckDBPyConnection, job: MatchJob, rules: LayerRules, side: str
) -> tuple[dict[str, dict[str, int]], bool]:
    """Return the count and money of a side's rows that take part by currency, and whether a fee of them is unknown."""
    name = "o" if side == "ours" else "t"
    day = f"DATE {literal(job.day.isoformat())}"
    succeeded = f"r.state = '{RowState.SUCCEEDED}'"
    parts = [f"SELECT 1 AS sign, r.* FROM all_{side} AS r WHERE {succeeded}"]
    if side == "ours":
        cancelled = f"SELECT -1 AS sign, r.* FROM rest_ours AS r ANTI JOIN o USING (pos) WHERE {succeeded}"
        parts = [f"{part} AND r.day <= {day}" for part in (*parts, cancelled)]
        parts.append("SELECT 1 AS sign, r.* FROM early AS r")
        parts.append(f"""
            SELECT 1 AS sign, r.* EXCLUDE (shown, g) FROM o AS r
            SEMI JOIN (SELECT pos FROM parts WHERE side = 'ours') USING (pos) WHERE {succeeded} AND r.day > {day}
        """)
    # What is not booked counts where it has a partner, and its state is not what is wrong.
    states = f"r.state = '{RowState.PENDING}'" if side == "theirs" else "false"
    parts.append(f"""
        SELECT 1 AS sign, r.* EXCLUDE (shown, g) FROM {name} AS r
        SEMI JOIN (SELECT {name} AS pos FROM pairs) USING (pos)
        WHERE NOT ({succeeded}) AND {states if rules.state else "true"}
    """)
    rows = connection.execute(f"""
        SELECT currency, sum(sign)::BIGINT, sum(sign * {rules.net("r")})::HUGEINT, bool_or(fee IS NULL)
        FROM ({" UNION ALL ".join(parts)}) AS r GROUP BY currency ORDER BY currency
    """).fetchall()
    found = {currency: {"count": count, "sum": int(money)} for currency, count, money, _ in rows}
    return found, rules.fee and any(row[3] for row in rows)


def _prove(totals: dict[str, Any], *, unknown: bool) -> None:
    """Hold that theirs less ours is what the differences and tolerances amount to.

    Where a fee of ours is unknown, that of theirs was taken for both, and the sum of ours follows.
    """
    for currency in sorted(totals["ours"].keys() | totals["theirs"].keys()):
        matched = [by[currency] for by in totals["matched"].values() if currency in by]
        classes = [by[currency] for by in totals["classes"].values() if currency in by]
        explained = sum(entry["amount"] for entry in classes)
        explained -= sum(entry["ours"] - entry["theirs"] for entry in matched)
        ours, theirs = (totals[side].setdefault(currency, {"count": 0, "sum": 0}) for side in ("ours", "theirs"))
        if unknown:
            ours["sum"] = theirs["sum"] - explained
        elif theirs["sum"] - ours["sum"] != explained:
            raise errors.InvariantBroken(
                f"In {currency} theirs less ours is {theirs['sum'] - ours['sum']}, but the differences are {explained}."
            )
