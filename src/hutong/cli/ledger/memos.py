"""`hutong ledger …`: memo ledgers, outside of the books."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from hutong.cli.common import in_transaction

memos_commands = typer.Typer()


@memos_commands.command("enter-memo")
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
    sys.exit(0 if status.value in {"entered", "exists"} else 1)
