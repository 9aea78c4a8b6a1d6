"""The pairs among the rows that an engine has left over, by key and by count, never by amount alone.

Tables: `o` and `t` hold the rows of ours and theirs, each with `pos` and `g`, the group of rows that may be partners;
`pairs` (o, t, quality, "column", delta) gets the pairs: the column is the one that differs, or NULL; delta is the money
of ours less that of theirs.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from hutong.reconciliation.duck import literal
from hutong.reconciliation.matching.sides import ORDER, LayerRules
from hutong.reconciliation.model import RowKind, RowState

if TYPE_CHECKING:
    import duckdb

MATCHED_BEFORE = "matched"
"""The state of a carried row of ours that was matched within the margin, before its own day: it cancels that row."""

_TUPLE = '"day", "at", currency, ordered, paid, settled, "state", original_key, batch, memo'


def key_rows(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    """Make `o` and `t` of `rest_ours` and `rest_theirs`: each row with its group.

    A row without key takes the key of the other side's unpaired rows with its second key, if that is one key; else its
    second key; without one a digest of all that it states, if that is more than an amount.
    """
    layer = rules.layer
    _cancel_matched_before(connection, rules)
    for name, source, other in (("o", "live_ours", "rest_theirs"), ("t", "rest_theirs", "live_ours")):
        kind = "" if layer.group else "AND b.kind = a.kind"
        connection.execute(f"""
            CREATE TABLE adopted_{name} AS
            SELECT a.pos, min(b."{layer.key}") AS key FROM {source} AS a
            JOIN {other} AS b ON b."{layer.second_key}" = a."{layer.second_key}" {kind}
            WHERE a."{layer.key}" = '' AND a."{layer.second_key}" <> '' AND b."{layer.key}" <> ''
            AND NOT EXISTS (FROM {source} AS c WHERE c."{layer.key}" = b."{layer.key}" {kind.replace("b.", "c.")})
            GROUP BY a.pos HAVING count(DISTINCT b."{layer.key}") = 1
        """)
        group = "shown" if layer.group else "kind || ':' || shown"
        connection.execute(f"""
            CREATE TABLE {name} AS
            SELECT * EXCLUDE (shown), substr(shown, 3) AS shown, {group} AS g FROM (
                SELECT r.*, CASE
                    WHEN r."{layer.key}" <> '' THEN 'k:' || r."{layer.key}"
                    WHEN d.key IS NOT NULL THEN 'k:' || d.key
                    WHEN r."{layer.second_key}" <> '' THEN 's:' || r."{layer.second_key}"
                    WHEN "at" IS NULL AND original_key = '' AND batch = '' AND memo = ''
                        THEN 'r:' || '{name}' || ':' || md5(concat_ws('|', {_TUPLE}, file, line))[:16]
                    ELSE 'r:' || md5(concat_ws('|', {_TUPLE}))[:16]
                END AS shown FROM {source} AS r LEFT JOIN adopted_{name} AS d ON d.pos = r.pos
            )
        """)
        connection.execute(f"DROP TABLE adopted_{name}")
    connection.execute('CREATE TABLE pairs (o BIGINT, t BIGINT, quality VARCHAR, "column" VARCHAR, delta HUGEINT)')


def cancel_reversed(connection: duckdb.DuckDBPyConnection, rules: LayerRules, day: date) -> None:
    """Take out a refund of ours and its failure where theirs states no money for their key: nothing was moved."""
    kinds = f"'{RowKind.REFUND}', '{RowKind.REFUND_FAILURE}'"
    connection.execute(f"""
        CREATE TABLE reversed AS
        WITH booked AS (
            SELECT pos, kind, shown, currency, abs({rules.money}) AS money, row_number() OVER (
                PARTITION BY kind, shown, currency, {rules.money} ORDER BY {ORDER}, pos
            ) AS rank, {rules.money} AS signed
            FROM o WHERE kind IN ({kinds}) AND state = '{RowState.SUCCEEDED}' AND day <= DATE '{day.isoformat()}'
        )
        SELECT a.pos AS refund, b.pos AS failure FROM booked AS a JOIN booked AS b USING (shown, currency, money, rank)
        WHERE a.kind = '{RowKind.REFUND}' AND b.kind = '{RowKind.REFUND_FAILURE}' AND a.signed = -b.signed
        AND shown NOT IN (SELECT shown FROM t WHERE kind IN ({kinds}) AND state <> '{RowState.FAILED}')
    """)
    connection.execute(
        "DELETE FROM o WHERE pos IN (SELECT refund FROM reversed UNION ALL SELECT failure FROM reversed)"
    )


def pair_rows(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    """Pair the rows of each group: equal ones by count, then within tolerance, then what differs, then other states."""
    for name, other in (("o", "t"), ("t", "o")):
        connection.execute(f"CREATE TABLE both_{name} AS SELECT * FROM {name} SEMI JOIN {other} USING (g)")
    succeeded = f"state = '{RowState.SUCCEEDED}'"
    ours, theirs = ("true", "true")
    if rules.state:
        ours, theirs = succeeded, f"state IN ('{RowState.SUCCEEDED}', '{RowState.PENDING}')"
    plain = [f'"{column}"' for column in rules.plain]
    if rules.fee:
        _pair(connection, rules, [*plain, "coalesce(fee, 0)"], f"{ours} AND fee IS NOT NULL", theirs)
        _pair(connection, rules, plain, f"{ours} AND fee IS NULL", theirs)
    else:
        _pair(connection, rules, plain, ours, theirs)
    if any(rules.layer.tolerance.values()):
        _pair_within_tolerance(connection, rules, ours, theirs)
    # Sorted by money, rows that differ least are paired, whatever is left over.
    order = f"currency, {rules.money}, coalesce(fee, 0), {ORDER}"
    if "currency" in rules.layer.compared:
        _pair(connection, rules, ["currency"], ours, theirs, order)
    _pair(connection, rules, [], ours, theirs, order)
    if rules.state:
        _pair(connection, rules, [], f"NOT ({succeeded})", succeeded, column="'state'")
        _pair(connection, rules, [], ours, f"state = '{RowState.FAILED}'", column="'state'")


def _pair(
    connection: duckdb.DuckDBPyConnection,
    rules: LayerRules,
    by: list[str],
    ours: str,
    theirs: str,
    order: str = ORDER,
    *,
    column: str | None = None,
) -> None:
    """Pair the free rows of each group, and of equal expressions within it, in their order."""
    names = ["g", *(f"e{place}" for place in range(len(by)))]
    partition = ", ".join(["g", *by])
    sides = []
    for name, condition in (("o", ours), ("t", theirs)):
        expressions = "".join(f", {expression} AS e{place}" for place, expression in enumerate(by))
        sides.append(f"""
            SELECT pos, day, g{expressions}, count(*) OVER (PARTITION BY {partition}) AS n,
                row_number() OVER (PARTITION BY {partition} ORDER BY {order}, pos) AS rank
            FROM both_{name} AS r ANTI JOIN pairs AS p ON p.{name} = r.pos WHERE {condition}
        """)
    connection.execute(f"""
        INSERT INTO pairs
        WITH ours AS ({sides[0]}), theirs AS ({sides[1]}),
        found AS (
            SELECT o.pos AS o, t.pos AS t, o.n > 1 OR t.n > 1 AS twin
            FROM ours AS o JOIN theirs AS t USING ({", ".join(names)}, rank)
        )
        SELECT f.o, f.t, CASE
            WHEN NOT ({rules.equal}) THEN 'tolerated' WHEN f.twin THEN 'twin'
            WHEN o.day = t.day THEN 'exact' ELSE 'cross_day' END, {column or rules.column}, {rules.delta}
        FROM found AS f JOIN both_o AS o ON o.pos = f.o JOIN both_t AS t ON t.pos = f.t
    """)


def _pair_within_tolerance(connection: duckdb.DuckDBPyConnection, rules: LayerRules, ours: str, theirs: str) -> None:
    """Pair the free rows that have one candidate each, so that a row within tolerance goes before one beyond it."""
    connection.execute(f"""
        INSERT INTO pairs
        WITH free_o AS (SELECT * FROM both_o AS r ANTI JOIN pairs AS p ON p.o = r.pos WHERE {ours}),
        free_t AS (SELECT * FROM both_t AS r ANTI JOIN pairs AS p ON p.t = r.pos WHERE {theirs}),
        found AS (
            SELECT o.pos AS o, t.pos AS t, {rules.delta} AS delta, count(*) OVER (PARTITION BY o.pos) AS of_o,
                count(*) OVER (PARTITION BY t.pos) AS of_t
            FROM free_o AS o JOIN free_t AS t USING (g) WHERE {rules.column} IS NULL
        )
        SELECT o, t, 'tolerated', NULL, delta FROM found WHERE of_o = 1 AND of_t = 1
    """)


def _cancel_matched_before(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    """Make `live_ours`: the rows of ours but those that were matched before their own day, each once."""
    layer = rules.layer
    _leave_out_returned(connection, rules)
    before = connection.execute(f"SELECT 1 FROM rest_ours WHERE state = {literal(MATCHED_BEFORE)} LIMIT 1").fetchall()
    if not before:
        connection.execute("CREATE VIEW live_ours AS FROM kept_ours")
        return
    partition = f'kind, "{layer.key}", "{layer.second_key}", day, currency, ordered, paid, settled, fee, batch'
    connection.execute(f"""
        CREATE TABLE live_ours AS
        SELECT * EXCLUDE (rank, cancelled, before) FROM (
            SELECT *, row_number() OVER (PARTITION BY {partition}, before ORDER BY {ORDER}, pos) AS rank,
                count(*) FILTER (before) OVER (PARTITION BY {partition}) AS cancelled
            FROM (SELECT *, state = {literal(MATCHED_BEFORE)} AS before FROM kept_ours)
        ) WHERE NOT before AND (rank > cancelled OR state <> '{RowState.SUCCEEDED}')
    """)


def _leave_out_returned(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    """Make `kept_ours`: the rows of ours but refunds that came back whole and that theirs state as failed alone.

    The books have such a refund and its return, whose sum is nothing, as the bill says: a bill that is made after both
    names neither.
    """
    layer = rules.layer
    kept = "FROM rest_ours"
    if RowKind.REFUND_FAILURE in layer.kinds and not layer.group:
        connection.execute(f"""
            CREATE TABLE returned AS
            SELECT key FROM rest_ours WHERE state = '{RowState.SUCCEEDED}' AND key IN (
                SELECT key FROM rest_theirs WHERE key <> '' GROUP BY key HAVING bool_and(state = '{RowState.FAILED}')
            )
            GROUP BY key HAVING count(*) = 2 AND count(DISTINCT kind) = 2 AND count(DISTINCT currency) = 1
                AND sum(settled) = 0 AND sum(coalesce(fee, 0)) = 0
        """)
        kept = f"FROM rest_ours WHERE NOT (state = '{RowState.SUCCEEDED}' AND key IN (FROM returned))"
    connection.execute(f"CREATE VIEW kept_ours AS {kept}")
