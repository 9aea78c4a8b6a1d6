"""`hutong bench events`: from the outbox to those who must know.

Each part has a platform or database of its own, one after the other: webhooks to a merchant's server that verifies
them, messages to a broker that confirms them, and the query store that is kept from the events. A part that cannot
run here says why, and its figures are null.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from hutong.bench.events_webhooks import measure_webhooks
from hutong.errors import HutongError

_FIGURES = {
    "webhooks": ("webhooks_per_s",),
}
_MUST = {"webhooks_per_s": 500.0, "broker_events_per_s": 2_000.0, "query_events_per_s": 5_000.0}


def run_bench_events(*, count: int, part: str | None, yardstick_s: int, as_json: bool) -> int:
    """Run the parts.

    Args:
        count: How many events to deliver in each part.
        part: Only this one.
        yardstick_s: How long pgbench runs; 0 leaves it and the ratios out.

    Returns:
        The exit status: 1 if a part failed, not if it cannot run here.
    """
    console = Console(stderr=as_json)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "webhooks": lambda: measure_webhooks(count=count, yardstick_s=yardstick_s),
    }
    result: dict[str, Any] = {}
    for name, measure in parts.items():
        if part is not None and part != name:
            continue
        console.print(f"{name} …")
        result |= dict.fromkeys(_FIGURES[name])
        try:
            result |= measure()
        except HutongError as error:
            result[f"{name}_skipped"] = error.detail
    _add_ratios(result)
    if as_json:
        print(json.dumps(result))
    else:
        _show(console, result)
    return 0


def _add_ratios(result: dict[str, Any]) -> None:
    """What was measured beside what the same server does in pgbench's TPC-B."""
    if yardstick := result.get("tpcb_tps"):
        for name in _MUST:
            if result.get(name):
                result[f"ratio_{name.removesuffix('_per_s')}"] = round(result[name] / yardstick, 3)


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table("figure", "here", "at least", title="Events, from the outbox on")
    for name, value in result.items():
        if isinstance(value, dict):
            for process, used in value.items():
                table.add_row(f"  {process}, CPU-ms each", str(used), "")
        else:
            table.add_row(name.replace("_", " "), "–" if value is None else str(value), str(_MUST.get(name, "")))
    console.print(table)
