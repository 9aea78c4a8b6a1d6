"""`hutong bench coalescer`: what joining commands into shared transactions brings on this server."""

from __future__ import annotations

import asyncio
import json

from rich.console import Console
from rich.table import Table

from hutong import app, config, db


def run_bench_coalescer(*, as_json: bool) -> None:
    """Measure and print; the database's user must be allowed to make a schema."""
    console = Console(stderr=as_json)
    console.print("two inserts a command, in turn one transaction each and joined …")
    with app.using_database(config.load()) as url:
        result = asyncio.run(db.bench_coalescer(url))
    if as_json:
        print(json.dumps(result))
        return
    table = Table("callers", "single/s", "joined/s", "ratio", "mean batch")
    for point in result["points"]:
        table.add_row(*(str(point[name]) for name in
                        ("callers", "single_per_s", "coalesced_per_s", "ratio", "mean_batch")))  # fmt: skip
    console.print(table)
