"""Bookings by hand, their reversal, and manual entries: alone up to a limit, above it by two persons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ledger, operators
from hutong.bookkeeping.limits import needs_two
from hutong.bookkeeping.person import Person, name_of
from hutong.errors import Conflict, InvalidParameter
from hutong.ledger import finance, reports

REVERSE = "ledger.reverse"
BOOK = "ledger.book"
ENTER = "ledger.enter"
_CLOSINGS = (ledger.EventCode.MONTH_CLOSING, ledger.EventCode.YEAR_CLOSING)
_RECORDED = (ledger.EventCode.REVERSAL, *_CLOSINGS)  # what has these codes has a record that leads to it


@dataclass(frozen=True, slots=True)
class Reversed:
    """A transfer that is reversed; `already` if it was reversed before."""

    transfer_id: UUID
    reversal_id: UUID
    already: bool


@dataclass(frozen=True, slots=True)
class Booking:
    """One transfer by hand.

    Attributes:
        transfer_id: The same id books once, however often it is sent.
        reference: The object that the transfer belongs to.
    """

    transfer_id: UUID
    debit_account_id: UUID
    credit_account_id: UUID
    amount_minor: int
    code: int = ledger.EventCode.MANUAL
    reference: UUID | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """A transfer that is booked; `already` if it was booked before."""

    transfer_id: UUID
    already: bool


async def reverse(
    tx: db.Tx, person: Person, transfer_id: UUID, *, limits: Mapping[str, int], new_id: Callable[[], UUID],
    now: datetime,
) -> Reversed | operators.Proposal:  # fmt: skip
    """Book the opposite of a transfer, or propose it if the amount is above the limit of one person.

    Repeat:
        A transfer that is reversed already is answered with its reversal; nothing is written.

    Errors:
        NotPermitted, InvalidParameter: the role is not enough, or the reason is none.
        NotFound: no transfer has this id.
        Conflict: the transfer is a reversal, a hold or the entry of a closing, or the ledger refused its opposite.
    """
    person.check()
    transfer = await _reversible(tx, transfer_id)
    if transfer.reversal_id is not None:
        return Reversed(transfer_id, transfer.reversal_id, already=True)
    if needs_two(limits, transfer.currency, transfer.amount_minor):
        payload = {"transfer_id": str(transfer_id), "amount_minor": transfer.amount_minor,
                   "currency": transfer.currency}  # fmt: skip
        return await _propose(tx, person, REVERSE, ("transfer", str(transfer_id)), payload, new_id(), now)
    done = await _reverse(tx, transfer_id, by=person.by, reason=person.reason, new_id=new_id, now=now)
    if not done.already:
        await person.note(tx, "reverse", "transfer", transfer_id, now=now, after={"reversal_id": str(done.reversal_id)})
    return done


async def book_by_hand(
    tx: db.Tx, person: Person, booking: Booking, *, limits: Mapping[str, int], new_id: Callable[[], UUID],
    now: datetime,
) -> Booked | operators.Proposal:  # fmt: skip
    """Book one transfer, or propose it if the amount is above the limit of one person.

    Errors:
        NotPermitted, InvalidParameter: the role is not enough, or the reason, an account or the amount is none.
        Conflict: the ledger refused the transfer.
    """
    person.check()
    payload = await _checked(tx, booking)
    if needs_two(limits, payload["currency"], booking.amount_minor):
        identifier = str(booking.transfer_id)
        return await _propose(tx, person, BOOK, ("transfer", identifier), payload, new_id(), now)
    booked = await _book(tx, booking, payload["currency"], now=now)
    if not booked.already:
        await person.note(tx, "book", "transfer", booking.transfer_id, now=now, after=payload)
    return booked


async def propose_entry(
    tx: db.Tx, person: Person, lines: Sequence[finance.EntryLine], *, reference: UUID | None,
    new_id: Callable[[], UUID], now: datetime,
) -> operators.Proposal:  # fmt: skip
    """Propose a manual entry. The approval books it under its own code; its reference is the proposal by default.

    Errors:
        NotPermitted: the role is not enough.
        InvalidParameter: the reason is none, or the entry could not be booked: the line at fault is named.
    """
    person.check()
    await finance.check_entry(tx, lines)
    proposal_id = new_id()
    payload = {
        "lines": [
            {"account_id": str(line.account_id), "side": line.side.value, "amount_minor": line.amount_minor,
             "currency": line.currency}
            for line in lines
        ],
        "reference": None if reference is None else str(reference),
    }  # fmt: skip
    return await _propose(tx, person, ENTER, ("entry", str(proposal_id)), payload, proposal_id, now)


async def _propose(
    tx: db.Tx, person: Person, action: str, about: tuple[str, str], payload: Mapping[str, Any], proposal_id: UUID,
    now: datetime,
) -> operators.Proposal:  # fmt: skip
    kind, object_id = about
    new = operators.NewProposal(
        proposal_id, person.operator.operator_id, action, kind, object_id, payload, person.reason,
        request_id=person.request_id,
    )  # fmt: skip
    (proposal,) = await operators.propose(tx, [new], now=now)
    return proposal


async def _reversible(tx: db.Tx, transfer_id: UUID) -> reports.ListedTransfer:
    transfer = await reports.find_transfer(tx, transfer_id)
    if await reports.is_reversal(tx, transfer_id):
        raise Conflict("the transfer is a reversal; reversals are not reversed", param="transfer_id")
    if transfer.event in _CLOSINGS:
        raise Conflict("the transfer belongs to the closing of a period, which is permanent", param="transfer_id")
    return transfer


async def _reverse(
    tx: db.Tx, transfer_id: UUID, *, by: str, reason: str, new_id: Callable[[], UUID], now: datetime
) -> Reversed:
    (result,) = await ledger.reverse(tx, [transfer_id.int], reason=reason, by=by, new_id=new_id, now=now)
    if result.status.value == "already_reversed":
        reversal_id = (await reports.find_transfer(tx, transfer_id)).reversal_id
        assert reversal_id is not None
        return Reversed(transfer_id, reversal_id, already=True)
    if result.reversal_id is None:
        cause = result.refusal.name if result.refusal else result.status.value
        raise Conflict(f"the transfer cannot be reversed: {cause.lower().replace('_', ' ')}", param="transfer_id")
    return Reversed(transfer_id, result.reversal_id, already=False)


async def _checked(tx: db.Tx, booking: Booking) -> dict[str, Any]:
    """Return the payload of a booking whose accounts exist, are open and keep one currency."""
    if booking.code in _RECORDED:
        detail = f"the code {int(booking.code)} belongs to reversals or closings of periods"
        raise InvalidParameter(detail, param="code")
    debit = await finance.find_account(tx, booking.debit_account_id)
    credit = await finance.find_account(tx, booking.credit_account_id)
    if debit.account_id == credit.account_id:
        raise InvalidParameter("a transfer needs two different accounts", param="credit_account_id")
    if debit.currency != credit.currency:
        raise InvalidParameter(
            f"one account keeps {debit.currency}, the other {credit.currency}", param="credit_account_id"
        )
    return {
        "transfer_id": str(booking.transfer_id), "debit_account_id": str(debit.account_id),
        "credit_account_id": str(credit.account_id), "amount_minor": booking.amount_minor, "currency": debit.currency,
        "code": int(booking.code), "reference": None if booking.reference is None else str(booking.reference),
    }  # fmt: skip


async def _book(tx: db.Tx, booking: Booking, currency: str, *, now: datetime) -> Booked:
    already = await finance.book_transfer(
        tx,
        booking.transfer_id,
        debit=booking.debit_account_id,
        credit=booking.credit_account_id,
        amount_minor=booking.amount_minor,
        currency=currency,
        code=booking.code,
        reference=booking.reference,
        now=now,
    )
    return Booked(booking.transfer_id, already)


async def _on_reverse(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    transfer_id = UUID(proposal.payload["transfer_id"])
    await _reversible(tx, transfer_id)
    done = await _reverse(
        tx,
        transfer_id,
        by=await _both(tx, proposal),
        reason=proposal.reason,
        new_id=lambda: UUID(int=ledger.derive_id(proposal.proposal_id, "reversal")),
        now=now,
    )
    if done.already:
        raise Conflict("the transfer is reversed already", param="transfer_id")


async def _on_book(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    payload = proposal.payload
    booking = Booking(
        UUID(payload["transfer_id"]),
        UUID(payload["debit_account_id"]),
        UUID(payload["credit_account_id"]),
        payload["amount_minor"],
        payload["code"],
        None if payload["reference"] is None else UUID(payload["reference"]),
    )
    await _book(tx, booking, (await _checked(tx, booking))["currency"], now=now)


async def _on_enter(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    lines = [
        finance.EntryLine(UUID(line["account_id"]), finance.Side(line["side"]), line["amount_minor"], line["currency"])
        for line in proposal.payload["lines"]
    ]
    reference = proposal.payload["reference"]
    await finance.book_entry(
        tx, proposal.proposal_id, lines, reference=None if reference is None else UUID(reference), now=now
    )


async def _both(tx: db.Tx, proposal: operators.Proposal) -> str:
    """Return the two persons of an approved proposal as the books name them."""
    assert proposal.checker_id is not None
    people = await operators.find_operators(tx, [proposal.maker_id, proposal.checker_id])
    return f"{name_of(people[proposal.maker_id])}, approved by {name_of(people[proposal.checker_id])}"


APPROVAL_HANDLERS: Mapping[str, operators.ApprovalHandler] = {
    REVERSE: _on_reverse,
    BOOK: _on_book,
    ENTER: _on_enter,
}
"""What an approval does, by the proposed action."""
