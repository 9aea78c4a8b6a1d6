"""The pairs of a layer that compares sums: the rows of a key on each side as one; then what has a unique sum."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from hutong.reconciliation.duck import literal
from hutong.reconciliation.matching.groups import Group, Part, solve
from hutong.reconciliation.matching.model import MatchJob
from hutong.reconciliation.matching.sides import ORDER, LayerRules
from hutong.reconciliation.model import DayWindow, Layer, RowState
from hutong.reconciliation.rows import MONEY_COLUMNS

if TYPE_CHECKING:
    import duckdb

SUM_WINDOW = timedelta(days=5)
"""How far apart the days of a group without key may be: banks pay on working days, and holidays lie between."""

RESIDUE_MAX = 2_000
"""The most rows a side in one currency that are searched for sums."""


def pair_groups(connection: duckdb.DuckDBPyConnection, rules: LayerRules, job: MatchJob) -> None:
    """Pair the groups of both sides whose sums agree; make cases of those that both sides have and that differ.

    Needs the tables of `cases`.

    The rows of ours after the day take part only where the sums agree with them and not without them.
    """
    connection.execute("""
        CREATE TABLE group_cases (
            key VARCHAR, side VARCHAR, class VARCHAR, "column" VARCHAR, currency VARCHAR, amount HUGEINT, o BIGINT[],
            t BIGINT[]
        )
    """)
    day = literal(job.day.isoformat())
    for ours in (f"AND day <= DATE {day}", ""):
        _sums(connection, ours)
        _pair_equal(connection, rules)
    _sums(connection, f"AND day <= DATE {day}")
    _differing(connection, rules)
    # Elsewhere a row is a single business: its amount proves nothing.
    if job.layer.layer is Layer.BATCH_BANK:
        _solve_residue(connection, rules, job.window)


def _sums(connection: duckdb.DuckDBPyConnection, ours: str) -> None:
    """Make `sums_o` and `sums_t`: the free rows of each group and currency as one row."""
    money = ", ".join(f"sum({column})::BIGINT AS {column}" for column in MONEY_COLUMNS)
    for name, condition in (("o", ours), ("t", "")):
        connection.execute(f"""
            CREATE OR REPLACE TABLE sums_{name} AS
            SELECT g, currency, min(shown) AS shown, {money}, count(*) AS n, min(day) AS day, max(day) AS last_day,
                list(pos ORDER BY {ORDER}, pos) AS rows, '{RowState.SUCCEEDED}' AS state
            FROM {name} AS r ANTI JOIN pairs AS p ON p.{name} = r.pos
            WHERE state = '{RowState.SUCCEEDED}' {condition} GROUP BY g, currency
        """)


def _pair_equal(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    connection.execute(f"""
        CREATE OR REPLACE TABLE agreeing AS
        SELECT o.rows AS o, t.rows AS t, CASE
            WHEN o.n > 1 OR t.n > 1 THEN 'group' WHEN NOT ({rules.equal}) THEN 'tolerated'
            WHEN o.day = t.day THEN 'exact' ELSE 'cross_day' END AS quality, {rules.delta} AS delta
        FROM sums_o AS o JOIN sums_t AS t USING (g, currency) WHERE {rules.column} IS NULL
    """)
    _insert_pairs(connection)


def _insert_pairs(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the groups of `agreeing`: each row of theirs with the first of ours, and the others of ours without one."""
    connection.execute("""
        INSERT INTO pairs SELECT o[1], t[1], quality, NULL, delta FROM agreeing
        UNION ALL SELECT o[1], unnest(t[2:]), quality, NULL, 0 FROM agreeing
        UNION ALL SELECT unnest(o[2:]), NULL, quality, NULL, 0 FROM agreeing
    """)


def _differing(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    """Make cases of the groups that both sides have: of one currency by their sums, of several by each side's."""
    connection.execute(f"""
        INSERT INTO group_cases
        SELECT o.shown, 'both', 'mismatch', {rules.column}, o.currency,
            {rules.net("t")} - {rules.net("o", rules.fee_of_ours)}, o.rows, t.rows
        FROM sums_o AS o JOIN sums_t AS t USING (g, currency)
    """)
    for side, name, other, sign in (("ours", "o", "t", "-"), ("theirs", "t", "o", "")):
        rows = "r.rows, NULL" if name == "o" else "NULL, r.rows"
        connection.execute(f"""
            INSERT INTO group_cases
            SELECT shown || CASE WHEN rank > 1 THEN '#' || rank ELSE '' END, '{side}', 'mismatch', 'currency',
                currency, {sign}({rules.net("r")}), {rows}
            FROM (
                SELECT *, row_number() OVER (PARTITION BY g ORDER BY currency) AS rank FROM sums_{name}
                ANTI JOIN sums_{other} USING (g, currency) SEMI JOIN sums_{other} AS s USING (g)
            ) AS r
        """)
    _insert_cases(connection)


def _insert_cases(connection: duckdb.DuckDBPyConnection) -> None:
    """Move the cases of `group_cases` to `cases`, and mark their rows as paired."""
    connection.execute("""
        CREATE OR REPLACE TABLE numbered AS
        SELECT *, (SELECT coalesce(max(id), 0) FROM cases) + 4 * row_number() OVER (ORDER BY side, key, currency) AS id
        FROM group_cases
    """)
    connection.execute('INSERT INTO cases SELECT id, side, key, class, "column", currency, amount FROM numbered')
    for side, name in (("ours", "o"), ("theirs", "t")):
        connection.execute(f"INSERT INTO parts SELECT id, '{side}', unnest({name}) FROM numbered")
    connection.execute("""
        INSERT INTO pairs SELECT unnest(o), NULL, NULL, class, 0 FROM numbered
        UNION ALL SELECT NULL, unnest(t), NULL, class, 0 FROM numbered
    """)
    connection.execute("DELETE FROM group_cases")


def _solve_residue(connection: duckdb.DuckDBPyConnection, rules: LayerRules, window: DayWindow) -> None:
    """Pair rows without key with what is left of the other side, where one sum alone explains them.

    Days on which the bank does not work count nothing: they move the rows after them closer.
    """
    found = {
        name: connection.execute(f"""
            SELECT g, currency, shown, {rules.money}, day, rows FROM sums_{name} AS r
            WHERE NOT EXISTS (FROM pairs AS p WHERE p.{name} = r.rows[1]) ORDER BY day, g
        """).fetchall()
        for name in ("o", "t")
    }
    days = [row[4] for rows in found.values() for row in rows]
    if not days:
        return
    first = min(days)
    positions = window.positions(first, max(days))
    sides: dict[str, dict[str, list[tuple[str, str, str, int, Part, list[int]]]]] = {"o": {}, "t": {}}
    for name, rows in found.items():
        for g, currency, shown, amount, day, places in rows:
            part = Part(amount, first + timedelta(positions[day]))
            sides[name].setdefault(currency, []).append((g, shown, currency, amount, part, places))
    for currency in sorted(sides["o"].keys() & sides["t"].keys()):
        ours, theirs = sides["o"][currency], sides["t"][currency]
        if (
            not all(entry[0].startswith("k:") for entry in (*ours, *theirs))
            and max(len(ours), len(theirs)) < RESIDUE_MAX
        ):
            _solve_currency(connection, currency, ours, theirs)


def _solve_currency(
    connection: duckdb.DuckDBPyConnection,
    currency: str,
    ours: Sequence[tuple[str, str, str, int, Part, list[int]]],
    theirs: Sequence[tuple[str, str, str, int, Part, list[int]]],
) -> None:
    """Pair the groups that have one solution, and make a case of all candidates where there are several."""
    # A row that names another group is no candidate: what it belongs to is known.
    if any(not entry[0].startswith("k:") for entry in theirs):
        theirs = [entry for entry in theirs if not entry[0].startswith("k:")]
    else:
        ours = [entry for entry in ours if not entry[0].startswith("k:")]
    solution = solve([entry[4] for entry in ours], [entry[4] for entry in theirs], window=SUM_WINDOW)

    def rows(group: Group) -> tuple[list[int], list[int]]:
        return (
            [pos for place in group.ours for pos in ours[place][5]],
            [pos for place in group.theirs for pos in theirs[place][5]],
        )

    connection.execute("CREATE OR REPLACE TABLE agreeing (o BIGINT[], t BIGINT[], quality VARCHAR, delta HUGEINT)")
    for group in solution.matched:
        connection.execute("INSERT INTO agreeing VALUES (?, ?, 'group', 0)", list(rows(group)))
    _insert_pairs(connection)
    for group in solution.ambiguous:
        amount = sum(theirs[place][3] for place in group.theirs) - sum(ours[place][3] for place in group.ours)
        key = min(theirs[place][1] for place in group.theirs)
        connection.execute(
            "INSERT INTO group_cases VALUES (?, 'both', 'ambiguous', '', ?, ?, ?, ?)",
            [key, currency, amount, *rows(group)],
        )
    _insert_cases(connection)
