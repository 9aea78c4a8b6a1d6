"""Adopting what channels know and a restored database does not."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import About, ChannelAnswer, ChannelState, OrderReference, RefundRequest
from hutong.clock import Clock
from hutong.errors import Conflict, InvalidParameter
from hutong.payments.channel_reports import RecordOutcome
from hutong.payments.create import new_attempt
from hutong.payments.lifecycle import Payments
from hutong.payments.model import (
    DEFAULT_POLICY,
    CaptureMethod,
    NewAttempt,
    NewPayment,
    Payment,
    PaymentStatus,
    Source,
)
from hutong.payments.refunds.create import RefundOutcome
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.store import find_by_order_no, insert_attempts, lock, save
from hutong.payments.transactions import PaymentTransactions, PlaceOrder
from hutong.payments.unknown_numbers import (
    NumberSource,
    UnknownNumber,
    adopt_proven,
    find_unknown_number,
    list_unknown_numbers,
    lost_attempt,
    mark_adopted,
)

_VALIDITY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LostOrder:
    """What a merchant says about an order that the database has lost.

    Attributes:
        method: The payment method by which it was paid.
    """

    merchant_id: UUID
    merchant_order_no: str
    method: str
    fee_ppm: int


class Adoption:
    """Brings the numbers that channels report into the restored database."""

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        lifecycle: Payments,
        transactions: PaymentTransactions,
        *,
        clock: Clock,
        ids: ids.Ids,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._lifecycle = lifecycle
        self._transactions = transactions
        self._clock = clock
        self._ids = ids
        self._mismatched: set[UnknownNumber] = set()

    async def adopt_known(self) -> int:
        """Record the reports about numbers that have become known, since merchants repeated their requests.

        A number from a bill is adopted once its channel has proven it in answer to a query.

        Returns:
            How many numbers were adopted.
        """
        now = self._clock.now()
        async with self._database.transaction() as tx:
            waiting = await list_unknown_numbers(tx)
        adopted = await self._database.run(lambda tx: adopt_proven(tx, waiting, now=now))
        for unknown in waiting:
            if unknown.source is NumberSource.BILL or unknown in self._mismatched:
                continue  # reported once; a person must look
            outcome = await self._record(unknown)
            if outcome is RecordOutcome.MISMATCH:
                self._mismatched.add(unknown)
            elif outcome is not RecordOutcome.NOT_FOUND:
                adopted += 1
        return adopted

    async def adopt_order(self, number: str, order: LostOrder) -> Payment:
        """Create the payment of a lost order, or add the attempt to the payment that exists, and record the report.

        The number itself proves whose it is: it follows from the merchant and the order number. The channel is asked
        about a number from a bill, and nothing is written unless it proves the payment.

        Errors:
            NotFound, InvalidParameter: as `find_unknown_number` and `lost_attempt`.
            Conflict: the channel does not prove the payment, or states another amount.
        """
        async with self._database.transaction() as tx:
            unknown = await find_unknown_number(tx, number, About.PAYMENT)
        amount_minor, currency = unknown.amount_minor, unknown.currency
        if amount_minor is None or currency is None:
            raise Conflict("the channel's report names no amount; query the order in its portal")
        channel = await self._accounts.get(unknown.account_id)
        new = lost_attempt(
            unknown,
            self._ids,
            merchant_id=order.merchant_id,
            merchant_order_no=order.merchant_order_no,
            channel=channel.capabilities.channel,
            method=order.method,
        )
        now = self._clock.now()
        if unknown.source is NumberSource.BILL:
            asked = OrderReference(
                number,
                order.method,
                amount_minor,
                currency,
                unknown.happened_at or unknown.first_at,
                unknown.channel_order_no,
            )
            unknown = _proven(unknown, await channel.query(asked, now=now))
        is_reserved = unknown.state is ChannelState.AUTHORIZED
        lost = NewPayment(
            payment_id=self._ids.new(),
            merchant_id=order.merchant_id,
            merchant_order_no=order.merchant_order_no,
            amount_minor=amount_minor,
            currency=currency,
            subject=order.merchant_order_no,
            expires_at=now + _VALIDITY,
            checkout_token=secrets.token_urlsafe(18),
            fee_ppm=order.fee_ppm,
            first_attempt=new,
            capture_method=CaptureMethod.MANUAL if is_reserved else CaptureMethod.AUTOMATIC,
            adopted=True,
        )
        payment = await self._database.run(lambda tx: _add_attempt(tx, lost, new, now))
        if payment is None:
            await self._transactions.place([PlaceOrder(lost)])  # the channel has it already, so nothing is sent
        outcome = await self._record(unknown)
        if outcome is RecordOutcome.MISMATCH:
            raise Conflict("the payment of this order has another amount or currency than the channel's report")
        async with self._database.transaction() as tx:
            return (await find_by_order_no(tx, [lost]))[order.merchant_id, order.merchant_order_no]

    async def adopt_refund(self, number: str, payment: Payment, merchant_refund_no: str, *, returns_fee: bool) -> None:
        """Create a lost refund of a payment; the channel is asked about it, and nothing is sent if it knows the number.

        Args:
            returns_fee: Whether our fee is returned in proportion, by the merchant's contract.

        Errors:
            NotFound, InvalidParameter: as `find_unknown_number`, or the number is that of another refund.
            Conflict: the refund is not possible here, such as for want of money.
        """
        async with self._database.transaction() as tx:
            unknown = await find_unknown_number(tx, number, About.REFUND)
        if self._ids.derive("refund", payment.merchant_id, merchant_refund_no) != ids.decode("ref", number):
            raise InvalidParameter("the number does not belong to this refund of this merchant", param="--refund-no")
        if unknown.source is NumberSource.BILL:
            unknown = await self._prove_refund(unknown, payment)
        order = RefundOrder(merchant_refund_no, unknown.amount_minor, "refund", returns_fee=returns_fee, adopted=True)
        result = await self._lifecycle.refunds.place(payment, order)
        if result.outcome is RefundOutcome.REFUSED:
            raise Conflict(f"the refund cannot be recorded: {result.refusal}")
        await self._record(unknown)

    async def _prove_refund(self, unknown: UnknownNumber, payment: Payment) -> UnknownNumber:
        """Ask the channel about a refund that stands in a bill. Conflict: it does not prove it."""
        attempt, amount_minor = payment.counted_attempt, unknown.amount_minor
        if attempt is None or amount_minor is None:
            raise Conflict("the payment of this refund has not succeeded here; adopt the order first")
        at = unknown.happened_at or unknown.first_at
        order = OrderReference(
            ids.encode("att", attempt.attempt_id),
            attempt.method,
            attempt.amount_captured_minor or payment.amount_minor,
            payment.currency,
            attempt.created_at,
            attempt.channel_order_no,
            attempt.expires_at,
        )
        asked = RefundRequest(unknown.number, order, amount_minor, "refund", "", at, unknown.channel_order_no)
        channel = await self._accounts.get(unknown.account_id)
        return _proven(unknown, await channel.query_refund(asked, now=self._clock.now()))

    async def _record(self, unknown: UnknownNumber) -> RecordOutcome:
        """Record a kept report, and take its number off the list unless it is unknown or of another amount."""
        channel = (await self._accounts.get(unknown.account_id)).capabilities.channel
        source = Source.QUERY if unknown.source is NumberSource.BILL else Source.NOTIFICATION
        record = self._lifecycle.record_notification
        outcome = await record(channel, unknown.account_id, unknown.notification, source=source)
        if outcome not in (RecordOutcome.NOT_FOUND, RecordOutcome.MISMATCH):
            now = self._clock.now()
            await self._database.run(lambda tx: mark_adopted(tx, unknown, now=now))
        return outcome


def _proven(unknown: UnknownNumber, answer: ChannelAnswer) -> UnknownNumber:
    """Return a number from a bill with the channel's answer to a query in place of the bill's row.

    Errors:
        Conflict: the channel does not answer that the money has moved, or names another amount or currency.
    """
    if answer.state is not ChannelState.SUCCEEDED:
        raise Conflict(f"the channel does not confirm the bill's row: it answers `{answer.state.value}`")
    amount_minor = unknown.amount_minor if answer.amount_minor is None else answer.amount_minor
    currency = answer.currency or unknown.currency
    if (amount_minor, currency) != (unknown.amount_minor, unknown.currency):
        raise Conflict("the channel answers with another amount or currency than its bill has")
    return replace(
        unknown,
        state=answer.state,
        paid_minor=answer.paid_minor,
        settled_minor=answer.settled_minor,
        channel_order_no=answer.channel_order_no or unknown.channel_order_no,
        happened_at=answer.happened_at or unknown.happened_at,
    )


async def _add_attempt(tx: db.Tx, order: NewPayment, new: NewAttempt, now: datetime) -> Payment | None:
    """Add a lost attempt to the payment that exists under the order's number; None if there is none."""
    existing = list((await find_by_order_no(tx, [order])).values())
    if not existing:
        return None
    payment = (await lock(tx, [existing[0].payment_id]))[existing[0].payment_id]
    if any(attempt.attempt_id == new.attempt_id for attempt in payment.attempts):
        return payment
    attempt = new_attempt(payment.payment_id, new, payment.expires_at, now=now, policy=DEFAULT_POLICY)
    await insert_attempts(tx, [attempt], now=now)
    if payment.status is PaymentStatus.REQUIRES_PAYMENT:
        payment.status = PaymentStatus.PROCESSING
        await save(tx, [payment])
    return payment
