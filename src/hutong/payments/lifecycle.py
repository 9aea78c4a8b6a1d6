"""The life cycle of payments: write the intent, commit, call the channel, record the outcome.

A payment whose process dies between two of these steps is found again by the pollers, since the intent says when to
query next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from operator import attrgetter
from random import Random
from uuid import UUID

from hutong import channels, db, idempotency, ids, routing
from hutong.clock import Clock
from hutong.merchants import Switching
from hutong.payments import errors
from hutong.payments.attempt_lifecycle import AttemptLifecycle
from hutong.payments.capture import CaptureOutcome, RequestCapture
from hutong.payments.channel_calls import ChannelCalls
from hutong.payments.channel_reports import ChannelReport, RecordOutcome
from hutong.payments.close import CloseOutcome, RequestClose
from hutong.payments.create import PlaceResult
from hutong.payments.disputes.lifecycle import Disputes
from hutong.payments.disputes.responses import DisputeResponses
from hutong.payments.exception_items import Seal
from hutong.payments.exception_store import report_exceptions
from hutong.payments.identification import PayerIdentification
from hutong.payments.in_doubt import report_in_doubt
from hutong.payments.model import Attempt, AttemptState, CloseReason, OperatorActionType, Payment, Source
from hutong.payments.notifications import Notifications
from hutong.payments.operator_actions import OperatorAction, write_operator_action
from hutong.payments.polling import SWEEP_LIMIT, Poller, claim_due, claim_verifiable
from hutong.payments.refunds.lifecycle import Refunds
from hutong.payments.route_selection import RouteSelector
from hutong.payments.starts import AttemptStarts
from hutong.payments.statements import sql
from hutong.payments.store import find, find_each
from hutong.payments.transactions import PaymentTransactions, PlaceOrder
from hutong.vault import Vault

_VERIFY_EVERY = timedelta(seconds=30)
"""How often a process looks for ends to be verified; a day later, half a minute does not matter."""
_EXPIRY_ROUNDS = 20
"""The most batches of expired payments that one round closes."""
_NOTIFICATIONS_KEPT = timedelta(minutes=30)
_FORGOTTEN_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class PaymentsConfig:
    """Settings of the life cycle.

    Attributes:
        public_url: The address under which channels reach this installation.
        sandbox: Whether sandbox accounts alone are used; otherwise they are never taken for a real channel.
        queue_limit: The most commands that may wait for a batch.
        switching: When a payer may leave an open order for another method.
        cashier_methods: The wallets or methods that the cashier shows first, in this order.
    """

    public_url: str
    sandbox: bool = False
    queue_limit: int = 4096
    switching: Switching = Switching.PERMISSIVE
    cashier_methods: tuple[str, ...] = ()


class Payments:
    """The life cycle of payments for the API, the cashier and the worker.

    Args:
        accounts: Gives ready channel adapters.
        vault: Seals the payer's details; without one, methods that require any cannot be used.
        routing_state: The routing state; without one, this process learns alone.

    Attributes:
        route_selector: Chooses the account that an attempt goes through.
        refunds: The life cycle of refunds.
        disputes, responses: The life cycle of disputes, and what merchants answer.
        identification: Finds out what channels tell of a payer's browser.
        start: Starts an attempt, as `AttemptStarts.start`.
        report_no_method: Records once for each payment that its payer was offered no method, and notifies the merchant.
        find: Returns one payment, as last committed; read together with what other callers ask for.
        notifications: Takes channels' notifications; `notify` and `match_exceptions` are its `take` and `match_known`.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        transactions: PaymentTransactions,
        config: PaymentsConfig,
        *,
        clock: Clock,
        ids: ids.Ids,
        vault: Vault | None = None,
        routing_state: routing.RoutingState | None = None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._transactions = transactions
        self._clock = clock
        self._verified_at = clock.now() - _VERIFY_EVERY
        limit, checkout = config.queue_limit, transactions.documents.checkout_url
        self.route_selector = RouteSelector(
            accounts,
            routing_state or routing.RoutingState(draw=Random(0).random),  # noqa: S311 - decides on nothing secret
            clock=clock,
            ids=ids,
            public_url=config.public_url,
            sandbox=config.sandbox,
            vault=vault,
            cashier_methods=config.cashier_methods,
        )
        calls = ChannelCalls(accounts, clock=clock, public_url=config.public_url, checkout_url=checkout, vault=vault)
        self._attempts = AttemptLifecycle(
            database, accounts, transactions, calls, self.route_selector, clock=clock, queue_limit=limit
        )
        self.start = AttemptStarts(
            database, accounts, transactions, self._attempts, self.route_selector, clock=clock,
            switching=config.switching,
        ).start  # fmt: skip
        self.identification = PayerIdentification(accounts, self.route_selector)
        self.refunds = Refunds(
            database, accounts, transactions.refunds, calls, clock=clock, ids=ids, queue_limit=limit, vault=vault,
            resolve_attempt=self._attempts.resolve,
        )  # fmt: skip
        self._places: db.Coalescer[PlaceOrder, idempotency.OnceResult[PlaceResult]]
        self._places = db.Coalescer(transactions.place, name="place", queue_limit=limit)
        self._finds: db.Coalescer[UUID, Payment | None]
        self._finds = db.Coalescer(partial(find_each, database), name="find", queue_limit=limit)
        self.find: Callable[[UUID], Awaitable[Payment | None]] = self._finds.submit
        self.report_no_method: Callable[[UUID], Awaitable[None]] = transactions.no_method
        resolve, recording = self._attempts.resolve, transactions.disputes
        self.disputes = Disputes(database, accounts, recording, clock=clock, resolve_attempt=resolve)
        self.responses = DisputeResponses(database, accounts, self.disputes, recording, clock=clock, vault=vault)
        taken = Notifications(
            database, accounts, self.record_notification, self.refunds.portal, self.disputes, clock=clock, ids=ids,
            vault=vault,
        )  # fmt: skip
        self.notifications, self.match_exceptions = taken, taken.match_known
        self.notify: Callable[[UUID, Mapping[str, str], bytes], Awaitable[channels.HttpAnswer]] = taken.take
        poller = partial(
            Poller[Attempt], database, clock=clock, resolve=self._attempts.resolve, wake=sql.wake_attempts,
            account=attrgetter("account_id"), describe=_describe,
        )  # fmt: skip
        self._due = poller(claim=claim_due)
        self._verifiable = poller(claim=claim_verifiable)

    async def place(self, order: PlaceOrder) -> PlaceResult:
        """Place a merchant's order and, if it names a method, call a channel.

        Repeat:
            The payment under the same order number, with the same content, is returned; a repeated idempotency key gets
            the first answer.

        Errors:
            KeyReused, KeyInFlight.
        """
        async with idempotency.Release(self._database, order.claim, since=self._clock.now()) as key:
            placed = await self._places.submit(order)
            result = placed.result
            if result is None:
                return PlaceResult(answer=placed.stored())
            key.is_claimed = True
            if not result.is_new or result.payment is None or not result.payment.attempts:
                return replace(result, answer=placed.answer)
            recorded = await self._attempts.submit(result.payment, result.payment.attempts[0], claim=order.claim)
            return replace(result, payment=recorded.payment, answer=recorded.answer)

    async def repeated(self, order: PlaceOrder) -> PlaceResult | None:
        """Return what `place` returns for an order that was placed before; None, and write nothing, if it was not.

        For orders that could not be placed any more, because time has passed or a channel is gone.

        Errors:
            KeyReused, KeyInFlight.
        """
        # By way of `place`, since the key may have no answer yet: the one that it gets now is permanent.
        return await self.place(order) if await self._transactions.is_repeated(order) else None

    async def record_notification(
        self,
        channel: str,
        account_id: UUID,
        notification: channels.Notification,
        seal: Seal | None = None,
        *,
        source: Source = Source.NOTIFICATION,
    ) -> RecordOutcome:
        """Record a verified notification, or an answer in its form. Errors: NotFound: not a number of ours."""
        if notification.about is not channels.About.PAYMENT:
            return (await self.refunds.record_notification(channel, account_id, notification, seal, source)).outcome
        attempt_id, key = ids.decode("att", notification.number), notification.replay_key
        report = ChannelReport(attempt_id, account_id, notification.answer, source, key, seal=seal)
        return (await self._attempts.record(channel, report)).outcome

    async def close(self, payment: Payment) -> Payment:
        """Request the close of a payment on behalf of its merchant; an authorization is given up.

        Returns:
            The payment: `closed`, or still open while a channel has not confirmed; the poller goes on then.

        Errors:
            PaymentAlreadySucceeded: also if the channel reveals it only now.
            CaptureInProgress: the authorized money is being captured, which was requested first. CredentialsUnreadable.
        """
        return await self._close(payment, CloseReason.MERCHANT)

    async def act(self, payment: Payment, action: OperatorAction) -> Payment:
        """Do what an operator requests: query the channel about every attempt now, or close the payment.

        Effects:
            The action is written to the audit log and to the payment's timeline before any channel is called.

        Errors:
            Those of `close`, if the action is to close.
        """
        await self._attempts.require_channels(payment.attempts)
        now = self._clock.now()

        async def write(tx: db.Tx) -> None:
            await write_operator_action(tx, action, now=now)

        if action.action is OperatorActionType.CLOSE:
            return await self._close(payment, CloseReason.OPERATOR, also=write)
        await self._database.run(write)
        for attempt in payment.attempts:
            if attempt.state is not AttemptState.SUCCEEDED:
                await self._due.resolve(attempt)
        return await self._current(payment)

    async def _current(self, payment: Payment) -> Payment:
        async with self._database.transaction() as tx:
            return (await find(tx, [payment.payment_id]))[payment.payment_id]

    async def _close(
        self, payment: Payment, reason: CloseReason, *, also: Callable[[db.Tx], Awaitable[None]] | None = None
    ) -> Payment:
        await self._attempts.require_channels(payment.open_attempts)
        (result,) = await self._transactions.close([RequestClose(payment.payment_id, reason)], also=also)
        if result.outcome is CloseOutcome.CAPTURING:
            raise errors.CaptureInProgress("the authorized money is being captured")
        after = result.payment
        if result.outcome is CloseOutcome.CLOSING:
            for attempt in after.open_attempts:
                await self._due.resolve(attempt)
            after = await self._current(payment)
        if after.succeeded_at is not None:
            raise errors.PaymentAlreadySucceeded("the payment has succeeded; refund it instead")
        return after

    async def capture(self, payment: Payment, amount_minor: int | None = None) -> Payment:
        """Capture the authorized amount, or once a part of it; the rest is given up.

        Repeat:
            The same amount again is the same capture: it gets the payment in its current state, and nothing is called.

        Returns:
            The payment: `succeeded`, or still `requires_capture` while the channel has not answered.

        Errors:
            PaymentNotCapturable: also if the channel refuses; CaptureInProgress, CaptureExceedsAuthorized,
            PartialCaptureNotOffered.
        """
        attempt = payment.authorized_attempt
        partial = attempt is not None and (await self._accounts.get(attempt.account_id)).capabilities.partial_capture
        (result,) = await self._transactions.capture([RequestCapture(payment.payment_id, amount_minor, partial)])
        match result.outcome:
            case CaptureOutcome.NOT_CAPTURABLE:
                raise errors.PaymentNotCapturable("nothing of this payment is authorized")
            case CaptureOutcome.IN_PROGRESS:
                raise errors.CaptureInProgress("another amount is being captured")
            case CaptureOutcome.EXCEEDS_AUTHORIZED:
                raise errors.CaptureExceedsAuthorized(
                    "`amount_minor` is larger than the authorized amount", param="amount_minor"
                )
            case CaptureOutcome.NOT_IN_PART:
                raise errors.PartialCaptureNotOffered(
                    "the channel captures only the whole authorized amount", param="amount_minor"
                )
        attempt = result.payment.authorized_attempt
        if not result.is_new or attempt is None:
            return result.payment
        after = await self._attempts.capture(result.payment, attempt)
        if not after.is_capturing and after.succeeded_at is None:
            raise errors.PaymentNotCapturable("the channel has refused the capture")
        return after

    async def expire(self) -> int:
        """Request the close of what has expired; return how much there was."""
        expired = 0
        # After a restore nothing expires: a payment whose attempt the database has lost may have been paid.
        for _ in range(_EXPIRY_ROUNDS if self._database.catching_up_since is None else 0):
            ended = await self._transactions.expire(limit=SWEEP_LIMIT)
            expired += ended
            if ended < SWEEP_LIMIT:
                break
        return expired

    async def sweep(self, *, patience_s: float | None = None) -> int:
        """Query what is due; return how much there was. `patience_s` as for `Poller.poll`."""
        polls = [self._due.poll(patience_s=patience_s)]
        now = self._clock.now()
        if not now - _VERIFY_EVERY < self._verified_at <= now:  # a clock that was ahead has come back
            self._verified_at = now
            polls.append(self._verifiable.poll(patience_s=patience_s))
        return sum(await asyncio.gather(*polls))

    async def tidy(self) -> None:
        """Delete notifications and idempotency keys past their time."""
        now = self._clock.now()

        async def forget_keys(tx: db.Tx) -> int:
            return await idempotency.forget(tx, now=now, limit=_FORGOTTEN_AT_ONCE)

        await self._database.run(lambda tx: sql.forget_notifications.execute(tx, now - _NOTIFICATIONS_KEPT))
        # Until none is left, or keys would come faster than they go; in short transactions, since claims wait for them.
        while await self._database.run(forget_keys) == _FORGOTTEN_AT_ONCE:
            pass

    async def report_in_doubt(self) -> dict[str, int]:
        """Count doubts by age, and open exceptions; alarm about the doubts that a person should look at."""
        now, policy = self._clock.now(), self._transactions.policy
        await self._database.run(report_exceptions)
        return await self._database.run(lambda tx: report_in_doubt(tx, now=now, policy=policy))

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await asyncio.gather(self._due.stop(), self._verifiable.stop())
        await asyncio.gather(self._places.close(), self._finds.close(), self._attempts.stop(), self.refunds.stop())


def _describe(attempt: Attempt) -> dict[str, str]:
    return {"attempt": ids.encode("att", attempt.attempt_id)}
