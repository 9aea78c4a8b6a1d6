"""The transactions of refunds: placed, switched, settled and reported about, whole lists at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hutong import db, idempotency, ids
from hutong.clock import Clock
from hutong.payments.answers import Answers
from hutong.payments.channel_reports import Recorder
from hutong.payments.documents import Documents
from hutong.payments.model import Payment, PollingPolicy
from hutong.payments.refunds.channel_answers import RefundReports, SettleManually, settle
from hutong.payments.refunds.create import NewRefund, RefundOutcome, RefundResult, create_refunds
from hutong.payments.refunds.fallback import SwitchMethodOutcome, SwitchRefundMethod, switch_refund_methods
from hutong.payments.refunds.model import Refund
from hutong.payments.store import lock_refunds


@dataclass(frozen=True, slots=True)
class PlaceRefund:
    """A merchant's refund request and, if it came with one, its idempotency key."""

    new: NewRefund
    claim: idempotency.Claim | None = None


class RefundTransactions:
    """The handlers of the queues: each takes a list and commits it in one transaction.

    Attributes:
        reports: Records channels' reports about refunds.
    """

    def __init__(
        self,
        database: db.Database,
        documents: Documents,
        *,
        clock: Clock,
        ids: ids.Ids,
        policy: PollingPolicy,
        answers: Answers | None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._answers = answers
        self.reports: Recorder[Refund] = Recorder(
            database,
            RefundReports(policy, new_id=ids.new),
            documents,
            clock=clock,
            ids=ids,
            render=None if answers is None else self._created,
        )

    async def place(self, commands: Sequence[PlaceRefund]) -> list[idempotency.OnceResult[RefundResult]]:
        """Claim keys, reserve money and write refunds. An answer that needs no channel is stored at once."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[idempotency.OnceResult[RefundResult]]:
            return await idempotency.once(
                tx,
                commands,
                now=now,
                create=lambda free: create_refunds(
                    tx, [c.new for c in free], now=now, policy=self._policy, accounts=self.reports.open_accounts
                ),
                answer=self._answer,
            )

        return await self._database.run(work)

    def _answer(self, _command: PlaceRefund, result: RefundResult) -> idempotency.StoredAnswer | idempotency.Unstored:
        """Render the answer if it is to stay: that to a new refund waits for its channel, some refusals are cured."""
        if result.outcome is RefundOutcome.CREATED:
            return idempotency.Unstored.WAITS
        refusal = result.refusal
        if refusal is not None and idempotency.KEY_EFFECTS[refusal] is idempotency.KeyEffect.FREED:
            return idempotency.Unstored.FREED
        return self._render(result)

    def _created(self, payment: Payment, refund: Refund) -> idempotency.StoredAnswer:
        return self._render(RefundResult(RefundOutcome.CREATED, refund, payment))

    def _render(self, result: RefundResult) -> idempotency.StoredAnswer:
        assert self._answers is not None, "a process that takes keys renders answers"
        return self._answers.refund(result)

    async def switch_method(self, tx: db.Tx, command: SwitchRefundMethod) -> SwitchMethodOutcome:
        """Send a failed refund by its next method, in the transaction of the approval."""
        (outcome,) = await switch_refund_methods(tx, [command], new_id=self._ids.new, now=self._clock.now())
        return outcome

    async def settle(self, tx: db.Tx, command: SettleManually) -> Refund | None:
        """Record a person's settlement of a refund, in the transaction of the approval.

        Repeat:
            Only a refund in state `manual` can be settled; a final one stays.

        Returns:
            The refund; None if it does not wait for a person.
        """
        now = self._clock.now()
        for payment, refund in (await lock_refunds(tx, [command.refund_id])).values():
            change = settle(payment, refund, command, now=now)
            if change is not None:
                await self.reports.write(tx, [change], now=now)
                return refund
        return None
