"""Rows of differences as a matcher states them, for tests."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson


def side_row(key: str, settled: int, fee: int | None = 0, **more: Any) -> dict[str, Any]:
    """One row of a side."""
    row = {
        "kind": "payment", "key": key, "channel_no": f"ch-{key}", "original_key": "", "day": "2026-11-02",
        "at": "2026-11-02T04:00:00", "currency": "CNY", "ordered": settled, "paid": settled, "settled": settled,
        "fee": fee, "state": "succeeded", "batch": "", "file": 0, "line": 1,
    }  # fmt: skip
    return row | more


def difference_row(
    klass: str,
    side: str,
    key: str,
    *,
    ours: list[dict[str, Any]] | None = None,
    theirs: list[dict[str, Any]] | None = None,
    column: str = "",
    **more: Any,
) -> dict[str, Any]:
    """One difference; its amount is the net of theirs less the net of ours."""
    net = [sum(row["settled"] - (row["fee"] or 0) for row in rows or []) for rows in (theirs, ours)]
    figures = orjson.dumps([ours, theirs])
    row = {
        "side": side, "key": key, "class": klass, "column": column, "currency": "CNY", "amount": net[0] - net[1],
        "ours": orjson.dumps(ours).decode() if ours else None,
        "theirs": orjson.dumps(theirs).decode() if theirs else None,
        "reference": "", "day": None, "content": hashlib.sha256(figures).hexdigest(),
    }  # fmt: skip
    return row | more


def unexpected(key: str, settled: int, **more: Any) -> dict[str, Any]:
    """Theirs alone."""
    return difference_row("unexpected", "theirs", key, theirs=[side_row(key, settled)], **more)


def missing(key: str, settled: int, **more: Any) -> dict[str, Any]:
    """Ours alone."""
    return difference_row("missing", "ours", key, ours=[side_row(key, settled)], **more)


def waiting(side: str, key: str, settled: int) -> dict[str, Any]:
    """One side alone, and its partner may still come."""
    rows = [side_row(key, settled)]
    if side == "ours":
        return difference_row("pending", side, key, ours=rows)
    return difference_row("pending", side, key, theirs=rows)


def other_fee(key: str, settled: int, expected: int, actual: int) -> dict[str, Any]:
    """Both sides, with another fee."""
    ours, theirs = [side_row(key, settled, expected)], [side_row(key, settled, actual)]
    return difference_row("mismatch", "both", key, ours=ours, theirs=theirs, column="fee")
