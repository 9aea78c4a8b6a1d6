"""The same job as one SQL join on the keys: slower and simpler, the referee of the others and the yardstick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hutong.reconciliation.matching.classify import classify, conclude, working
from hutong.reconciliation.matching.model import MatchJob, MatchResult
from hutong.reconciliation.matching.sides import CARRY, MATCHED, LayerRules, matched_columns, pair_quality

if TYPE_CHECKING:
    import duckdb


class OneSqlEngine:
    """One full outer join of the strings on DuckDB."""

    name = "one_sql"

    def match(self, job: MatchJob) -> MatchResult:
        """Match a layer; see `MatchEngine.match`."""
        with working(job) as (connection, work):
            _join(connection, job)
            for side, column in (("ours", "o"), ("theirs", "t")):
                connection.execute(f"""
                    CREATE TABLE rest_{side} AS SELECT {CARRY}, pos FROM all_{side}
                    SEMI JOIN (SELECT DISTINCT {column} AS pos FROM joined WHERE NOT certain) AS rest USING (pos)
                """)
            classify(connection, job)
            return conclude(connection, job, work, f"SELECT {MATCHED} FROM joined WHERE certain")


def _join(connection: duckdb.DuckDBPyConnection, job: MatchJob) -> None:
    """Make `joined`: each row with each row of its key, and whether they are alone and agree."""
    layer, rules = job.layer, LayerRules(job.layer)
    certain = "false" if layer.group else f"{rules.certain} AND o.\"{layer.key}\" <> '' AND repeated.key IS NULL"
    connection.execute(f"""
        CREATE TABLE joined AS
        WITH repeated AS (
            SELECT DISTINCT kind, key FROM (
                SELECT kind, "{layer.key}" AS key FROM all_ours GROUP BY ALL HAVING count(*) > 1
                UNION ALL SELECT kind, "{layer.key}" FROM all_theirs GROUP BY ALL HAVING count(*) > 1
            )
        )
        SELECT {matched_columns(f'o."{layer.key}"', pair_quality())}, o.pos AS o, t.pos AS t,
            coalesce({certain}, false) AS certain
        FROM all_ours AS o FULL OUTER JOIN all_theirs AS t ON t.kind = o.kind AND t."{layer.key}" = o."{layer.key}"
        LEFT JOIN repeated ON repeated.kind = o.kind AND repeated.key = o."{layer.key}"
    """)
