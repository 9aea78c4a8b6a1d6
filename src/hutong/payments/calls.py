"""Calling channels about tries, and handing on what they say: intent first, then the call, then its outcome."""

from __future__ import annotations

from datetime import datetime

import structlog
from prometheus_client import Counter

from hutong import channels, db, idempotency, ids
from hutong.clock import Clock
from hutong.payments.commit import Committer, TakeIn
from hutong.payments.model import NOT_FOUND_GRACE, Attempt, AttemptState, Payment, Source
from hutong.payments.outcome import Effect, Learnt, Recorded
from hutong.payments.payment import find

_log = structlog.get_logger(module="hutong.payments")
_MISMATCHES = Counter("hutong_notification_mismatches_total", "Genuine messages about what we did not order.")
_ANSWERS = Counter("hutong_channel_answers_total", "What channels said.", ["channel", "source", "state"])


class Calls:
    """The calls to channels about tries that are written down.

    Args:
        public_url: The address under which channels reach this installation.
        queue_limit: The most words of channels that may wait for a batch.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        committer: Committer,
        *,
        clock: Clock,
        public_url: str,
        queue_limit: int,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._words: db.Coalescer[TakeIn, Recorded] = db.Coalescer(
            committer.take_in, name="take_in", queue_limit=queue_limit
        )

    async def submit(
        self,
        payment: Payment,
        attempt: Attempt,
        *,
        claim: idempotency.Claim | None = None,
    ) -> Payment:
        """Place a try at its channel, for the first time or again; the request is the same."""
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
        return await self.learn(attempt, answer, Source.SUBMISSION, claim=claim)

    async def resolve(self, attempt: Attempt) -> None:
        """Ask a channel about one open attempt, and do what its answer calls for."""
        channel = await self._accounts.get(attempt.account_id)
        async with self._database.transaction() as tx:
            payment = (await find(tx, [attempt.payment_id]))[attempt.payment_id]
        order = _order(payment, attempt)
        answer = await channel.query(order, now=self._clock.now())
        payment = await self.learn(attempt, answer, Source.QUERY)
        current = next((a for a in payment.open_attempts if a.attempt_id == attempt.attempt_id), None)
        if current is None:
            return
        now = self._clock.now()
        unpaid = answer.state is channels.ChannelState.PENDING
        absent = answer.state is channels.ChannelState.NOT_FOUND
        closing = payment.close_requested_at is not None
        if closing and unpaid:
            await self.learn(current, await channel.close(order, now=now), Source.CLOSE)
        elif not closing and (unpaid or absent) and not current.action_kind and channel.capabilities.resubmits:
            await self.submit(payment, current)
        elif absent and (closing or current.state is not AttemptState.SUBMITTED) and _is_gone(current, now):
            gone = channels.ChannelAnswer(channels.ChannelState.CLOSED, channel_code=answer.channel_code)
            await self.learn(current, gone, Source.QUERY)

    async def try_to_resolve(self, attempt: Attempt) -> None:
        """The same, whatever goes wrong: the attempt stays on the list of what to ask about."""
        try:
            await self.resolve(attempt)
        except Exception as error:  # noqa: BLE001 - one attempt's trouble must not stop others; it is asked again
            _log.warning("resolve_failed", attempt=str(attempt.attempt_id), reason=repr(error))

    async def learn(
        self,
        attempt: Attempt,
        answer: channels.ChannelAnswer,
        source: Source,
        *,
        claim: idempotency.Claim | None = None,
    ) -> Payment:
        """Take in the answer to a call of ours; returns the payment as it is then."""
        learnt = Learnt(attempt.attempt_id, attempt.account_id, answer, source)
        recorded = await self.take_in(attempt.channel, learnt, claim=claim)
        if recorded.effect is Effect.MISMATCH:
            _log.error("channel_answer_mismatch", attempt=str(attempt.attempt_id), source=source.value)
        assert recorded.payment is not None, "attempts are never deleted"
        return recorded.payment

    async def take_in(self, channel: str, learnt: Learnt, *, claim: idempotency.Claim | None = None) -> Recorded:
        """Record a channel's word, whichever way it came, and count it."""
        _ANSWERS.labels(channel, learnt.source, learnt.answer.state).inc()
        recorded = await self._words.submit(TakeIn(learnt, claim))
        if recorded.effect is Effect.MISMATCH:
            _MISMATCHES.inc()
        return recorded

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await self._words.close()


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
