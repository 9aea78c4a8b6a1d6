"""`hutong payment …`"""

from __future__ import annotations

import json
from datetime import datetime

from rich.console import Console
from rich.table import Table

from hutong import config, db, ids, payments
from hutong.cli.common import in_transaction
from hutong.clock import SystemClock, instant


def run_in_doubt(limit: int, *, as_json: bool) -> None:
    """List the attempts and refunds whose channel owes an answer."""
    now = SystemClock().now()

    async def work(tx: db.Tx) -> tuple[list[payments.AttemptInDoubt], list[payments.RefundInDoubt]]:
        return await payments.list_in_doubt(tx, limit=limit)

    attempts, refunds = in_transaction(config.load(), work)
    shown_attempts = [
        {"attempt_id": ids.encode("att", attempt.attempt_id), **_columns(attempt, now, method=attempt.method)}
        for attempt in attempts
    ]
    shown_refunds = [
        {"refund_id": ids.encode("ref", refund.refund_id), **_columns(refund, now, route=refund.route.value)}
        for refund in refunds
    ]
    if as_json:
        print(json.dumps({"attempts": shown_attempts, "refunds": shown_refunds}))
        return
    if not shown_attempts and not shown_refunds:
        print("nothing is in doubt")
    for rows in (shown_attempts, shown_refunds):
        if rows:
            table = Table(*rows[0])
            for row in rows:
                table.add_row(*("" if value is None else str(value) for value in row.values()))
            Console().print(table)


def _columns(
    doubt: payments.AttemptInDoubt | payments.RefundInDoubt, now: datetime, **way: str
) -> dict[str, str | int | None]:
    return {
        "payment_id": ids.encode("pay", doubt.payment_id),
        "channel": doubt.channel,
        **way,
        "state": doubt.state.value,
        "age_s": int((now - doubt.doubt_since).total_seconds()),
        "next_query_at": instant(doubt.next_query_at),
        "channel_code": doubt.channel_code,
    }
