"""`hutong ledger …`: memo ledgers, outside of the books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from hutong.cli.common import AMOUNT_MINOR_MAX, Json, KeyFile, Reason, in_transaction
from hutong.cli.ledger.options import Csv, Most, acting_person, collect, show
from hutong.cli.output import print_line
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db
    from hutong.ledger import finance

memos_commands = typer.Typer()

MemoLedger = Annotated[str, typer.Argument(metavar="LEDGER", help="The memo ledger, such as `points`.")]
Owner = Annotated[UUID, typer.Argument(help="The owner of the total.")]


@memos_commands.command("enter-memo")
def enter_memo(
    memo_ledger: MemoLedger,
    owner: Owner,
    ref: Annotated[str, typer.Argument(help="The object that the entry belongs to; each is counted once.")],
    amount: Annotated[
        int,
        typer.Argument(
            min=-AMOUNT_MINOR_MAX, max=AMOUNT_MINOR_MAX, help="The amount to add; negative to subtract, after `--`."
        ),
    ],
    key: KeyFile,
    reason: Reason,
) -> None:
    """Count an amount in a memo ledger, outside of the books, and print the outcome; a new ledger begins with it."""
    from hutong import bookkeeping
    from hutong import ledger as books

    memo = books.Memo(memo_ledger, owner, ref, amount)

    async def work(tx: db.Tx) -> bool:
        return await bookkeeping.enter_memo(tx, await acting_person(tx, key, reason), memo, now=SystemClock().now())

    print_line("entered" if in_transaction(work) else "exists")


@memos_commands.command("memos")
def memos(
    memo_ledger: Annotated[
        str | None, typer.Argument(metavar="[LEDGER]", help="Show the totals of this memo ledger's owners.")
    ] = None,
    limit: Most = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the memo ledgers with their sums, or the totals of one of them."""
    from hutong.ledger import finance

    async def work(tx: db.Tx) -> Sequence[finance.MemoLedger | finance.MemoTotal]:
        if memo_ledger is None:
            return await finance.list_memo_ledgers(tx)
        of: str = memo_ledger

        async def page(last: finance.MemoTotal | None, size: int) -> Sequence[finance.MemoTotal]:
            return await finance.list_memo_totals(tx, of, after=last.owner if last else None, limit=size)

        return await collect(page, limit)

    show([asdict(row) for row in in_transaction(work)], as_json=as_json, as_csv=as_csv)


@memos_commands.command("memo-entries")
def memo_entries(
    memo_ledger: MemoLedger, owner: Owner, limit: Most = 100, as_json: Json = False, as_csv: Csv = False
) -> None:
    """List the entries of an owner in a memo ledger, each with the total after it."""
    from hutong.ledger import finance

    async def work(tx: db.Tx) -> list[finance.MemoEntry]:
        async def page(last: finance.MemoEntry | None, size: int) -> Sequence[finance.MemoEntry]:
            return await finance.list_memo_entries(tx, memo_ledger, owner, after=last.seq if last else 0, limit=size)

        return await collect(page, limit)

    show([asdict(entry) for entry in in_transaction(work)], as_json=as_json, as_csv=as_csv)
