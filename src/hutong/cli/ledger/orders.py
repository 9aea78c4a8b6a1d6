"""`hutong ledger …`: standing orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from hutong.cli.common import INSTANTS, as_utc, in_transaction, make_ids
from hutong.cli.ledger.options import By

orders_commands = typer.Typer()


@orders_commands.command("add-standing-order")
def add_standing_order(
    debit: Annotated[UUID, typer.Argument(help="The account whose free balance is moved.")],
    credit: Annotated[UUID, typer.Argument(help="The account that it is moved to.")],
    most_minor: Annotated[int, typer.Argument(min=1, help="The most that one run moves, in minor units.")],
    every_minutes: Annotated[int, typer.Option(min=1, help="The interval of the runs.")],
    by: By,
    first: Annotated[
        datetime | None,
        typer.Option(formats=INSTANTS, help="The first run, in UTC unless it names a zone; by default now."),
    ] = None,
) -> None:
    """Move the free balance of one account to another at an interval, and print the order's id."""
    from hutong import ledger as books

    order_id = make_ids().new()
    in_transaction(
        lambda tx: books.add_standing_order(
            tx,
            order_id,
            from_account_id=debit.int,
            to_account_id=credit.int,
            most_minor=most_minor,
            every=timedelta(minutes=every_minutes),
            first_at=as_utc(first) or datetime.now(UTC),
            by=by,
        )
    )
    print(order_id)
