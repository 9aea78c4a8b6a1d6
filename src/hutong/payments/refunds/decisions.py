"""Decisions of two persons about a channel's report that does not fit a refund."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, ledger
from hutong.channels import ChannelAnswer, ChannelState
from hutong.payments.exception_items import ExceptionDecision, ExceptionNotDecidable, PaymentException
from hutong.payments.model import Payment, PaymentEvent, PaymentEventType
from hutong.payments.refunds import postings
from hutong.payments.refunds.channel_answers import ask_again, is_current, settle_report
from hutong.payments.refunds.create import fee_back_minor
from hutong.payments.refunds.model import Refund, RefundEventType, RefundKind, RefundMethod, RefundState, read_number
from hutong.payments.refunds.parts import parts_of, share_minor
from hutong.payments.refunds.transactions import RefundTransactions
from hutong.payments.statements import sql
from hutong.payments.store import refunds_of
from hutong.payments.timeline import TimelineEntry


async def decide_refund(
    tx: db.Tx,
    transactions: RefundTransactions,
    payment: Payment,
    refund: Refund,
    item: PaymentException,
    decision: ExceptionDecision,
    entry: TimelineEntry,
    *,
    hold_id: UUID,
    now: datetime,
) -> None:
    """Carry out what two persons have decided about a report, for a refund that is locked by its payment.

    Args:
        decision: TAKE what the channel reports, with its amount; REFUND as it was ordered; IGNORE the report.
        entry: The timeline's entry about the decision.
        hold_id: The id of the hold, if another amount is reserved in place of the ordered one.

    Effects:
        Books, publishes and sends what follows; a report that is ignored makes the channel be asked again at once.

    Errors:
        ExceptionNotDecidable: the refund has ended by now, or what would be taken is more than is left, or more than
            the merchant's balance covers.
    """
    method, _ = read_number(item.number)
    current = is_current(refund, method)
    if decision is ExceptionDecision.IGNORE:
        change = ask_again(payment, refund, now=now, is_current=current)
    else:
        is_late = item.state is ChannelState.SUCCEEDED and not _is_booked(refund, method)
        if not current and refund.finished_at is None:
            raise ExceptionNotDecidable("the refund goes another way by now; decide once that has ended")
        if not current and not is_late:
            raise ExceptionNotDecidable("the refund has ended by now; ignore the exception")
        amount = refund.amount_minor if decision is ExceptionDecision.REFUND else item.amount_minor or 0
        is_other = current and item.state is ChannelState.SUCCEEDED and amount != refund.amount_minor
        if is_other:
            await _take_amount(tx, payment, refund, amount, hold_id=hold_id, now=now)
        answer = ChannelAnswer(item.state, amount_minor=amount, channel_order_no=item.channel_order_no)
        change = settle_report(payment, refund, answer, now=now, is_current=current)
        if is_other and refund.kind is RefundKind.SURPLUS:  # the rest stays owed, and nothing sends it
            change.events.append(PaymentEvent(RefundEventType.NEEDS_ATTENTION, payment, refund=refund))
    change.events.append(PaymentEvent(PaymentEventType.EXCEPTION_DECIDED, payment))
    change.timeline.append(entry)
    await transactions.reports.write(tx, [change], now=now)


def _is_booked(refund: Refund, method: RefundMethod) -> bool:
    """Tell whether the money that a method has sent is booked already, as the refund or as its late success."""
    return refund.late_success_at is not None or (method is refund.route and refund.state is RefundState.SUCCEEDED)


async def _take_amount(
    tx: db.Tx, payment: Payment, refund: Refund, amount_minor: int, *, hold_id: UUID, now: datetime
) -> None:
    """Give an open refund the amount that the channel has given back, and reserve that in place of the ordered one."""
    is_surplus = refund.kind is RefundKind.SURPLUS
    left = refund.amount_minor + (0 if is_surplus else payment.unrefunded_minor)
    if amount_minor > left:
        raise ExceptionNotDecidable("the channel has given back more than is left; claim it back, and decide `refund`")
    ordered = refund.amount_minor
    if not is_surplus:
        await ledger.book(tx, [postings.failure(refund)], now=now)
        every = (await refunds_of(tx, [payment.payment_id]))[payment.payment_id]
        others = [each for each in every if each.refund_id != refund.refund_id]
        payment.amount_refunding_minor -= ordered
        attempt = payment.attempt(refund.attempt_id)
        refund.paid_minor, refund.settled_minor = parts_of(payment, attempt, others, amount_minor)
        settled = refund.settled_minor
        refund.fee_minor = fee_back_minor(payment, others, amount_minor, settled) if refund.fee_minor else 0
        payment.amount_refunding_minor += amount_minor
        refund.hold_id = hold_id
    elif refund.paid_minor is not None and refund.settled_minor is not None:
        refund.paid_minor = share_minor(refund.paid_minor, amount_minor, ordered)
        refund.settled_minor = share_minor(refund.settled_minor, amount_minor, ordered)
    refund.amount_minor, refund.ordered_minor = amount_minor, ordered
    if not is_surplus:
        (outcome,) = await postings.hold(tx, [refund], now=now)
        if outcome is postings.HoldOutcome.INSUFFICIENT:
            raise ExceptionNotDecidable(
                "the merchant's balance does not cover what went back; agree an overdraft first"
            )
    await sql.change_refund_amount.execute(
        tx, refund.refund_id, amount_minor, refund.fee_minor, ordered, refund.paid_minor, refund.settled_minor
    )
