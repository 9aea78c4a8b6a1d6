"""The life cycle from outside: write the intent, commit, call the channel, write the outcome.

Whatever dies between two of these steps is found again by the sweeps, since the intent says when to ask next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter

from hutong import channels, db, idempotency, ids
from hutong.clock import Clock
from hutong.errors import NotFound
from hutong.payments import errors
from hutong.payments.attempt import NotPayable, OtherRunning, StartAttempt, Started, StartResult, start_attempts
from hutong.payments.close import CloseOutcome, RequestClose
from hutong.payments.commit import ORDER_NO_REUSED, Committer, Placed, PlaceOrder, TakeIn
from hutong.payments.model import NOT_FOUND_GRACE, Attempt, AttemptState, CloseReason, NewAttempt, Payment, Source
from hutong.payments.outcome import Effect, Learnt, Recorded
from hutong.payments.payment import Created, Existing, OtherContent, attempt_of, find, sql

_log = structlog.get_logger(module="hutong.payments")
_MISMATCHES = Counter("hutong_notification_mismatches_total", "Genuine messages about what we did not order.")
_ANSWERS = Counter("hutong_channel_answers_total", "What channels said.", ["channel", "source", "state"])

_CLAIM_LEASE = timedelta(seconds=15)
"""How long a worker keeps others from asking about the same attempt. Two that ask do no harm; a dead one delays."""
_SWEEP_LIMIT = 200
_SWEEP_WIDTH = 16
_NOTICES_KEPT = timedelta(minutes=30)
_FORGOTTEN_AT_ONCE = 1000


class Flow:
    """What the API, the cashier and the worker ask of the life cycle.

    Args:
        accounts: Gives ready channel adapters.
        public_url: The address under which channels reach this installation.
        sandbox: Play: sandbox accounts are used and no others. Otherwise they are never used, so that a simulated
            channel cannot be taken for a real one.
        queue_limit: The most commands that may wait for a batch.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        committer: Committer,
        *,
        clock: Clock,
        ids: ids.Ids,
        public_url: str,
        sandbox: bool = False,
        queue_limit: int = 4096,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._committer = committer
        self._clock = clock
        self._ids = ids
        self._public_url = public_url.rstrip("/")
        self._sandbox = sandbox
        self._places: db.Coalescer[PlaceOrder, Placed] = db.Coalescer(
            committer.place, name="place", queue_limit=queue_limit
        )
        self._words: db.Coalescer[TakeIn, Recorded] = db.Coalescer(
            committer.take_in, name="take_in", queue_limit=queue_limit
        )
        self._starts: db.Coalescer[StartAttempt, StartResult] = db.Coalescer(
            self._start_batch, name="start", queue_limit=queue_limit
        )

    def render(self, payment: Payment) -> bytes:
        """The payment's document as bytes."""
        return self._committer.render(payment)

    async def choose(self, method: str, amount_minor: int, currency: str, *, payer_ip: str | None = None) -> NewAttempt:
        """A try by `method` at the first account that takes it.

        Errors:
            NoRoute: none does.
        """
        for offer in await self._offers(amount_minor, currency):
            if method in offer.capabilities.methods:
                return NewAttempt(self._ids.new(), offer.account_id, offer.capabilities.channel, method, payer_ip)
        raise errors.NoRoute("no channel takes this method, currency and amount", param="method")

    async def methods(self, amount_minor: int, currency: str) -> list[str]:
        """The methods by which such an amount may be paid now."""
        offers = await self._offers(amount_minor, currency)
        return sorted({method for offer in offers for method in offer.capabilities.methods})

    async def _offers(self, amount_minor: int, currency: str) -> list[channels.Offer]:
        return [
            offer
            for offer in await self._accounts.offers()
            if offer.sandbox is self._sandbox
            and currency in offer.capabilities.currencies
            and offer.capabilities.amount_minor_min <= amount_minor <= offer.capabilities.amount_minor_max
        ]

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
        return None if await self._committer.repeated(order) is None else await self.place(order)

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
                    payment = await self._submit(payment, payment.attempts[0], claim=order.claim)
                return 201, self.render(payment)

    async def start(self, payment: Payment, method: str, *, payer_ip: str | None = None) -> Payment:
        """Try a payment by `method`.

        Repeat:
            While such a try is open, it is the one that is returned.

        Errors:
            PaymentNotPayable, AttemptInProgress, NoRoute.
        """
        new = await self.choose(method, payment.amount_minor, payment.currency, payer_ip=payer_ip)
        result = await self._starts.submit(StartAttempt(payment.payment_id, new))
        if isinstance(result, NotPayable):
            raise errors.PaymentNotPayable("this payment cannot be paid any more")
        if isinstance(result, OtherRunning):
            raise errors.AttemptInProgress("a try by another method is still open")
        if isinstance(result, Started):
            return await self._submit(result.payment, result.attempt)
        return result.payment

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
        attempt_id = ids.decode("att", notice.number)
        _ANSWERS.labels(channel.capabilities.channel, Source.NOTIFICATION, notice.answer.state).inc()
        recorded = await self._words.submit(
            TakeIn(Learnt(attempt_id, account_id, notice.answer, Source.NOTIFICATION, notice.replay_key))
        )
        if recorded.effect is Effect.NO_SUCH_ATTEMPT:
            raise NotFound("no order of this account has this number")
        if recorded.effect is Effect.REPLAYED:
            raise errors.NotificationReplayed("this very message has been taken before")
        if recorded.effect is Effect.MISMATCH:
            _MISMATCHES.inc()
            _log.error("notification_mismatch", attempt=notice.number, channel_order_no=notice.answer.channel_order_no)
            raise errors.NotificationMismatch("the message is not about the amount that was ordered", param="amount")
        return channel.accept_notification()

    async def close(self, payment: Payment) -> Payment:
        """Ask for a payment's end on behalf of its merchant.

        Returns:
            The payment: `closed`, or still `processing` while a channel has not confirmed; the sweep goes on then.

        Errors:
            PaymentAlreadySucceeded: also when the channel reveals it just now.
        """
        (result,) = await self._committer.close([RequestClose(payment.payment_id, CloseReason.MERCHANT)])
        if result.outcome is CloseOutcome.CLOSING:
            for attempt in result.payment.open_attempts:
                await self._try_to_resolve(attempt)
            async with self._database.transaction() as tx:
                after = (await find(tx, [payment.payment_id]))[payment.payment_id]
        else:
            after = result.payment
        if after.succeeded_at is not None:
            raise errors.PaymentAlreadySucceeded("the payment has succeeded; refund it instead")
        return after

    async def resolve(self, attempt: Attempt) -> None:
        """Ask a channel about one open attempt, and do what its answer calls for."""
        channel = await self._accounts.get(attempt.account_id)
        async with self._database.transaction() as tx:
            payment = (await find(tx, [attempt.payment_id]))[attempt.payment_id]
        order = _order(payment, attempt)
        answer = await channel.query(order, now=self._clock.now())
        payment = await self._learn(attempt, answer, Source.QUERY)
        current = next((a for a in payment.open_attempts if a.attempt_id == attempt.attempt_id), None)
        if current is None:
            return
        now = self._clock.now()
        unpaid = answer.state is channels.ChannelState.PENDING
        absent = answer.state is channels.ChannelState.NOT_FOUND
        closing = payment.close_requested_at is not None
        if closing and unpaid:
            await self._learn(current, await channel.close(order, now=now), Source.CLOSE)
        elif not closing and (unpaid or absent) and not current.action_kind and channel.capabilities.resubmits:
            await self._submit(payment, current)
        elif absent and (closing or current.state is not AttemptState.SUBMITTED) and _is_gone(current, now):
            gone = channels.ChannelAnswer(channels.ChannelState.CLOSED, channel_code=answer.channel_code)
            await self._learn(current, gone, Source.QUERY)

    async def sweep(self) -> int:
        """One round: end what is due to end, ask about what is due to be asked about; returns how much there was."""
        expired = await self._committer.expire(limit=_SWEEP_LIMIT)
        now = self._clock.now()

        async def claim(tx: db.Tx) -> list[Attempt]:
            rows = await sql.claim_due_attempts.fetch(tx, now, now + _CLAIM_LEASE, _SWEEP_LIMIT)
            return [attempt_of(row) for row in rows]

        due = await self._database.run(claim)
        width = asyncio.Semaphore(_SWEEP_WIDTH)

        async def one(attempt: Attempt) -> None:
            async with width:
                await self._try_to_resolve(attempt)

        await asyncio.gather(*(one(attempt) for attempt in due))
        return expired + len(due)

    async def _try_to_resolve(self, attempt: Attempt) -> None:
        try:
            await self.resolve(attempt)
        except Exception as error:  # noqa: BLE001 - one attempt's trouble must not stop others; it is asked again
            _log.warning("resolve_failed", attempt=str(attempt.attempt_id), reason=repr(error))

    async def tidy(self) -> None:
        """Forget what has had its time: taken messages, idempotency keys."""
        now = self._clock.now()

        async def forget_keys(tx: db.Tx) -> int:
            return await idempotency.forget(tx, now=now, limit=_FORGOTTEN_AT_ONCE)

        await self._database.run(lambda tx: sql.forget_notices.execute(tx, now - _NOTICES_KEPT))
        # Until none is left, or keys would come faster than they go; in short transactions, since claims wait for them.
        while await self._database.run(forget_keys) == _FORGOTTEN_AT_ONCE:
            pass

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await asyncio.gather(self._places.close(), self._words.close(), self._starts.close())

    async def _submit(
        self,
        payment: Payment,
        attempt: Attempt,
        *,
        claim: idempotency.Claim | None = None,
    ) -> Payment:
        channel = await self._accounts.get(attempt.account_id)
        now = self._clock.now()
        request = channels.PayRequest(
            attempt_no=ids.encode("att", attempt.attempt_id),
            method=attempt.method,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            subject=payment.subject,
            expires_at=_channel_end(payment, attempt, channel.capabilities),
            notify_url=f"{self._public_url}/channels/{ids.encode('acc', attempt.account_id)}/notifications",
            payer_ip=attempt.payer_ip,
        )
        answer = await channel.pay(request, now=now)
        return await self._learn(attempt, answer, Source.SUBMISSION, claim=claim)

    async def _learn(
        self,
        attempt: Attempt,
        answer: channels.ChannelAnswer,
        source: Source,
        *,
        claim: idempotency.Claim | None = None,
    ) -> Payment:
        _ANSWERS.labels(attempt.channel, source, answer.state).inc()
        learnt = Learnt(attempt.attempt_id, attempt.account_id, answer, source)
        recorded = await self._words.submit(TakeIn(learnt, claim))
        if recorded.effect is Effect.MISMATCH:
            _MISMATCHES.inc()
            _log.error("channel_answer_mismatch", attempt=str(attempt.attempt_id), source=source.value)
        assert recorded.payment is not None, "attempts are never deleted"
        return recorded.payment

    async def _start_batch(self, commands: Sequence[StartAttempt]) -> list[StartResult]:
        now = self._clock.now()
        return await self._database.run(lambda tx: start_attempts(tx, commands, now=now))


def _order(payment: Payment, attempt: Attempt) -> channels.Order:
    return channels.Order(
        attempt_no=ids.encode("att", attempt.attempt_id),
        method=attempt.method,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        placed_at=attempt.created_at,
        channel_order_no=attempt.channel_order_no,
    )


def _is_gone(attempt: Attempt, now: datetime) -> bool:
    """Whether "no such order" now proves that there is none."""
    return now - attempt.created_at > NOT_FOUND_GRACE


def _channel_end(payment: Payment, attempt: Attempt, can: channels.Capabilities) -> datetime:
    """The payment's end, brought into the range that the channel takes; the same however often it is sent."""
    start = attempt.created_at
    return min(max(payment.expires_at, start + can.expiry_min), start + can.expiry_max)
