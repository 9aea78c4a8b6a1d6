"""Our side of a channel account's day, from the journal: every booking on the channel's receivable, as rows.

Amounts, currency and time come from the transfers. Only what the journal does not have comes from the payments' tables:
the numbers at the channel, the merchant, and what the payer paid of an order that a coupon has made cheaper.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, datetime
from uuid import UUID

from hutong import db, ids
from hutong.errors import InvariantBroken
from hutong.ledger import EVENTS, EventCode, reports
from hutong.payments import export
from hutong.reconciliation.expected.rows_file import OurRow, RowsFile
from hutong.reconciliation.model import DayWindow, RowKind

RECEIVABLE = 1101
_CHUNK = 5_000
_E = EventCode
_TAKEN = frozenset({_E.PAYMENT, _E.SURPLUS})
_TAKEN_PARTS = frozenset({_E.MERCHANT_DISCOUNT, _E.APPLICATION_FEE, _E.FUNDING})
_SENT = frozenset({_E.REFUND, _E.SURPLUS_REFUND, _E.LATE_REFUND})
_DISPUTED = frozenset({_E.DISPUTE, _E.DISPUTE_RETURN, _E.DISPUTE_FEE})

FeeRule = Callable[[int], int | None]
"""The expected fee of a payment; None is not compared."""


async def write_journal(
    tx: db.Tx, rows: RowsFile, account_id: UUID, window: DayWindow, day: date, fee_of: FeeRule
) -> list[OurRow]:
    """Write the rows of a day and of the margin after it.

    Returns:
        The rows of refunds that succeeded, failed later, and were sent by another method since: the refund itself has
        forgotten its first method.

    Errors:
        InvariantBroken: the rows are not by what the account has moved, so some booking would be compared with nothing.
    """
    since, until = window.begin_of(day), window.complete_at(day)
    moved: dict[str, int] = defaultdict(int)
    chunk: list[reports.Movement] = []
    other: dict[tuple[date, str, str], OurRow] = {}
    forgotten: list[OurRow] = []

    async def flush() -> None:
        numbers = await export.channel_numbers(tx, {movement.reference for movement in chunk})
        for movement in chunk:
            row = _row(movement, numbers, account_id, window.day_of(movement.at), fee_of)
            moved[row.currency] += movement.amount_minor
            if row.kind is RowKind.OTHER:
                _add_other(other, row)
                continue
            rows.add(row)
            is_known = movement.transfer_id in numbers.by_transfer
            if row.kind is RowKind.REFUND and movement.event in _SENT and not is_known:
                forgotten.append(row)
        chunk.clear()

    async for movement in reports.stream_movements(tx, RECEIVABLE, account_id, since=since, until=until):
        chunk.append(movement)
        if len(chunk) == _CHUNK:
            await flush()
    await flush()
    for row in other.values():
        rows.add(row)
    stated = await reports.movement_between(tx, RECEIVABLE, account_id, since=since, until=until)
    if {currency: amount for currency, amount in stated.items() if amount} != {c: a for c, a in moved.items() if a}:
        raise InvariantBroken(f"the bookings of {day} are not what the channel's receivable has moved by")
    return forgotten


def _row(
    movement: reports.Movement, numbers: export.ChannelNumbers, account_id: UUID, day: date, fee_of: FeeRule
) -> OurRow:
    """Return the part of a row that one booking makes."""
    event, amount, is_reversal = movement.event, movement.amount_minor, movement.reversed_by is not None
    number = numbers.by_transfer.get(movement.transfer_id) or _unnamed(movement, numbers, account_id)
    row = OurRow(RowKind.OTHER, "", day, movement.at, movement.currency, settled=amount)
    if event in _TAKEN:
        row.kind = RowKind.PAYMENT
        sign = 1 if amount > 0 else -1
        row.ordered = amount
        row.paid = sign * number.paid_minor if number and number.ordered_minor == abs(amount) else amount
        row.fee = fee_of(amount)
    elif event in _TAKEN_PARTS:
        row.kind = RowKind.PAYMENT
    elif event in _SENT:
        sent_by = RowKind.PAYOUT if number and number.kind is export.NumberKind.PAYOUT else RowKind.REFUND
        row.kind = RowKind.REFUND_FAILURE if is_reversal and sent_by is RowKind.REFUND else sent_by
        sign = 1 if amount > 0 else -1
        row.ordered = sign * number.ordered_minor if number else amount
        row.paid = sign * number.paid_minor if number else amount
    elif event == _E.FUNDING_RETURN and number and number.account_id == account_id:
        row.kind = RowKind.REFUND_FAILURE if is_reversal else RowKind.REFUND
    elif event in _DISPUTED:
        row.kind = RowKind.DISPUTE
        if event == _E.DISPUTE_FEE:
            row.settled, row.fee = 0, -amount
        else:
            row.ordered = row.paid = amount
    if row.kind is RowKind.OTHER:
        row.key = row.memo = EVENTS[event].name if event in EVENTS else str(event)
        return row
    _name(row, number, movement)
    return row


def _name(row: OurRow, number: export.ChannelNumber | None, movement: reports.Movement) -> None:
    if number is None:
        # It belongs to nothing that is known: it is compared all the same, by a number that no bill can have.
        row.key = f"transfer:{UUID(int=movement.transfer_id)}"
        return
    row.key, row.channel_no, row.original_key = number.number, number.channel_no, number.original_no
    row.reference, row.merchant = number.reference, ids.encode("mer", number.merchant_id)


def _unnamed(
    movement: reports.Movement, numbers: export.ChannelNumbers, account_id: UUID
) -> export.ChannelNumber | None:
    """Return the object of a transfer whose id follows from nothing that is kept.

    A dispute's changes have new ids, and the hold of a refund that was sent by another method later is replaced. Where
    a payment has several of either, it is the one whose recorded time is nearest.
    """
    if movement.event in _DISPUTED:
        candidates = numbers.disputes.get(movement.reference, [])
    elif movement.event in _SENT:
        candidates = numbers.failed.get(movement.reference, [])
    else:
        return None
    here = [number for number in candidates if number.account_id == account_id]
    return _nearest(here, movement.at)


def _nearest(numbers: Sequence[export.ChannelNumber], at: datetime) -> export.ChannelNumber | None:
    return min(numbers, key=lambda number: abs((number.ended_at or at) - at), default=None)


def _add_other(other: dict[tuple[date, str, str], OurRow], row: OurRow) -> None:
    """Sum what no bill has, such as our own postings after a match, by day, event and currency."""
    key = (row.day, row.key, row.currency)
    if key in other:
        other[key].settled += row.settled
        other[key].at = min(other[key].at, row.at)
    else:
        other[key] = row
