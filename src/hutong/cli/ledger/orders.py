"""`hutong ledger …`: standing orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from hutong.cli.common import AMOUNT_MINOR_MAX, INSTANTS, Json, KeyFile, Reason, as_utc, in_transaction, make_ids
from hutong.cli.ledger.options import Csv, Most, acting_person, collect, show
from hutong.cli.output import print_line
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db
    from hutong.ledger import finance

orders_commands = typer.Typer()


@orders_commands.command("add-standing-order")
def add_standing_order(
    debit: Annotated[UUID, typer.Argument(help="The account whose free balance is moved.")],
    credit: Annotated[UUID, typer.Argument(help="The account that it is moved to.")],
    most_minor: Annotated[
        int, typer.Argument(min=1, max=AMOUNT_MINOR_MAX, help="The most that one run moves, in minor units.")
    ],
    every_minutes: Annotated[
        int, typer.Option(min=1, max=5_270_400, help="The interval of the runs; whole days keep the time of the day.")
    ],
    key: KeyFile,
    reason: Reason,
    first: Annotated[
        datetime | None,
        typer.Option(formats=INSTANTS, help="The first run, in UTC unless it names a zone; by default now."),
    ] = None,
) -> None:
    """Move the free balance of one account to another at an interval, and print the order's id."""
    from hutong import bookkeeping

    order_id, now = make_ids().new(), SystemClock().now()
    first_at = as_utc(first, "--first") or now

    async def work(tx: db.Tx) -> None:
        await bookkeeping.add_standing_order(
            tx, await acting_person(tx, key, reason), order_id, from_account_id=debit, to_account_id=credit,
            most_minor=most_minor, every=timedelta(minutes=every_minutes), first_at=first_at, now=now,
        )  # fmt: skip

    in_transaction(work)
    print_line(order_id)


@orders_commands.command("standing-orders")
def standing_orders(
    active: Annotated[bool, typer.Option("--active", help="Only orders that are not stopped.")] = False,
    limit: Most = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List standing orders, each with its last run, its failures since the last success, and its next run."""
    from hutong.ledger import finance

    async def work(tx: db.Tx) -> list[finance.StandingOrder]:
        async def page(last: finance.StandingOrder | None, size: int) -> Sequence[finance.StandingOrder]:
            after = last.order_id if last else None
            return await finance.list_standing_orders(tx, active_only=active, after=after, limit=size)

        return await collect(page, limit)

    show([asdict(order) for order in in_transaction(work)], as_json=as_json, as_csv=as_csv)


@orders_commands.command("stop-standing-order")
def stop_standing_order(
    order: Annotated[UUID, typer.Argument(metavar="ORDER", help="The order's id.")], key: KeyFile, reason: Reason
) -> None:
    """Stop a standing order, permanently."""
    from hutong import bookkeeping

    async def work(tx: db.Tx) -> None:
        person = await acting_person(tx, key, reason)
        await bookkeeping.stop_standing_order(tx, person, order, now=SystemClock().now())

    in_transaction(work)
    print_line("stopped")
