"""`hutong ledger …`: accounts and their balances."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from hutong.cli.common import Json, in_transaction
from hutong.cli.ledger.options import Csv, show

accounts_commands = typer.Typer()


@accounts_commands.command("accounts")
def accounts(
    code: Annotated[int, typer.Option(help="Only this subject of the chart.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=8_192)] = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List accounts with their balances, in the order of their creation."""
    from hutong import ledger as books

    query = books.QueryFilter(
        user_data_128=0, user_data_64=0, user_data_32=0, ledger=0, code=code, timestamp_min=0, timestamp_max=0,
        limit=limit, flags=books.QueryFilterFlags.NONE,
    )  # fmt: skip
    rows = [
        {"account": str(UUID(int=a.id)), "code": a.code, "ledger": a.ledger, "owner": str(UUID(int=a.user_data_128)),
         "debits_posted": a.debits_posted, "credits_posted": a.credits_posted, "debits_pending": a.debits_pending,
         "credits_pending": a.credits_pending}
        for a in in_transaction(lambda tx: books.Ledger(tx, clock=lambda: 0).query_accounts(query))
    ]  # fmt: skip
    show(rows, as_json=as_json, as_csv=as_csv)
