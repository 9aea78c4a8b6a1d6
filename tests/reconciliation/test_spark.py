"""The matcher as an Ibis expression, on DuckDB and on a Spark cluster, gives what the fingerprints give."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from hutong.errors import ConfigurationError, Unavailable
from hutong.reconciliation.archive import sha256_of
from hutong.reconciliation.layers import LAYERS
from hutong.reconciliation.matching import engine
from hutong.reconciliation.matching.model import MatchJob, MatchResult
from hutong.reconciliation.model import DayWindow, Layer
from support import unavailable
from support.processes.spark_cluster import SparkCluster

DAY = date(2026, 11, 28)

_OURS = """
    SELECT kind, 'K' || i AS key, 'C' || i AS channel_no, '' AS original_key, 'mch_' || i % 7 AS merchant,
        DATE '2026-11-28' AS day, TIMESTAMP '2026-11-28 02:00:00' + to_seconds(i % 40000) AS at, 'CNY' AS currency,
        100 + i AS ordered, 100 + i AS paid, 100 + i AS settled,
        CASE WHEN i % 3 = 0 THEN NULL ELSE 6 END::BIGINT AS fee,
        CASE WHEN i % 997 = 5 THEN 'pending' ELSE 'succeeded' END AS state,
        '' AS batch, NULL::DATE AS settle_day, '' AS memo, 'pay_' || i AS reference, 0::INTEGER AS file, i AS line
    FROM (SELECT i, CASE WHEN i % 10 = 9 THEN 'refund' ELSE 'payment' END AS kind FROM range({rows}) AS t(i))
    WHERE i % 997 <> 7
"""
"""What the journal says. Every 997th row of each of these is another class of difference."""

_THEIRS = """
    SELECT kind, CASE WHEN i % 997 = 9 THEN '' ELSE 'K' || i END AS key, 'C' || i AS channel_no, '' AS original_key,
        '1900001' AS merchant, DATE '2026-11-28' + CASE WHEN i % 997 = 4 THEN 1 ELSE 0 END AS day,
        TIMESTAMP '2026-11-28 02:00:01' + to_seconds(i % 40000) AS at,
        CASE WHEN i % 997 = 11 THEN 'HKD' ELSE 'CNY' END AS currency, 100 + i AS ordered, 100 + i AS paid,
        100 + i + CASE WHEN i % 997 = 3 THEN 1 ELSE 0 END AS settled,
        CASE WHEN i % 997 = 13 THEN NULL WHEN i % 997 = 2 THEN 7 ELSE 6 END::BIGINT AS fee, 'succeeded' AS state,
        'B1' AS batch, CASE WHEN i % 2 = 0 THEN DATE '2026-11-30' END AS settle_day, '' AS memo, '' AS reference,
        1::INTEGER AS file, i + 2 AS line
    FROM (SELECT i, CASE WHEN i % 10 = 9 THEN 'refund' ELSE 'payment' END AS kind FROM range({rows}) AS t(i)
        UNION ALL SELECT i, 'payment' FROM range(10, {rows}, 997) AS t(i))
    WHERE i % 997 <> 8
"""

_CARRIED = """
    SELECT * REPLACE (DATE '2026-11-27' AS day, 'K' || line + {rows} AS key), 'missing' AS waits, 'ours' AS side,
        'K' || line + {rows} AS case
    FROM ours WHERE line % 5000 = 1
"""


def write_rows(folder: Path, rows: int) -> tuple[list[Path], list[Path]]:
    """Write both sides; ours with rows of the day before, one of which finds its partner."""
    paths = [folder / f"{name}.parquet" for name in ("ours", "carried", "theirs")]
    with duckdb.connect() as connection:
        for path, query in zip(paths, (_OURS, _CARRIED, _THEIRS), strict=True):
            found = query.format(rows=rows)
            if path.stem == "theirs":
                found += ' UNION ALL SELECT * EXCLUDE (waits, side, "case") FROM carried WHERE line = 1'
            connection.execute(f"CREATE TABLE {path.stem} AS {found}")
            connection.execute(f"COPY {path.stem} TO '{path}' (FORMAT parquet)")
    return paths[:2], paths[2:]


def matched(
    name: str, folder: Path, sides: tuple[list[Path], list[Path]], layer: Layer, master: str = ""
) -> MatchResult:
    window = DayWindow(timedelta(hours=8))
    out = folder / f"{name}-{layer}"
    return engine(name, spark_master=master).match(MatchJob(LAYERS[layer], window, DAY, *sides, out))


def content(result: MatchResult) -> dict[str, str]:
    return {
        path.stem: sha256_of(path)
        for path in (result.matched, result.differences, result.carry_ours, result.carry_theirs)
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    """A master and two workers; JVMs that are not to live long compile less."""
    if importlib.util.find_spec("pyspark") is None:
        unavailable("the extra spark is not installed: make spark")
    if shutil.which("java") is None:
        unavailable("Java is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "JAVA_TOOL_OPTIONS",
            "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote",
        )
        with SparkCluster(tmp_path_factory.mktemp("spark")) as started:
            yield started


def test_spark_gives_the_same_files_as_the_fingerprints(cluster: SparkCluster, tmp_path: Path) -> None:
    sides = write_rows(tmp_path, 100_000)
    expected = matched("fingerprint", tmp_path, sides, Layer.PAYMENT_BILL)
    found = matched("spark", tmp_path, sides, Layer.PAYMENT_BILL, cluster.master)
    assert content(found) == content(expected)
    assert found.totals == expected.totals


@pytest.mark.parametrize("layer", [Layer.PAYMENT_BILL, Layer.REFUND_BILL, Layer.LEDGER_ORDER, Layer.DISPUTE_BILL])
def test_ibis_on_duckdb_gives_the_same_files_as_the_fingerprints(layer: Layer, tmp_path: Path) -> None:
    if importlib.util.find_spec("ibis") is None:
        unavailable("the extra spark is not installed: make spark")
    sides = write_rows(tmp_path, 20_000)
    expected = matched("fingerprint", tmp_path, sides, layer)
    found = matched("ibis_duckdb", tmp_path, sides, layer)
    assert content(found) == content(expected)
    assert found.totals == expected.totals


def test_a_cluster_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyspark") is None:
        unavailable("the extra spark is not installed: make spark")
    sides = write_rows(tmp_path, 100)
    with pytest.raises(
        Unavailable, match=r"No master of the Spark cluster accepts a connection: spark://127\.0\.0\.1:1"
    ):
        matched("spark", tmp_path, sides, Layer.PAYMENT_BILL, "spark://127.0.0.1:1")


@pytest.mark.parametrize("name", ["spark", "ibis_duckdb"])
def test_an_engine_whose_packages_are_missing_says_what_to_install(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = write_rows(tmp_path, 100)
    monkeypatch.setitem(sys.modules, "ibis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'hutong\[spark\]'") as raised:
        matched(name, tmp_path, sides, Layer.PAYMENT_BILL, "local[1]")
    assert raised.value.param == "HUTONG_RECON_ENGINE"
