"""The common end of every engine: what is left over is paired and classified, the results are written and proven."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hutong import errors
from hutong.reconciliation.duck import connect, literal, literals
from hutong.reconciliation.matching.cases import (
    create_cases,
    find_mismatches,
    find_singles,
    write_carry,
    write_differences,
)
from hutong.reconciliation.matching.grouping import pair_groups
from hutong.reconciliation.matching.model import MatchJob, MatchResult
from hutong.reconciliation.matching.pairing import MATCHED_BEFORE, cancel_reversed, key_rows, pair_rows
from hutong.reconciliation.matching.sides import MATCHED, MATCHED_ORDER, LayerRules, matched_columns, rows_of
from hutong.reconciliation.matching.totals import prove_certain, totals_of
from hutong.reconciliation.model import RowKind

if TYPE_CHECKING:
    import duckdb

FORMAT = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 1000)"
"""Most texts are different in each row: to look for repeated ones costs more than to write them."""

NO_PAIRS = f"SELECT {MATCHED} FROM rest_pairs LIMIT 0"


@contextmanager
def working(job: MatchJob) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Open a database bounded by the job's memory, and a folder beside the results which is removed at the end.

    Its views `all_ours` and `all_theirs` are the rows of both sides.
    """
    work = job.out.with_name(f"{job.out.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with connect(work, memory_mb=job.memory_mb, threads=job.threads) as connection:
            for name, files in (("all_ours", job.ours), ("all_theirs", job.theirs)):
                connection.execute(f"CREATE VIEW {name} AS {rows_of(connection, job.layer, files)}")
            yield connection, work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def finish(job: MatchJob, pairs: Sequence[Path], rest_ours: Sequence[Path], rest_theirs: Sequence[Path]) -> MatchResult:
    """Classify what an engine left over, and write the layer's results.

    Args:
        pairs: Parquet files with `MATCHED_COLUMNS`: certain pairs, in any order.
        rest_ours, rest_theirs: Parquet files with `CARRY_COLUMNS` or `ROW_COLUMNS`: all other rows of the layer, whole
            groups of a kind and key.

    Effects:
        Writes the results to `job.out`.

    Returns:
        The results.

    Errors:
        InvariantBroken: the totals of both sides do not prove the matched part.
    """
    with working(job) as (connection, work):
        for name, files in (("rest_ours", rest_ours), ("rest_theirs", rest_theirs)):
            connection.execute(f"CREATE TABLE {name} AS {rows_of(connection, job.layer, files)}")
        if not prove_certain(connection, job):
            raise errors.InvariantBroken("The totals of both sides do not prove the matched part.")
        classify(connection, job)
        certain = f"SELECT {MATCHED} FROM read_parquet({literals(pairs)})" if pairs else NO_PAIRS
        return conclude(connection, job, work, certain)


def conclude(connection: duckdb.DuckDBPyConnection, job: MatchJob, work: Path, certain: str = NO_PAIRS) -> MatchResult:
    """Write the results after `classify`.

    Args:
        certain: The query of the certain pairs.
    """
    out = work / "results"
    out.mkdir()
    connection.execute(
        f"COPY (FROM ({certain}) UNION ALL SELECT {MATCHED} FROM rest_pairs ORDER BY {MATCHED_ORDER}) "
        f"TO '{out}/matched.parquet' {FORMAT}"
    )
    return write_results(connection, job, out)


def classify(connection: duckdb.DuckDBPyConnection, job: MatchJob) -> None:
    """Pair and classify the rows of `rest_ours` and `rest_theirs`.

    Effects:
        Makes `rest_pairs`, with the columns of pairs, and the tables of `cases`.
    """
    rules = LayerRules(job.layer)
    key_rows(connection, rules)
    if RowKind.REFUND_FAILURE in job.layer.kinds:
        cancel_reversed(connection, rules, job.day)
    create_cases(connection)
    if job.layer.group:
        pair_groups(connection, rules, job)
    else:
        pair_rows(connection, rules)
        find_mismatches(connection, rules)
    find_singles(connection, rules, job)
    connection.execute(f"""
        CREATE TABLE rest_pairs AS
        SELECT {matched_columns("o.shown", "p.quality")}, o.pos
        FROM pairs AS p JOIN o ON o.pos = p.o JOIN t ON t.pos = p.t WHERE p."column" IS NULL
    """)
    # DuckDB marks the columns of a file as never NULL if it knows so, which differs by engine: here it does not know.
    connection.execute("INSERT INTO rest_pairs (quality) VALUES (NULL)")
    connection.execute("DELETE FROM rest_pairs WHERE quality IS NULL")


def write_results(connection: duckdb.DuckDBPyConnection, job: MatchJob, out: Path) -> MatchResult:
    """Write the differences and the waiting rows beside `matched.parquet`, prove the whole, and put it into place.

    Args:
        out: A folder beside `job.out` that holds `matched.parquet`.

    Effects:
        Renames the folder to `job.out`.

    Returns:
        The results.

    Errors:
        InvariantBroken: the totals do not prove the matched part.
    """
    _find_early(connection, job, out / "matched.parquet")
    write_differences(connection, f"TO '{out}/differences.parquet' {FORMAT}")
    write_carry(connection, job, f"TO '{out}/carry-ours.parquet' {FORMAT}", f"TO '{out}/carry-theirs.parquet' {FORMAT}")
    totals = totals_of(connection, job, out / "matched.parquet")
    shutil.rmtree(job.out, ignore_errors=True)
    out.rename(job.out)
    return MatchResult(
        job.out / "matched.parquet",
        job.out / "differences.parquet",
        job.out / "carry-ours.parquet",
        job.out / "carry-theirs.parquet",
        totals,
    )


def _find_early(connection: duckdb.DuckDBPyConnection, job: MatchJob, matched: Path) -> None:
    """Make `early`: the rows of ours that are matched before their own day."""
    day = f"DATE {literal(job.day.isoformat())}"
    connection.execute("CREATE TABLE early AS FROM all_ours LIMIT 0")
    places = "ours_day, ours_file, ours_line, kind"
    of_later_days = f"FROM read_parquet({literal(matched)}) SELECT {places} WHERE ours_day > {day}"
    if connection.execute(f"{of_later_days} LIMIT 1").fetchone():  # on most days there is none
        connection.execute(f"""
            INSERT INTO early SELECT r.* FROM all_ours AS r
            SEMI JOIN ({of_later_days}) AS m
                ON m.ours_day = r.day AND m.ours_file = r.file AND m.ours_line = r.line AND m.kind = r.kind
            WHERE r.day > {day} AND r.state <> '{MATCHED_BEFORE}'
        """)
    if job.layer.group:
        connection.execute(f"""
            INSERT INTO early SELECT r.* EXCLUDE (shown, g) FROM o AS r
            SEMI JOIN (SELECT o FROM pairs WHERE t IS NULL AND "column" IS NULL) AS p ON p.o = r.pos WHERE r.day > {day}
        """)
