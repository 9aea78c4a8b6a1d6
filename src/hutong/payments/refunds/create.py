"""Asking for a refund: checked, reserved in the books and written down under the payment's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from hutong import db, money
from hutong.channels import Capabilities
from hutong.payments import postings as books
from hutong.payments.channel_answers import PaymentEvent, PaymentEventType
from hutong.payments.items import LineItem, RefundLine, items_of, line_of, units_left
from hutong.payments.model import QUERY_CADENCE, Attempt, AttemptState, Payment
from hutong.payments.refunds import postings as refund_books
from hutong.payments.refunds.model import (
    Refund,
    RefundKind,
    RefundMethod,
    RefundState,
    insert_refunds,
    read_refund,
    refunds_of,
)
from hutong.payments.statements import sql
from hutong.payments.store import lock
from hutong.payments.timeline import TimelineEntry, write_timeline

_DEFAULT_OFFSET = timedelta(hours=8)
"""Whose day a channel counts by, where its capabilities do not say: most settle in Beijing time."""


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A merchant's wish to give money back, checked at the edge.

    Attributes:
        amount_minor: What the payer gets; None is what the items are worth or, without items, all that is left.
        items: Which items, and how many of each; for a payment that has items.
        capabilities: What the channel that took the money can do.
        returns_fee: Whether our fee goes back in proportion, by the merchant's contract.
        payout_account_id: Where a payout goes out by itself if the original way fails.
        payee_sealed: Who receives a payout, sealed.
    """

    refund_id: UUID
    payment_id: UUID
    merchant_id: UUID
    merchant_refund_no: str
    amount_minor: int | None
    reason: str
    capabilities: Capabilities
    returns_fee: bool = False
    payout_account_id: UUID | None = None
    payee_sealed: bytes | None = None
    items: tuple[tuple[str, int], ...] = ()


class RefundRefusal(StrEnum):
    """Why a refund was not taken on. Nothing is written then."""

    NUMBER_REUSED = "refund_no_reused"
    NOT_REFUNDABLE = "payment_not_refundable"
    EXCEEDS_AVAILABLE = "refund_exceeds_available"
    INSUFFICIENT_FUNDS = "insufficient_merchant_funds"
    NOT_OFFERED = "refund_not_offered"
    WINDOW_CLOSED = "refund_window_closed"
    COUNT_EXCEEDED = "refund_count_exceeded"
    PARTIAL_NOT_OFFERED = "partial_refund_not_offered"
    SAME_DAY_NOT_OFFERED = "same_day_refund_not_offered"
    UNKNOWN_ITEM = "unknown_refund_item"
    QUANTITY_EXCEEDED = "refund_quantity_exceeded"
    BY_ITEM_ONLY = "refund_by_item_only"


@dataclass(frozen=True, slots=True)
class CreatedRefund:
    """The refund is new and its money is reserved; the caller may call the channel once this is committed."""

    payment: Payment
    refund: Refund


@dataclass(frozen=True, slots=True)
class ExistingRefund:
    """The refund was asked for before, with the same content."""

    payment: Payment
    refund: Refund


RefundResult = CreatedRefund | ExistingRefund | RefundRefusal


async def create_refunds(tx: db.Tx, commands: Sequence[NewRefund], *, now: datetime) -> list[RefundResult]:
    """Take refunds on; every payment must exist and be the merchant's.

    Effects:
        Reserves the money in the ledger, writes the refunds as `held`, and what is on its way of each payment.

    Repeat:
        One refund per merchant refund number, for ever. The same content again yields EXISTING; other content is
        NUMBER_REUSED.

    Returns:
        One result per command, in order.
    """
    payments = await lock(tx, {command.payment_id for command in commands})
    refunds = await refunds_of(tx, list(payments))
    baskets = await items_of(tx, list(payments))
    known = await _known(tx, commands)
    results: dict[int, RefundResult] = {}
    created: list[Refund] = []
    waiting = list(range(len(commands)))
    while waiting:
        wanted: dict[int, Refund] = {}
        for place in waiting:
            command = commands[place]
            payment = payments[command.payment_id]
            items = baskets.get(payment.payment_id, ())
            answer = _decide(payment, items, refunds[payment.payment_id], known, command, now)
            if isinstance(answer, Refund):
                wanted[place] = answer
                known[command.merchant_id, command.merchant_refund_no] = answer
                _reserve(payment, refunds[payment.payment_id], answer)
            else:
                results[place] = answer
        short: set[UUID] = set()
        held = await refund_books.hold(tx, list(wanted.values()), now=now)
        for (place, refund), outcome in zip(wanted.items(), held, strict=True):
            payment = payments[refund.payment_id]
            if outcome is refund_books.HoldOutcome.HELD:
                created.append(refund)
                results[place] = CreatedRefund(payment, refund)
            else:
                _release(payment, refunds[payment.payment_id], refund)
                del known[refund.merchant_id, refund.merchant_refund_no or ""]
                results[place] = RefundRefusal.INSUFFICIENT_FUNDS
                short.add(payment.payment_id)
        # What stood behind one that fell away is looked at again: now there may be room for it.
        waiting = [place for place in waiting if commands[place].payment_id in short and place not in wanted]
    await insert_refunds(tx, created, now=now)
    story = [TimelineEntry(refund.payment_id, "refund.held", amount_minor=refund.amount_minor) for refund in created]
    await write_timeline(tx, story, now=now)
    await save_sums(tx, [payments[payment_id] for payment_id in sorted({r.payment_id for r in created})])
    return [results[place] for place in range(len(commands))]


async def _known(tx: db.Tx, commands: Sequence[NewRefund]) -> dict[tuple[UUID, str], Refund]:
    rows = await sql.find_refunds_by_no.fetch(
        tx, [c.merchant_id for c in commands], [c.merchant_refund_no for c in commands]
    )
    return {(row["merchant_id"], row["merchant_refund_no"]): read_refund(row) for row in rows}


def _standing(payment: Payment, standing: Refund, command: NewRefund) -> ExistingRefund | RefundRefusal:
    same = standing.payment_id == command.payment_id and standing.reason == command.reason
    items = sorted((line.item_id, line.quantity) for line in standing.lines)
    same = same and (not command.items or sorted(command.items) == items)
    if same and command.amount_minor in (None, standing.amount_minor):
        return ExistingRefund(payment, standing)
    return RefundRefusal.NUMBER_REUSED


def _decide(
    payment: Payment,
    items: Sequence[LineItem],
    refunds: Sequence[Refund],
    known: dict[tuple[UUID, str], Refund],
    command: NewRefund,
    now: datetime,
) -> Refund | ExistingRefund | RefundRefusal:
    """A refund to reserve money for, or why there is none."""
    standing = known.get((command.merchant_id, command.merchant_refund_no))
    if standing is not None:
        return _standing(payment, standing, command)
    attempt = counted_attempt(payment)
    if attempt is None or payment.succeeded_at is None:
        return RefundRefusal.NOT_REFUNDABLE
    left = available_minor(payment)
    lines = _lines(items, refunds, command)
    if isinstance(lines, RefundRefusal):
        return lines
    if lines:
        amount = sum(line.payer_minor for line in lines)
    else:
        amount = left if command.amount_minor is None else command.amount_minor
    if not (amount > 0 or lines) or amount > left:
        return RefundRefusal.EXCEEDS_AVAILABLE
    route = _route(payment, refunds, amount, command.capabilities, now)
    if isinstance(route, RefundRefusal):
        if command.payout_account_id is None or command.payee_sealed is None:
            return route
        route = RefundMethod.ORIGINAL  # the channel decides; what it refuses goes on by payout
    fee = fee_back_minor(payment, refunds, amount) if command.returns_fee else 0
    return Refund(
        command.refund_id, payment.payment_id, attempt.attempt_id, payment.merchant_id, attempt.account_id,
        attempt.channel, RefundKind.REFUND, command.merchant_refund_no, amount, payment.currency, command.reason,
        sum(line.platform_minor for line in lines), sum(line.channel_minor for line in lines), fee, route,
        RefundState.HELD, command.refund_id, 0, 0, None, None, None, command.payout_account_id, command.payee_sealed,
        None, now, None, now + QUERY_CADENCE[0], None, payment.merchant_order_no, tuple(lines),
    )  # fmt: skip


def _lines(
    items: Sequence[LineItem], refunds: Sequence[Refund], command: NewRefund
) -> list[RefundLine] | RefundRefusal:
    """What each item asked for gives back; nothing for a payment without items."""
    if not items:
        return RefundRefusal.UNKNOWN_ITEM if command.items else []
    if command.amount_minor is not None:
        return RefundRefusal.BY_ITEM_ONLY
    by_id = {item.item_id: item for item in items}
    before = [line for refund in refunds if refund.counts for line in refund.lines]
    wanted = command.items or tuple((i.item_id, left) for i in items if (left := units_left(i, before)))
    if not wanted:
        return RefundRefusal.EXCEEDS_AVAILABLE
    lines: list[RefundLine] = []
    for item_id, quantity in wanted:
        item = by_id.get(item_id)
        if item is None:
            return RefundRefusal.UNKNOWN_ITEM
        if quantity > units_left(item, [*before, *lines]):
            return RefundRefusal.QUANTITY_EXCEEDED
        lines.append(line_of(item, quantity, [*before, *lines]))
    return lines


def _route(
    payment: Payment, refunds: Sequence[Refund], amount: int, can: Capabilities, now: datetime
) -> RefundMethod | RefundRefusal:
    """The first way that the channel offers for this refund, or the rule that stands against all of them."""
    assert payment.succeeded_at is not None
    offset = can.bill.utc_offset if can.bill else _DEFAULT_OFFSET
    same_day = (payment.succeeded_at + offset).date() == (now + offset).date()
    whole = amount == payment.amount_captured_minor
    earlier = [refund for refund in refunds if refund.counts]
    if can.same_day_void and same_day and whole and not refunds:
        return RefundMethod.VOID
    rule = can.refund
    if rule is None:
        return RefundRefusal.NOT_OFFERED
    if now - payment.succeeded_at > rule.window:
        return RefundRefusal.WINDOW_CLOSED
    if len(earlier) >= rule.count_max:
        return RefundRefusal.COUNT_EXCEEDED
    if not rule.partial and not whole:
        return RefundRefusal.PARTIAL_NOT_OFFERED
    if not rule.same_day and same_day:
        return RefundRefusal.SAME_DAY_NOT_OFFERED
    return RefundMethod.ORIGINAL


def available_minor(payment: Payment) -> int:
    """What can still be given back."""
    return payment.amount_captured_minor - payment.amount_refunded_minor - payment.amount_refunding_minor


def counted_attempt(payment: Payment) -> Attempt | None:
    """The one success that counts."""
    return next((a for a in payment.attempts if a.state is AttemptState.SUCCEEDED and not a.surplus), None)


def fee_back_minor(payment: Payment, refunds: Iterable[Refund], amount: int) -> int:
    """What goes back of our fee with this refund: with all of them, in any order, exactly the fee.

    Never more than the refund itself, for it is paid out of it.
    """
    fee = money.fee_minor(payment.amount_captured_minor, payment.fee_ppm)
    counted = [refund for refund in refunds if refund.counts]
    given = sum(refund.amount_minor for refund in counted) + amount
    due = money.fee_minor(given, payment.fee_ppm) if given < payment.amount_captured_minor else fee
    return min(max(due - sum(refund.fee_minor for refund in counted), 0), amount)


def _reserve(payment: Payment, refunds: list[Refund], refund: Refund) -> None:
    refunds.append(refund)
    payment.amount_refunding_minor += refund.amount_minor


def _release(payment: Payment, refunds: list[Refund], refund: Refund) -> None:
    refunds.remove(refund)
    payment.amount_refunding_minor -= refund.amount_minor


async def save_sums(tx: db.Tx, payments: Sequence[Payment]) -> None:
    """Write what has gone back and what is on its way, of payments that the caller has locked and changed."""
    if payments:
        await sql.update_refund_sums.execute(
            tx,
            [payment.payment_id for payment in payments],
            [payment.amount_refunded_minor for payment in payments],
            [payment.amount_refunding_minor for payment in payments],
        )


async def give_surplus_back(
    tx: db.Tx, occurrences: Sequence[PaymentEvent], *, new_id: Callable[[], UUID], now: datetime
) -> list[Refund]:
    """Take the refund of each surplus success on, in the transaction that books it.

    Effects:
        One refund of kind `surplus` for each, due at once. Its money lies apart already, so nothing is reserved.
    """
    refunds = [
        Refund(
            new_id(), o.payment.payment_id, o.attempt.attempt_id, o.payment.merchant_id, o.attempt.account_id,
            o.attempt.channel, RefundKind.SURPLUS, None, books.taken_minor(o.attempt), o.payment.currency,
            "surplus", 0, 0, 0, RefundMethod.ORIGINAL, RefundState.HELD, o.attempt.attempt_id, 0, 0, None, None, None,
            None, None, None, now, None, now, None, o.payment.merchant_order_no,
        )
        for o in occurrences
        if o.happening is PaymentEventType.SURPLUS and o.attempt is not None
    ]  # fmt: skip
    await insert_refunds(tx, refunds, now=now)
    return refunds
