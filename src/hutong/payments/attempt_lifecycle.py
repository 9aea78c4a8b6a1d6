"""An attempt's life at its channel: submitted, with failover, queried, captured, closed, verified."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prometheus_client import Counter

from hutong import db, idempotency, routing
from hutong.channels import Accounts, ChannelAnswer, ChannelState
from hutong.clock import Clock
from hutong.payments.attempts import StartAttempt, StartOutcome, StartResult
from hutong.payments.channel_calls import ChannelCalls
from hutong.payments.channel_reports import ChannelReport, Recorded, RecordOutcome, ReportQueue
from hutong.payments.close import end_attempts
from hutong.payments.model import Attempt, AttemptState, Payment, Source
from hutong.payments.resolution import Step, next_step
from hutong.payments.route_selection import RouteSelector
from hutong.payments.statements import sql
from hutong.payments.store import find
from hutong.payments.transactions import PaymentTransactions

_ANSWERS = Counter(
    "hutong_channel_answers_total", "Answers of channels about attempts.", ["channel", "source", "state"]
)


class AttemptLifecycle:
    """What is done with attempts whose intents are committed.

    Args:
        route_selector: Chooses the account of a failover attempt, and learns from every answer.
        queue_limit: The most commands that may wait for a batch.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: Accounts,
        transactions: PaymentTransactions,
        calls: ChannelCalls,
        route_selector: RouteSelector,
        *,
        clock: Clock,
        queue_limit: int,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._calls = calls
        self._route_selector = route_selector
        self._clock = clock
        self._policy = transactions.policy
        self._reports: ReportQueue[Attempt] = ReportQueue(
            transactions.reports,
            kind="attempt",
            prefix="att",
            name="take_in",
            counter=_ANSWERS,
            queue_limit=queue_limit,
        )
        self.starts: db.Coalescer[StartAttempt, StartResult] = db.Coalescer(
            transactions.start, name="start", queue_limit=queue_limit
        )

    async def submit(
        self, payment: Payment, attempt: Attempt, *, claim: idempotency.Claim | None = None
    ) -> Recorded[Attempt]:
        """Place a new attempt at its channel.

        One that is refused there before taking money, for no fault of the payer's, is followed by an attempt at the
        next account; one in doubt never is.

        Args:
            claim: The idempotency key whose answer is that of the last attempt.
        """
        run = [attempt]
        while True:
            answer = await self._place(payment, attempt)
            can_fail_over = routing.can_fail_over(answer)
            following = await self._route_selector.failover_attempt(payment, run, answer) if can_fail_over else None
            report = _report(attempt, answer, Source.SUBMISSION)
            if following is None:
                return await self.record(attempt.channel, report, claim=claim)
            await self.record(attempt.channel, report, is_last=False)
            result = await self.starts.submit(StartAttempt(payment.payment_id, following))
            if result.outcome is not StartOutcome.STARTED or result.attempt is None:
                # Closed or paid by another request meanwhile; the key's answer is the payment's state by now.
                return await self.record(attempt.channel, report, claim=claim)
            payment, attempt = result.payment, result.attempt
            run.append(attempt)

    async def _place(self, payment: Payment, attempt: Attempt) -> ChannelAnswer:
        """Send an order to its channel, for the first time or again, and let routing learn from the answer."""
        sealed = attempt.payer_sealed
        payer = {} if sealed is None else self._route_selector.open_payer(attempt.attempt_id, sealed)
        sent_at = self._clock.now()
        answer = await self._calls.pay(payment, attempt, payer)
        answered_at = self._clock.now()
        result = routing.AttemptResult(
            answered_at,
            attempt.attempt_id,
            fault=routing.is_technical_failure(answer),
            latency_ms=int((answered_at - sent_at) / timedelta(milliseconds=1)),
            institution=payer.get("institution", ""),
            interface=attempt.method,
        )
        self._route_selector.routing_state.router.learn(attempt.account_id, result)
        return answer

    async def capture(self, payment: Payment, attempt: Attempt) -> Payment:
        """Capture the amount of the intent, for the first time or again; return the payment afterwards.

        While catching up after a restore the channel is asked first, since it may have captured already.
        """
        if self._database.catching_up_since is not None:
            known = await self._calls.query(payment, attempt)
            if known.state is not ChannelState.AUTHORIZED:
                return await self._record_answer(attempt, known, Source.QUERY)
        answer = await self._calls.capture(payment, attempt)
        return await self._record_answer(attempt, answer, Source.CAPTURE)

    async def require_channels(self, attempts: Sequence[Attempt]) -> None:
        """Make sure that the accounts of some attempts can be called, before anything is written.

        Errors:
            CredentialsUnreadable, ConfigurationError: one cannot.
        """
        for attempt in attempts:
            await self._accounts.get(attempt.account_id)

    async def resolve(self, attempt: Attempt) -> bool:
        """Bring an open attempt on, or verify a final one. Return whether its channel answered."""
        answer = await (self.bring_on(attempt) if attempt.is_open else self._verify(attempt))
        return answer.state is not ChannelState.UNKNOWN

    async def bring_on(self, attempt: Attempt) -> ChannelAnswer:
        """Query the channel about an open attempt, and do what the answer calls for; return the answer."""
        payment = await self._find(attempt.payment_id)
        answer = await self._calls.query(payment, attempt)
        payment = await self._record_answer(attempt, answer, Source.QUERY)
        current = payment.attempt(attempt.attempt_id)
        if not current.is_open:
            return answer
        if self._database.predates_restore(current.created_at):
            # What was open before a restore is asked about; nothing is sent until normal work begins.
            if answer.state is not ChannelState.UNKNOWN:
                await self._database.run(
                    lambda tx: sql.mark_attempt_answered.execute(tx, attempt.attempt_id, self._clock.now())
                )
            return answer
        can = (await self._accounts.get(current.account_id)).capabilities
        now = self._clock.now()
        step = next_step(payment, current, answer, can, self._policy, now=now)
        if step is Step.END:
            await self._database.run(lambda tx: end_attempts(tx, [current], now=now))
            current.close_requested_at = now
            step = next_step(payment, current, answer, can, self._policy, now=now)
        match step:
            case Step.CLOSE:
                await self._record_answer(current, await self._calls.close(payment, current), Source.CLOSE)
            case Step.CAPTURE:
                await self.capture(payment, current)
            case Step.SUBMIT:
                await self._record_answer(current, await self._place(payment, current), Source.SUBMISSION)
            case Step.GIVE_UP:
                gone = ChannelAnswer(ChannelState.CLOSED, channel_code=answer.channel_code)
                await self._record_answer(current, gone, Source.QUERY)
        return answer

    async def _verify(self, attempt: Attempt) -> ChannelAnswer:
        """Query once more about an attempt that ended unpaid; a success that was never notified is surplus."""
        payment = await self._find(attempt.payment_id)
        answer = await self._calls.query(payment, attempt)
        await self._record_answer(attempt, answer, Source.QUERY)
        if answer.state is not ChannelState.UNKNOWN:
            await self._database.run(lambda tx: sql.end_verification.execute(tx, attempt.attempt_id))
        return answer

    async def record(
        self, channel: str, report: ChannelReport, *, claim: idempotency.Claim | None = None, is_last: bool = True
    ) -> Recorded[Attempt]:
        """Record a channel's report, whichever way it came, and let routing learn from it.

        Args:
            is_last: Whether no attempt at another account follows, so that this is the payment's outcome.
        """
        recorded = await self._reports.submit(channel, report, claim=claim)
        payment, attempt = recorded.payment, recorded.row
        if recorded.outcome is not RecordOutcome.APPLIED or payment is None or attempt is None:
            return recorded
        state = self._route_selector.routing_state
        if report.answer.state is ChannelState.SUCCEEDED:
            amount_minor = report.answer.amount_minor or payment.amount_minor
            state.add_volume(report.account_id, amount_minor, payment.currency, now=self._clock.now())
        if is_last and not attempt.is_open and not attempt.surplus:
            state.count_outcome(
                payment.payment_id,
                attempt.account_id,
                amount_minor=payment.amount_minor,
                currency=payment.currency,
                created_at=attempt.created_at,
                paid=attempt.state is AttemptState.SUCCEEDED,
            )
        return recorded

    async def _record_answer(self, attempt: Attempt, answer: ChannelAnswer, source: Source) -> Payment:
        """Record the answer to a call of ours; return the payment afterwards."""
        recorded = await self.record(attempt.channel, _report(attempt, answer, source))
        assert recorded.payment is not None, "attempts are never deleted"
        return recorded.payment

    async def _find(self, payment_id: UUID) -> Payment:
        async with self._database.transaction() as tx:
            return (await find(tx, [payment_id]))[payment_id]

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await asyncio.gather(self.starts.close(), self._reports.close())


def _report(attempt: Attempt, answer: ChannelAnswer, source: Source) -> ChannelReport:
    return ChannelReport(attempt.attempt_id, attempt.account_id, answer, source)
