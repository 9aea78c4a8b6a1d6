"""`hutong ledger …`: bookings by hand and their reversal."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from hutong.cli.common import Json, Reason, in_transaction, make_ids
from hutong.cli.ledger.options import By
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db

bookings_commands = typer.Typer()


@bookings_commands.command("transfer")
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


@bookings_commands.command("reverse")
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
