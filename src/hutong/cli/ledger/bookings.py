"""`hutong ledger …`: bookings by hand, manual entries, reversals, and their approval by a second person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from hutong.cli.common import (
    AMOUNT_MINOR_MAX,
    CODE_MAX,
    Json,
    KeyFile,
    Reason,
    in_transaction,
    load_settings,
    make_ids,
    read_key,
)
from hutong.cli.ledger.options import Csv, Most, acting_person, collect, show, show_proposal
from hutong.cli.output import print_line, print_result
from hutong.clock import SystemClock, instant

if TYPE_CHECKING:
    from hutong import bookkeeping, db, operators
    from hutong.ledger import finance, reports

bookings_commands = typer.Typer()

_DAY = ["%Y-%m-%d"]
Reference = Annotated[
    str | None, typer.Option(help="The object that the booking belongs to: a payment, a refund …, by id.")
]
Line = Annotated[
    list[str], typer.Option(metavar="ACCOUNT:AMOUNT:CURRENCY", help="A line, in minor units; may be repeated.")
]
Proposal = Annotated[str, typer.Argument(metavar="PROPOSAL", help="The proposal, prp_….")]


@bookings_commands.command("transfers")
def transfers(
    reference: Reference = None,
    code: Annotated[int | None, typer.Option(min=1, max=CODE_MAX, help="Only this accounting event.")] = None,
    amount_minor: Annotated[
        int | None, typer.Option("--amount", min=0, max=AMOUNT_MINOR_MAX, help="Only this amount, in minor units.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Only this currency.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="From this accounting date on.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAY, help="Up to this accounting date, included.")] = None,
    limit: Most = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List transfers by reference, event, amount, currency or date, in the order of the journal."""
    from hutong import ids
    from hutong.errors import InvalidParameter
    from hutong.ledger import reports

    if since is not None and until is not None and since > until:
        raise InvalidParameter("the first date is after the last", param="--since")
    about = None if reference is None else ids.read_any(reference, param="--reference")

    async def work(tx: db.Tx) -> list[reports.ListedTransfer]:
        async def page(last: reports.ListedTransfer | None, size: int) -> Sequence[reports.ListedTransfer]:
            query = reports.TransferQuery(
                reference=about, code=code, currency=currency, amount_minor=amount_minor,
                since=since.date() if since else date.min, until=until.date() if until else date.max,
                after=last.cursor if last else 0, limit=size,
            )  # fmt: skip
            return await reports.list_transfers(tx, query)

        return await collect(page, limit)

    rows = [asdict(transfer) for transfer in in_transaction(work)]
    show([{k: v for k, v in row.items() if k != "cursor"} for row in rows], as_json=as_json, as_csv=as_csv)


@bookings_commands.command("holds")
def holds(
    account: Annotated[UUID | None, typer.Option(help="Only holds on this account.")] = None,
    limit: Most = 100,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the open holds with their ends."""
    from hutong.ledger import reports

    async def work(tx: db.Tx) -> list[reports.OpenHold]:
        async def page(last: reports.OpenHold | None, size: int) -> Sequence[reports.OpenHold]:
            after = last.hold_id if last else None
            return await reports.list_holds(tx, account_id=account, after=after, limit=size)

        return await collect(page, limit)

    show([asdict(hold) for hold in in_transaction(work)], as_json=as_json, as_csv=as_csv)


@bookings_commands.command("transfer")
def transfer(
    debit: Annotated[UUID, typer.Argument(help="The account to debit.")],
    credit: Annotated[UUID, typer.Argument(help="The account to credit.")],
    amount_minor: Annotated[int, typer.Argument(min=1, max=AMOUNT_MINOR_MAX, help="In minor units.")],
    key: KeyFile,
    reason: Reason,
    reference: Reference = None,
    code: Annotated[int, typer.Option(min=1, max=CODE_MAX, help="The code of the accounting event.")] = 99,
    identifier: Annotated[
        UUID | None, typer.Option("--id", help="The transfer's id; the same id books once, however often it is sent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Book one transfer by hand; above the limit of one person it is proposed to a second one."""
    from hutong import bookkeeping, ids

    settings = load_settings()
    new_id = make_ids(settings).new
    about = None if reference is None else ids.read_any(reference, param="--reference")
    booking = bookkeeping.Booking(identifier or new_id(), debit, credit, amount_minor, code, about)
    limits = bookkeeping.read_limits(settings.single_person_limits)

    async def work(tx: db.Tx) -> bookkeeping.Booked | operators.Proposal:
        person = await acting_person(tx, key, reason)
        return await bookkeeping.book_by_hand(
            tx, person, booking, limits=limits, new_id=new_id, now=SystemClock().now()
        )

    done = in_transaction(work, settings)
    if not isinstance(done, bookkeeping.Booked):
        show_proposal(done, as_json=as_json)
        return
    answer = {"id": str(done.transfer_id), "status": "exists" if done.already else "created"}
    print_result(answer, f"{answer['status']} {answer['id']}", as_json=as_json)


@bookings_commands.command("reverse")
def reverse(
    transfer_id: Annotated[UUID, typer.Argument(metavar="TRANSFER", help="The id of the booked transfer.")],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Book the opposite of a transfer, once; above the limit of one person it is proposed to a second one."""
    from hutong import bookkeeping

    settings = load_settings()
    limits = bookkeeping.read_limits(settings.single_person_limits)

    async def work(tx: db.Tx) -> bookkeeping.Reversed | operators.Proposal:
        person = await acting_person(tx, key, reason)
        return await bookkeeping.reverse(
            tx, person, transfer_id, limits=limits, new_id=make_ids(settings).new, now=SystemClock().now()
        )

    done = in_transaction(work, settings)
    if not isinstance(done, bookkeeping.Reversed):
        show_proposal(done, as_json=as_json)
        return
    answer = {"status": "already_reversed" if done.already else "reversed", "reversal": str(done.reversal_id)}
    print_result(answer, f"{answer['status']} {answer['reversal']}", as_json=as_json)


@bookings_commands.command("reversals")
def reversals(limit: Most = 100, as_json: Json = False, as_csv: Csv = False) -> None:
    """List reversals with their reasons, newest first."""
    from hutong.ledger import reports

    async def work(tx: db.Tx) -> list[reports.ListedReversal]:
        async def page(last: reports.ListedReversal | None, size: int) -> Sequence[reports.ListedReversal]:
            return await reports.list_reversals(tx, before=last.reversal_id if last else None, limit=size)

        return await collect(page, limit)

    show([asdict(reversal) for reversal in in_transaction(work)], as_json=as_json, as_csv=as_csv)


@bookings_commands.command("enter")
def enter(
    debit: Line, credit: Line, key: KeyFile, reason: Reason, reference: Reference = None, as_json: Json = False
) -> None:
    """Propose a manual entry of several lines that balance per currency; a second person's approval books it."""
    from hutong import bookkeeping, ids
    from hutong.ledger import finance

    lines = [_line(text, finance.Side.DEBIT) for text in debit] + [_line(text, finance.Side.CREDIT) for text in credit]
    about = None if reference is None else ids.read_any(reference, param="--reference")

    async def work(tx: db.Tx) -> operators.Proposal:
        person = await acting_person(tx, key, reason)
        return await bookkeeping.propose_entry(
            tx, person, lines, reference=about, new_id=make_ids().new, now=SystemClock().now()
        )

    show_proposal(in_transaction(work), as_json=as_json)


@bookings_commands.command("proposals")
def proposals(as_json: Json = False) -> None:
    """List the open proposals about the books, newest first."""
    from hutong import bookkeeping, ids, operators

    async def work(tx: db.Tx) -> list[operators.Proposal]:
        async def page(last: operators.Proposal | None, size: int) -> Sequence[operators.Proposal]:
            after = last.proposal_id if last else None
            return await operators.list_proposals(tx, now=SystemClock().now(), after=after, open_only=True, limit=size)

        found = await collect(page, 0)
        return [proposal for proposal in found if proposal.action in bookkeeping.APPROVAL_HANDLERS]

    rows = [
        {"proposal": ids.encode(operators.PROPOSAL_PREFIX, one.proposal_id), "action": one.action,
         "maker": ids.encode(operators.OPERATOR_PREFIX, one.maker_id), "reason": one.reason,
         "expires_at": instant(one.expires_at), "payload": dict(one.payload) if as_json else json.dumps(one.payload)}
        for one in in_transaction(work)
    ]  # fmt: skip
    show(rows, as_json=as_json)


@bookings_commands.command("approve")
def approve(proposal: Proposal, key: KeyFile, reason: Reason) -> None:
    """Approve another person's proposal about the books: what it proposes is booked now, or it stays open."""
    _decide(proposal, key, reason, approve=True)
    print_line("approved and booked")


@bookings_commands.command("reject")
def reject(proposal: Proposal, key: KeyFile, reason: Reason) -> None:
    """Reject another person's proposal about the books."""
    _decide(proposal, key, reason, approve=False)
    print_line("rejected")


def _decide(proposal: str, key: Any, reason: str, *, approve: bool) -> None:
    from hutong import bookkeeping, ids, operators
    from hutong.errors import InvalidParameter

    identifier = ids.decode(operators.PROPOSAL_PREFIX, proposal)
    now = SystemClock().now()

    async def work(tx: db.Tx) -> None:
        checker = await operators.authenticate(tx, read_key(key))
        if (await operators.find_proposal(tx, identifier, now=now)).action not in bookkeeping.APPROVAL_HANDLERS:
            raise InvalidParameter("the proposal is not about the books", param="PROPOSAL")
        decision = operators.ApprovalDecision(identifier, checker.operator_id, approve, reason)
        await operators.conclude(tx, decision, bookkeeping.APPROVAL_HANDLERS, now=now)

    in_transaction(work)


def _line(text: str, side: finance.Side) -> finance.EntryLine:
    from hutong.errors import InvalidParameter
    from hutong.ledger import finance

    account, _, rest = text.partition(":")
    amount, _, currency = rest.partition(":")
    try:
        if not (amount.isascii() and amount.isdigit()):
            raise ValueError
        return finance.EntryLine(UUID(account), side, int(amount), currency)
    except ValueError as error:
        raise InvalidParameter(f"{text} is not a line such as ACCOUNT:1999:CNY", param=f"--{side.value}") from error
