"""`hutong ledger …`: the books, for operators."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from hutong import export
from hutong.cli.common import Json, in_transaction, with_database
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db

ledger = typer.Typer(help="The books: accounts, statements, day cut, proof.", no_args_is_help=True)

Parquet = Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Also write a Parquet file.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
AccountId = Annotated[
    UUID, typer.Argument(metavar="ACCOUNT", help="The account's id, as `hutong ledger accounts` shows.")
]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A closed day; left out, as it stands now.")]
Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="In UTC.")]


@ledger.command("accounts")
def accounts(
    code: Annotated[int, typer.Option(help="Only this subject of the chart.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=8_192)] = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List accounts with their balances, in the order in which they were made."""
    from hutong import ledger as books

    given = books.QueryFilter(0, 0, 0, 0, code, 0, 0, limit, books.QueryFilterFlags.NONE)
    found = in_transaction(lambda tx: books.Ledger(tx, clock=lambda: 0).query_accounts(given))
    rows = [
        {"account": str(UUID(int=a.id)), "code": a.code, "ledger": a.ledger, "owner": str(UUID(int=a.user_data_128)),
         "debits_posted": a.debits_posted, "credits_posted": a.credits_posted, "debits_pending": a.debits_pending,
         "credits_pending": a.credits_pending}
        for a in found
    ]  # fmt: skip
    _show(rows, as_json=as_json, as_csv=as_csv)


@ledger.command("statement")
def statement(
    account: AccountId,
    since: Moment = None,
    until: Moment = None,
    as_json: Json = False,
    as_csv: Csv = False,
    parquet: Parquet = None,
) -> None:
    """Show what was booked on an account between two moments; by default the last thirty days."""
    from hutong import ledger as books

    end = (until or datetime.now(UTC) + timedelta(seconds=1)).replace(tzinfo=UTC)
    start = since.replace(tzinfo=UTC) if since else end - timedelta(days=30)
    found = in_transaction(lambda tx: books.statement(tx, account.int, since=start, until=end))
    if parquet is not None:
        export.to_parquet(books.StatementLine, found.lines, parquet)
    if as_json:
        print(json.dumps(asdict(found), default=str))
        return
    if not as_csv:
        print(f"opening {found.opening}")
    _show([asdict(line) for line in found.lines], as_csv=as_csv)
    if not as_csv:
        print(f"closing {found.closing}")


@ledger.command("trial-balance")
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
    _show([asdict(line) for line in books.roll_up(lines)], as_json=as_json, as_csv=as_csv)
    sys.exit(0 if even else 1)


@ledger.command("day-cut")
def day_cut(day: Day = None, as_json: Json = False) -> None:
    """Close the next day that is due, or this one, as far as can be now; exits 1 if something is in the way."""
    from hutong import ledger as books

    async def work(database: db.Database) -> books.DayCut | None:
        wanted: date | None = day.date() if day else None
        return await books.run_day_cut(database, now=datetime.now(UTC), day=wanted)

    cut = with_database(work)
    if cut is None:
        print("null" if as_json else "no day is due")
        return
    shown = {"day": str(cut.day), "step": cut.step.value, "waiting": cut.waiting, "problem": cut.problem}
    print(json.dumps(shown) if as_json else " ".join(f"{name}={value}" for name, value in shown.items()))
    sys.exit(1 if cut.problem or cut.waiting else 0)


@ledger.command("verify")
def verify(as_json: Json = False) -> None:
    """Seal what is committed and prove all of the books; exits 1 and names the first wrong row if they do not hold."""
    from hutong import ledger as books

    async def work(tx: db.Tx) -> books.ChainVerdict:
        while await books.seal(tx, now=datetime.now(UTC)):
            pass
        return await books.verify(tx)

    verdict = in_transaction(work)
    if as_json:
        print(json.dumps({**asdict(verdict), "holds": verdict.holds}))
    else:
        print("\n".join(verdict.problems) or "the books hold")
        print(f"{verdict.rows} rows under {verdict.seals} seals; head {verdict.head}")
    sys.exit(0 if verdict.holds else 1)


@ledger.command("check")
def check(as_json: Json = False) -> None:
    """Look at what must always hold, and list money in transit by age; exits 1 if something does not hold."""
    from hutong import ledger as books

    findings = in_transaction(lambda tx: books.check_invariants(tx, now=datetime.now(UTC)))
    if as_json:
        print(json.dumps(asdict(findings), default=str))
    else:
        print("\n".join(findings.problems) or "everything holds")
        _show([asdict(item) for item in findings.uncleared])
    sys.exit(1 if findings.problems else 0)


@ledger.command("transfer")
def transfer(
    debit: Annotated[UUID, typer.Argument(help="The account to debit.")],
    credit: Annotated[UUID, typer.Argument(help="The account to credit.")],
    amount_minor: Annotated[int, typer.Argument(min=1, help="In minor units.")],
    reference: Annotated[UUID | None, typer.Option(help="What it belongs to.")] = None,
    code: Annotated[int, typer.Option(min=1, max=65_535, help="The kind of event.")] = 99,
    identifier: Annotated[
        UUID | None, typer.Option("--id", help="The transfer's id; the same id books once, however often it is sent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Book one transfer by hand, and print what became of it."""
    from hutong import ledger as books

    async def work(tx: db.Tx) -> dict[str, object]:
        lg = books.Ledger(tx, clock=SystemClock().now_ns)
        found = await lg.lookup_accounts([debit.int])
        wanted = books.Transfer(
            id=identifier.int if identifier else books.id(), debit_account_id=debit.int, credit_account_id=credit.int,
            amount=amount_minor, user_data_128=reference.int if reference else 0,
            ledger=found[0].ledger if found else 1, code=code,
        )  # fmt: skip
        (result,) = await lg.create_transfers([wanted])
        return {"id": str(UUID(int=wanted.id)), "status": result.status.name.lower()}

    answer = in_transaction(work)
    print(json.dumps(answer) if as_json else f"{answer['status']} {answer['id']}")
    sys.exit(0 if answer["status"] in {"created", "exists"} else 1)


def _show(rows: Iterable[dict[str, Any]], *, as_json: bool = False, as_csv: bool = False) -> None:
    listed = list(rows)
    if as_json:
        print(json.dumps(listed, default=str))
        return
    if as_csv:
        print(export.to_csv(listed), end="")
        return
    from rich.console import Console
    from rich.table import Table

    if listed:
        table = Table(*listed[0])
        for row in listed:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)
