"""`hutong ledger …`: the books, for operators."""

from __future__ import annotations

import typer

from hutong.cli.ledger.accounts import accounts_commands
from hutong.cli.ledger.archives import archives_commands
from hutong.cli.ledger.bookings import bookings_commands
from hutong.cli.ledger.chart import chart_commands
from hutong.cli.ledger.days import days_commands
from hutong.cli.ledger.memos import memos_commands
from hutong.cli.ledger.orders import orders_commands
from hutong.cli.ledger.periods import periods_commands
from hutong.cli.ledger.proof import proof_commands
from hutong.cli.ledger.statements import statements_commands

ledger = typer.Typer(help="The books: accounts, statements, corrections, day cut, proof.", no_args_is_help=True)
for commands in (
    accounts_commands,
    statements_commands,
    chart_commands,
    days_commands,
    periods_commands,
    proof_commands,
    bookings_commands,
    orders_commands,
    memos_commands,
    archives_commands,
):
    ledger.add_typer(commands)
