"""The life of disputes: statements come from messages, queries, bills and operators, and the latest one holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from prometheus_client import Counter, Gauge

from hutong import channels, db, ids
from hutong.channels import Notification
from hutong.clock import Clock
from hutong.errors import NotFound, Unavailable
from hutong.payments.disputes.model import DISPUTE_TRANSITIONS, PREFIX, Dispute
from hutong.payments.disputes.postings import book_difference, position_of
from hutong.payments.disputes.record import (
    DisputeOutcome,
    DisputeStatement,
    Recording,
    is_newer,
    record_statement,
)
from hutong.payments.disputes.store import find_by_number, find_disputes, lock_disputes, save_dispute
from hutong.payments.model import Attempt, AttemptState, Source
from hutong.payments.statements import sql
from hutong.payments.store import find_order
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_COVERED_AT_ONCE = 1000
_UNCOVERED = Gauge("hutong_disputes_uncovered", "Disputes whose money the merchant's balance does not cover.")
_STATEMENTS = Counter(
    "hutong_dispute_statements_total", "Statements about disputes, by source and outcome.", ["source", "outcome"]
)

KEPT = frozenset({
    DisputeOutcome.NO_ORDER, DisputeOutcome.NOT_COUNTED, DisputeOutcome.MISMATCH, DisputeOutcome.NOT_STATED,
})  # fmt: skip
"""The outcomes of a statement that does not fit, so that it is kept for persons."""


@dataclass(frozen=True, slots=True)
class DisputeResult:
    """The outcome of a statement, with the statement itself and the attempt of its order, as far as they are known."""

    outcome: DisputeOutcome
    report: channels.disputes.DisputeReport | None = None
    attempt: Attempt | None = None
    dispute: Dispute | None = None


class Disputes:
    """The life cycle of disputes for the API and the worker.

    Args:
        accounts: Gives ready channel adapters.
        resolve_attempt: Asks the channel about an attempt; the answer is recorded.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        recording: Recording,
        *,
        clock: Clock,
        resolve_attempt: Callable[[Attempt], Awaitable[object]],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock
        self._resolve_attempt = resolve_attempt
        self._recording = recording

    async def take(
        self, account_id: UUID, notification: Notification, source: Source = Source.NOTIFICATION
    ) -> DisputeResult:
        """Record a verified message about a dispute; where it only names one, what the channel answers about that.

        Repeat:
            A dispute is one, under the channel's number of it; a message that is not newer changes nothing.

        Errors:
            Unavailable: the channel gives no proven answer where it has to be asked; it repeats its message.
        """
        channel = await self._accounts.get(account_id)
        report, asked_at = notification.dispute, self._clock.now()
        if report is None or report.changed_at is None:
            # A message without a time proves no order among messages.
            answer = await self._ask(channel, notification.number if report is None else report.dispute_no)
            report = answer or report
        if report is None:
            return self._counted(source, DisputeResult(DisputeOutcome.NOT_STATED))
        attempt = await self._order(account_id, report)
        if attempt is None:
            return self._counted(source, DisputeResult(DisputeOutcome.NO_ORDER, report))
        stated_at = report.changed_at or asked_at
        if await self._overturns(account_id, report, stated_at):
            asked_at = self._clock.now()
            answer = await self._ask(channel, report.dispute_no)
            report, source = answer or report, Source.QUERY if answer else source
            stated_at = report.changed_at or asked_at
        statement = DisputeStatement(
            attempt.attempt_id,
            report,
            stated_at,
            source,
            is_asked=channel.capabilities.disputes is not None,
            replay_key=notification.replay_key,
        )
        return self._counted(source, await self._record(statement, attempt))

    async def is_known(
        self, account_id: UUID, dispute_no: str, attempt_id: UUID | None, channel_order_no: str | None
    ) -> bool:
        """Tell whether a dispute that did not fit is recorded by now, or its order known, so that it may fit."""
        async with self._database.transaction() as tx:
            if await find_by_number(tx, account_id, dispute_no) is not None:
                return True
            if attempt_id is None and channel_order_no is None:
                return False
            order = await find_order(tx, account_id, attempt_id=attempt_id, channel_order_no=channel_order_no)
            return order is not None and order.state is AttemptState.SUCCEEDED and not order.surplus

    async def _record(self, statement: DisputeStatement, attempt: Attempt) -> DisputeResult:
        now = self._clock.now()
        outcome, dispute = await self._database.run(
            lambda tx: record_statement(tx, statement, self._recording, now=now)
        )
        if dispute is not None and outcome in (DisputeOutcome.OPENED, DisputeOutcome.CHANGED):
            _log.warning(
                "dispute_recorded",
                dispute=ids.encode(PREFIX, dispute.dispute_id),
                payment=ids.encode("pay", dispute.payment_id),
                state=dispute.state.value,
                taken_minor=dispute.taken_minor,
                uncovered_minor=dispute.cost_minor - dispute.held_minor,
            )
        return DisputeResult(outcome, statement.report, attempt, dispute)

    async def _ask(self, channel: channels.Channel, dispute_no: str) -> channels.disputes.DisputeReport | None:
        """Return what the channel answers now about a dispute; None if it has no interface for that.

        Errors:
            Unavailable: no proven answer.
        """
        try:
            report = await channel.query_dispute(dispute_no, now=self._clock.now())
        except channels.NotOffered:
            return None
        if report is None:
            raise Unavailable("the channel gives no proven answer now about the dispute")
        return report

    async def _order(self, account_id: UUID, report: channels.disputes.DisputeReport) -> Attempt | None:
        """Return the attempt of a disputed order; asked about first, if it has not succeeded here yet."""
        async with self._database.transaction() as tx:
            known = await find_by_number(tx, account_id, report.dispute_no)
            attempt_id = _attempt_id(report.order_no) if known is None else known[1]
            number = report.channel_order_no
            attempt = None
            if attempt_id is not None or number is not None:
                attempt = await find_order(tx, account_id, attempt_id=attempt_id, channel_order_no=number)
        if attempt is not None and attempt.state is not AttemptState.SUCCEEDED:
            await self._resolve_attempt(attempt)
        return attempt

    async def _overturns(self, account_id: UUID, report: channels.disputes.DisputeReport, stated_at: datetime) -> bool:
        """Tell whether a statement contradicts a recorded end."""
        async with self._database.transaction() as tx:
            known = await find_by_number(tx, account_id, report.dispute_no)
            found = {} if known is None else await find_disputes(tx, [known[0]])
        return any(
            dispute.state in channels.disputes.FINAL_DISPUTE_STATES
            and report.state is not dispute.state
            and report.state not in DISPUTE_TRANSITIONS[dispute.state]
            and is_newer(dispute, report, stated_at)
            for dispute in found.values()
        )

    async def cover(self) -> int:
        """Hold from merchants what their balance did not cover before; return for how many disputes."""
        async with self._database.transaction() as tx:
            uncovered = [row["id"] for row in await sql.uncovered_disputes.fetch(tx, _COVERED_AT_ONCE)]
        now, covered = self._clock.now(), 0
        for dispute_id in uncovered:
            covered += await self._database.run(partial(self._cover, dispute_id=dispute_id, now=now))
        _UNCOVERED.set(len(uncovered) - covered)
        return covered

    async def _cover(self, tx: db.Tx, *, dispute_id: UUID, now: datetime) -> bool:
        for _, dispute in (await lock_disputes(tx, [dispute_id])).values():
            await book_difference(tx, dispute, position_of(dispute), base=self._recording.new_id(), now=now)
            await save_dispute(tx, dispute)
            return dispute.held_minor == dispute.cost_minor
        return False

    def _counted(self, source: Source, result: DisputeResult) -> DisputeResult:
        _STATEMENTS.labels(source.value, result.outcome.value).inc()
        return result


def _attempt_id(order_no: str | None) -> UUID | None:
    try:
        return None if order_no is None else ids.decode("att", order_no)
    except NotFound:
        return None
