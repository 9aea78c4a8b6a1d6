"""`hutong recon bank …`: the bank accounts whose statements come in."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, check_target, in_transaction, make_ids
from hutong.cli.output import print_json, print_line
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import db
    from hutong.reconciliation import bank as banks

bank = typer.Typer(help="The bank accounts whose statements come in.", no_args_is_help=True)

_SHOWN = ("id", "name", "number", "currency")


@bank.command("add")
def add_account(
    name: Annotated[str, typer.Argument(help="A name of your own.")],
    number: Annotated[str, typer.Argument(help="As the bank's statements name it, such as an IBAN.")],
    currency: Annotated[str, typer.Argument(help="Three capital letters, such as CNY.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept permanently.")] = "from the command line",
    as_json: Json = False,
) -> None:
    """Add a bank account."""
    from hutong.clock import SystemClock
    from hutong.errors import InvalidParameter
    from hutong.reconciliation import bank as banks

    for value, option, most in ((name, "NAME", 100), (number, "NUMBER", 64)):
        if not 1 <= len(value.strip()) <= most:
            raise InvalidParameter(f"{option} must have 1 to {most} characters", param=option)
    account = banks.BankAccount(make_ids().new(), name.strip(), number, currency, SystemClock().now())

    async def work(tx: db.Tx) -> banks.BankAccount:
        return await banks.add_account(tx, account, reason=reason)

    document = in_transaction(work).document()
    if as_json:
        print_json(document)
    else:
        print_line(f"{document['id']}  {document['name']}: {document['number']} in {document['currency']}")


@bank.command("fetch")
def fetch_statement(
    url: Annotated[str, typer.Argument(help="Where the bank has its statements by day, such as …/bank/statements.")],
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="The day of the statement.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write; `hutong recon import` takes it.")],
    currency: Annotated[str, typer.Option(help="Of the account.")] = "CNY",
    form: Annotated[str, typer.Option("--format", help="camt or mt940, as far as the bank has it.")] = "camt",
) -> None:
    """Fetch a day's statement from a bank that serves it over HTTP, such as the sandbox's."""
    from hutong.reconciliation import bank as banks

    check_target(out, "--out")
    asyncio.run(banks.fetch_statement(url, day.date(), out, currency=currency, format=form))
    print_line(f"{out}: {out.stat().st_size} bytes")


@bank.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List the bank accounts."""
    from hutong.reconciliation import bank as banks

    documents = [account.document() for account in in_transaction(banks.list_accounts)]
    if as_json:
        print_json({"bank_accounts": documents})
    elif documents:
        print_table([{name: document[name] for name in _SHOWN} for document in documents])
    else:
        print_line("there is no bank account")
