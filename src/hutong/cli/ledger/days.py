"""`hutong ledger …`: days, their cut, and the trial balance."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hutong import export
from hutong.cli.common import Json, in_transaction, with_database
from hutong.cli.ledger.options import Csv, Day, Parquet, show

if TYPE_CHECKING:
    from hutong import db

days_commands = typer.Typer()


@days_commands.command("trial-balance")
def trial_balance(day: Day = None, as_json: Json = False, as_csv: Csv = False, parquet: Parquet = None) -> None:
    """Show every subject of every ledger, and exit 1 if debits and credits differ anywhere."""
    from hutong import ledger as books

    async def work(tx: db.Tx) -> tuple[list[books.SubjectBalance], bool]:
        sums = await books.trial_balance(tx)
        even = all(row[f"debits_{kind}"] == row[f"credits_{kind}"] for row in sums for kind in ("posted", "pending"))
        return await books.general_ledger(tx, day=day.date() if day else None), even

    lines, even = in_transaction(work)
    if parquet is not None:
        export.to_parquet(books.SubjectBalance, books.roll_up(lines), parquet)
    show([asdict(line) for line in books.roll_up(lines)], as_json=as_json, as_csv=as_csv)
    sys.exit(0 if even else 1)


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
        print("null" if as_json else "no day is due")
        return
    shown = {"day": str(cut.day), "step": cut.step.value, "waiting": cut.waiting, "problem": cut.problem}
    print(json.dumps(shown) if as_json else " ".join(f"{name}={value}" for name, value in shown.items()))
    sys.exit(1 if cut.problem or cut.waiting else 0)


@days_commands.command("set-cut-time")
def set_cut_time(
    cut_time: Annotated[
        datetime, typer.Argument(metavar="TIME", formats=["%H:%M"], help="The local time at which a day ends.")
    ],
    zone: Annotated[str, typer.Option(help="The zone of that time.")] = "Asia/Shanghai",
) -> None:
    """Set the time at which days end, from the next day cut on."""
    from zoneinfo import ZoneInfoNotFoundError

    from hutong import ledger as books
    from hutong.errors import InvalidParameter

    try:
        in_transaction(lambda tx: books.set_cut_time(tx, cut_time.time(), zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidParameter(f"there is no zone {zone}", param="--zone") from error
    print(f"days end at {cut_time:%H:%M} in {zone}")
