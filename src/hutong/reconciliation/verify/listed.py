"""The comparison of a day's differences with a list of those that the database has, as `--json` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hutong.errors import InvalidParameter
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.duck import connect, literal
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.verify.compare import Finding

_CLASSES = {"ours": "missing", "theirs": "unexpected"}
"""The class that a waiting row has in the database, by its side."""

_Identity = tuple[str, str, str, str, str]


def compare_with_list(folder: RunFolder, listed: Path, limits: Limits | None = None) -> Finding | None:
    """Return the first difference of a day that the database's list lacks or states otherwise, or has alone.

    Errors:
        InvalidParameter: the file is not such a list.
    """
    cases = _read(listed, folder.account)
    found: dict[_Identity, tuple[Path, int]] = {}
    with connect(folder.path, memory_mb=(limits or Limits()).memory_mb) as duck:
        for layer in Manifest.read(folder.manifest).layers:
            path = folder.differences(layer.layer)
            rows = duck.execute(
                f'FROM read_parquet({literal(path)}) SELECT side, key, class, "column", amount, content'
            ).fetchall()
            for line, (side, key, klass, column, amount, content) in enumerate(rows, start=1):
                shown = _CLASSES.get(side, klass) if klass == "pending" else klass
                identity = (layer.layer.value, side, key, shown, column)
                found[identity] = path, line
                case = cases.get(identity)
                if case is None:
                    return Finding(path, line, f"the database does not have the difference {'/'.join(identity)}")
                if case["last_day"] == folder.day.isoformat() and (case["amount_minor"], case["content"]) != (
                    amount,
                    content,
                ):
                    return Finding(path, line, f"the database has {case['amount_minor']} of {'/'.join(identity)}")
    for place, (identity, case) in enumerate(cases.items(), start=1):
        is_of_day = case["last_day"] == folder.day.isoformat() and case["state"] != "resolved"
        if is_of_day and identity not in found:
            return Finding(listed, place, f"no file gives rise to the difference {'/'.join(identity)}")
    return None


def _read(listed: Path, account: str) -> Mapping[_Identity, dict[str, Any]]:
    try:
        document = json.loads(listed.read_text(encoding="utf-8"))
        cases = document if isinstance(document, list) else document.get("differences", document.get("data"))
        return {
            (case["layer"], case["side"], case["key"], case["class"], case["column"] or ""): case
            for case in cases
            if case["account_id"] == account
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidParameter(f"{listed} is not a list of differences: {error}", param="--differences") from error
