"""`hutong ledger …`: the bookings on an account."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hutong import export
from hutong.cli.common import Json, as_utc, check_target, in_transaction, trace_export
from hutong.cli.ledger.options import AccountId, Csv, Parquet, show
from hutong.cli.output import print_json, print_line
from hutong.errors import InvalidParameter

if TYPE_CHECKING:
    from hutong import db
    from hutong import ledger as books

statements_commands = typer.Typer()

_DAY = timedelta(days=1)
_DEFAULT_SPAN = timedelta(days=30)


def read_moment(text: str) -> datetime:
    """Read a day of the books, 2026-03-31, as a naive midnight, or an instant, in UTC unless it names a zone."""
    found = datetime.fromisoformat(text)
    if not 1970 <= found.year <= 9998:
        raise ValueError(text)
    return found if len(text) == len("2026-03-31") else as_utc(found, "INSTANT") or found


Moment = Annotated[
    datetime | None,
    typer.Option(
        parser=read_moment, metavar="DAY|INSTANT", help="A day of the books, included; an instant is in UTC by default."
    ),
]
By = Annotated[
    Literal["time", "day"],
    typer.Option("--by", help="By the time of the bookings, or by the day that they belong to, closed days unchanged."),
]


@statements_commands.command("statement")
def statement(
    account: AccountId,
    since: Moment = None,
    until: Moment = None,
    by: By = "time",
    as_json: Json = False,
    as_csv: Csv = False,
    parquet: Parquet = None,
) -> None:
    """Show the bookings on an account with its opening and closing balance, by default over the last thirty days."""
    from hutong import ledger

    check_target(parquet, "--parquet")

    async def work(tx: db.Tx) -> tuple[books.AccountStatement, date, date]:
        if as_csv or parquet is not None:
            await trace_export(tx, "ledger_statement", str(account), {"since": since, "until": until, "by": by})
        rule, now = await ledger.days.day_rule(tx), datetime.now(UTC)
        if by == "day":
            last = _day(until, "--until") or rule.day_of(now)
            first = _day(since, "--since") or last - _DEFAULT_SPAN
            return await ledger.statement_of_days(tx, account.int, first=first, last=last), first, last
        end = _end(until, rule) or now + timedelta(seconds=1)
        start = _end(since, rule, -_DAY) or end - _DEFAULT_SPAN
        report = await ledger.statement(tx, account.int, since=start, until=end)
        return report, rule.day_of(start), rule.day_of(end - timedelta(microseconds=1))

    report, first, last = in_transaction(work)
    if parquet is not None:
        export.to_parquet(ledger.StatementLine, report.with_balances(first, last), parquet)
    if as_json:
        print_json(asdict(report), default=str)
    elif as_csv:
        show([asdict(line) for line in report.with_balances(first, last)], as_csv=True)
    else:
        print_line(f"opening {report.opening}")
        show([asdict(line) for line in report.lines])
        print_line(f"closing {report.closing}")


def _day(moment: datetime | None, option: str) -> date | None:
    if moment is not None and moment.tzinfo is not None:
        raise InvalidParameter("a statement by day is from one day to another, such as 2026-03-31", param=option)
    return moment.date() if moment is not None else None


def _end(moment: datetime | None, rule: books.days.DayRule, shift: timedelta = timedelta(0)) -> datetime | None:
    """Return an instant as it is, and a day as the instant at which it ends, shifted by a day for where it begins."""
    if moment is None or moment.tzinfo is not None:
        return moment
    return rule.end_of(moment.date() + shift)
