"""The part of a run that needs no database: original files to rows, rows to results. Runs and their checks share it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hutong.reconciliation.archive import RunFolder, sha256_of
from hutong.reconciliation.duck import ROWS_FORMAT, connect, create_table, literal, literals
from hutong.reconciliation.layers import LayerDefinition, SideSource
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.matching.model import (
    CARRY_COLUMNS,
    DIFFERENCE_COLUMNS,
    MATCHED_COLUMNS,
    MatchEngine,
    MatchJob,
    MatchResult,
)
from hutong.reconciliation.settled import call_back, has_batches, keep_settled

KNOWN = "known.parquet"
"""In `rows/`: ours that are known and not booked, for the keys that the files name."""
CLOSED = "closed.parquet"
"""In `rows/`: the cases of differences that have ended for good, with `CLOSED_COLUMNS`; their rows wait no longer."""

CLOSED_COLUMNS = {"layer": "VARCHAR", "side": "VARCHAR", "key": "VARCHAR"}


@dataclass(frozen=True, slots=True)
class Limits:
    """The memory and the threads that a computation may use."""

    memory_mb: int = 512
    threads: int = 2


def match_layers(folder: RunFolder, plan: Manifest, engine: MatchEngine, limits: Limits) -> Manifest:
    """Match every layer of a day from the rows in its folder.

    Effects:
        Writes `results/` whole: to a folder beside it, which then takes its place.

    Repeat:
        The same rows give the same results.

    Returns:
        The plan, with the digests of rows and results and the totals of the layers.

    Errors:
        InvariantBroken: a layer's totals do not prove its matched part.
    """
    part = folder.path / "results.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    totals: dict[str, Any] = {}
    carries: dict[SideSource, list[Path]] = {}
    for layer in plan.layers:
        job = MatchJob(
            layer,
            plan.window,
            plan.day,
            side_files(folder, layer.ours, waits=layer.rolls),
            side_files(folder, layer.theirs, waits=layer.rolls),
            part / layer.layer,
            limits.memory_mb,
            limits.threads,
        )
        result = engine.match(job) if _has_rows(job) else _without_rows(job)
        totals[layer.layer] = dict(result.totals)
        _collect(result, layer, part, carries)
    with connect(part, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        for source, files in carries.items():
            _copy(duck, f"FROM read_parquet({literals(files)}, union_by_name = true)", part / f"carry-{source}.parquet")
        if has_batches(plan.layers):
            keep_settled(duck, folder, part)
    for layer in plan.layers:
        shutil.rmtree(part / layer.layer)
    shutil.rmtree(part / "spill", ignore_errors=True)
    results = folder.path / "results"
    shutil.rmtree(results, ignore_errors=True)
    os.rename(part, results)
    return replace(plan, rows=_digests(folder.path / "rows"), results=_digests(results), totals=totals)


def _has_rows(job: MatchJob) -> bool:
    """Return whether a row of either side takes part: most layers of most days have none, which needs no engine."""
    files, kinds = [*job.ours, *job.theirs], ", ".join(literal(kind) for kind in sorted(job.layer.kinds))
    if not files:
        return False
    with connect(job.out.parent, memory_mb=job.memory_mb, threads=job.threads) as duck:
        rows = duck.execute(
            f"SELECT 1 FROM read_parquet({literals(files)}, union_by_name = true) WHERE kind IN ({kinds}) LIMIT 1"
        )
        return rows.fetchone() is not None


def _without_rows(job: MatchJob) -> MatchResult:
    """Write the results of a layer that has no rows."""
    job.out.mkdir(parents=True)
    tables = {
        "matched": MATCHED_COLUMNS, "differences": DIFFERENCE_COLUMNS,
        "carry-ours": CARRY_COLUMNS, "carry-theirs": CARRY_COLUMNS,
    }  # fmt: skip
    with connect(job.out.parent, memory_mb=job.memory_mb, threads=job.threads) as duck:
        for name, columns in tables.items():
            duck.execute(create_table("empty", columns))
            _copy(duck, "FROM empty", job.out / f"{name}.parquet")
    matched, differences, ours, theirs = (job.out / f"{name}.parquet" for name in tables)
    return MatchResult(matched, differences, ours, theirs, {"ours": {}, "theirs": {}, "matched": {}, "classes": {}})


def side_files(folder: RunFolder, source: SideSource, *, waits: bool) -> list[Path]:
    """Return the files with the rows of a side that exist.

    Args:
        waits: Whether the layer's rows wait for a partner: then those of earlier days take part, and what is known and
            not booked. A layer inside the house has the day's rows alone.
    """
    files = [folder.carried(source)] if waits else []
    files.append(folder.rows(source))
    if waits and source is SideSource.JOURNAL:
        files.append(folder.path / "rows" / KNOWN)
    return [file for file in files if file.exists()]


def carry_over(
    previous: RunFolder, folder: RunFolder, layers: Sequence[LayerDefinition], limits: Limits | None = None
) -> None:
    """Take over the rows that wait from the day before, but for those whose differences have ended for good.

    Effects:
        Writes `rows/carry-<source>.parquet` from the results of the day before and `rows/closed.parquet`; without a
        day before there is none. Batches whose money the day takes back wait again.
    """
    limits = limits or Limits()
    closed = folder.path / "rows" / CLOSED
    closed.parent.mkdir(parents=True, exist_ok=True)
    with connect(closed.parent, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        duck.execute(create_table("closed", CLOSED_COLUMNS))
        if closed.exists():
            duck.execute(f"INSERT INTO closed BY NAME FROM read_parquet({literal(closed)})")
        for source in sorted({source for layer in layers if layer.rolls for source in (layer.ours, layer.theirs)}):
            waiting, carried = previous.carry(source), folder.carried(source)
            carried.unlink(missing_ok=True)
            if waiting.exists():
                ends = " OR ".join(_ends(layer) for layer in layers if source in (layer.ours, layer.theirs))
                kept = f'NOT EXISTS (FROM closed AS c WHERE c.side = r.side AND c.key = r."case" AND ({ends}))'
                _copy(duck, f"FROM read_parquet({literal(waiting)}) AS r WHERE {kept}", carried)
        if has_batches(layers):
            call_back(duck, previous, folder)


def write_rows(folder: Path, name: str, parts: Sequence[Path], limits: Limits) -> None:
    """Write rows of several files as one, in their order."""
    with connect(folder, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        duck.execute(create_table("empty"))
        rows = f"FROM read_parquet({literals(parts)})" if parts else "FROM empty"
        _copy(duck, rows, folder / name)


def _ends(layer: LayerDefinition) -> str:
    """Return the condition that a closed case is one of a layer in which a waiting row takes part."""
    kinds = ", ".join(literal(kind) for kind in sorted(layer.kinds))
    return f"(c.layer = {literal(layer.layer)} AND r.kind IN ({kinds}))"


def _collect(result: MatchResult, layer: LayerDefinition, part: Path, carries: dict[SideSource, list[Path]]) -> None:
    result.matched.rename(part / f"{layer.layer}.matched.parquet")
    result.differences.rename(part / f"{layer.layer}.differences.parquet")
    if layer.rolls:
        carries.setdefault(layer.ours, []).append(result.carry_ours)
        carries.setdefault(layer.theirs, []).append(result.carry_theirs)


def _copy(duck: Any, query: str, path: Path) -> None:
    part = path.with_suffix(".part")
    duck.execute(f"COPY ({query}) TO {literal(part)} {ROWS_FORMAT}")
    part.replace(path)


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in sorted(folder.glob("*.parquet"))}
