"""The fast path: fingerprints instead of strings.

A row has two hashes of 64 bits: of its kind and key, and of all that both sides must agree on, with the key read
backwards: DuckDB combines the hashes of several values, and so two keys that collide alone collide in all. Slices of
both sides go to disk, ordered by the first bits of the key's hash. Each such partition is sorted in memory as plain
numbers: a key's hash with one row of each side and equal fingerprints is a pair. What is left over, some thousandths,
is classified by its keys. Where different keys have one hash, their rows are left over too, which costs time and
nothing else; a pair of different keys, which needs both hashes to collide, shows in the control totals, and the keys
are compared instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hutong.reconciliation.duck import literal, literals
from hutong.reconciliation.matching.classify import FORMAT, classify, conclude, working, write_results
from hutong.reconciliation.matching.model import MATCHED_COLUMNS, MatchJob, MatchResult
from hutong.reconciliation.matching.one_sql import OneSqlEngine
from hutong.reconciliation.matching.partitions import Partitions
from hutong.reconciliation.matching.sides import CARRY, MATCHED, MATCHED_ORDER, ROWS, LayerRules, rows_in, rows_of
from hutong.reconciliation.matching.totals import prove_certain
from hutong.reconciliation.model import RowState
from hutong.reconciliation.rows import MONEY_COLUMNS

if TYPE_CHECKING:
    import duckdb
    import numpy as np

SLICE_ROWS = 1 << 20
"""How many rows are hashed at a time."""


@dataclass(slots=True)
class Found:
    """The pairs, by the places of the rows of ours.

    Attributes:
        paired: By place of ours, whether the row has its partner.
        left_ours, left_theirs: By place, whether the row is one of the layer and has none.
        columns: By place of ours, what a pair has of theirs.
        in_order: Whether the rows of ours come in the order of matched rows.
    """

    paired: np.ndarray[Any, Any]
    left_ours: np.ndarray[Any, Any]
    left_theirs: np.ndarray[Any, Any]
    columns: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    in_order: bool = True


class FingerprintEngine:
    """The default engine.

    Attributes:
        bits: How many bits of the hashes count. Fewer than 64 make collisions, for tests.
    """

    name = "fingerprint"

    def __init__(self, bits: int = 64) -> None:
        self.bits = bits

    def match(self, job: MatchJob) -> MatchResult:
        """Match a layer; see `MatchEngine.match`."""
        with working(job) as (connection, work):
            if job.layer.group:
                for side in ("ours", "theirs"):
                    connection.execute(f"CREATE TABLE rest_{side} AS FROM all_{side}")
                classify(connection, job)
                return conclude(connection, job, work)
            found = self._find(connection, job, work)
            _rest(connection, found)
            if prove_certain(connection, job):
                classify(connection, job)
                out = work / "results"
                out.mkdir()
                _write(connection, job, found, out / "matched.parquet")
                del found
                return write_results(connection, job, out)
        return OneSqlEngine().match(job)

    def _find(self, connection: duckdb.DuckDBPyConnection, job: MatchJob, work: Path) -> Found:
        """Return the certain pairs."""
        import numpy as np

        rules = LayerRules(job.layer)
        count_ours, count_theirs = (
            sum(rows_in(connection, path) for path in files) for files in (job.ours, job.theirs)
        )
        unknown_fee = rules.fee and _has_unknown_fee(connection)
        payload = _payload(rules, _frames(connection), unknown_fee=unknown_fee)
        found = Found(np.zeros(count_ours, bool), np.zeros(count_ours, bool), np.zeros(count_theirs, bool))
        theirs = Partitions(work, "theirs", count_ours + count_theirs)
        for columns in _slices(connection, job, job.theirs, {**self._hashes(rules, unknown_fee, "theirs"), **payload}):
            found.left_theirs[columns["pos"]] = True
            theirs.add(columns)
        ours = Partitions(work, "ours", count_ours + count_theirs)
        places = {"day": "(day - DATE '1970-01-01')::BIGINT", "file": "file::BIGINT", "line": "line"}
        last = None
        for columns in _slices(connection, job, job.ours, {**self._hashes(rules, unknown_fee, "ours"), **places}):
            order = [columns.pop(name) for name in places]
            if found.in_order:
                found.in_order, last = _increases(order, last)
            found.left_ours[columns["pos"]] = True
            ours.add(columns)
        found.columns = {
            name: np.zeros(count_ours, dtype=np.int64 if name in MONEY_COLUMNS else np.uint32) for name in payload
        }
        for place in range(ours.count):
            _pair(ours.read(place), theirs.read(place), ours.bits, found)
        return found

    def _hashes(self, rules: LayerRules, unknown_fee: bool, side: str) -> dict[str, str]:
        """Return the expressions of the hashes of a side: of the key, and of what must agree, with and without fee."""
        agreed = ", ".join(["kind", f'reverse("{rules.layer.key}")', *(f'"{column}"' for column in rules.plain)])
        with_fee = f"hash({agreed}, coalesce(fee, 0))" if rules.fee else f"hash({agreed})"
        hashes = {"k": f'hash(kind, "{rules.layer.key}")', "f": with_fee}
        if unknown_fee:
            without = f"hash({agreed}, 'unknown')"
            hashes |= (
                {"f": f"CASE WHEN fee IS NULL THEN {without} ELSE {with_fee} END"} if side == "ours" else {"u": without}
            )
        # A row that is not booked, or has no key, is no certain partner: its fingerprint is its own.
        own = f"state = '{RowState.SUCCEEDED}' AND \"{rules.layer.key}\" <> ''"
        if self.bits < 64:
            hashes = {name: f"hash(({expression}) % {1 << self.bits})" for name, expression in hashes.items()}
        return {
            name: expression if name == "k" else f"CASE WHEN {own} THEN {expression} ELSE hash(pos, '{side}') END"
            for name, expression in hashes.items()
        } | {"pos": "pos"}


_REST_FRAMES = 1 << 31
"""The first number of the frames of pairs of what was left over."""


def _frames(connection: duckdb.DuckDBPyConnection) -> str:
    """Make `frames`, what many rows of theirs have in common; return the expression of a row's frame."""
    for salt in count():
        frame = f'(hash("file", "day", batch, settle_day, {salt}) % {_REST_FRAMES})::UINTEGER'
        connection.execute(f"""
            CREATE OR REPLACE TABLE frames AS SELECT DISTINCT
            {frame} AS frame, file AS theirs_file, day AS theirs_day, batch, settle_day FROM all_theirs
        """)
        if connection.execute("SELECT count(*) = count(DISTINCT frame) FROM frames").fetchall() == [(True,)]:
            return frame
    raise AssertionError


def _payload(rules: LayerRules, frame: str, *, unknown_fee: bool) -> dict[str, str]:
    """Return what a pair has of theirs that ours does not have too."""
    payload = {"theirs_line": "line::UINTEGER", "frame": frame}
    own = [column for column in MONEY_COLUMNS if column not in rules.plain and column != "fee"]
    payload |= {column: column for column in own}
    if unknown_fee or not rules.fee:
        payload["fee"] = f"coalesce(fee, {_NO_FEE})"
    return payload


_NO_FEE = -(1 << 63)


def _has_unknown_fee(connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(connection.execute("SELECT 1 FROM all_ours WHERE fee IS NULL LIMIT 1").fetchall())


def _slices(
    connection: duckdb.DuckDBPyConnection, job: MatchJob, files: Sequence[Path], columns: dict[str, str]
) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Yield the columns of a side's rows, some rows at a time, in their order."""
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    start = 0
    for path in files:
        end = start + rows_in(connection, path)
        source = rows_of(connection, job.layer, [path], start)
        for first in range(start, end, SLICE_ROWS):
            rows = f"SELECT {selected} FROM ({source}) WHERE pos >= {first} AND pos < {min(first + SLICE_ROWS, end)}"
            yield connection.execute(rows).fetchnumpy()
        start = end


def _increases(
    order: Sequence[np.ndarray[Any, Any]], last: tuple[int, ...] | None
) -> tuple[bool, tuple[int, ...] | None]:
    """Return whether rows come in strictly rising order, after the last one before them; and their last one."""
    import numpy as np

    if not len(order[0]):
        return True, last
    rises = np.zeros(len(order[0]) - 1, dtype=bool)
    for column in reversed(order):
        rises = (column[1:] > column[:-1]) | ((column[1:] == column[:-1]) & rises)
    first = tuple(int(column[0]) for column in order)
    return bool(rises.all()) and (last is None or first > last), tuple(int(column[-1]) for column in order)


def _pair(
    ours: dict[str, np.ndarray[Any, Any]],
    theirs: dict[str, np.ndarray[Any, Any]],
    bits: int,
    found: Found,
) -> None:
    """Find the pairs of a partition: sort hash, side and place as one number, and take what stands in twos."""
    import numpy as np

    if not len(ours["k"]) or not len(theirs["k"]):
        return
    width = np.uint64(max(len(ours["k"]), len(theirs["k"])).bit_length())
    packed = []
    for side, rows in ((0, ours), (1, theirs)):
        place = np.arange(len(rows["k"]), dtype=np.uint64) | np.uint64(side) << width
        # The first bits are equal in a partition; dropping them leaves more of the others.
        packed.append((rows["k"] << np.uint64(bits)) >> (width + np.uint64(1)) << (width + np.uint64(1)) | place)
    ordered = np.sort(np.concatenate(packed))
    hashes, sides = ordered >> (width + np.uint64(1)), ordered >> width & np.uint64(1)
    changes = np.concatenate(([True], hashes[1:] != hashes[:-1], [True]))
    first = np.flatnonzero(changes[:-2] & ~changes[1:-1] & changes[2:])
    first = first[(sides[first] == 0) & (sides[first + 1] == 1)]
    mask = (np.uint64(1) << width) - np.uint64(1)
    at_ours, at_theirs = (ordered[first] & mask).astype(np.int64), (ordered[first + 1] & mask).astype(np.int64)
    equal = ours["f"][at_ours] == theirs["f"][at_theirs]
    if "u" in theirs:
        equal |= ours["f"][at_ours] == theirs["u"][at_theirs]
    at_ours, at_theirs = at_ours[equal], at_theirs[equal]
    places = ours["pos"][at_ours]
    found.paired[places] = True
    found.left_ours[places] = False
    found.left_theirs[theirs["pos"][at_theirs]] = False
    for name in found.columns:
        found.columns[name][places] = theirs[name][at_theirs]


def _rest(connection: duckdb.DuckDBPyConnection, found: Found) -> None:
    """Make `rest_ours` and `rest_theirs` of the rows without a certain partner."""
    import numpy as np

    for side, left in (("ours", found.left_ours), ("theirs", found.left_theirs)):
        connection.register("left_over", {"pos": np.flatnonzero(left)})
        connection.execute(f"""
            CREATE TABLE rest_{side} AS SELECT {CARRY}, pos FROM all_{side}
            SEMI JOIN left_over USING (pos)
        """)
        connection.unregister("left_over")


def _write(connection: duckdb.DuckDBPyConnection, job: MatchJob, found: Found, path: Path) -> None:
    """Write the matched rows: ours in their order, each beside what is its own of theirs."""
    # A pair of what was left over has a frame of its own, with all that it states. The row that is deleted hides from
    # DuckDB which columns are never NULL, as in `classify`.
    connection.execute("INSERT INTO frames (frame) VALUES (NULL)")
    rest_frame = f"({_REST_FRAMES} + row_number() OVER (ORDER BY pos))::UINTEGER AS frame"
    connection.execute(f"""
        CREATE TABLE all_frames AS
        FROM frames UNION ALL BY NAME SELECT {rest_frame}, pos, {MATCHED} FROM rest_pairs
    """)
    connection.execute("DELETE FROM all_frames WHERE frame IS NULL")
    rest = connection.execute("SELECT pos, frame FROM all_frames WHERE pos IS NOT NULL").fetchnumpy()
    found.columns["frame"][rest["pos"]] = rest["frame"]
    found.paired[rest["pos"]] = True
    connection.register("found", {"paired": found.paired, **found.columns})
    # One reader for all files: the parts of a union would be read at the same time, and lose their places.
    ours = (
        f"SELECT {ROWS} FROM read_parquet({literals(job.ours)}, union_by_name = true)" if job.ours else "FROM all_ours"
    )
    rules = LayerRules(job.layer)
    framed = ("theirs_file", "theirs_day", "batch", "settle_day")
    own = {
        "key": f'o."{job.layer.key}"', "quality": "CASE WHEN o.day = f.theirs_day THEN 'exact' ELSE 'cross_day' END",
        "ours_file": "o.file", "ours_line": "o.line", "ours_day": "o.day", "theirs_line": "p.theirs_line",
    }  # fmt: skip
    own |= {column: f"p.{column}" for column in MONEY_COLUMNS if column in found.columns}
    if "fee" in found.columns:
        own["fee"] = f"nullif(p.fee, {_NO_FEE})"
    elif rules.fee:
        own["fee"] = "o.fee"
    own = {name: own.get(name, f"o.{name}") for name in MATCHED_COLUMNS}
    made = {name: f"CASE WHEN f.quality IS NULL THEN {sql} ELSE f.{name} END" for name, sql in own.items()}
    made |= {name: f"f.{name}" for name in framed}
    columns = ", ".join(f'{made[name]}::{kind} AS "{name}"' for name, kind in MATCHED_COLUMNS.items())
    # The rows of ours must stream past the small tables, so that they keep their order.
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    order = "" if found.in_order else f"ORDER BY {MATCHED_ORDER}"
    connection.execute(f"""
        COPY (
            SELECT {columns}
            FROM ({ours}) AS o POSITIONAL JOIN found AS p JOIN all_frames AS f ON f.frame = p.frame
            WHERE p.paired {order}
        ) TO {literal(path)} {FORMAT}
    """)
    connection.execute("RESET disabled_optimizers")
    connection.unregister("found")
