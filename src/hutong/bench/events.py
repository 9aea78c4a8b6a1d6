"""`hutong bench events`: from the outbox to webhooks, to a broker, and to payment records.

Each part has a platform or database of its own, one after the other: webhooks to a merchant's server that verifies
them, messages to a broker that confirms them, and payment records that are projected from the events. A part that
cannot run here says why, and its figures are null.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from hutong.bench.events_broker import measure_broker
from hutong.bench.events_query import measure_query
from hutong.bench.events_webhooks import measure_webhooks
from hutong.errors import HutongError, InvalidParameter

_FIGURES = ("broker_events_per_s", "webhooks_per_s", "lag_p99_ms", "query_events_per_s", "relay_rss_mb")
_GOALS = {
    "broker_events_per_s": "2000 at least",
    "webhooks_per_s": "500 at least",
    "lag_p99_ms": "1000 at most",
    "query_events_per_s": "5000 at least",
    "relay_rss_mb": "150 at most",
}


def run_bench_events(*, count: int, seconds: int, part: str | None, yardstick_s: int, as_json: bool) -> int:
    """Run the parts.

    Args:
        count: The number of events to deliver in each part.
        seconds: The duration of the measurement of the lag.
        part: Run only this part.
        yardstick_s: The duration of pgbench; 0 leaves it and the ratios out.

    Returns:
        The exit status: 1 if a part failed, but not if it cannot run here.
    """
    console = Console(stderr=as_json)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "webhooks": partial(measure_webhooks, count=count, yardstick_s=yardstick_s),
        "broker": partial(measure_broker, count=count, seconds=seconds),
        "query": partial(measure_query, payments=count),
    }
    if part is not None and part not in parts:
        raise InvalidParameter(f"--part must be one of {', '.join(parts)}", param="--part")
    result: dict[str, Any] = dict.fromkeys(_FIGURES)
    broken = False
    for name, measure in parts.items():
        if part is None or part == name:
            console.print(f"{name} …")
            try:
                result |= measure()
            except (HutongError, OSError, RuntimeError, TimeoutError) as error:
                broken, result[f"{name}_broken"] = True, f"{type(error).__name__}: {error}"
    _add_ratios(result)
    if as_json:
        print(json.dumps(result))
    else:
        _show(console, result)
    return 1 if broken else 0


def _add_ratios(result: dict[str, Any]) -> None:
    """Add the ratios of the measured rates to pgbench's TPC-B on the same machine."""
    if yardstick := result.get("tpcb_tps"):
        for name in _FIGURES:
            if name.endswith("_per_s") and result[name]:
                result[f"ratio_{name.removesuffix('_per_s')}"] = round(result[name] / yardstick, 3)


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table("figure", "here", "goal", title="Events, from the outbox on")
    for name, value in result.items():
        if isinstance(value, dict):
            for process, used in value.items():
                table.add_row(f"  {process}, CPU-ms each", str(used), "")
        else:
            table.add_row(name.replace("_", " "), "–" if value is None else str(value), _GOALS.get(name, ""))
    console.print(table)
