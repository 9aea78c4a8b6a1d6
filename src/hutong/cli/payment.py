"""`hutong payment …`"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction, load_settings, make_ids, read_key
from hutong.cli.output import print_json, print_line
from hutong.cli.payment_lookup import lookup
from hutong.cli.proposals import show_proposal
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import db, operators

payment = typer.Typer(help="Payments and their attempts.", no_args_is_help=True)
payment.add_typer(lookup)


@payment.command("in-doubt")
def in_doubt(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most rows of each kind.")] = 100,
    as_json: Json = False,
) -> None:
    """List attempts and refunds whose outcome the channel has not confirmed, oldest first."""
    from hutong import payments
    from hutong.clock import SystemClock

    now = SystemClock().now()

    async def work(tx: db.Tx) -> dict[str, list[dict[str, Any]]]:
        return await payments.lookup.in_doubt_documents(tx, now=now, limit=limit)

    listed = in_transaction(work)
    if as_json:
        print_json(listed)
    elif any(listed.values()):
        for rows in listed.values():
            print_table(rows)
    else:
        print_line("nothing is in doubt")


class Decision(StrEnum):
    """What can be decided about an exception."""

    TAKE = "take"
    REFUND = "refund"
    IGNORE = "ignore"


_SHOWN = (
    "id",
    "status",
    "kind",
    "about",
    "number",
    "amount_minor",
    "currency",
    "expected_minor",
    "seen",
    "first_seen_at",
)

ExceptionId = Annotated[str, typer.Argument(metavar="EXCEPTION", help="The exception, exc_….")]


@payment.command("exceptions")
def list_exceptions(
    decided: Annotated[bool, typer.Option("--all", help="Also exceptions that are decided.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most rows to show.")] = 100,
    as_json: Json = False,
) -> None:
    """List what channels have reported that does not fit an order and waits for a decision, newest first."""
    from hutong.payments import exceptions

    status = None if decided else exceptions.ExceptionStatus.OPEN

    async def work(tx: db.Tx) -> list[exceptions.PaymentException]:
        return await exceptions.list_exceptions(tx, status=status, limit=limit)

    documents = [dict(exceptions.exception_document(item)) for item in in_transaction(work)]
    if as_json:
        print_json({"exceptions": documents})
    elif documents:
        print_table([{name: document[name] for name in _SHOWN} for document in documents])
    else:
        print_line("no exception waits for a decision")


@payment.command("exception")
def show_exception(exception_id: ExceptionId, key: KeyFile, reason: Reason, as_json: Json = False) -> None:
    """Show an exception with the channel's message as it came. The audit log keeps who read it and why."""
    from hutong import app, ids, operators
    from hutong.clock import SystemClock
    from hutong.errors import NotFound
    from hutong.payments import exceptions

    identifier, settings = ids.decode(exceptions.PREFIX, exception_id), load_settings()

    async def work(tx: db.Tx) -> tuple[exceptions.PaymentException, bytes | None]:
        reader = await operators.authenticate(tx, read_key(key))
        item = await exceptions.find_exception(tx, identifier)
        if item is None:
            raise NotFound("no exception has this id", param="EXCEPTION")
        entry = operators.AuditEntry(reader.operator_id, "exception.read", "exception", exception_id, reason)
        await operators.audit(tx, [entry], now=SystemClock().now())
        return item, await exceptions.sealed_message(tx, identifier)

    item, sealed = in_transaction(work, settings)
    document = dict(exceptions.exception_document(item))
    if sealed is not None:
        headers, body = exceptions.open_message(app.existing_vault(settings), item.account_id, item.number, sealed)
        document["message"] = {"headers": headers, "body": body.decode("utf-8", "backslashreplace")}
    print_json(document, indent=None if as_json else 2)


@payment.command("decide-exception")
def decide_exception(
    exception_id: ExceptionId,
    decision: Annotated[
        Decision, typer.Argument(help="Take what the channel reports, refund as ordered, or book nothing.")
    ],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Propose what to do about an exception; another person approves it at /v1/operator/proposals."""
    from hutong import ids, operators
    from hutong.clock import SystemClock
    from hutong.payments import exceptions

    identifier, chosen = ids.decode(exceptions.PREFIX, exception_id), exceptions.ExceptionDecision(decision)

    async def work(tx: db.Tx) -> operators.Proposal:
        maker = await operators.authenticate(tx, read_key(key))
        command = exceptions.ProposeDecision(identifier, maker.operator_id, chosen, reason)
        new = await exceptions.decision_proposal(tx, command, new_id=make_ids().new())
        (proposal,) = await operators.propose(tx, [new], now=SystemClock().now())
        return proposal

    show_proposal(in_transaction(work), as_json=as_json)
