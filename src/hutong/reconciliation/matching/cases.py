"""The differences of a layer and the rows that wait, from the rows and pairs of `pairing` or `grouping`.

Tables: `cases` has one row per difference; `parts` (id, side, pos) the rows of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hutong.reconciliation.duck import literal
from hutong.reconciliation.matching.model import DIFFERENCE_COLUMNS, MatchJob
from hutong.reconciliation.matching.pairing import MATCHED_BEFORE
from hutong.reconciliation.matching.sides import ORDER, LayerRules, carried_columns
from hutong.reconciliation.model import RowKind, RowState

if TYPE_CHECKING:
    import duckdb

_FIGURES = (
    "kind", "key", "channel_no", "original_key", "day", "at", "currency", "ordered", "paid", "settled", "fee",
    "state", "batch",
)  # fmt: skip
_PLACES = ("file", "line")
_TEXTS = ("day", "at")


def create_cases(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables of differences and of their rows."""
    connection.execute("""
        CREATE TABLE cases (
            id BIGINT, side VARCHAR, key VARCHAR, class VARCHAR, "column" VARCHAR, currency VARCHAR, amount HUGEINT
        )
    """)
    connection.execute("CREATE TABLE parts (id BIGINT, side VARCHAR, pos BIGINT)")


def find_mismatches(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    """Add the pairs that differ; of several in one group, all but the first have their number in the key."""
    key = f"o.shown || {_suffix('o')}"
    ours = f"CASE WHEN o.state = '{RowState.SUCCEEDED}' OR {not rules.state} THEN"
    theirs = f"CASE WHEN t.state <> '{RowState.FAILED}' OR {not rules.state} THEN"
    connection.execute(f"""
        CREATE TABLE differing AS
        SELECT p.o, p.t, p."column", {key} || CASE WHEN rank > 1 THEN '#' || rank ELSE '' END AS key,
            o.currency AS currency_o, t.currency AS currency_t,
            {ours} {rules.net("o", rules.fee_of_ours)} ELSE 0 END AS net_o,
            {theirs} {rules.net("t")} ELSE 0 END AS net_t,
            row_number() OVER (ORDER BY o.shown, p."column", rank) AS id
        FROM (
            SELECT p.*, row_number() OVER (
                PARTITION BY o.g, p."column" ORDER BY o.day, o.file, o.line, t.day, t.file, t.line, p.o, p.t
            ) AS rank
            FROM pairs AS p JOIN o ON o.pos = p.o JOIN t ON t.pos = p.t WHERE p."column" IS NOT NULL
        ) AS p JOIN o ON o.pos = p.o JOIN t ON t.pos = p.t
    """)
    # Two currencies are two sums, which cannot be set against each other.
    connection.execute("""
        INSERT INTO cases
        SELECT id * 4, 'both', key, 'mismatch', "column", currency_t, net_t - net_o FROM differing
        WHERE "column" <> 'currency'
        UNION ALL
        SELECT id * 4 + 1, 'ours', key, 'mismatch', "column", currency_o, -net_o FROM differing
        WHERE "column" = 'currency'
        UNION ALL
        SELECT id * 4 + 2, 'theirs', key, 'mismatch', "column", currency_t, net_t FROM differing
        WHERE "column" = 'currency'
    """)
    connection.execute("""
        INSERT INTO parts
        SELECT c.id, 'ours', d.o FROM cases AS c JOIN differing AS d ON d.id = c.id // 4
        UNION ALL
        SELECT c.id, 'theirs', d.t FROM cases AS c JOIN differing AS d ON d.id = c.id // 4
    """)


def find_singles(connection: duckdb.DuckDBPyConnection, rules: LayerRules, job: MatchJob) -> None:
    """Add the rows without partner: the excess of a group, or a side alone, that waits or whose time is over."""
    day = literal(job.day.isoformat())
    over = literal(job.window.over_until(job.day, job.window.rolls if job.layer.rolls else 0).isoformat())
    known = "false" if rules.layer.group else "r.g IN (SELECT g FROM {other})"
    alone = f"r.state = '{RowState.SUCCEEDED}'"
    for name, other, margin in (("o", "t", f"AND r.day <= DATE {day}"), ("t", "o", "")):
        connection.execute(f"""
            CREATE TABLE single_{name} AS
            SELECT r.pos, r.g, r.kind, r.key, r.channel_no, r.currency, r.day, r.waits,
                r.shown || {_suffix("r")} AS shown, {rules.net("r")} AS net,
                {known.format(other=other)} AS known
            FROM {name} AS r ANTI JOIN pairs AS p ON p.{name} = r.pos WHERE {alone} {margin}
        """)
    _find_double_postings(connection, rules)
    start = connection.execute("SELECT coalesce(max(id), 0) // 4 + 1 FROM cases").fetchall()
    base = int(start[0][0])
    for place, (side, name, excess, one_sided, sign) in enumerate(
        (("ours", "o", "double_posting", "missing", "-"), ("theirs", "t", "duplicate", "unexpected", ""))
    ):
        connection.execute(f"""
            CREATE TABLE grouped_{name} AS
            SELECT *, {base} * 4 + row_number() OVER (ORDER BY shown, currency) * 4 + {place} AS id FROM (
                SELECT g, shown, currency, {sign}sum(net) AS amount, CASE
                    WHEN bool_or(known OR waits = '{excess}') THEN '{excess}'
                    WHEN min(day) > DATE {over} THEN 'pending' ELSE '{one_sided}' END AS class,
                row_number() OVER (PARTITION BY shown ORDER BY currency, g) AS rank
                FROM single_{name} GROUP BY g, shown, currency
            )
        """)
        connection.execute(f"""
            INSERT INTO cases
            SELECT id, '{side}', shown || CASE WHEN rank > 1 THEN '#' || rank ELSE '' END, class, '', currency,
                amount
            FROM grouped_{name}
        """)
        connection.execute(f"""
            INSERT INTO parts
            SELECT c.id, '{side}', s.pos FROM single_{name} AS s JOIN grouped_{name} AS c USING (g, shown, currency)
        """)


def _find_double_postings(connection: duckdb.DuckDBPyConnection, rules: LayerRules) -> None:
    """Mark rows of ours alone whose channel's number is that of a row of theirs which has another partner.

    Only payments and payouts: some channels give all refunds of a payment its number.
    """
    if rules.layer.group:
        return
    connection.execute(
        "CREATE TABLE numbers AS SELECT DISTINCT kind, channel_no FROM single_o "
        f"WHERE channel_no <> '' AND kind IN ('{RowKind.PAYMENT}', '{RowKind.PAYOUT}')"
    )
    if not connection.execute("SELECT 1 FROM numbers LIMIT 1").fetchall():
        return
    connection.execute(f"""
        UPDATE single_o SET known = true WHERE channel_no <> '' AND (kind, channel_no) IN (
            SELECT (kind, channel_no) FROM all_theirs AS r
            SEMI JOIN numbers USING (kind, channel_no)
            ANTI JOIN (SELECT DISTINCT kind, channel_no, key FROM single_t) AS s USING (kind, channel_no, key)
            WHERE state = '{RowState.SUCCEEDED}'
        )
    """)


def _suffix(row: str) -> str:
    """Return what tells apart two kinds of one layer that have the same number."""
    return f"CASE WHEN {row}.kind = '{RowKind.REFUND_FAILURE}' THEN '/{RowKind.REFUND_FAILURE}' ELSE '' END"


def _json(columns: tuple[str, ...]) -> str:
    pairs = (f'"{name}": r."{name}"' + ("::VARCHAR" if name in _TEXTS else "") for name in columns)
    return f"to_json({{{', '.join(pairs)}}})::VARCHAR"


def write_differences(connection: duckdb.DuckDBPyConnection, copy_to: str) -> None:
    """Write the differences in their order, each with its rows and the digest of their figures."""
    sides = []
    for side, name in (("ours", "o"), ("theirs", "t")):
        sides.append(f"""
            {side} AS (
                SELECT p.id,
                    '[' || string_agg({_json((*_FIGURES, *_PLACES))}, ',' ORDER BY {ORDER}, pos) || ']' AS rows,
                    string_agg({_json(_FIGURES)}, ',' ORDER BY {_json(_FIGURES)}) AS figures,
                    min(r.day) AS day, min(nullif(r.reference, '')) AS reference
                FROM parts AS p JOIN {name} AS r USING (pos) WHERE p.side = '{side}' GROUP BY p.id
            )
        """)
    columns = ", ".join(f'"{column}"::{kind} AS "{column}"' for column, kind in DIFFERENCE_COLUMNS.items())
    connection.execute(f"""
        COPY (
            WITH {", ".join(sides)},
            found AS (
                SELECT c.* EXCLUDE (id), ours.rows AS ours, theirs.rows AS theirs,
                    coalesce(ours.reference, '') AS reference, least(ours.day, theirs.day) AS day,
                    sha256(coalesce(ours.figures, '') || '|' || coalesce(theirs.figures, '')) AS content
                FROM cases AS c LEFT JOIN ours ON ours.id = c.id LEFT JOIN theirs ON theirs.id = c.id
            )
            SELECT {columns} FROM found ORDER BY class, side, key, "column"
        ) {copy_to}
    """)


def write_carry(connection: duckdb.DuckDBPyConnection, job: MatchJob, copy_ours: str, copy_theirs: str) -> None:
    """Write the rows that wait for the next day: those of differences; silently, what is still under way there.

    Rows of ours after the day come again as their own day's. One that is matched leaves a row behind that cancels it.
    """
    day = literal(job.day.isoformat())
    rolls = "true" if job.layer.rolls else "false"
    case = """SELECT p.pos, min_by(c.class, c.id) AS waits, min_by(c.side, c.id) AS side, min_by(c.key, c.id) AS "case"
        FROM parts AS p JOIN cases AS c USING (id) WHERE p.side = '{side}' GROUP BY p.pos"""
    before = ", ".join("'" + MATCHED_BEFORE + "'" if c == 'r."state"' else c for c in carried_columns("r").split(", "))
    connection.execute(f"""
        COPY (
            SELECT {carried_columns("r")}, c.waits, c.side, c."case"
            FROM o AS r JOIN ({case.format(side="ours")}) AS c USING (pos)
            WHERE r.day <= DATE {day} AND r.state = '{RowState.SUCCEEDED}' AND {rolls}
            UNION ALL
            SELECT {before}, '', '', '' FROM early AS r WHERE {rolls}
            UNION ALL
            SELECT {carried_columns("r")}, '', '', '' FROM rest_ours AS r
            WHERE r.state = '{MATCHED_BEFORE}' AND r.day > DATE {day} AND {rolls}
            ORDER BY {ORDER}, key
        ) {copy_ours}
    """)
    connection.execute(f"""
        COPY (
            SELECT {carried_columns("r")}, c.waits, c.side, c."case"
            FROM t AS r JOIN ({case.format(side="theirs")}) AS c USING (pos) WHERE {rolls}
            UNION ALL
            SELECT {carried_columns("r")}, '', '', ''
            FROM t AS r ANTI JOIN pairs AS p ON p.t = r.pos
            WHERE {rolls} AND r.state = '{RowState.PENDING}'
            AND r.g NOT IN (SELECT g FROM o WHERE state = '{RowState.FAILED}')
            ORDER BY {ORDER}, key
        ) {copy_theirs}
    """)
