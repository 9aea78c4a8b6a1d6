"""One transaction is the truth: the state, transfers and events of a whole list, committed together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from hutong import db, idempotency
from hutong.clock import Clock
from hutong.ids import Ids
from hutong.payments.answers import Answers
from hutong.payments.attempts import StartAttempt, StartResult, start_attempts
from hutong.payments.capture import CaptureResult, RequestCapture, request_capture
from hutong.payments.channel_answers import AttemptReports
from hutong.payments.channel_reports import Recorder
from hutong.payments.close import CloseResult, RequestClose, claim_expired, request_close
from hutong.payments.create import PlaceResult, create, find_placed
from hutong.payments.disputes.record import Recording
from hutong.payments.documents import Documents
from hutong.payments.model import DEFAULT_POLICY, Attempt, CloseReason, NewPayment, Payment, PollingPolicy
from hutong.payments.no_method import record_no_method
from hutong.payments.polling import LEASE, SWEEP_LIMIT, claim_due
from hutong.payments.refunds.transactions import RefundTransactions


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A merchant's order and, if it came with one, its idempotency key."""

    new: NewPayment
    claim: idempotency.Claim | None = None


class PaymentTransactions:
    """The handlers of the queues: each takes a list and commits it in one transaction.

    Args:
        documents: The public form of payments and refunds, for events.
        policy: When channels are queried.
        answers: Renders what is stored under idempotency keys; None in a process that takes no requests.

    Attributes:
        reports: Records channels' reports about attempts.
        refunds: The same handlers for refunds.
        disputes: What recording a statement about a dispute needs.
    """

    def __init__(
        self,
        database: db.Database,
        documents: Documents,
        *,
        clock: Clock,
        ids: Ids,
        policy: PollingPolicy = DEFAULT_POLICY,
        answers: Answers | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._answers = answers
        self.documents = documents
        self.policy = policy
        self.reports: Recorder[Attempt] = Recorder(
            database,
            AttemptReports(policy, ids=ids),
            documents,
            clock=clock,
            ids=ids,
            render=None if answers is None else self._created,
        )
        self.disputes = Recording(documents, ids.new, ids.derive)
        self.refunds = RefundTransactions(database, documents, clock=clock, ids=ids, policy=policy, answers=answers)

    async def place(self, commands: Sequence[PlaceOrder]) -> list[idempotency.OnceResult[PlaceResult]]:
        """Claim keys and write orders. An answer that needs no channel is stored at once."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[idempotency.OnceResult[PlaceResult]]:
            return await idempotency.once(
                tx,
                commands,
                now=now,
                create=lambda free: create(tx, [command.new for command in free], now=now, policy=self.policy),
                answer=self._answer,
            )

        return await self._database.run(work)

    def _answer(self, command: PlaceOrder, result: PlaceResult) -> idempotency.StoredAnswer | idempotency.Unstored:
        """Render the answer if it is final already: that to a new payment with an attempt waits for its channel."""
        waits_for_channel = result.is_new and command.new.first_attempt is not None
        return idempotency.Unstored.WAITS if waits_for_channel else self._render(result)

    def _created(self, payment: Payment, _attempt: Attempt) -> idempotency.StoredAnswer:
        return self._render(PlaceResult(payment, is_new=True))

    def _render(self, result: PlaceResult) -> idempotency.StoredAnswer:
        assert self._answers is not None, "a process that takes keys renders answers"
        return self._answers.order(result)

    async def is_repeated(self, order: PlaceOrder) -> bool:
        """Tell whether this order or its key was used before; write nothing."""
        async with self._database.transaction() as tx:
            if order.claim is not None:
                claimed = await idempotency.find(tx, order.claim, now=self._clock.now())
                if claimed.outcome is not idempotency.ClaimOutcome.CLAIMED:
                    return True
            return await find_placed(tx, order.new) is not None

    async def start(self, commands: Sequence[StartAttempt]) -> list[StartResult]:
        """Write the intents of attempts."""
        now = self._clock.now()
        return await self._database.run(lambda tx: start_attempts(tx, commands, now=now, policy=self.policy))

    async def close(
        self, commands: Sequence[RequestClose], *, also: Callable[[db.Tx], Awaitable[None]] | None = None
    ) -> list[CloseResult]:
        """Close what can be closed at once; mark the rest.

        Args:
            also: Writes what belongs to the same transaction, such as who requested it.
        """
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[CloseResult]:
            results, happened = await request_close(tx, commands, now=now)
            await self.documents.emit(tx, happened, new_id=self._ids.new, now=now)
            if also is not None:
                await also(tx)
            return results

        return await self._database.run(work)

    async def no_method(self, payment_id: UUID) -> None:
        """Record that a payer was offered no method, and publish it."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> None:
            happened = await record_no_method(tx, payment_id, now=now)
            await self.documents.emit(tx, happened, new_id=self._ids.new, now=now)

        await self._database.run(work)

    async def capture(self, commands: Sequence[RequestCapture]) -> list[CaptureResult]:
        """Write the intents of captures."""
        now = self._clock.now()
        return await self._database.run(lambda tx: request_capture(tx, commands, now=now))

    async def expire(self, *, limit: int = SWEEP_LIMIT) -> int:
        """Request the close of payments past their expiry; return how many there were."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> int:
            due = await claim_expired(tx, now=now, limit=limit)
            if due:
                commands = [RequestClose(payment_id, CloseReason.EXPIRED) for payment_id in due]
                _, happened = await request_close(tx, commands, now=now)
                await self.documents.emit(tx, happened, new_id=self._ids.new, now=now)
            return len(due)

        return await self._database.run(work)

    async def claim_due(self, *, limit: int = SWEEP_LIMIT) -> list[Attempt]:
        """Claim the attempts that are due for a query, as the poller does."""
        now = self._clock.now()
        return await self._database.run(lambda tx: claim_due(tx, now, now + LEASE, limit))
