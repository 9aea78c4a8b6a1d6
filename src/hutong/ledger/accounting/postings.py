"""Posting templates: a business event becomes one linked chain of transfers, all of it or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from hutong import money
from hutong.errors import InvalidParameter
from hutong.ledger.accounting.chart import account_id, subject
from hutong.ledger.model import Transfer, TransferFlags


@dataclass(frozen=True, slots=True)
class Leg:
    """One line of a template: which subjects, and which of the event's amounts."""

    debit: int
    credit: int
    amount: str
    flags: TransferFlags = TransferFlags.NONE


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of business event; `code` marks its transfers for good."""

    code: int
    name: str
    legs: tuple[Leg, ...]


EVENTS: dict[str, Event] = {
    event.name: event
    for event in (
        Event(1, "payment_succeeded", (Leg(1101, 2001, "amount"), Leg(2001, 4001, "fee"), Leg(5001, 1101, "cost"))),
        Event(2, "surplus_received", (Leg(1101, 2202, "amount"),)),
        Event(3, "surplus_refunded", (Leg(2202, 1101, "amount"),)),
        Event(4, "refund_requested", (Leg(2001, 2201, "amount", TransferFlags.PENDING),)),
        Event(5, "refund_succeeded", (Leg(2201, 1101, "amount"),)),
        Event(6, "channel_settled", (Leg(1001, 1101, "amount"),)),
        Event(7, "statement_settled", (Leg(2001, 2002, "amount"),)),
        Event(8, "payout_requested", (Leg(2002, 2203, "amount", TransferFlags.PENDING),)),
        Event(9, "payout_succeeded", (Leg(2203, 1001, "amount"),)),
    )
}
"""The events of the design, by name; a leg whose amount is absent or zero is left out."""


def transfers_of(
    name: str,
    *,
    owners: Mapping[str, UUID],
    amounts: Mapping[str, int],
    currency: str,
    reference: UUID,
    ids: list[UUID],
) -> list[Transfer]:
    """The linked chain of one event.

    Args:
        owners: Whose accounts, by what the chart says of the subject: merchant, channel account, bank account, product.
        amounts: The event's amounts in minor units: amount, fee, cost.
        reference: The payment, refund or payout, kept in `user_data_128` of each transfer.
        ids: A fresh id for each leg, at least as many as the event has.

    Errors:
        InvalidParameter: no such event, or an owner that it needs is missing.
    """
    event = EVENTS.get(name)
    if event is None:
        raise InvalidParameter("no posting template has this name", param="name")
    legs = [leg for leg in event.legs if amounts.get(leg.amount)]
    ledger = money.currency(currency).numeric
    chain = []
    for number, leg in enumerate(legs):
        debit, credit = (_account(code, owners, currency) for code in (leg.debit, leg.credit))
        linked = TransferFlags.LINKED if number < len(legs) - 1 else TransferFlags.NONE
        chain.append(
            Transfer(
                id=ids[number].int,
                debit_account_id=debit,
                credit_account_id=credit,
                amount=amounts[leg.amount],
                user_data_128=reference.int,
                ledger=ledger,
                code=event.code,
                flags=leg.flags | linked,
            )
        )  # fmt: skip
    return chain


def _account(code: int, owners: Mapping[str, UUID], currency: str) -> int:
    per = subject(code).per
    owner = owners.get(per)
    if owner is None:
        raise InvalidParameter(f"the event needs an owner for {per}", param="owners")
    return account_id(code, owner, currency)
