"""`hutong payment …`"""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from hutong import config, db, ids, payments
from hutong.cli.common import in_transaction
from hutong.clock import SystemClock


def run_in_doubt(limit: int, *, as_json: bool) -> None:
    """List the attempts whose channel owes us a word."""
    now = SystemClock().now()

    async def work(tx: db.Tx) -> list[payments.AttemptInDoubt]:
        return await payments.list_attempts_in_doubt(tx, limit=limit)

    shown = [
        {
            "attempt_id": ids.encode("att", doubt.attempt_id),
            "payment_id": ids.encode("pay", doubt.payment_id),
            "channel": doubt.channel,
            "method": doubt.method,
            "state": doubt.state.value,
            "age_s": int((now - doubt.since).total_seconds()),
            "next_query_at": payments.instant(doubt.next_query_at),
            "channel_code": doubt.channel_code,
        }
        for doubt in in_transaction(config.load(), work)
    ]
    if as_json:
        print(json.dumps({"attempts": shown}))
        return
    if not shown:
        print("nothing is in doubt")
        return
    table = Table(*shown[0])
    for row in shown:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)
