"""`hutong bench recon`: bills of millions of rows from the delivered files to the books, beside what no job can beat.

The limit is what any such job must do: parse the CSV of the bills, and join the keys of both sides. It is measured by
DuckDB in the same run, without a bound on memory, on files that are already unpacked and decoded.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from hutong.bench import reconciliation_stages as stages

T = TypeVar("T")
_SEED = 20


@dataclass(slots=True)
class ReconciliationFigures:
    """The figures of one run.

    Attributes:
        limit_s: Seconds to parse the bills and to join the keys; the best of repetitions.
        whole_s: From the bills as delivered to the booked day.
        ratio_limit: The whole in limits.
        match_s: The matching of both sides' rows alone; `one_sql_s` the same by one join in SQL.
        ratio_sql: The match in matches by one join.
        pandas_s: A merge of at most a million rows by pandas, which is not installed with Hutong.
        peak_mb: The most memory that each stage held, each in a process of its own; `max` of those of the job.
        stages: The parts of the whole, in seconds.
        holds: Whether as many differences were found as are planted.
    """

    rows: int
    limit_s: float = 0.0
    parse_s: float = 0.0
    join_s: float = 0.0
    whole_s: float = 0.0
    ratio_limit: float = 0.0
    normalise_s: float = 0.0
    match_s: float = 0.0
    one_sql_s: float = 0.0
    ratio_sql: float = 0.0
    pandas_s: float | None = None
    peak_mb: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    found: int = 0
    planted: int = 0
    holds: bool = False


def run_bench_recon(*, rows: int, memory_mb: int, folder: Path | None, as_json: bool) -> int:
    """Run the benchmark in a folder that is removed afterwards.

    Returns:
        The exit status: 1 if other differences were found than planted.
    """
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="hutong-bench-", dir=folder) as scratch:
        Path(scratch).chmod(0o711)
        figures = measure_recon(Path(scratch), rows=rows, memory_mb=memory_mb, report=console.print)
    if as_json:
        print(json.dumps(asdict(figures)))
    else:
        for name, value in asdict(figures).items():
            console.print(f"{name:<12} {value:,.2f}" if isinstance(value, float) else f"{name:<12} {value}")
    return 0 if figures.holds else 1


def measure_recon(
    folder: Path, *, rows: int, memory_mb: int, report: Callable[[str], None] = lambda _: None
) -> ReconciliationFigures:
    """Generate rows, then measure each stage in a process of its own, and the whole job in one.

    Args:
        rows: Of both channels together, on each side.
        memory_mb: The bound that each stage's DuckDB is given.
    """
    figures = ReconciliationFigures(rows)

    def measure(name: str, stage: Callable[..., T], *arguments: Any) -> T:
        report(name)
        value, figures.peak_mb[name] = _alone(stage, *arguments)
        return value

    job = stages.StageJob(folder, rows, _SEED, memory_mb)
    job = replace(job, key=measure("generate", stages.make, job))
    assert job.key is not None
    figures.normalise_s = measure("normalise", stages.normalise, job)
    figures.match_s = measure("match", stages.match, job, "fingerprint")
    figures.one_sql_s = measure("one_sql", stages.match, job, "one_sql")
    figures.parse_s, figures.join_s = measure("limit", stages.limit, job)
    figures.pandas_s = measure("pandas", stages.merge_in_pandas, job)
    whole = measure("whole", stages.whole, job)
    figures.limit_s = figures.parse_s + figures.join_s
    figures.whole_s = whole.seconds
    figures.ratio_limit = figures.whole_s / figures.limit_s
    figures.ratio_sql = figures.match_s / figures.one_sql_s
    figures.stages = {name: getattr(whole, f"{name}_s") for name in ("receive", "read", "run")}
    figures.found, figures.planted = whole.found, whole.planted
    figures.holds = figures.found == figures.planted
    figures.peak_mb["max"] = max(figures.peak_mb[name] for name in ("normalise", "match", "whole"))
    return figures


def _alone(stage: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """Run a stage in a new process; return its value and the most memory that the process had, in MB."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_with_peak, stage, arguments).result()


def _with_peak(stage: Callable[..., T], arguments: tuple[Any, ...]) -> tuple[T, float]:
    value = stage(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return value, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
