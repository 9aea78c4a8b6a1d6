"""`hutong payment …`: payments and their attempts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, in_transaction

if TYPE_CHECKING:
    from hutong import db, payments

payment = typer.Typer(help="Payments and their attempts.", no_args_is_help=True)


@payment.command("in-doubt")
def in_doubt(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100, as_json: Json = False
) -> None:
    """List the attempts without a final channel answer, oldest first."""
    from hutong import ids, payments
    from hutong.clock import SystemClock, instant

    async def work(tx: db.Tx) -> list[payments.AttemptInDoubt]:
        return await payments.list_attempts_in_doubt(tx, limit=limit)

    now = SystemClock().now()
    attempts = [
        {
            "attempt_id": ids.encode("att", attempt.attempt_id),
            "payment_id": ids.encode("pay", attempt.payment_id),
            "channel": attempt.channel,
            "method": attempt.method,
            "state": attempt.state.value,
            "age_s": int((now - attempt.since).total_seconds()),
            "next_query_at": instant(attempt.next_query_at),
            "channel_code": attempt.channel_code,
        }
        for attempt in in_transaction(work)
    ]
    if as_json:
        print(json.dumps({"attempts": attempts}))
    elif attempts:
        from rich.console import Console
        from rich.table import Table

        table = Table(*attempts[0])
        for row in attempts:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        Console().print(table)
    else:
        print("no attempt is in doubt")
