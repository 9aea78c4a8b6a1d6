"""Calling channels about tries, and handing on what they say: intent first, then the call, then its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from prometheus_client import Counter

from hutong import channels, db, idempotency, ids, routing
from hutong.clock import Clock
from hutong.payments.attempts import StartAttempt, Started, StartResult, start_attempts
from hutong.payments.channel_answers import ChannelReport, Recorded, RecordOutcome
from hutong.payments.close import end_attempts
from hutong.payments.model import (
    DEFAULT_POLICY,
    Attempt,
    AttemptState,
    CaptureMethod,
    Payment,
    PollingPolicy,
    Source,
)
from hutong.payments.route_selection import RouteSelector, notify_url
from hutong.payments.statements import sql
from hutong.payments.store import find
from hutong.payments.transactions import PaymentTransactions, RecordReport
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_MISMATCHES = Counter("hutong_notification_mismatches_total", "Genuine messages about what we did not order.")
_CONTRADICTIONS = Counter("hutong_channel_contradictions_total", "Words that deny an end that was proven before.")
_ANSWERS = Counter("hutong_channel_answers_total", "What channels said.", ["channel", "source", "state"])
_CLOSABLE = frozenset({channels.ChannelState.PENDING, channels.ChannelState.AUTHORIZED})
_CHANNEL_CLOCK_SLACK = timedelta(minutes=1)


class ChannelCalls:
    """The calls to channels about tries that are written down.

    Args:
        choice: Knows what was sealed for a try.
        public_url: The address under which channels reach this installation.
        queue_limit: The most words of channels that may wait for a batch.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        transactions: PaymentTransactions,
        choice: RouteSelector,
        *,
        clock: Clock,
        public_url: str,
        queue_limit: int,
        policy: PollingPolicy = DEFAULT_POLICY,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._route_selector = choice
        self._checkout_url = transactions.checkout_url
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._policy = policy
        self._words: db.Coalescer[RecordReport, Recorded] = db.Coalescer(
            transactions.record_reports, name="take_in", queue_limit=queue_limit
        )
        self.starts: db.Coalescer[StartAttempt, StartResult] = db.Coalescer(
            self._start_batch, name="start", queue_limit=queue_limit
        )

    async def submit(self, payment: Payment, attempt: Attempt, *, claim: idempotency.Claim | None = None) -> Recorded:
        """Place a new try at its channel. One that is refused there before taking money, for no fault of the payer's,
        is followed by a try at the next account; one in doubt never is.

        Args:
            claim: The idempotency key whose answer the last try's is.
        """
        run = [attempt]
        while True:
            answer = await self._place(payment, attempt)
            other = await self._route_selector.failover_attempt(payment, run, answer)
            after = await self._learn(
                attempt, answer, Source.SUBMISSION, claim=None if other else claim, goes_on=other is not None
            )
            if other is None:
                return after
            result = await self.starts.submit(StartAttempt(payment.payment_id, other))
            if not isinstance(result, Started):
                # Somebody has ended or paid it meanwhile; the key's answer is what it has come to.
                return await self._learn(attempt, answer, Source.SUBMISSION, claim=claim)
            payment, attempt = result.payment, result.attempt
            run.append(attempt)

    async def _place(self, payment: Payment, attempt: Attempt) -> channels.ChannelAnswer:
        """Send a try to its channel, for the first time or again; the request is the same."""
        channel = await self._accounts.get(attempt.account_id)
        now = self._clock.now()
        payer = self._route_selector.open_payer(attempt.attempt_id, attempt.payer_sealed)
        request = channels.PayRequest(
            attempt_no=ids.encode("att", attempt.attempt_id),
            method=attempt.method,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            subject=payment.subject,
            expires_at=attempt.expires_at or _channel_end(payment, attempt, channel.capabilities),
            notify_url=attempt.notify_url or notify_url(self._public_url, attempt.account_id),
            payer_ip=attempt.payer_ip,
            return_url=attempt.return_url or self._checkout_url(payment),
            payer=payer,
            capture=payment.capture_method is CaptureMethod.AUTOMATIC,
            placed_at=attempt.created_at,
        )
        answer = await channel.pay(request, now=now)
        told_at = self._clock.now()
        result = routing.AttemptResult(
            told_at,
            attempt.attempt_id,
            fault=routing.is_technical_failure(answer),
            latency_ms=int((told_at - now) / timedelta(milliseconds=1)),
            institution=payer.get("institution", ""),
            interface=attempt.method,
        )
        self._route_selector.routing_state.router.learn(attempt.account_id, result)
        return answer

    async def capture(self, payment: Payment, attempt: Attempt) -> Payment:
        """Take what the intent says, for the first time or again."""
        assert payment.capture_minor is not None, "the intent is written first"
        channel = await self._accounts.get(attempt.account_id)
        answer = await channel.capture(order_of(payment, attempt), payment.capture_minor, now=self._clock.now())
        return await self.learn(attempt, answer, Source.CAPTURE)

    async def resolve(self, attempt: Attempt) -> None:
        """Ask a channel about one open attempt, and do what its answer calls for."""
        channel = await self._accounts.get(attempt.account_id)
        async with self._database.transaction() as tx:
            payment = (await find(tx, [attempt.payment_id]))[attempt.payment_id]
        order = order_of(payment, attempt)
        answer = await channel.query(order, now=self._clock.now())
        payment = await self.learn(attempt, answer, Source.QUERY)
        current = next((a for a in payment.open_attempts if a.attempt_id == attempt.attempt_id), None)
        if current is None:
            return
        now = self._clock.now()
        unpaid = answer.state is channels.ChannelState.PENDING
        absent = answer.state is channels.ChannelState.NOT_FOUND
        authorized = current.state is AttemptState.AUTHORIZED
        if (unpaid or absent) and not authorized and not payment.wants_end(current) and _is_over(current, now):
            # The channel's own end has passed, the payment's has not: the payer may try again.
            await self._database.run(lambda tx: end_attempts(tx, [current], now=now))
            current.close_requested_at = now
        ending = payment.wants_end(current)
        if ending and answer.state in _CLOSABLE:
            await self.learn(current, await channel.close(order, now=now), Source.CLOSE)
        elif answer.state is channels.ChannelState.AUTHORIZED and payment.is_capturing:
            await self.capture(payment, current)
        elif not ending and not authorized and _never_arrived(channel, current, absent, unpaid):
            await self.learn(current, await self._place(payment, current), Source.SUBMISSION)
        elif absent and not authorized and self._is_gone(current, now, ending) and not _may_come(channel, current, now):
            gone = channels.ChannelAnswer(channels.ChannelState.CLOSED, channel_code=answer.channel_code)
            await self.learn(current, gone, Source.QUERY)

    def _is_gone(self, attempt: Attempt, now: datetime, ending: bool) -> bool:
        """Whether "no such order" now proves that there is none. What a channel had taken is not given up before its
        end."""
        late = now - attempt.created_at > self._policy.not_found_grace
        return late and (ending or attempt.state is not AttemptState.SUBMITTED)

    async def verify(self, attempt: Attempt) -> None:
        """Ask once more about a try that ended unpaid; a success that nobody told us of is surplus."""
        channel = await self._accounts.get(attempt.account_id)
        async with self._database.transaction() as tx:
            payment = (await find(tx, [attempt.payment_id]))[attempt.payment_id]
        answer = await channel.query(order_of(payment, attempt), now=self._clock.now())
        await self.learn(attempt, answer, Source.QUERY)
        if answer.state is not channels.ChannelState.UNKNOWN:
            await self._database.run(lambda tx: sql.end_verification.execute(tx, attempt.attempt_id))

    async def try_to_resolve(self, attempt: Attempt) -> None:
        """Ask about an open attempt, or once more about a final one, whatever goes wrong: it stays on its list."""
        try:
            await (self.resolve(attempt) if attempt.is_open else self.verify(attempt))
        except Exception as error:  # noqa: BLE001 - one attempt's trouble must not stop others; it is asked again
            _log.warning("resolve_failed", attempt=str(attempt.attempt_id), reason=repr(error))

    async def learn(
        self,
        attempt: Attempt,
        answer: channels.ChannelAnswer,
        source: Source,
    ) -> Payment:
        """Take in the answer to a call of ours; returns the payment as it is then."""
        return of_ours(await self._learn(attempt, answer, source))

    async def _learn(
        self,
        attempt: Attempt,
        answer: channels.ChannelAnswer,
        source: Source,
        *,
        claim: idempotency.Claim | None = None,
        goes_on: bool = False,
    ) -> Recorded:
        learnt = ChannelReport(attempt.attempt_id, attempt.account_id, answer, source)
        recorded = await self.record_reports(attempt.channel, learnt, claim=claim, goes_on=goes_on)
        if recorded.effect is RecordOutcome.MISMATCH:
            _log.error("channel_answer_mismatch", attempt=str(attempt.attempt_id), source=source.value)
        return recorded

    async def record_reports(
        self, channel: str, learnt: ChannelReport, *, claim: idempotency.Claim | None = None, goes_on: bool = False
    ) -> Recorded:
        """Record a channel's word, whichever way it came, and count it.

        Args:
            goes_on: The payment is tried at another account next, so that nothing has come of it yet.
        """
        _ANSWERS.labels(channel, learnt.source, learnt.answer.state).inc()
        recorded = await self._words.submit(RecordReport(learnt, claim))
        if recorded.effect is RecordOutcome.MISMATCH:
            _MISMATCHES.inc()
        succeeded = learnt.answer.state is channels.ChannelState.SUCCEEDED
        if succeeded and recorded.effect is RecordOutcome.APPLIED and recorded.payment is not None:
            amount_minor = learnt.answer.amount_minor or recorded.payment.amount_minor
            self._route_selector.routing_state.add_volume(
                learnt.account_id, amount_minor, recorded.payment.currency, now=self._clock.now()
            )
        if recorded.effect is RecordOutcome.APPLIED and recorded.payment is not None and not goes_on:
            self._count_in_trial(recorded.payment, learnt)
        if recorded.contradicts:
            _CONTRADICTIONS.inc()
            _log.error(
                "channel_contradiction",
                attempt=ids.encode("att", learnt.attempt_id),
                source=learnt.source.value,
                said=learnt.answer.state.value,
            )
        return recorded

    def _count_in_trial(self, payment: Payment, learnt: ChannelReport) -> None:
        attempt = next(each for each in payment.attempts if each.attempt_id == learnt.attempt_id)
        if attempt.is_open or attempt.surplus:
            return
        self._route_selector.routing_state.count_outcome(
            payment.payment_id,
            attempt.account_id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            created_at=attempt.created_at,
            paid=attempt.state is AttemptState.SUCCEEDED,
        )

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await asyncio.gather(self.starts.close(), self._words.close())

    async def _start_batch(self, commands: Sequence[StartAttempt]) -> list[StartResult]:
        now = self._clock.now()
        return await self._database.run(lambda tx: start_attempts(tx, commands, now=now, policy=self._policy))


def of_ours(recorded: Recorded) -> Payment:
    """The payment that a word about an attempt of ours belongs to."""
    assert recorded.payment is not None, "attempts are never deleted"
    return recorded.payment


def order_of(payment: Payment, attempt: Attempt) -> channels.Order:
    """A try as every later call about it names it."""
    return channels.Order(
        attempt_no=ids.encode("att", attempt.attempt_id),
        method=attempt.method,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        placed_at=attempt.created_at,
        channel_order_no=attempt.channel_order_no,
        expires_at=attempt.expires_at,
    )


def _is_over(attempt: Attempt, now: datetime) -> bool:
    """Whether the end that the channel was told has passed; a little later than to the second, for its own clock."""
    return attempt.expires_at is not None and now > attempt.expires_at + _CHANNEL_CLOCK_SLACK


def _never_arrived(channel: channels.Channel, attempt: Attempt, absent: bool, unpaid: bool) -> bool:
    """Whether sending the same again is safe and is needed: the order, or what the payer has to do, is missing."""
    method = channel.capabilities.methods.get(attempt.method)
    wants_action = method is not None and method.action is not None and not attempt.action_kind
    return channel.capabilities.resubmits and ((absent and not attempt.action_kind) or (unpaid and wants_action))


def _may_come(channel: channels.Channel, attempt: Attempt, now: datetime) -> bool:
    """Whether the payer holds what can still bring the order to a channel that cannot be told to refuse it."""
    method = channel.capabilities.methods.get(attempt.method)
    closable = method is None or method.closable
    return not closable and bool(attempt.action_kind) and not _is_over(attempt, now)


def _channel_end(payment: Payment, attempt: Attempt, can: channels.Capabilities) -> datetime:
    """The payment's end, brought into the range that the channel takes; the same however often it is sent."""
    start = attempt.created_at
    return min(max(payment.expires_at, start + can.expiry_min), start + can.expiry_max)
