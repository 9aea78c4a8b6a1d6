"""`hutong ledger …`: the bookings on an account."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import typer

from hutong import export
from hutong.cli.common import Json, as_utc, in_transaction
from hutong.cli.ledger.options import AccountId, Csv, Instant, Parquet, show

statements_commands = typer.Typer()


@statements_commands.command("statement")
def statement(
    account: AccountId,
    since: Instant = None,
    until: Instant = None,
    as_json: Json = False,
    as_csv: Csv = False,
    parquet: Parquet = None,
) -> None:
    """Show the bookings on an account between two instants, by default over the last thirty days."""
    from hutong import ledger as books

    end = as_utc(until) or datetime.now(UTC) + timedelta(seconds=1)
    start = as_utc(since) or end - timedelta(days=30)
    report = in_transaction(lambda tx: books.statement(tx, account.int, since=start, until=end))
    if parquet is not None:
        export.to_parquet(books.StatementLine, report.lines, parquet)
    if as_json:
        print(json.dumps(asdict(report), default=str))
        return
    if not as_csv:
        print(f"opening {report.opening}")
    show([asdict(line) for line in report.lines], as_csv=as_csv)
    if not as_csv:
        print(f"closing {report.closing}")
