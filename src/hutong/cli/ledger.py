"""`hutong ledger …`: the books, for operators."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from hutong import export
from hutong.cli.common import INSTANTS, Json, Reason, as_utc, in_transaction, make_ids, with_database
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db

ledger = typer.Typer(help="The books: accounts, statements, corrections, day cut, proof.", no_args_is_help=True)

Parquet = Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Also write a Parquet file.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
AccountId = Annotated[
    UUID, typer.Argument(metavar="ACCOUNT", help="The account's id, as `hutong ledger accounts` shows it.")
]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A closed day; by default, the present.")]
Instant = Annotated[datetime | None, typer.Option(formats=INSTANTS, help="In UTC unless it names a zone.")]
By = Annotated[str, typer.Option(help="The person who requested it.")]


@ledger.command("accounts")
def accounts(
    code: Annotated[int, typer.Option(help="Only this subject of the chart.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=8_192)] = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List accounts with their balances, in the order of their creation."""
    from hutong import ledger as books

    query = books.QueryFilter(
        user_data_128=0, user_data_64=0, user_data_32=0, ledger=0, code=code, timestamp_min=0, timestamp_max=0,
        limit=limit, flags=books.QueryFilterFlags.NONE,
    )  # fmt: skip
    rows = [
        {"account": str(UUID(int=a.id)), "code": a.code, "ledger": a.ledger, "owner": str(UUID(int=a.user_data_128)),
         "debits_posted": a.debits_posted, "credits_posted": a.credits_posted, "debits_pending": a.debits_pending,
         "credits_pending": a.credits_pending}
        for a in in_transaction(lambda tx: books.Ledger(tx, clock=lambda: 0).query_accounts(query))
    ]  # fmt: skip
    _show(rows, as_json=as_json, as_csv=as_csv)


@ledger.command("statement")
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
    _show([asdict(line) for line in report.lines], as_csv=as_csv)
    if not as_csv:
        print(f"closing {report.closing}")


@ledger.command("events")
def events(as_json: Json = False, as_csv: Csv = False) -> None:
    """List the accounting events: the code of their transfers, and the subjects that each leg debits and credits."""
    from hutong import ledger as books

    rows = [
        {"code": int(event.code), "name": event.name, "name_en": event.name_en, "name_zh": event.name_zh,
         "legs": " ".join(f"{leg.debit}>{leg.credit}" for leg in event.legs)}
        for event in books.EVENTS.values()
    ]  # fmt: skip
    _show(rows, as_json=as_json, as_csv=as_csv)


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


@ledger.command("set-cut-time")
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


@ledger.command("verify")
def verify(as_json: Json = False) -> None:
    """Seal all committed rows and verify the books; exit 1 and name the first wrong row if they do not hold."""
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
    """Check the invariants of the books, and list money in transit by age; exit 1 if an invariant is broken."""
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
    reference: Annotated[UUID | None, typer.Option(help="The id of the object that the transfer belongs to.")] = None,
    code: Annotated[int, typer.Option(min=1, max=65_535, help="The code of the accounting event.")] = 99,
    identifier: Annotated[
        UUID | None, typer.Option("--id", help="The transfer's id; the same id books once, however often it is sent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Book one transfer by hand, and print the outcome."""
    from hutong import ledger as books

    async def work(tx: db.Tx) -> dict[str, object]:
        lg = books.Ledger(tx, clock=SystemClock().now_ns)
        accounts = await lg.lookup_accounts([debit.int])
        event = books.Transfer(
            id=identifier.int if identifier else books.id(), debit_account_id=debit.int, credit_account_id=credit.int,
            amount=amount_minor, user_data_128=reference.int if reference else 0,
            ledger=accounts[0].ledger if accounts else 1, code=code,
        )  # fmt: skip
        (result,) = await lg.create_transfers([event])
        return {"id": str(UUID(int=event.id)), "status": result.status.name.lower()}

    answer = in_transaction(work)
    print(json.dumps(answer) if as_json else f"{answer['status']} {answer['id']}")
    sys.exit(0 if answer["status"] in {"created", "exists"} else 1)


@ledger.command("reverse")
def reverse(
    transfer_id: Annotated[UUID, typer.Argument(metavar="TRANSFER", help="The id of the booked transfer.")],
    by: By,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Book the opposite of a transfer, once, and print the outcome; exit 1 if it was refused."""
    from hutong import ledger as books

    new_id = make_ids().new
    (result,) = in_transaction(
        lambda tx: books.reverse(tx, [transfer_id.int], reason=reason, by=by, new_id=new_id, now=datetime.now(UTC))
    )
    answer = {
        "status": result.status.value,
        "reversal": str(result.reversal_id) if result.reversal_id else None,
        "refusal": result.refusal.name.lower() if result.refusal else None,
    }
    print(json.dumps(answer) if as_json else " ".join(str(value) for value in answer.values() if value))
    sys.exit(0 if answer["status"] in {"reversed", "already_reversed"} else 1)


@ledger.command("add-standing-order")
def add_standing_order(
    debit: Annotated[UUID, typer.Argument(help="The account whose free balance is moved.")],
    credit: Annotated[UUID, typer.Argument(help="The account that it is moved to.")],
    most_minor: Annotated[int, typer.Argument(min=1, help="The most that one run moves, in minor units.")],
    every_minutes: Annotated[int, typer.Option(min=1, help="The interval of the runs.")],
    by: By,
    first: Annotated[
        datetime | None,
        typer.Option(formats=INSTANTS, help="The first run, in UTC unless it names a zone; by default now."),
    ] = None,
) -> None:
    """Move the free balance of one account to another at an interval, and print the order's id."""
    from hutong import ledger as books

    order_id = make_ids().new()
    in_transaction(
        lambda tx: books.add_standing_order(
            tx,
            order_id,
            from_account_id=debit.int,
            to_account_id=credit.int,
            most_minor=most_minor,
            every=timedelta(minutes=every_minutes),
            first_at=as_utc(first) or datetime.now(UTC),
            by=by,
        )
    )
    print(order_id)


@ledger.command("enter-memo")
def enter_memo(
    memo_ledger: Annotated[str, typer.Argument(metavar="LEDGER", help="The memo ledger, such as `points`.")],
    owner: Annotated[UUID, typer.Argument(help="The owner of the total.")],
    ref: Annotated[str, typer.Argument(help="The object that the entry belongs to; each is counted once.")],
    amount: Annotated[int, typer.Argument(help="The amount to add; negative to subtract, after `--`.")],
) -> None:
    """Count an amount in a memo ledger, outside of the books, and print the outcome."""
    from hutong import ledger as books

    memo = books.Memo(memo_ledger, owner, ref, amount)
    (status,) = in_transaction(lambda tx: books.enter_memos(tx, [memo], now=datetime.now(UTC)))
    print(status.value)
    sys.exit(1 if status.value == "exists_with_different_amount" else 0)


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
