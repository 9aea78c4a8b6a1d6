"""`hutong dispute …`"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason, as_utc, in_transaction, make_ids, read_key
from hutong.cli.output import print_json, print_line
from hutong.cli.proposals import show_proposal
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from uuid import UUID

    from hutong import db, operators
    from hutong.payments import disputes

dispute = typer.Typer(help="Disputes of payers.", no_args_is_help=True)

_MOST = 999_999_999_999_999
DisputeId = Annotated[str, typer.Argument(metavar="DISPUTE", help="The dispute, dsp_….")]
Minor = Annotated[
    int, typer.Argument(min=1, max=_MOST, metavar="AMOUNT", help="What the payer disputes, in minor units.")
]

_SHOWN = (
    "id",
    "state",
    "channel",
    "amount_minor",
    "amount_taken_minor",
    "fee_minor",
    "amount_held_minor",
    "currency",
    "reason",
    "due_at",
)


class State(StrEnum):
    """What can be recorded of a dispute."""

    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    ACCEPTED = "accepted"


@dispute.command("list")
def list_disputes(
    state: Annotated[State | None, typer.Option(help="Only disputes in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most rows to show.")] = 100,
    as_json: Json = False,
) -> None:
    """List the disputes of all merchants, newest first."""
    from hutong.payments import disputes

    wanted = None if state is None else disputes.DisputeState(state)

    async def work(tx: db.Tx) -> list[disputes.Dispute]:
        return await disputes.list_disputes(tx, state=wanted, limit=limit)

    documents = [each.document() for each in in_transaction(work)]
    if as_json:
        print_json({"disputes": documents})
    elif documents:
        print_table([{name: document[name] for name in _SHOWN} for document in documents])
    else:
        print_line("there is no dispute")


@dispute.command("show")
def show_dispute(dispute_id: DisputeId, as_json: Json = False) -> None:
    """Show a dispute, with what the merchant has answered."""
    from hutong import ids
    from hutong.payments import disputes

    identifier = ids.decode(disputes.PREFIX, dispute_id)
    document = in_transaction(lambda tx: _find(tx, identifier)).document()
    print_json(document, indent=None if as_json else 2)


@dispute.command("enter")
def enter_dispute(
    payment_id: Annotated[str, typer.Argument(metavar="PAYMENT", help="The disputed payment, pay_….")],
    amount_minor: Minor,
    key: KeyFile,
    reason: Reason,
    taken: Annotated[int, typer.Option(min=0, max=_MOST, help="What the channel has taken for it by now.")] = 0,
    fee: Annotated[int, typer.Option(min=0, max=_MOST, help="What the channel has charged for it.")] = 0,
    number: Annotated[str | None, typer.Option(help="The channel's own number, if it has one.")] = None,
    dispute_reason: Annotated[str | None, typer.Option(help="The channel's code of the reason.")] = None,
    due: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"], help="Until when the merchant may answer, in UTC."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose to enter a dispute that its channel has no interface for.

    Another person approves it at /v1/operator/proposals.
    """
    from hutong import ids, operators, payments
    from hutong.clock import SystemClock
    from hutong.errors import NotFound

    identifier, due_at = ids.decode("pay", payment_id), as_utc(due, "--due")

    async def work(tx: db.Tx) -> operators.Proposal:
        maker = await operators.authenticate(tx, read_key(key))
        found = await payments.find(tx, [identifier])
        if identifier not in found:
            raise NotFound("no payment has this id", param="PAYMENT")
        command = payments.disputes.EnterDispute(
            maker.operator_id,
            found[identifier],
            amount_minor,
            reason,
            dispute_no=number,
            taken_minor=taken,
            fee_minor=fee,
            dispute_reason=dispute_reason,
            due_at=due_at,
        )
        (proposal,) = await operators.propose(tx, [command.proposal(make_ids().new())], now=SystemClock().now())
        return proposal

    show_proposal(in_transaction(work), as_json=as_json)


@dispute.command("move")
def move_dispute(
    dispute_id: DisputeId,
    state: Annotated[State, typer.Argument(help="The new state.")],
    key: KeyFile,
    reason: Reason,
    taken: Annotated[
        int | None, typer.Option(min=0, max=_MOST, help="What the channel has taken by then; nothing where it is won.")
    ] = None,
    fee: Annotated[int | None, typer.Option(min=0, max=_MOST, help="What the channel has charged by then.")] = None,
    as_json: Json = False,
) -> None:
    """Propose how a dispute has gone on; another person approves it at /v1/operator/proposals."""
    from hutong import ids, operators
    from hutong.clock import SystemClock
    from hutong.payments import disputes

    identifier, chosen = ids.decode(disputes.PREFIX, dispute_id), disputes.DisputeState(state)

    async def work(tx: db.Tx) -> operators.Proposal:
        maker = await operators.authenticate(tx, read_key(key))
        found = await _find(tx, identifier)
        command = disputes.MoveDispute(maker.operator_id, found, chosen, reason, taken_minor=taken, fee_minor=fee)
        (proposal,) = await operators.propose(tx, [command.proposal(make_ids().new())], now=SystemClock().now())
        return proposal

    show_proposal(in_transaction(work), as_json=as_json)


async def _find(tx: db.Tx, identifier: UUID) -> disputes.Dispute:
    from hutong.errors import NotFound
    from hutong.payments import disputes

    found = await disputes.find_disputes(tx, [identifier])
    if identifier not in found:
        raise NotFound("no dispute has this id", param="DISPUTE")
    return found[identifier]
