"""`hutong ledger …`: balances of closed days, the general ledger, and the closing of months and years."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import CODE_MAX, Json, KeyFile, Reason, check_folder, in_transaction, make_ids, trace_export
from hutong.cli.ledger.options import ClosedDay, Csv, Most, acting_person, collect, show
from hutong.cli.output import print_line
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db
    from hutong.ledger import finance, reports

periods_commands = typer.Typer()

Code = Annotated[int | None, typer.Option(min=1, max=CODE_MAX, help="Only this subject of the chart.")]


class Form(StrEnum):
    """The form of written files."""

    CSV = "csv"
    PARQUET = "parquet"


@periods_commands.command("balances")
def balances(day: ClosedDay, code: Code = None, limit: Most = 100, as_json: Json = False, as_csv: Csv = False) -> None:
    """Show the balances of accounts at the end of a closed day."""
    from hutong.ledger import reports

    async def work(tx: db.Tx) -> list[reports.DayEndBalance]:
        async def page(last: reports.DayEndBalance | None, size: int) -> Sequence[reports.DayEndBalance]:
            after = last.account_id if last else None
            return await reports.list_day_end_balances(tx, day.date(), code=code, after=after, limit=size)

        return await collect(page, limit)

    show([asdict(balance) for balance in in_transaction(work)], as_json=as_json, as_csv=as_csv)


@periods_commands.command("general-ledger")
def general_ledger(
    since: ClosedDay,
    until: ClosedDay,
    by_account: Annotated[bool, typer.Option("--accounts", help="Show each account instead of sums.")] = False,
    code: Annotated[
        int | None, typer.Option(min=1, max=CODE_MAX, help="Only this subject; requires --accounts.")
    ] = None,
    limit: Most = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show opening, movements and closing of every subject between two closed days, both included."""
    from hutong.errors import InvalidParameter
    from hutong.ledger import reports

    first, last_day = since.date(), until.date()
    if code is not None and not by_account:
        raise InvalidParameter("--code requires --accounts", param="--code")

    async def work(tx: db.Tx) -> list[reports.LedgerLine]:
        if not by_account:
            return await reports.list_subjects_between(tx, first, last_day)

        async def page(last: reports.LedgerLine | None, size: int) -> Sequence[reports.LedgerLine]:
            after = last.account_id if last else None
            return await reports.list_accounts_between(tx, first, last_day, code=code, after=after, limit=size)

        return await collect(page, limit)

    rows = [asdict(line) for line in in_transaction(work)]
    if not by_account:
        rows = [{k: v for k, v in row.items() if k not in ("account_id", "owner")} for row in rows]
    show(rows, as_json=as_json, as_csv=as_csv)


@periods_commands.command("day-statements")
def day_statements(
    day: ClosedDay,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    form: Annotated[Form, typer.Option("--form", help="The form of the files.")] = Form.CSV,
) -> None:
    """Write the statements of all accounts that moved on a closed day: their balances, and their bookings."""
    from hutong.ledger import reports

    check_folder(folder, "FOLDER")

    async def work(tx: db.Tx) -> tuple[int, int]:
        await trace_export(tx, "ledger_statement", "all", {"day": day.date()})
        return await reports.write_day_statements(tx, day.date(), folder, kind=form.value)

    accounts, lines = in_transaction(work)
    print_line(f"{accounts} accounts and {lines} lines in {folder}")


@periods_commands.command("close-month")
def close_month(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="Such as 2026-03.")],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Close a month whose days are closed, permanently: income and expense are carried to the profit of the year."""
    from hutong import bookkeeping

    _close(bookkeeping.close_month, month, key, reason, as_json=as_json)


@periods_commands.command("close-year")
def close_year(
    year: Annotated[str, typer.Argument(metavar="YEAR", help="Such as 2026.")],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Close a year whose months are closed, permanently: its profit is carried to retained earnings."""
    from hutong import bookkeeping

    _close(bookkeeping.close_year, year, key, reason, as_json=as_json)


def _close(
    close_period: Callable[..., Awaitable[list[finance.Carry]]], period: str, key: Path, reason: str, *, as_json: bool
) -> None:
    async def work(tx: db.Tx) -> list[finance.Carry]:
        person = await acting_person(tx, key, reason)
        return await close_period(tx, person, period, new_id=make_ids().new, now=SystemClock().now())

    carries = in_transaction(work)
    if not as_json:
        print_line(f"{period} is closed; {len(carries)} accounts were carried")
    show([asdict(carry) for carry in carries], as_json=as_json)


@periods_commands.command("periods")
def periods(
    period: Annotated[
        str | None, typer.Argument(metavar="[PERIOD]", help="Show what the closing of this period carried.")
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the closed months and years, or the amounts that one closing carried."""
    from hutong.ledger import finance

    async def work(tx: db.Tx) -> Sequence[finance.Period | finance.Carry]:
        return await finance.list_periods(tx) if period is None else await finance.list_carries(tx, period)

    show([asdict(row) for row in in_transaction(work)], as_json=as_json, as_csv=as_csv)
