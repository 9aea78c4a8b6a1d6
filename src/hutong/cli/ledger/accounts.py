"""`hutong ledger …`: accounts, their balances, limits and states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import CODE_MAX, Json, KeyFile, Reason, in_transaction
from hutong.cli.ledger.options import AccountId, Csv, Most, acting_person, collect, show
from hutong.cli.output import print_line
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db
    from hutong.ledger import finance

accounts_commands = typer.Typer()

Owner = Annotated[str | None, typer.Option(help="The owner: a merchant, a channel account …, by id.")]
Currency = Annotated[str, typer.Argument(metavar="CURRENCY", help="ISO 4217 code.")]


@accounts_commands.command("accounts")
def accounts(
    code: Annotated[int | None, typer.Option(min=1, max=CODE_MAX, help="Only this subject of the chart.")] = None,
    owner: Owner = None,
    name: Annotated[str | None, typer.Option(help="Only subjects with this in their English or Chinese name.")] = None,
    currency: Annotated[str | None, typer.Option(help="Only this currency.")] = None,
    flag: Annotated[list[str] | None, typer.Option(help="Only accounts with this flag; may be repeated.")] = None,
    closed: Annotated[
        bool | None, typer.Option("--closed/--open", help="Only closed accounts, or only open ones.")
    ] = None,
    limit: Most = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List accounts with their balances and limits, in the order of their creation."""
    from hutong import ids
    from hutong.ledger import finance

    owner_id = None if owner is None else ids.read_any(owner, param="--owner")

    async def work(tx: db.Tx) -> list[finance.ListedAccount]:
        async def page(last: finance.ListedAccount | None, size: int) -> Sequence[finance.ListedAccount]:
            query = finance.AccountQuery(
                owner=owner_id, code=code, name=name, currency=currency, flags=tuple(flag or ()), closed=closed,
                after=last.cursor if last else 0, limit=size,
            )  # fmt: skip
            return await finance.list_accounts(tx, query)

        return await collect(page, limit)

    show([_row(account) for account in in_transaction(work)], as_json=as_json, as_csv=as_csv)


@accounts_commands.command("open-account")
def open_account(
    code: Annotated[int, typer.Argument(metavar="CODE", min=1, max=CODE_MAX, help="The subject of the chart.")],
    currency: Currency,
    key: KeyFile,
    reason: Reason,
    owner: Owner = None,
    as_json: Json = False,
) -> None:
    """Open the account of a subject, an owner and a currency, and print it; the platform's own need no owner."""
    from hutong import bookkeeping, ids

    owner_id = None if owner is None else ids.read_any(owner, param="--owner")

    async def work(tx: db.Tx) -> finance.ListedAccount:
        person = await acting_person(tx, key, reason)
        return await bookkeeping.open_account(
            tx, person, code=code, owner=owner_id, currency=currency, now=SystemClock().now()
        )

    show([_row(in_transaction(work))], as_json=as_json)


@accounts_commands.command("close-account")
def close_account(account: AccountId, key: KeyFile, reason: Reason) -> None:
    """Close an account that has neither balance nor holds: the ledger refuses further transfers on it."""
    from hutong import bookkeeping

    async def work(tx: db.Tx) -> None:
        person = await acting_person(tx, key, reason)
        await bookkeeping.close_account(tx, person, account, now=SystemClock().now())

    in_transaction(work)
    print_line("closed")


@accounts_commands.command("reopen-account")
def reopen_account(account: AccountId, key: KeyFile, reason: Reason) -> None:
    """Reopen a closed account."""
    from hutong import bookkeeping

    async def work(tx: db.Tx) -> None:
        person = await acting_person(tx, key, reason)
        await bookkeeping.reopen_account(tx, person, account, now=SystemClock().now())

    in_transaction(work)
    print_line("open")


@accounts_commands.command("set-overdraft")
def set_overdraft(
    account: AccountId,
    limit_minor: Annotated[int, typer.Argument(min=0, help="In minor units; 0 ends the agreement.")],
    key: KeyFile,
    reason: Reason,
) -> None:
    """Set how far an account that must not be overdrawn may go below zero."""
    from hutong import bookkeeping

    async def work(tx: db.Tx) -> None:
        person = await acting_person(tx, key, reason)
        await bookkeeping.set_overdraft_limit(tx, person, account, limit_minor, now=SystemClock().now())

    in_transaction(work)
    print_line(f"the limit is {limit_minor}")


@accounts_commands.command("overdrafts")
def overdrafts(account: AccountId, as_json: Json = False, as_csv: Csv = False) -> None:
    """Show every change of an account's overdraft limit, newest first."""
    from hutong.ledger import finance

    changes = in_transaction(lambda tx: finance.list_overdrafts(tx, account))
    show([asdict(change) for change in changes], as_json=as_json, as_csv=as_csv)


def _row(account: finance.ListedAccount) -> dict[str, Any]:
    row = asdict(account)
    del row["cursor"]
    return {"account": row.pop("account_id"), **row}
