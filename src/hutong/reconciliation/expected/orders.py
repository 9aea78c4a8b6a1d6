"""The rows of the internal layers: what orders state of a day, and what their attempts and refunds add up to.

`orders` has, under the number at the channel, what each order states: its status, what it counts as captured, and what
the channel owes for it; the books must have the same. `payments` has what the attempts state, under the same number.
The sum that a payment counts as refunded stands in both under the payment's own id, with the kind `other`.
"""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from hutong import db, ids, ledger
from hutong.payments import export, refunds
from hutong.reconciliation.expected.journal import RECEIVABLE
from hutong.reconciliation.expected.rows_file import OurRow, RowsFile
from hutong.reconciliation.model import DayWindow, RowKind, RowState

_STATES = {True: RowState.SUCCEEDED, False: RowState.FAILED}


async def write_orders(
    tx: db.Tx, orders: RowsFile, attempts: RowsFile, account_id: UUID, window: DayWindow, day: date
) -> None:
    """Write both sides of a day and of the margin after it."""
    since, until = window.begin_of(day), window.complete_at(day)
    async for part in export.stream_orders(tx, account_id, since=since, until=until):
        for order in part:
            for file, is_paid, amount in (
                (orders, order.is_paid, order.order_minor),
                (attempts, order.has_succeeded, order.attempt_minor),
            ):
                file.add(
                    OurRow(
                        RowKind.PAYMENT,
                        ids.encode("att", order.attempt_id),
                        window.day_of(order.at),
                        order.at,
                        order.currency,
                        amount,
                        order.paid_minor,
                        order.settled_minor,
                        state=_STATES[is_paid],
                        merchant=ids.encode("mer", order.merchant_id),
                        reference=ids.encode("pay", order.payment_id),
                    )
                )
    ended = await export.refunds_ended(tx, account_id, since=since, until=until)
    for row in await _refunds(tx, ended, account_id, window, since, until):
        orders.add(row)
    for total in await export.refunded_sums(tx, {refund.payment_id for refund in ended}):
        for file, amount in ((orders, total.counted_minor), (attempts, total.refunds_minor)):
            file.add(
                OurRow(
                    RowKind.OTHER,
                    ids.encode("pay", total.payment_id),
                    day,
                    since,
                    total.currency,
                    -amount,
                    -amount,
                    -amount,
                    merchant=ids.encode("mer", total.merchant_id),
                    reference=ids.encode("pay", total.payment_id),
                )
            )


async def _refunds(
    tx: db.Tx, ended: list[refunds.Refund], account_id: UUID, window: DayWindow, since: datetime, until: datetime
) -> list[OurRow]:
    """Return what refunds have taken from the account.

    When a success was, whose failure came later, and by which account a person has paid, only the books know.
    """
    booked = await _booked_at(tx, [refund for refund in ended if _is_asked(refund)], account_id)
    rows = []
    for refund in ended:
        out = export.channel_number(refund, refund.route)
        at = booked.get(refund.refund_id) if _is_asked(refund) else refund.finished_at
        succeeded = refund.state is refunds.RefundState.SUCCEEDED or _is_asked(refund)
        if succeeded and at is not None and since <= at < until:
            channel_minor = 0 if refund.kind is refunds.RefundKind.SURPLUS else refund.channel_minor
            rows += _row(refund, out, refund.cost_minor, channel_minor, at, account_id, window)
        if refund.late_success_at is not None and since <= refund.late_success_at < until:
            late = export.channel_number(refund, export.late_method(refund))
            rows += _row(refund, late, refund.held_minor, 0, refund.late_success_at, account_id, window)
    return rows


def _is_asked(refund: refunds.Refund) -> bool:
    return refund.route is refunds.RefundMethod.MANUAL or refund.late_failure_at is not None


async def _booked_at(tx: db.Tx, asked: list[refunds.Refund], account_id: UUID) -> dict[UUID, datetime]:
    found = await ledger.reports.booked_at(
        tx, [export.refund_transfer(refund) for refund in asked], RECEIVABLE, account_id
    )
    return {
        refund.refund_id: found[transfer] for refund in asked if (transfer := export.refund_transfer(refund)) in found
    }


def _row(
    refund: refunds.Refund,
    number: export.ChannelNumber,
    cost_minor: int,
    channel_minor: int,
    at: datetime,
    account_id: UUID,
    window: DayWindow,
) -> list[OurRow]:
    if number.account_id != account_id:
        return []
    return [
        OurRow(
            RowKind.PAYOUT if number.kind is export.NumberKind.PAYOUT else RowKind.REFUND,
            number.number,
            window.day_of(at),
            at,
            refund.currency,
            -refund.amount_minor,
            -refund.payer_minor,
            -cost_minor - (channel_minor if refund.account_id == account_id else 0),
            original_key=number.original_no,
            merchant=ids.encode("mer", refund.merchant_id),
            reference=number.reference,
        )
    ]
