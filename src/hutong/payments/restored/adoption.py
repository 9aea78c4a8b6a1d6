"""Adopting what channels know and a restored database does not."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import About
from hutong.clock import Clock
from hutong.errors import Conflict, InvalidParameter
from hutong.payments.channel_reports import RecordOutcome
from hutong.payments.create import new_attempt
from hutong.payments.lifecycle import Payments
from hutong.payments.model import DEFAULT_POLICY, NewAttempt, NewPayment, Payment, PaymentStatus
from hutong.payments.refunds.create import RefundOutcome
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.store import find_by_order_no, insert_attempts, lock, save
from hutong.payments.transactions import PaymentTransactions, PlaceOrder
from hutong.payments.unknown_numbers import (
    UnknownNumber,
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

        Returns:
            How many numbers were adopted.
        """
        async with self._database.transaction() as tx:
            waiting = await list_unknown_numbers(tx)
        adopted = 0
        for unknown in waiting:
            if unknown in self._mismatched:
                continue  # reported once; a person must look
            outcome = await self._record(unknown)
            if outcome is RecordOutcome.MISMATCH:
                self._mismatched.add(unknown)
            elif outcome is not RecordOutcome.NOT_FOUND:
                adopted += 1
        return adopted

    async def adopt_order(self, number: str, order: LostOrder) -> Payment:
        """Create the payment of a lost order, or add the attempt to the payment that exists, and record the report.

        The number itself proves whose it is: it follows from the merchant and the order number.

        Errors:
            NotFound, InvalidParameter: as `find_unknown_number` and `lost_attempt`.
        """
        async with self._database.transaction() as tx:
            unknown = await find_unknown_number(tx, number, About.PAYMENT)
        if unknown.amount_minor is None or unknown.currency is None:
            raise Conflict("the channel's report names no amount; query the order in its portal")
        channel = (await self._accounts.get(unknown.account_id)).capabilities.channel
        new = lost_attempt(
            unknown,
            self._ids,
            merchant_id=order.merchant_id,
            merchant_order_no=order.merchant_order_no,
            channel=channel,
            method=order.method,
        )
        now = self._clock.now()
        lost = NewPayment(
            payment_id=self._ids.new(),
            merchant_id=order.merchant_id,
            merchant_order_no=order.merchant_order_no,
            amount_minor=unknown.amount_minor,
            currency=unknown.currency,
            subject=order.merchant_order_no,
            expires_at=now + _VALIDITY,
            checkout_token=secrets.token_urlsafe(18),
            fee_ppm=order.fee_ppm,
            first_attempt=new,
        )
        payment = await self._database.run(lambda tx: _add_attempt(tx, lost, new, now))
        if payment is None:
            await self._transactions.place([PlaceOrder(lost)])  # the channel has it already, so nothing is sent
        outcome = await self._record(unknown)
        if outcome is RecordOutcome.MISMATCH:
            raise Conflict("the payment of this order has another amount or currency than the channel's report")
        async with self._database.transaction() as tx:
            return (await find_by_order_no(tx, [lost]))[order.merchant_id, order.merchant_order_no]

    async def adopt_refund(self, number: str, payment: Payment, merchant_refund_no: str) -> None:
        """Create a lost refund of a payment; the channel is asked about it, and nothing is sent if it knows the number.

        Errors:
            NotFound, InvalidParameter: as `find_unknown_number`, or the number is that of another refund.
            Conflict: the refund is not possible here, such as for want of money.
        """
        async with self._database.transaction() as tx:
            unknown = await find_unknown_number(tx, number, About.REFUND)
        if self._ids.derive("refund", payment.merchant_id, merchant_refund_no) != ids.decode("ref", number):
            raise InvalidParameter("the number does not belong to this refund of this merchant", param="--refund-no")
        order = RefundOrder(merchant_refund_no, unknown.amount_minor, "refund")
        result = await self._lifecycle.refunds.place(payment, order)
        if result.outcome is RefundOutcome.REFUSED:
            raise Conflict(f"the refund cannot be recorded: {result.refusal}")
        await self._record(unknown)

    async def _record(self, unknown: UnknownNumber) -> RecordOutcome:
        """Record a kept report, and take its number off the list unless it is unknown or of another amount."""
        channel = (await self._accounts.get(unknown.account_id)).capabilities.channel
        outcome = await self._lifecycle.record_notification(channel, unknown.account_id, unknown.notification)
        if outcome not in (RecordOutcome.NOT_FOUND, RecordOutcome.MISMATCH):
            now = self._clock.now()
            await self._database.run(lambda tx: mark_adopted(tx, unknown, now=now))
        return outcome


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
