"""`hutong payment …`"""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from hutong import config, db, payments
from hutong.cli.common import in_transaction
from hutong.clock import SystemClock


def run_in_doubt(limit: int, *, as_json: bool) -> None:
    """List the attempts and refunds whose channel owes an answer."""
    now = SystemClock().now()

    async def work(tx: db.Tx) -> dict[str, list[dict[str, Any]]]:
        return await payments.in_doubt_documents(tx, now=now, limit=limit)

    in_doubt = in_transaction(config.load(), work)
    if as_json:
        print(json.dumps(in_doubt))
        return
    if not any(in_doubt.values()):
        print("nothing is in doubt")
    for rows in in_doubt.values():
        if rows:
            table = Table(*rows[0])
            for row in rows:
                table.add_row(*("" if value is None else str(value) for value in row.values()))
            Console().print(table)
