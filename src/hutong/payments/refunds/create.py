"""Creating refunds: checked, reserved in the books and written as intents, under the payment's lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db, ledger, money
from hutong.channels import Capabilities
from hutong.idempotency import StoredAnswer
from hutong.ids import Ids
from hutong.payments.items import LineItem, RefundLine, line_of, units_left
from hutong.payments.model import DEFAULT_POLICY, Attempt, Payment, PollingPolicy
from hutong.payments.postings import taken_minor
from hutong.payments.refunds import postings
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod
from hutong.payments.refunds.parts import parts_of
from hutong.payments.store import (
    find_refunds_by_no,
    insert_refunds,
    items_of,
    lock,
    refunds_of,
    save_refund_sums,
    write_timeline,
)
from hutong.payments.timeline import TimelineEntry


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A merchant's request for a refund, validated at the edge.

    Attributes:
        refund_id: Derived from the merchant and the number, since it is our number at the channel.
        hold_id: The id of the hold of this request. A hold that was refused once is refused under its id permanently.
        amount_minor: The amount for the payer; None is the value of the items or, without items, all that is left.
        items: Ids and quantities, for a payment that has items.
        adopted: As `Refund.adopted`.
        capabilities: Those of the channel that took the money.
        returns_fee: Whether our fee is returned in proportion, by the merchant's contract.
        payout_account_id: The account of an automatic payout if the original method fails.
        payee_sealed: The payee of a payout, sealed.
    """

    refund_id: UUID
    hold_id: UUID
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
    adopted: bool = False


class RefundRefusal(StrEnum):
    """Reasons for refusing a refund. Nothing is written then."""

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


class RefundOutcome(StrEnum):
    """Outcomes of asking for a refund."""

    CREATED = "created"
    """The refund is new and its money is reserved; the channel may be called once this is committed."""
    EXISTING = "existing"
    """The refund was requested before, with the same content; the result has it."""
    REFUSED = "refused"
    """The result has the reason."""
    ANSWERED = "answered"
    """The idempotency key has an answer already. Nothing was done."""


@dataclass(frozen=True, slots=True)
class RefundResult:
    """The outcome of asking for a refund.

    Attributes:
        answer: The answer stored under the idempotency key, once there is one.
    """

    outcome: RefundOutcome
    refund: Refund | None = None
    payment: Payment | None = None
    refusal: RefundRefusal | None = None
    answer: StoredAnswer | None = None


async def create_refunds(
    tx: db.Tx,
    requests: Sequence[NewRefund],
    *,
    now: datetime,
    policy: PollingPolicy = DEFAULT_POLICY,
    accounts: set[ledger.Opening] | None = None,
) -> list[RefundResult]:
    """Create refunds; every payment must exist and be the merchant's.

    Args:
        accounts: The accounts that this process knows to be open, as for `ledger.book`.

    Effects:
        Reserves the money in the ledger; writes the refunds as `held`, and the amount on its way back of each payment.

    Repeat:
        One refund per merchant refund number, permanently. The same content again yields EXISTING; other content is
        refused with NUMBER_REUSED. Of a refund that was adopted after a restore only the amount is compared.

    Returns:
        One result per request, in order.
    """
    payments = await lock(tx, {request.payment_id for request in requests})
    refunds = await refunds_of(tx, list(payments))
    items = await items_of(tx, list(payments))
    by_number = await find_refunds_by_no(tx, [(r.merchant_id, r.merchant_refund_no) for r in requests])
    results: dict[int, RefundResult] = {}
    created: list[Refund] = []
    waiting = list(range(len(requests)))
    while waiting:
        to_hold: dict[int, Refund] = {}
        for place in waiting:
            request = requests[place]
            payment = payments[request.payment_id]
            existing = by_number.get((request.merchant_id, request.merchant_refund_no))
            if existing is not None:
                results[place] = _compare(payment, existing, request)
                continue
            payment_items = items.get(payment.payment_id, ())
            answer = _decide(payment, payment_items, refunds[payment.payment_id], request, now + policy.pause(0), now)
            if isinstance(answer, RefundRefusal):
                results[place] = _refused(answer)
                continue
            to_hold[place] = by_number[request.merchant_id, request.merchant_refund_no] = answer
            refunds[payment.payment_id].append(answer)
            payment.amount_refunding_minor += answer.amount_minor
        short: set[UUID] = set()
        holds = await postings.hold(tx, list(to_hold.values()), now=now, accounts=accounts)
        for (place, refund), outcome in zip(to_hold.items(), holds, strict=True):
            payment = payments[refund.payment_id]
            if outcome is postings.HoldOutcome.HELD:
                created.append(refund)
                results[place] = RefundResult(RefundOutcome.CREATED, refund, payment)
            else:
                refunds[payment.payment_id].remove(refund)
                payment.amount_refunding_minor -= refund.amount_minor
                del by_number[refund.merchant_id, refund.merchant_refund_no or ""]
                results[place] = _refused(RefundRefusal.INSUFFICIENT_FUNDS)
                short.add(payment.payment_id)
        # A refund that could not be held frees its share: decide again about those queued behind it.
        waiting = [place for place in waiting if requests[place].payment_id in short and place not in to_hold]
    await insert_refunds(tx, created, now=now)
    entries = [TimelineEntry(refund.payment_id, "refund.held", amount_minor=refund.amount_minor) for refund in created]
    await write_timeline(tx, entries, now=now)
    owners = sorted({refund.payment_id for refund in created})
    await save_refund_sums(tx, {payment_id: payments[payment_id] for payment_id in owners})
    return [results[place] for place in range(len(requests))]


def _refused(refusal: RefundRefusal) -> RefundResult:
    return RefundResult(RefundOutcome.REFUSED, refusal=refusal)


def _compare(payment: Payment, existing: Refund, request: NewRefund) -> RefundResult:
    """Compare a repeated request with the refund that exists under its number."""
    same = existing.payment_id == request.payment_id
    if not existing.adopted:
        items = sorted((line.item_id, line.quantity) for line in existing.lines)
        same = same and existing.reason == request.reason and (not request.items or sorted(request.items) == items)
    if same and request.amount_minor in (None, existing.ordered_minor or existing.amount_minor):
        return RefundResult(RefundOutcome.EXISTING, existing, payment)
    return _refused(RefundRefusal.NUMBER_REUSED)


def _decide(
    payment: Payment,
    items: Sequence[LineItem],
    refunds: Sequence[Refund],
    request: NewRefund,
    next_query_at: datetime,
    now: datetime,
) -> Refund | RefundRefusal:
    """Return the refund to reserve money for, or the reason against it."""
    attempt = payment.counted_attempt
    if attempt is None or payment.succeeded_at is None:
        return RefundRefusal.NOT_REFUNDABLE
    lines = _lines(items, refunds, request)
    if isinstance(lines, RefundRefusal):
        return lines
    if lines:
        amount = sum(line.payer_minor for line in lines)
    else:
        amount = payment.refundable_minor if request.amount_minor is None else request.amount_minor
    if not (amount > 0 or lines) or amount > payment.refundable_minor:
        return RefundRefusal.EXCEEDS_AVAILABLE
    paid, settled = parts_of(payment, attempt, refunds, amount)
    method = _first_method(payment, refunds, amount, request.capabilities, now)
    if isinstance(method, RefundRefusal):
        if request.payout_account_id is None or request.payee_sealed is None:
            return method
        method = RefundMethod.ORIGINAL  # the channel decides; a refusal is followed by the payout
    return Refund(
        refund_id=request.refund_id,
        payment_id=payment.payment_id,
        attempt_id=attempt.attempt_id,
        merchant_id=payment.merchant_id,
        merchant_order_no=payment.merchant_order_no,
        account_id=attempt.account_id,
        channel=attempt.channel,
        kind=RefundKind.REFUND,
        merchant_refund_no=request.merchant_refund_no,
        amount_minor=amount,
        currency=payment.currency,
        reason=request.reason,
        hold_id=request.hold_id,
        created_at=now,
        next_query_at=next_query_at,
        route=method,
        platform_minor=sum(line.platform_minor for line in lines),
        channel_minor=sum(line.channel_minor for line in lines),
        fee_minor=fee_back_minor(payment, refunds, amount, settled) if request.returns_fee else 0,
        payout_account_id=request.payout_account_id,
        payee_sealed=request.payee_sealed,
        lines=tuple(lines),
        adopted=request.adopted,
        paid_minor=paid,
        settled_minor=settled,
    )


def _lines(
    items: Sequence[LineItem], refunds: Sequence[Refund], request: NewRefund
) -> list[RefundLine] | RefundRefusal:
    """Return the refund of each requested item; empty for a payment without items."""
    if not items:
        return RefundRefusal.UNKNOWN_ITEM if request.items else []
    if request.amount_minor is not None:
        return RefundRefusal.BY_ITEM_ONLY
    by_id = {item.item_id: item for item in items}
    before = [line for refund in refunds if refund.counts for line in refund.lines]
    requested = request.items or tuple((i.item_id, left) for i in items if (left := units_left(i, before)))
    if not requested:
        return RefundRefusal.EXCEEDS_AVAILABLE
    lines: list[RefundLine] = []
    for item_id, quantity in requested:
        item = by_id.get(item_id)
        if item is None:
            return RefundRefusal.UNKNOWN_ITEM
        if quantity > units_left(item, [*before, *lines]):
            return RefundRefusal.QUANTITY_EXCEEDED
        lines.append(line_of(item, quantity, [*before, *lines]))
    return lines


def _first_method(
    payment: Payment, refunds: Sequence[Refund], amount: int, can: Capabilities, now: datetime
) -> RefundMethod | RefundRefusal:
    """Return the first method that the channel offers for this refund, or the rule that forbids every method."""
    assert payment.succeeded_at is not None
    same_day = can.day_of(payment.succeeded_at) == can.day_of(now)
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


def fee_back_minor(
    payment: Payment, refunds: Iterable[Refund], amount_minor: int, settled_minor: int | None = None
) -> int:
    """Return the part of our fee that this refund returns; all refunds together, in any order, return exactly the fee.

    Never more than the refund takes back from the settlement, which it helps to pay.

    Args:
        settled_minor: What it takes back, if that is not the whole amount: our fee is on what settles.
    """
    attempt = payment.counted_attempt
    sums = None if attempt is None else attempt.sums
    fee = money.fee_minor(payment.amount_captured_minor if sums is None else sums.settled_minor, payment.fee_ppm)
    counted = [refund for refund in refunds if refund.counts]
    total = sum(refund.amount_minor for refund in counted) + amount_minor
    part = amount_minor if settled_minor is None else settled_minor
    earlier = sum(refund.held_minor for refund in counted)
    due = money.fee_minor(earlier + part, payment.fee_ppm) if total < payment.amount_captured_minor else fee
    return min(max(min(due, fee) - sum(refund.fee_minor for refund in counted), 0), part)


async def refund_surplus(tx: db.Tx, successes: Sequence[tuple[Payment, Attempt]], *, ids: Ids, now: datetime) -> None:
    """Create the refund of each surplus success, in the transaction that books it.

    Effects:
        Writes one refund of kind `surplus` for each, due at once. Its money is in an account of its own already, so
        nothing is reserved.
    """
    refunds = [
        Refund(
            refund_id=ids.derive("surplus", attempt.attempt_id),
            payment_id=payment.payment_id,
            attempt_id=attempt.attempt_id,
            merchant_id=payment.merchant_id,
            merchant_order_no=payment.merchant_order_no,
            account_id=attempt.account_id,
            channel=attempt.channel,
            kind=RefundKind.SURPLUS,
            merchant_refund_no=None,
            amount_minor=taken_minor(attempt),
            currency=payment.currency,
            reason="surplus",
            hold_id=ids.new(),
            created_at=now,
            next_query_at=now,
            paid_minor=attempt.amount_paid_minor,
            settled_minor=attempt.amount_settled_minor,
        )
        for payment, attempt in successes
    ]
    await insert_refunds(tx, refunds, now=now)
