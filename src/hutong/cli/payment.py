"""`hutong payment …`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, in_transaction
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import db

payment = typer.Typer(help="Payments and their attempts.", no_args_is_help=True)


@payment.command("in-doubt")
def in_doubt(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of each at most.")] = 100,
    as_json: Json = False,
) -> None:
    """List the attempts and refunds without a channel answer, oldest first."""
    from hutong import payments
    from hutong.clock import SystemClock

    now = SystemClock().now()

    async def work(tx: db.Tx) -> dict[str, list[dict[str, Any]]]:
        return await payments.in_doubt_documents(tx, now=now, limit=limit)

    listed = in_transaction(work)
    if as_json:
        print(json.dumps(listed))
    elif any(listed.values()):
        for rows in listed.values():
            print_table(rows)
    else:
        print("nothing is in doubt")
