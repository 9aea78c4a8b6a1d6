"""Refunds that a person has made in a channel's own portal: adopted, so that nothing is given back twice.

Source:
    docs.stripe.com/refunds (refunds by the dashboard); pay.weixin.qq.com/doc/v3/merchant/4012791865 and
    opendocs.alipay.com/open/05osv8: notifications about refunds name the order, and a number that the portal has made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from hutong import channels, db, ids, merchants
from hutong.channels import ChannelAnswer, ChannelState, Notification
from hutong.clock import Clock
from hutong.errors import InvalidParameter, NotFound, Unavailable
from hutong.payments.channel_calls import ChannelCalls
from hutong.payments.model import Attempt, AttemptState, Payment, Source
from hutong.payments.refunds import postings
from hutong.payments.refunds.channel_answers import settle_report
from hutong.payments.refunds.create import fee_back_minor
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod, RefundState
from hutong.payments.refunds.parts import parts_of
from hutong.payments.refunds.transactions import RefundTransactions
from hutong.payments.store import (
    find,
    find_order,
    find_portal_refund,
    insert_refunds,
    lock_attempts,
    refunds_of,
    write_timeline,
)
from hutong.payments.timeline import TimelineEntry
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_OPEN = frozenset({RefundState.HELD, RefundState.SUBMITTED, RefundState.UNKNOWN})
_BY_CHANNEL = frozenset({RefundMethod.VOID, RefundMethod.ORIGINAL})
_REASON = "channel_portal"
SUM_OF_REFUNDS = ":refunds"
"""Ends the number that stands for the sum of all refunds of an order, where a message names none of them."""


class PortalOutcome(StrEnum):
    """Outcomes of a report about a refund that was made in a channel's portal."""

    ADOPTED = "adopted"
    KNOWN = "known"
    """It is adopted already, or it is one of ours."""
    NOTHING_MOVED = "nothing_moved"
    """The channel, asked again, answers that no money has gone back."""
    NO_ORDER = "unknown_order"
    """Its order is none of ours, so that nothing here is given back."""
    NOT_COUNTED = "order_not_counted"
    """No payment counts the order: it has not succeeded here, or it is surplus, which goes back by itself."""
    MISMATCH = "amount_mismatch"
    """It is in another currency, or its amount is not stated."""
    CATCHING_UP = "catching_up"
    """After a restore it may be a refund of ours that the database has lost."""
    EXCEEDS_AVAILABLE = "refund_exceeds_available"
    """It is larger than what is left, such as while a refund of ours is under way."""
    INSUFFICIENT_FUNDS = "insufficient_merchant_funds"
    """The merchant's balance does not cover it."""


SETTLED = frozenset({PortalOutcome.ADOPTED, PortalOutcome.KNOWN, PortalOutcome.NOTHING_MOVED})
"""The outcomes after which nothing is left to do about a report."""


@dataclass(frozen=True, slots=True)
class PortalResult:
    """The outcome of a report, with the attempt of its order if that is known."""

    outcome: PortalOutcome
    attempt: Attempt | None = None


class PortalRefunds:
    """Takes what channels report about refunds that were made in their portals.

    Args:
        resolve_attempt, resolve_refund: Ask the channel about what is open; the answer is recorded.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        transactions: RefundTransactions,
        calls: ChannelCalls,
        *,
        clock: Clock,
        ids: ids.Ids,
        resolve_attempt: Callable[[Attempt], Awaitable[object]],
        resolve_refund: Callable[[UUID], Awaitable[object]],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._transactions = transactions
        self._calls = calls
        self._clock = clock
        self._ids = ids
        self._resolve_attempt = resolve_attempt
        self._resolve_refund = resolve_refund

    async def take(self, account_id: UUID, notification: Notification, source: Source) -> PortalResult:
        """Adopt the refund of a report: asked about at its channel, booked, and counted as given back.

        Repeat:
            A refund is adopted once, under the channel's number of it; where a message names only the sum of all
            refunds of its order, once for each part of the sum that is not known here.

        Errors:
            Unavailable: the channel gives no answer about it, or about a refund of ours that may be the same; it
                repeats its message.
        """
        attempt_id = None
        if notification.order_no is not None:
            try:
                attempt_id = ids.decode("att", notification.order_no)
            except NotFound:
                return PortalResult(PortalOutcome.NO_ORDER)
        number = notification.channel_order_no
        async with self._database.transaction() as tx:
            attempt = await find_order(tx, account_id, attempt_id=attempt_id, channel_order_no=number)
            if attempt is None:
                return PortalResult(PortalOutcome.NO_ORDER)
            if await find_portal_refund(tx, account_id, notification.number) is not None:
                return PortalResult(PortalOutcome.KNOWN, attempt)
        if self._database.catching_up_since is not None:
            return PortalResult(PortalOutcome.CATCHING_UP, attempt)
        if attempt.state is not AttemptState.SUCCEEDED:
            await self._resolve_attempt(attempt)
        async with self._database.transaction() as tx:
            payment = (await find(tx, [attempt.payment_id]))[attempt.payment_id]
            ours = (await refunds_of(tx, [payment.payment_id]))[payment.payment_id]
        attempt = payment.attempt(attempt.attempt_id)
        if attempt is not payment.counted_attempt:
            return PortalResult(PortalOutcome.NOT_COUNTED, attempt)
        refund = self._candidate(payment, attempt, notification)
        answer = await self._confirmed(payment, refund, notification.answer)
        if answer.state is not ChannelState.SUCCEEDED:
            return PortalResult(PortalOutcome.NOTHING_MOVED, attempt)
        total = notification.refunded_minor
        for each in ours if answer.amount_minor is None else ():
            if total is not None and _may_be_ours(each, attempt):
                await self._resolve_refund(each.refund_id)
        refund.amount_minor = answer.amount_minor or 0
        by_sum = answer.amount_minor is None and total is not None
        refund.currency = answer.currency or payment.currency
        outcome = await self._database.run(lambda tx: self._adopt(tx, replace(refund), answer, total, by_sum, source))
        if outcome is PortalOutcome.ADOPTED:
            _log.warning(
                "portal_refund_adopted",
                refund=ids.encode("ref", refund.refund_id),
                payment=ids.encode("pay", payment.payment_id),
                number=notification.number,
            )
        return PortalResult(outcome, attempt)

    def _candidate(self, payment: Payment, attempt: Attempt, notification: Notification) -> Refund:
        """Return the refund of a report as it would be adopted, but for its amount."""
        now, number = self._clock.now(), notification.number
        return Refund(
            refund_id=self._ids.derive("portal_refund", attempt.account_id, number),
            payment_id=payment.payment_id,
            attempt_id=attempt.attempt_id,
            merchant_id=payment.merchant_id,
            merchant_order_no=payment.merchant_order_no,
            account_id=attempt.account_id,
            channel=attempt.channel,
            kind=RefundKind.REFUND,
            merchant_refund_no=None,
            amount_minor=notification.answer.amount_minor or 0,
            currency=payment.currency,
            reason=_REASON,
            hold_id=self._ids.new(),
            created_at=now,
            next_query_at=now,
            channel_refund_no=notification.answer.channel_order_no,
            portal_no=number,
        )

    async def _confirmed(self, payment: Payment, refund: Refund, reported: ChannelAnswer) -> ChannelAnswer:
        """Return what the channel answers now, or its report where it cannot be asked: messages come in any order."""
        channel = await self._accounts.get(refund.account_id)
        try:
            answer = await self._calls.query_refund(channel, payment, refund)
        except (channels.NotOffered, InvalidParameter):
            return reported
        if answer.state is ChannelState.UNKNOWN:
            raise Unavailable("the channel does not confirm now the refund that was made in its portal")
        return reported if answer.state is ChannelState.NOT_FOUND else answer

    async def _adopt(
        self, tx: db.Tx, refund: Refund, answer: ChannelAnswer, total: int | None, by_sum: bool, source: Source
    ) -> PortalOutcome:
        """Book and write a refund under its payment's lock, unless it is known by now or does not fit.

        Args:
            total: The sum of all refunds of the order, if it is stated.
            by_sum: Whether it is what the sum has more than is known; otherwise it has an amount of its own.
        """
        now = self._clock.now()
        payment, attempt = (await lock_attempts(tx, [refund.attempt_id]))[refund.attempt_id]
        assert refund.portal_no is not None
        if await find_portal_refund(tx, refund.account_id, refund.portal_no) is not None:
            return PortalOutcome.KNOWN
        if attempt is not payment.counted_attempt:
            return PortalOutcome.NOT_COUNTED
        if refund.currency != payment.currency:
            return PortalOutcome.MISMATCH
        others = (await refunds_of(tx, [payment.payment_id]))[payment.payment_id]
        if by_sum and total is not None:
            refund.amount_minor = total - _known_minor(others, attempt)
        # Others of this order may have been adopted without their numbers, and it may be among them: the sum decides.
        elif any((each.portal_no or "").endswith(SUM_OF_REFUNDS) for each in others) and (
            total is None or _known_minor(others, attempt) >= total
        ):
            return PortalOutcome.KNOWN
        if refund.amount_minor <= 0:
            return PortalOutcome.KNOWN if by_sum else PortalOutcome.MISMATCH
        # What a dispute has taken is no reason against it: this has gone as well.
        if refund.amount_minor > payment.unrefunded_minor:
            return PortalOutcome.EXCEEDS_AVAILABLE
        refund.paid_minor, refund.settled_minor = parts_of(payment, attempt, others, refund.amount_minor)
        merchant = (await merchants.find_merchants(tx, [payment.merchant_id])).get(payment.merchant_id)
        if merchant is None or merchant.returns_fee:
            refund.fee_minor = fee_back_minor(payment, others, refund.amount_minor, refund.settled_minor)
        (hold,) = await postings.hold(tx, [refund], now=now)
        if hold is postings.HoldOutcome.INSUFFICIENT:
            return PortalOutcome.INSUFFICIENT_FUNDS
        await insert_refunds(tx, [refund], now=now)
        payment.amount_refunding_minor += refund.amount_minor
        change = settle_report(payment, refund, answer, now=now, is_current=True)
        change.source = source.value
        entry = TimelineEntry(
            payment.payment_id,
            "refund.made_in_portal",
            refund.attempt_id,
            source.value,
            amount_minor=refund.amount_minor,
        )
        await write_timeline(tx, [entry], now=now)
        await self._transactions.reports.write(tx, [change], now=now)
        return PortalOutcome.ADOPTED


def _may_be_ours(refund: Refund, attempt: Attempt) -> bool:
    """Tell whether a refund of ours is under way, so that its money may be in the channel's sum already."""
    return refund.attempt_id == attempt.attempt_id and refund.state in _OPEN


def _known_minor(refunds: Sequence[Refund], attempt: Attempt) -> int:
    """Return how much of an order's money has gone back by its channel, as far as it is known.

    Errors:
        Unavailable: a refund of ours is under way, and may be in the channel's sum already.
    """
    if any(_may_be_ours(refund, attempt) for refund in refunds):
        raise Unavailable("a refund of ours is under way; the channel repeats its message")
    return sum(
        refund.amount_minor
        for refund in refunds
        if refund.attempt_id == attempt.attempt_id
        and (
            (refund.state is RefundState.SUCCEEDED and refund.route in _BY_CHANNEL)
            or refund.late_success_at is not None
        )
    )
