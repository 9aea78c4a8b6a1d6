"""`hutong ledger …`: days, their cut, and the trial balance."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from hutong import export
from hutong.cli.common import Json, check_target, in_transaction, with_database
from hutong.cli.ledger.options import Csv, Day, Parquet, show
from hutong.cli.output import print_line, print_problem, print_result
from hutong.errors import Conflict

if TYPE_CHECKING:
    from hutong import db
    from hutong import ledger as books

days_commands = typer.Typer()


@days_commands.command("trial-balance")
def trial_balance(day: Day = None, as_json: Json = False, as_csv: Csv = False, parquet: Parquet = None) -> None:
    """Show every subject of every ledger on a closed day, or now.

    Exits 1 if debits and credits differ anywhere, and 2 if the day is not closed.
    """
    from hutong import ledger as books

    check_target(parquet, "--parquet")

    async def work(tx: db.Tx) -> tuple[list[books.SubjectBalance], bool]:
        if day is not None:
            lines = await books.general_ledger(tx, day=day.date())
            return lines, not books.differences(lines)
        sums = await books.trial_balance(tx)
        even = all(row[f"debits_{kind}"] == row[f"credits_{kind}"] for row in sums for kind in ("posted", "pending"))
        return await books.general_ledger(tx), even

    try:
        lines, even = in_transaction(work)
    except Conflict as error:
        print_problem(f"hutong: {error.detail}; see `hutong ledger days`")
        sys.exit(2)
    if parquet is not None:
        export.to_parquet(books.SubjectBalance, books.roll_up(lines), parquet)
    show([asdict(line) for line in books.roll_up(lines)], as_json=as_json, as_csv=as_csv)
    sys.exit(0 if even else 1)


@days_commands.command("days")
def days(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most days of each kind.")] = 31,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the days of the books, newest first: when each ends, how far its closing is, and whether it is late."""
    from hutong import ledger as books

    async def work(tx: db.Tx) -> tuple[str, list[books.days.AccountingDay]]:
        rule = await books.days.day_rule(tx)
        return _rule_summary(rule), await books.days.list_days(tx, now=datetime.now(UTC), limit=limit)

    summary, listed = in_transaction(work)
    rows = [
        {
            "day": str(day.day),
            "state": day.state.value,
            "step": day.step.value if day.step else "",
            "ends": day.due_at.isoformat() if day.due_at else "",
            "closed": day.closed_at.isoformat(timespec="seconds") if day.closed_at else "",
            "late": str(timedelta(seconds=int(day.late.total_seconds()))) if day.late else "",
        }
        for day in listed
    ]
    if not (as_json or as_csv):
        print_line(summary)
    show(rows, as_json=as_json, as_csv=as_csv)


@days_commands.command("day-cut")
def day_cut(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day to close; by default, the next due one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Close a day as far as is possible now, and exit 1 if something prevents it."""
    from hutong import ledger as books

    async def work(database: db.Database) -> books.DayCut | None:
        return await books.run_day_cut(database, now=datetime.now(UTC), day=day.date() if day else None)

    cut = with_database(work)
    if cut is None:
        print_line("null" if as_json else "no day is due")
        return
    shown = {"day": str(cut.day), "step": cut.step.value, "waiting": cut.waiting, "problem": cut.problem}
    print_result(shown, " ".join(f"{name}={value}" for name, value in shown.items()), as_json=as_json)
    sys.exit(1 if cut.problem or cut.waiting else 0)


@days_commands.command("set-cut-time")
def set_cut_time(
    cut_time: Annotated[
        datetime, typer.Argument(metavar="TIME", formats=["%H:%M"], help="The local time at which a day ends.")
    ],
    zone: Annotated[str, typer.Option(help="The zone of that time.")] = "Asia/Shanghai",
    belongs: Annotated[
        str,
        typer.Option(
            metavar="same_day|next_day",
            help="Whether a day ends on its own date or on the date after it; by default its own from noon on.",
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
) -> None:
    """Set the time at which days end, from now on, after showing what it means."""
    from hutong import ledger as books
    from hutong.errors import InvalidParameter

    if belongs not in ("", "same_day", "next_day"):
        raise InvalidParameter("a day ends on the same_day or the next_day", param="--belongs")
    rule = books.days.make_rule(cut_time.time(), zone, books.days.CutBelongsTo(belongs) if belongs else None)
    now = datetime.now(UTC)
    today = rule.day_of(now)
    print_line(
        f"{_rule_summary(rule)}; business of now belongs to {today}, which ends at {rule.end_of(today).isoformat()}"
    )
    if not yes and not typer.confirm("Set it?"):
        sys.exit(1)
    in_transaction(lambda tx: books.days.set_day_rule(tx, rule))


def _rule_summary(rule: books.days.DayRule) -> str:
    date = "their own date" if rule.cut_belongs_to.value == "same_day" else "the date after"
    return f"days end at {rule.cut_time:%H:%M} on {date} in {rule.zone} ({rule.cut_belongs_to.value})"
