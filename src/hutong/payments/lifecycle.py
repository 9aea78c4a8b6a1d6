"""The life cycle from outside: write the intent, commit, call the channel, write the outcome.

Whatever dies between two of these steps is found again by the sweeps, since the intent says when to ask next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from random import Random
from uuid import UUID

from hutong import channels, db, idempotency, ids, routing
from hutong.clock import Clock
from hutong.errors import NotFound
from hutong.payments import errors
from hutong.payments.attempts import NotPayable, OtherRunning, StartAttempt, Started
from hutong.payments.capture import CaptureOutcome, RequestCapture
from hutong.payments.channel_answers import ChannelReport, RecordOutcome
from hutong.payments.channel_calls import ChannelCalls, of_ours
from hutong.payments.close import CloseOutcome, RequestClose, end_attempts
from hutong.payments.in_doubt import report_attempts_in_doubt
from hutong.payments.model import Attempt, AttemptState, CloseReason, Payment, Source
from hutong.payments.operator_actions import CLOSE, OperatorAction, write_operator_action
from hutong.payments.polling import SWEEP_LIMIT, claim_due, claim_verifiable
from hutong.payments.refunds.lifecycle import Refunds
from hutong.payments.route_selection import RouteRequest, RouteSelector
from hutong.payments.statements import sql
from hutong.payments.store import Created, Existing, OtherContent, find
from hutong.payments.transactions import ORDER_NO_REUSED, PaymentTransactions, Placed, PlaceOrder
from hutong.telemetry import get_logger
from hutong.vault import Vault

_log = get_logger(__name__)

_ASKED_AT_ONCE = 200
_SWEEP_WIDTH = 16
_VERIFY_EVERY = timedelta(seconds=30)
"""How often a process looks for ends to be verified; a day later, half a minute does not matter."""
_SWEEP_ROUNDS = 20
"""How many batches of expired payments one round ends at most, so that asking about attempts is never kept waiting."""
_NOTICES_KEPT = timedelta(minutes=30)
_FORGOTTEN_AT_ONCE = 1000


class Payments:
    """What the API, the cashier and the worker ask of the life cycle.

    Args:
        accounts: Gives ready channel adapters.
        public_url: The address under which channels reach this installation.
        sandbox: Play: sandbox accounts are used and no others. Otherwise they are never used, so that a simulated
            channel cannot be taken for a real one.
        queue_limit: The most commands that may wait for a batch.
        vault: Seals what methods ask of the payer; without one such methods cannot be used.
        routing_state: Selects accounts; without one, by the results of this object alone.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        transactions: PaymentTransactions,
        *,
        clock: Clock,
        ids: ids.Ids,
        public_url: str,
        sandbox: bool = False,
        queue_limit: int = 4096,
        vault: Vault | None = None,
        routing_state: routing.RoutingState | None = None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._transactions = transactions
        self._clock = clock
        self._verify_from = clock.now()
        self._route_selector = RouteSelector(
            accounts,
            routing_state or routing.RoutingState(draw=Random(0).random),  # noqa: S311 - decides on nothing secret
            clock=clock,
            ids=ids,
            public_url=public_url,
            sandbox=sandbox,
            vault=vault,
        )
        self._calls = ChannelCalls(
            database,
            accounts,
            transactions,
            self._route_selector,
            clock=clock,
            public_url=public_url,
            queue_limit=queue_limit,
            policy=transactions.policy,
        )
        self._places: db.Coalescer[PlaceOrder, Placed] = db.Coalescer(
            transactions.place, name="place", queue_limit=queue_limit
        )
        self._finds: db.Coalescer[UUID, Payment | None] = db.Coalescer(
            transactions.find, name="find", queue_limit=queue_limit
        )
        self.refunds = Refunds(
            database,
            accounts,
            transactions.refunds,
            clock=clock,
            ids=ids,
            public_url=public_url,
            queue_limit=queue_limit,
            vault=vault,
        )

    async def find(self, payment_id: UUID) -> Payment | None:
        """One payment, as last committed, to be looked at only: whoever asks at the same time is given the same.

        Read together with what others ask for, so that any number of requests takes few connections.
        """
        return await self._finds.submit(payment_id)

    def render(self, payment: Payment) -> bytes:
        """The payment's document as bytes."""
        return self._transactions.render(payment)

    @property
    def route_selector(self) -> RouteSelector:
        """Chooses the account that a try goes through."""
        return self._route_selector

    async def place(self, order: PlaceOrder) -> tuple[int, bytes]:
        """Take a merchant's order and, if it names a method, place it at the channel.

        Repeat:
            Answers 200 with the payment that stands under the order number; a repeated idempotency key gets the
            first answer, byte for byte.

        Returns:
            The HTTP status and the body.

        Errors:
            OrderNoReused, KeyReused, KeyInFlight.
        """
        return await self._answer(await self._places.submit(order), order)

    async def repeated(self, order: PlaceOrder) -> tuple[int, bytes] | None:
        """What `place` answers to an order that was placed before; None if this one was not, and nothing is written.

        For orders that could not be placed any more, because time has passed or a channel is gone.

        Errors:
            OrderNoReused, KeyReused, KeyInFlight.
        """
        # By the same way as before, since the key may have no answer yet: what it gets now is what it gets for ever.
        return None if await self._transactions.repeated(order) is None else await self.place(order)

    async def _answer(self, placed: Placed, order: PlaceOrder) -> tuple[int, bytes]:
        reused = errors.OrderNoReused(
            "this order number stands for a payment with other content", param="merchant_order_no"
        )
        match placed:
            case idempotency.StoredAnswer():
                if placed.status == ORDER_NO_REUSED:
                    raise reused
                return placed.status, placed.body
            case idempotency.InFlight():
                raise errors.KeyInFlight("a request with this key is being worked on", param="Idempotency-Key")
            case idempotency.KeyReused():
                raise errors.KeyReused("this key stands for another request", param="Idempotency-Key")
            case OtherContent():
                raise reused
            case Existing(payment):
                return 200, self.render(payment)
            case Created(payment):
                if payment.attempts:
                    recorded = await self._calls.submit(payment, payment.attempts[0], claim=order.claim)
                    if recorded.answer is not None:
                        return recorded.answer.status, recorded.answer.body
                    payment = of_ours(recorded)
                return 201, self.render(payment)

    async def start(
        self,
        payment: Payment,
        method: str,
        *,
        payer_ip: str | None = None,
        payer: Mapping[str, str] | None = None,
        return_url: str | None = None,
    ) -> Payment:
        """Try a payment by `method`. A try by another method is ended at its channel first, where that can be done.

        Args:
            payer: What the method asks of the payer.
            return_url: Where the payer's browser goes afterwards; by default to the cashier.

        Repeat:
            While such a try is open, it is the one that is returned.

        Errors:
            PaymentNotPayable, AttemptInProgress, NoRoute, PayerDetailMissing, ManualCaptureNotOffered.
        """
        wish = RouteRequest(
            method,
            payment.amount_minor,
            payment.currency,
            payer_ip=payer_ip,
            payer=payer,
            return_url=return_url or self._transactions.checkout_url(payment),
            capture_method=payment.capture_method,
            merchant_id=payment.merchant_id,
            fee_ppm=payment.fee_ppm,
            payment_id=payment.payment_id,
        )
        new = await self._route_selector.choose(wish)
        result = await self._calls.starts.submit(StartAttempt(payment.payment_id, new))
        if isinstance(result, OtherRunning) and await self._make_room(result.payment):
            result = await self._calls.starts.submit(StartAttempt(payment.payment_id, new))
        if isinstance(result, NotPayable):
            raise errors.PaymentNotPayable("this payment cannot be paid any more")
        if isinstance(result, OtherRunning):
            raise errors.AttemptInProgress("a try by another method could still take the money")
        if isinstance(result, Started):
            return of_ours(await self._calls.submit(result.payment, result.attempt))
        return result.payment

    async def _make_room(self, payment: Payment) -> bool:
        """End the open tries of a payment at their channels; returns whether there is nothing left in the way."""
        running = payment.open_attempts
        for attempt in running:
            methods = (await self._accounts.get(attempt.account_id)).capabilities.methods
            known = methods.get(attempt.method)
            if attempt.state is AttemptState.AUTHORIZED or known is None or not known.closable:
                return False
        now = self._clock.now()
        await self._database.run(lambda tx: end_attempts(tx, running, now=now))
        for attempt in running:
            await self._calls.try_to_resolve(attempt)
        return True

    async def notify(self, account_id: UUID, headers: Mapping[str, str], body: bytes) -> channels.HttpAnswer:
        """Take a channel's message: verify, record, commit, and only then say so.

        Repeat:
            A message repeated by the channel changes nothing and is accepted; the very same bytes are refused where
            the channel signs each repetition anew.

        Errors:
            NotificationRefused, NotificationMismatch, NotificationReplayed; NotFound: no such account or order.
        """
        channel = await self._accounts.get(account_id)
        notice = channel.parse_notification(headers, body, now=self._clock.now())
        if notice.about is channels.About.NOTHING:
            return channel.accept_notification()
        if notice.about is not channels.About.PAYMENT:
            await self.refunds.heard(account_id, notice)
            return channel.accept_notification()
        attempt_id = ids.decode("att", notice.number)
        learnt = ChannelReport(attempt_id, account_id, notice.answer, Source.NOTIFICATION, notice.replay_key)
        recorded = await self._calls.record_reports(channel.capabilities.channel, learnt)
        if recorded.effect is RecordOutcome.NO_SUCH_ATTEMPT:
            raise NotFound("no order of this account has this number")
        if recorded.effect is RecordOutcome.REPLAYED:
            raise errors.NotificationReplayed("this very message has been taken before")
        if recorded.effect is RecordOutcome.MISMATCH:
            _log.error("notification_mismatch", attempt=notice.number, channel_order_no=notice.answer.channel_order_no)
            raise errors.NotificationMismatch("the message is not about the amount that was ordered", param="amount")
        return channel.accept_notification()

    async def close(self, payment: Payment) -> Payment:
        """Ask for a payment's end on behalf of its merchant; an authorization is given up.

        Returns:
            The payment: `closed`, or still open while a channel has not confirmed; the sweep goes on then.

        Errors:
            PaymentAlreadySucceeded: also when the channel reveals it just now.
            CaptureInProgress: the authorized money is being taken, which was asked for first.
        """
        return await self._close(payment, CloseReason.MERCHANT)

    async def act(self, payment: Payment, act: OperatorAction) -> Payment:
        """Do what an operator wants: ask the channel about every try now, or ask for the end.

        Effects:
            The act is written to the journal and to the payment's story before any channel is called.

        Errors:
            As `close` says, where the act is to close.
        """
        now = self._clock.now()

        async def write(tx: db.Tx) -> None:
            await write_operator_action(tx, act, now=now)

        if act.action == CLOSE:
            return await self._close(payment, CloseReason.OPERATOR, also=write)
        await self._database.run(write)
        for attempt in payment.attempts:
            if attempt.state is not AttemptState.SUCCEEDED:
                await self._calls.try_to_resolve(attempt)
        return await self._current(payment)

    async def _current(self, payment: Payment) -> Payment:
        async with self._database.transaction() as tx:
            return (await find(tx, [payment.payment_id]))[payment.payment_id]

    async def _close(
        self, payment: Payment, reason: CloseReason, *, also: Callable[[db.Tx], Awaitable[None]] | None = None
    ) -> Payment:
        (result,) = await self._transactions.close([RequestClose(payment.payment_id, reason)], also=also)
        if result.outcome is CloseOutcome.CAPTURING:
            raise errors.CaptureInProgress("the authorized money is being taken")
        if result.outcome is CloseOutcome.CLOSING:
            for attempt in result.payment.open_attempts:
                await self._calls.try_to_resolve(attempt)
            after = await self._current(payment)
        else:
            after = result.payment
        if after.succeeded_at is not None:
            raise errors.PaymentAlreadySucceeded("the payment has succeeded; refund it instead")
        return after

    async def capture(self, payment: Payment, amount_minor: int | None = None) -> Payment:
        """Take what the payer has authorized, all or part of it, once; the rest is given up.

        Repeat:
            The same amount again is the same capture: it gets the payment as it is, and nothing is called.

        Returns:
            The payment: `succeeded`, or still `requires_capture` while the channel's word is awaited.

        Errors:
            PaymentNotCapturable: also when the channel refuses; CaptureInProgress, CaptureExceedsAuthorized,
            PartialCaptureNotOffered.
        """
        attempt = payment.authorized_attempt
        partial = attempt is not None and (await self._accounts.get(attempt.account_id)).capabilities.partial_capture
        (result,) = await self._transactions.capture([RequestCapture(payment.payment_id, amount_minor, partial)])
        match result.outcome:
            case CaptureOutcome.NOT_CAPTURABLE:
                raise errors.PaymentNotCapturable("nothing of this payment is authorized")
            case CaptureOutcome.IN_PROGRESS:
                raise errors.CaptureInProgress("another amount is being taken")
            case CaptureOutcome.EXCEEDS_AUTHORIZED:
                raise errors.CaptureExceedsAuthorized("is more than was authorized", param="amount_minor")
            case CaptureOutcome.NOT_IN_PART:
                raise errors.PartialCaptureNotOffered("the channel takes the whole only", param="amount_minor")
        attempt = result.payment.authorized_attempt
        if not result.is_new or attempt is None:
            return result.payment
        after = await self._calls.capture(result.payment, attempt)
        if not after.is_capturing and after.succeeded_at is None:
            raise errors.PaymentNotCapturable("the channel has refused the capture")
        return after

    async def sweep(self) -> int:
        """One round: end what is due to end, ask about what is due to be asked about; returns how much there was."""
        expired = 0
        for _ in range(_SWEEP_ROUNDS):
            ended = await self._transactions.expire(limit=SWEEP_LIMIT)
            expired += ended
            if ended < SWEEP_LIMIT:
                break
        now = self._clock.now()
        due = await claim_due(self._database, now=now, limit=_ASKED_AT_ONCE)
        if now >= self._verify_from:
            self._verify_from = now + _VERIFY_EVERY
            due += await claim_verifiable(self._database, now=now, limit=_ASKED_AT_ONCE)
        width = asyncio.Semaphore(_SWEEP_WIDTH)

        async def one(attempt: Attempt) -> None:
            async with width:
                await self._calls.try_to_resolve(attempt)

        await asyncio.gather(*(one(attempt) for attempt in due))
        return expired + len(due)

    async def tidy(self) -> None:
        """Forget what has had its time: taken messages, idempotency keys."""
        now = self._clock.now()

        async def forget_keys(tx: db.Tx) -> int:
            return await idempotency.forget(tx, now=now, limit=_FORGOTTEN_AT_ONCE)

        await self._database.run(lambda tx: sql.forget_notices.execute(tx, now - _NOTICES_KEPT))
        # Until none is left, or keys would come faster than they go; in short transactions, since claims wait for them.
        while await self._database.run(forget_keys) == _FORGOTTEN_AT_ONCE:
            pass

    async def report_attempts_in_doubt(self) -> dict[str, int]:
        """Count what is in doubt by age, and have a person look at what has been for long."""
        now, policy = self._clock.now(), self._transactions.policy
        return await self._database.run(lambda tx: report_attempts_in_doubt(tx, now=now, policy=policy))

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        queues = self._places, self._finds
        await asyncio.gather(*(queue.close() for queue in queues), self._calls.stop(), self.refunds.stop())
