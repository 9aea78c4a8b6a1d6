"""The matcher as one Ibis expression, which DuckDB and a Spark cluster run alike.

The expression decides which pairs are certain; everything else is the rest, which all engines give to one classifier.
Backends differ in hash functions, in the order of NULLs and in the order of rows: the expression has no hash, compares
no NULL, and relies on no order.

Source: https://ibis-project.org/reference/expression-tables (joins, windows),
https://ibis-project.org/backends/pyspark and https://ibis-project.org/backends/duckdb (`to_parquet`).
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hutong.errors import ConfigurationError, Unavailable
from hutong.reconciliation.layers import LayerDefinition
from hutong.reconciliation.matching.classify import finish
from hutong.reconciliation.matching.model import WAITING_COLUMNS, MatchJob, MatchResult
from hutong.reconciliation.model import MatchQuality, RowState
from hutong.reconciliation.rows import ROW_COLUMNS

if TYPE_CHECKING:
    import ibis

PART = "part"
"""The column by which the results are divided into folders: pairs, and the rest of each side."""

_CARRIED = tuple(WAITING_COLUMNS)
"""Columns that only carried rows have: the classifier alone knows their cases, so that they are always in the rest."""

_PLACES = ("file", "line", "day")

_OF_OURS = ("merchant", "reference")
"""What a pair has from ours; everything else is theirs."""


class Backend(Protocol):
    """A backend of Ibis, with its own reader and writer of Parquet."""

    name: str

    def connect(self, job: MatchJob, scratch: Path) -> AbstractContextManager[Session]:
        """Open the backend for one job, within the job's memory and threads."""
        ...


class Session(Protocol):
    """An open backend."""

    def read(self, files: Sequence[Path]) -> ibis.Table:
        """Return the rows of several Parquet files as one table."""
        ...

    def write(self, expression: ibis.Table, folder: Path) -> None:
        """Write the rows of an expression as Parquet files, one folder `part=…` for each value of `PART`."""
        ...


class IbisEngine:
    """The matcher on a backend of Ibis."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self._backend = backend

    def match(self, job: MatchJob) -> MatchResult:
        """Match a layer, as `MatchEngine` says."""
        if job.layer.group or not job.ours or not job.theirs:
            return finish(job, pairs=(), rest_ours=job.ours, rest_theirs=job.theirs)
        scratch = job.out.with_name(f"{job.out.name}.parts")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            with self._backend.connect(job, scratch) as session:
                expression = certain(session.read(job.ours), session.read(job.theirs), job.layer)
                session.write(expression, scratch / "results")
            pairs, ours, theirs = (
                sorted((scratch / "results" / f"{PART}={part}").glob("*.parquet"))
                for part in ("pairs", "ours", "theirs")
            )
            return finish(job, pairs=pairs, rest_ours=ours, rest_theirs=theirs)
        finally:
            shutil.rmtree(scratch)


def certain(ours: ibis.Table, theirs: ibis.Table, layer: LayerDefinition) -> ibis.Table:
    """Return the certain pairs of a layer, and the rest of both sides.

    A pair is certain if its key is on each side once, neither row was carried over, both succeeded, and all compared
    columns are equal: the fee too, unless we expect none.

    Returns:
        Rows with all columns of rows and of pairs, and `PART`, which says what they are: `pairs`, `ours` or `theirs`.
    """
    import ibis

    left, right = _keyed(ours, layer, "o"), _keyed(theirs, layer, "t")
    equal = [left.o_alone == right.t_alone, left.o_kind == right.t_kind]
    equal += [left[f"o_{name}"] == right[f"t_{name}"] for name in layer.compared if name != "fee"]
    if "fee" in layer.compared:
        equal.append(left.o_fee.isnull() | (left.o_fee == right.t_fee.fill_null(0)))
    both = left.outer_join(right, equal)
    is_ours, is_theirs = both.o_kind.notnull(), both.t_kind.notnull()
    is_pair = is_ours & is_theirs
    columns = {
        name: ibis.ifelse(is_ours if name in _OF_OURS else ~is_theirs, both[f"o_{name}"], both[f"t_{name}"])
        for name in (*ROW_COLUMNS, *_CARRIED)
    }
    columns |= {f"{side}_{name}": both[f"{side[0]}_{name}"] for side in ("ours", "theirs") for name in _PLACES}
    columns["quality"] = ibis.ifelse(both.o_day == both.t_day, MatchQuality.EXACT.value, MatchQuality.CROSS_DAY.value)
    columns[PART] = ibis.ifelse(is_pair, "pairs", ibis.ifelse(is_ours, "ours", "theirs"))
    return both.select(**columns)


def _keyed(rows: ibis.Table, layer: LayerDefinition, prefix: str) -> ibis.Table:
    """Return the rows of a layer with `alone`, the key of those that can be in a certain pair, and all names prefixed.

    NULL in `alone` is equal to nothing, so that the join leaves those rows in the rest.
    """
    import ibis

    known = {name: rows[name].fill_null("") if name in rows.columns else ibis.literal("") for name in _CARRIED}
    rows = rows.mutate(**known)
    mine = rows.filter(rows.kind.isin([str(kind) for kind in sorted(layer.kinds)]))
    same = mine.kind.count().over(ibis.window(group_by=["kind", layer.key]))
    able = (same == 1) & (mine[layer.key] != "") & (mine.state == RowState.SUCCEEDED.value)
    able &= mine[_CARRIED[0]] == ""
    keyed = mine.select(*ROW_COLUMNS, *_CARRIED, alone=ibis.ifelse(able, mine[layer.key], ibis.null(str)))
    return keyed.rename(f"{prefix}_{{name}}")


class OnDuckDB:
    """DuckDB in this process."""

    name = "ibis_duckdb"

    @contextmanager
    def connect(self, job: MatchJob, scratch: Path) -> Iterator[Session]:
        """Open a database in memory that spills into the scratch folder and loads no extension."""
        ibis = _library("duckdb")
        backend = ibis.duckdb.connect(
            memory_limit=f"{job.memory_mb}MB",
            threads=job.threads,
            temp_directory=str(scratch / "spill"),
            preserve_insertion_order=False,
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
        )
        try:
            yield _DuckDB(backend)
        finally:
            backend.disconnect()


class _DuckDB:
    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def read(self, files: Sequence[Path]) -> ibis.Table:
        return self._backend.read_parquet(files, union_by_name=True)

    def write(self, expression: ibis.Table, folder: Path) -> None:
        self._backend.to_parquet(expression, folder, partition_by=PART)


class OnSpark:
    """A Spark cluster. Its workers need the folders of the run under the same paths as this process.

    Attributes:
        master: The address of the cluster, as in "spark://127.0.0.1:7077".
    """

    name = "spark"

    def __init__(self, master: str) -> None:
        self.master = master

    @contextmanager
    def connect(self, job: MatchJob, scratch: Path) -> Iterator[Session]:
        """Take executors of the cluster for the length of the job.

        Errors:
            ConfigurationError: Ibis or PySpark is not installed. Unavailable: the cluster cannot be reached.
        """
        ibis = _library("pyspark")
        from pyspark.sql import SparkSession

        address = _own_address(self.master)
        builder = SparkSession.builder.master(self.master).appName(f"hutong reconciliation {job.layer.layer} {job.day}")
        for setting, value in {
            "spark.driver.bindAddress": address,
            "spark.driver.host": address,
            "spark.driver.memory": f"{max(job.memory_mb, 512)}m",
            "spark.executor.memory": f"{max(job.memory_mb, 512)}m",
            "spark.local.dir": str(scratch / "spill"),
            "spark.log.level": "ERROR",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": str(_partitions(job)),
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }.items():
            builder = builder.config(setting, value)
        session = builder.getOrCreate()
        try:
            yield _Spark(ibis.pyspark.connect(session), session)
        finally:
            session.stop()


def _own_address(master: str) -> str:
    """Return the address of this machine on the way to the cluster, the only one on which executors reach it.

    Errors:
        Unavailable: no master accepts a connection; Spark itself would try for a minute.
    """
    if not master.startswith("spark://"):
        return "127.0.0.1"
    for place in master.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                return str(connection.getsockname()[0])
        except OSError:
            continue
    raise Unavailable(f"No master of the Spark cluster accepts a connection: {master}.", retry_after_s=60)


def _partitions(job: MatchJob) -> int:
    """Return the number of parts in which rows are joined: each is to fit in a fraction of an executor's memory."""
    size = sum(file.stat().st_size for file in (*job.ours, *job.theirs))
    return max(2 * job.threads, size * 32 // (job.memory_mb * 1_000_000))


class _Spark:
    def __init__(self, backend: Any, session: Any) -> None:
        self._backend = backend
        self._session = session
        self._views = 0

    def read(self, files: Sequence[Path]) -> ibis.Table:
        rows = self._session.read.option("mergeSchema", "true").parquet(*[str(file) for file in files])
        self._views += 1
        rows.createOrReplaceTempView(f"rows_{self._views}")
        return self._backend.table(f"rows_{self._views}")

    def write(self, expression: ibis.Table, folder: Path) -> None:
        self._backend.to_parquet(expression, folder, partitionBy=PART)


def _library(backend: str) -> Any:
    """Return Ibis, if it and the package of the backend are installed."""
    try:
        import ibis

        __import__(backend)
    except ImportError as error:
        detail = f"This engine needs {error.name}, which is not installed: pip install 'hutong[spark]'."
        raise ConfigurationError(detail, param="HUTONG_RECON_ENGINE") from None
    return ibis
