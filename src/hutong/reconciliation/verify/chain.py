"""The days of an account, computed again one after the other: each takes over what the day before left waiting."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from hutong.channels import BillRefused
from hutong.errors import InvariantBroken, NotFound
from hutong.reconciliation import matching
from hutong.reconciliation.archive import RunFolder, sha256_of
from hutong.reconciliation.computation import CLOSED, KNOWN, Limits, carry_over, match_layers
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.parsing import normalise_inputs
from hutong.reconciliation.verify.compare import Finding, first_difference

_LOCAL = ("fingerprint", "one_sql")
"""The engines that need nothing beside this package; the first is the fast one."""
_THEIRS = (SideSource.BILL, SideSource.BANK)
_GIVEN = frozenset({KNOWN, CLOSED} | {f"{source}.parquet" for source in SideSource if source not in _THEIRS})
"""The rows that only the books know."""


class CheckStage(StrEnum):
    """The steps of a check."""

    DIGESTS = "digests"
    ROWS = "rows"
    MATCH = "match"
    RESULTS = "results"


Report = Callable[[date, CheckStage], None]
"""Called at the beginning of each step of each day."""


@dataclass(frozen=True, slots=True)
class VerifiedDays:
    """The outcome of a check.

    Attributes:
        days: How many days were computed again.
        finding: The first thing that is not as it must be; None if everything agrees.
    """

    days: int
    finding: Finding | None


def kept_days(root: Path, account: str) -> list[date]:
    """Return the days of an account that were run and are kept, in order."""
    found = []
    for folder in (root / account).glob("????-??-??"):
        try:
            day = date.fromisoformat(folder.name)
        except ValueError:
            continue
        if RunFolder(root, account, day).manifest.exists():
            found.append(day)
    return sorted(found)


def verify_day(
    root: Path,
    account: str,
    day: date,
    *,
    from_carry: bool = False,
    engine: str | None = None,
    limits: Limits | None = None,
    report: Report = lambda _day, _stage: None,
) -> VerifiedDays:
    """Compute a day again, and every kept day before it, and compare all that was kept of them.

    Args:
        from_carry: Take the rows that were waiting before the day as they are kept, and compute that day alone.
        engine: The engine to match with: all give the same results. By default that of the run, or the fast path for
            one that needs a cluster.

    Errors:
        NotFound: the day is not kept.
        InvariantBroken: a manifest is not readable.
    """
    days = [each for each in kept_days(root, account) if each <= day]
    if day not in days:
        raise NotFound(f"no run of {account} on {day} is kept in this folder")
    with TemporaryDirectory(prefix="hutong-verify-") as scratch:
        previous: RunFolder | None = None
        for number, each in enumerate([day] if from_carry else days, start=1):
            computed = RunFolder(Path(scratch), account, each)
            finding = _verify_one(
                RunFolder(root, account, each), computed, previous, from_carry, engine, limits or Limits(), report
            )
            if finding is not None:
                return VerifiedDays(number, finding)
            if previous is not None:
                shutil.rmtree(previous.path)
            previous = computed
    return VerifiedDays(number, None)


def _verify_one(
    kept: RunFolder,
    computed: RunFolder,
    previous: RunFolder | None,
    from_carry: bool,
    engine: str | None,
    limits: Limits,
    report: Report,
) -> Finding | None:
    report(kept.day, CheckStage.DIGESTS)
    manifest = Manifest.read(kept.manifest)
    if (manifest.account, manifest.day) != (kept.account, kept.day):
        return Finding(kept.manifest, 0, f"it is of {manifest.account} on {manifest.day}")
    finding = next(_wrong_inputs(kept, manifest), None)
    if finding is not None:
        return finding
    report(kept.day, CheckStage.ROWS)
    (computed.path / "rows").mkdir(parents=True)
    os.symlink(kept.inputs.resolve(), computed.inputs)
    _take_given(kept, computed, from_carry)
    try:
        normalise_inputs(computed, manifest, limits)
    except BillRefused as refusal:
        return Finding(kept.inputs, 0, f"a file is refused: {refusal.detail}")
    if not from_carry:
        carry_over(previous or RunFolder(computed.root, "none", date.min), computed, manifest.layers, limits)
    finding = _compare_files(kept.path / "rows", computed.path / "rows", dict(manifest.rows), computed.path, limits)
    if finding is not None:
        return finding
    report(kept.day, CheckStage.MATCH)
    try:
        name = engine or (manifest.engine if manifest.engine in _LOCAL else _LOCAL[0])
        again = match_layers(computed, manifest, matching.engine(name), limits)
    except InvariantBroken as error:
        return Finding(kept.path / "rows", 0, f"the rows do not match: {error.detail}")
    report(kept.day, CheckStage.RESULTS)
    finding = _compare_files(
        kept.path / "results", computed.path / "results", dict(manifest.results), computed.path, limits
    )
    if finding is None and again.totals != manifest.totals:
        layer = next(name for name in again.totals if again.totals[name] != manifest.totals.get(name))
        finding = Finding(
            kept.manifest, 0, f"its totals of {layer} are {manifest.totals.get(layer)}, not {again.totals[layer]}"
        )
    return finding


def _wrong_inputs(kept: RunFolder, manifest: Manifest) -> Iterator[Finding]:
    for file in manifest.inputs:
        path = kept.inputs / file.name
        if path.parent != kept.inputs or not path.is_file():
            yield Finding(path, 0, "the original file is missing")
        elif path.stat().st_size != file.size:
            yield Finding(path, 0, f"it has {path.stat().st_size} bytes, and {file.size} came")
        elif (digest := sha256_of(path)) != file.sha256:
            yield Finding(path, 0, f"its SHA-256 is {digest}, and that of what came is {file.sha256}")


def _take_given(kept: RunFolder, computed: RunFolder, from_carry: bool) -> None:
    """Put the rows that cannot be computed beside those that will be."""
    for path in sorted((kept.path / "rows").glob("*.parquet")):
        if path.name in _GIVEN or (from_carry and path.name.startswith("carry-")):
            os.symlink(path.resolve(), computed.path / "rows" / path.name)


def _compare_files(
    kept: Path, computed: Path, digests: dict[str, str], scratch: Path, limits: Limits
) -> Finding | None:
    """Return the first difference of two folders, by file and row, and then by the digests of the manifest."""
    for path in sorted(computed.glob("*.parquet")):
        if not path.is_symlink():
            finding = first_difference(kept / path.name, path, scratch, limits)
            if finding is not None:
                return finding
    names: Sequence[str] = sorted({path.name for path in kept.glob("*.parquet")} | set(digests))
    for name in names:
        path = kept / name
        if not path.is_file():
            return Finding(path, 0, "the file is missing")
        if name not in digests or not (computed / name).exists():
            return Finding(path, 0, "the file is not one of the run's")
        if sha256_of(path) != digests[name]:
            return Finding(path, 0, "its SHA-256 is not that of the manifest")
    return None
