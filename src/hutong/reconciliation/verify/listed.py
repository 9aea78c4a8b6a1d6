"""The comparison of days' differences with a list of those that the database has, as `--json` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hutong.errors import InvalidParameter
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.differences.found import Found, base_key, merge
from hutong.reconciliation.differences.record import EXPLAINED
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.model import DifferenceAction, DifferenceClass, DifferenceState, RowSide
from hutong.reconciliation.runs.results import read_results
from hutong.reconciliation.verify.compare import Finding

_CLASSES = {RowSide.OURS: DifferenceClass.MISSING, RowSide.THEIRS: DifferenceClass.UNEXPECTED}
"""The class that a waiting row has in the database, by its side."""
_FIGURES = ("amount_minor", "currency", "content")

_Identity = tuple[str, str, str, str, str]
_Case = Mapping[str, Any]


def compare_with_list(folders: Sequence[RunFolder], listed: Path, limits: Limits | None = None) -> Finding | None:
    """Return the first difference of kept days that the database's list lacks or states otherwise, or has alone.

    What is resolved is compared as well: its identity, class, sum and content are those that its last day states. One
    that a match has ended is stated there no more, and a pair or another difference of its key explains it.

    Args:
        folders: Days of one account, in order.

    Errors:
        InvalidParameter: the file is not such a list.
    """
    account = folders[0].account
    cases, places = _read(listed, account)
    for folder in folders:
        finding = _compare_day(folder, cases, listed, places, limits or Limits())
        if finding is not None:
            return finding
    return None


def _compare_day(
    folder: RunFolder, cases: Mapping[_Identity, _Case], listed: Path, places: Mapping[_Identity, int], limits: Limits
) -> Finding | None:
    day = folder.day.isoformat()
    stated: set[_Identity] = set()
    explained: set[tuple[str, str]] = set()
    for definition in Manifest.read(folder.manifest).layers:
        layer, path = definition.layer.value, folder.differences(definition.layer)
        results = read_results(folder, definition, limits)
        rows = list(results.differences)
        lines = _lines(rows)
        explained |= {(layer, key) for key in results.matched_late}
        for found in merge(rows):
            identity = (layer, *found.identity)
            stated.add(identity)
            explained.add((layer, found.key))
            reason = _disagreement(found, cases.get(identity), day)
            if reason is not None:
                return Finding(path, lines[found.side, found.key, found.klass], f"{'/'.join(identity)}: {reason}")
    for identity, case in cases.items():
        if case["last_day"] == day:
            reason = _unproven(identity, case, is_stated=identity in stated, explained=explained)
            if reason is not None:
                return Finding(listed, places[identity], f"{'/'.join(identity)}: {reason}")
    return None


def _disagreement(found: Found, case: _Case | None, day: str) -> str | None:
    """Return what the database has otherwise of a difference that a day's files state."""
    if case is None:
        return "the database does not have this difference"
    if case["last_day"] > day:
        return None  # a later day has stated it since, from newer files
    for name in _FIGURES:
        if case[name] != getattr(found, name):
            return f"the database has {name}={case[name]}, and {getattr(found, name)} was computed"
    if case["last_day"] < day:
        return None if case["state"] == DifferenceState.RESOLVED else "the database does not have it of this day"
    if found.waits != (case["state"] == DifferenceState.ROLLED):
        return f"the database has it as {case['state']}, and its row {'waits' if found.waits else 'waits no longer'}"
    if case["state"] == DifferenceState.RESOLVED and case["action"] == DifferenceAction.MATCH:
        return "the database has it as matched, and the files state it"
    return None


def _unproven(identity: _Identity, case: _Case, *, is_stated: bool, explained: set[tuple[str, str]]) -> str | None:
    """Return what no file proves of a case that a day was the last to change."""
    is_resolved = case["state"] == DifferenceState.RESOLVED
    if is_resolved and case["suspense_minor"] != 0:
        return f"it is resolved, and {case['suspense_minor']} of it are in suspense"
    if is_stated:
        return None
    if not is_resolved or case["action"] != DifferenceAction.MATCH:
        return "no file gives rise to this difference"
    layer, key = identity[0], identity[2]
    if case["reason"] == EXPLAINED and not {(layer, key), (layer, base_key(key))} & explained:
        return "it is resolved as explained, and no match of its last day explains it"
    return None


def _lines(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], int]:
    """Return the first row of a file, from 1, by side, key and class."""
    lines: dict[tuple[str, str, str], int] = {}
    for line, row in enumerate(rows, start=1):
        side, klass = row["side"], row["class"]
        shown = _CLASSES[RowSide(side)].value if klass == DifferenceClass.PENDING else klass
        lines.setdefault((side, row["key"], shown), line)
    return lines


def _read(listed: Path, account: str) -> tuple[dict[_Identity, _Case], dict[_Identity, int]]:
    """Return the cases of an account, and the place of each in the list, from 1."""
    cases: dict[_Identity, _Case] = {}
    places: dict[_Identity, int] = {}
    needed = (*_FIGURES, "state", "action", "reason", "suspense_minor", "last_day")
    try:
        document = json.loads(listed.read_text(encoding="utf-8"))
        found = document if isinstance(document, list) else document.get("differences", document.get("data"))
        for place, case in enumerate(found, start=1):
            if case["account_id"] == account:
                identity = (case["layer"], case["side"], case["key"], case["class"], case["column"] or "")
                cases[identity] = {name: case[name] for name in needed}
                places[identity] = place
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidParameter(f"{listed} is not a list of differences: {error}", param="--differences") from error
    return cases, places
