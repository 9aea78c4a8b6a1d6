"""The life of refunds: reserve the money, commit, call the channel, record the outcome.

A refund whose process dies between two steps is found again by the poller, since the intent says when it is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from prometheus_client import Counter

from hutong import channels, db, idempotency, ids
from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import Clock
from hutong.errors import InvalidParameter, NotFound, Unavailable
from hutong.payments.channel_calls import ChannelCalls
from hutong.payments.channel_reports import ChannelReport, Recorded, RecordOutcome, ReportQueue
from hutong.payments.exception_items import Seal
from hutong.payments.model import Attempt, Payment, Source
from hutong.payments.polling import Poller
from hutong.payments.refunds.channel_answers import overturns
from hutong.payments.refunds.create import NewRefund, RefundOutcome, RefundRefusal, RefundResult
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod, RefundState, read_number
from hutong.payments.refunds.payee import payout_account, seal_payee
from hutong.payments.refunds.portal import PortalRefunds
from hutong.payments.refunds.transactions import PlaceRefund, RefundTransactions
from hutong.payments.statements import sql
from hutong.payments.store import find, find_portal_refund, find_refunds
from hutong.telemetry import get_logger
from hutong.vault import Vault

_log = get_logger(__name__)
_ANSWERS = Counter("hutong_refund_answers_total", "Answers of channels about refunds.", ["channel", "source", "state"])
_REFUSED = Counter(
    "hutong_surplus_refunds_refused_total", "Refusals of refunds of surplus money, by channel.", ["channel"]
)
_LATE = Counter(
    "hutong_late_refunds_total", "Refunds that succeeded by a method that was proven to have failed.", ["channel"]
)
_RETURNED = Counter(
    "hutong_refunds_failed_after_success_total", "Refunds that failed after they had succeeded.", ["channel"]
)


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A merchant's refund request as the edge takes it.

    Attributes:
        payee: The payee of a payout if the original method fails, by the names in `Capabilities.payee_requires`.
        adopted: As `Refund.adopted`.
    """

    merchant_refund_no: str
    amount_minor: int | None
    reason: str
    returns_fee: bool = False
    payee: Mapping[str, str] | None = None
    items: tuple[tuple[str, int], ...] = ()
    adopted: bool = False


class Refunds:
    """The life cycle of refunds for the API and the worker.

    Args:
        accounts: Gives ready channel adapters.
        queue_limit: The most commands that may wait for a batch.
        vault: Seals payees; without one there are no payouts.
        resolve_attempt: Asks the channel about an attempt.

    Attributes:
        portal: Takes reports about refunds that were made in channels' portals.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        transactions: RefundTransactions,
        calls: ChannelCalls,
        *,
        clock: Clock,
        ids: ids.Ids,
        queue_limit: int,
        vault: Vault | None,
        resolve_attempt: Callable[[Attempt], Awaitable[object]],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._calls = calls
        self._clock = clock
        self._vault = vault
        self._ids = ids
        self.portal = PortalRefunds(
            database, accounts, transactions, calls, clock=clock, ids=ids, resolve_attempt=resolve_attempt,
            resolve_refund=self.resolve,
        )  # fmt: skip
        self._places: db.Coalescer[PlaceRefund, idempotency.OnceResult[RefundResult]] = db.Coalescer(
            transactions.place, name="place_refund", queue_limit=queue_limit
        )
        self._reports: ReportQueue[Refund] = ReportQueue(
            transactions.reports,
            kind="refund",
            prefix="ref",
            name="take_in_refund",
            counter=_ANSWERS,
            queue_limit=queue_limit,
        )
        self._poller: Poller[_Due] = Poller(
            database,
            clock=clock,
            claim=_claim_due,
            resolve=lambda due: self.resolve(due.refund_id),
            wake=sql.wake_refunds,
            account=lambda due: due.account_id,
            describe=_describe,
        )

    async def place(
        self, payment: Payment, order: RefundOrder, *, claim: idempotency.Claim | None = None
    ) -> RefundResult:
        """Refund a payment, in whole or in part.

        Repeat:
            The refund under the same number, with the same content, is returned; a repeated idempotency key gets the
            first answer.

        Errors:
            KeyReused, KeyInFlight; InvalidParameter: `payee` lacks something.
        """
        attempt = payment.counted_attempt
        if attempt is None:
            return RefundResult(RefundOutcome.REFUSED, refusal=RefundRefusal.NOT_REFUNDABLE)
        channel = await self._accounts.get(attempt.account_id)
        can = channel.capabilities
        refund_id = self._ids.derive("refund", payment.merchant_id, order.merchant_refund_no)
        new = NewRefund(
            refund_id=refund_id,
            hold_id=self._ids.new(),
            payment_id=payment.payment_id,
            merchant_id=payment.merchant_id,
            merchant_refund_no=order.merchant_refund_no,
            amount_minor=order.amount_minor,
            reason=order.reason,
            capabilities=can,
            returns_fee=order.returns_fee,
            payout_account_id=None if order.payee is None else payout_account(attempt, can, order.payee),
            payee_sealed=None if order.payee is None else seal_payee(self._vault, refund_id, order.payee),
            items=order.items,
            adopted=order.adopted,
        )
        async with idempotency.Release(self._database, claim, since=self._clock.now()) as key:
            placed = await self._places.submit(PlaceRefund(new, claim))
            result = placed.result
            if result is None:
                return RefundResult(RefundOutcome.ANSWERED, answer=placed.stored())
            key.is_claimed = True
            if result.outcome is not RefundOutcome.CREATED or result.refund is None or result.payment is None:
                return replace(result, answer=placed.answer)
            sent = await self._send(channel, result.payment, result.refund)
            report = _report(result.refund, sent, Source.SUBMISSION)
            recorded = await self._record(result.refund.channel, report, claim)
            return replace(result, refund=recorded.row, answer=recorded.answer)

    async def record_notification(
        self,
        channel: str,
        account_id: UUID,
        notification: channels.Notification,
        seal: Seal | None,
        source: Source,
    ) -> Recorded[Refund]:
        """Record a verified notification about a refund or its payout, or the answer to a query in its form.

        Errors:
            NotFound: the number is not one of ours, nor of a refund that was made in the portal and adopted.
            Unavailable: as `_confirmed`.
        """
        try:
            method, refund_id = read_number(notification.number)
        except NotFound:
            async with self._database.transaction() as tx:
                adopted = await find_portal_refund(tx, account_id, notification.number)
            if adopted is None:
                raise
            method, refund_id = RefundMethod.ORIGINAL, adopted
        answer, key = notification.answer, notification.replay_key
        report = ChannelReport(refund_id, account_id, answer, source, key, method, seal)
        confirmed = await self._confirmed(report)
        recorded = await self._record(channel, confirmed)
        if confirmed.asked_at is None and recorded.row is not None and overturns(recorded.row, report):
            # The refund has ended otherwise while this was recorded.
            recorded = await self._record(channel, await self._confirmed(replace(report, replay_key=None)))
        return recorded

    async def _confirmed(self, report: ChannelReport) -> ChannelReport:
        """Return a report; in place of one that contradicts the end of its refund, the channel's answer to a query.

        Messages arrive in any order and many times, so that only what the channel answers now can overturn an end.

        Errors:
            Unavailable: the channel gives no answer; it repeats its message.
        """
        async with self._database.transaction() as tx:
            refund = (await find_refunds(tx, [report.object_id])).get(report.object_id)
            if refund is None or not overturns(refund, report):
                return report
            payment = (await find(tx, [refund.payment_id]))[refund.payment_id]
        asked_at = self._clock.now()
        try:
            answer = await self._query(payment, refund, report.method)
        except (channels.NotOffered, InvalidParameter):
            return replace(report, asked_at=asked_at)  # it cannot be asked about this number
        about = {"refund": ids.encode("ref", refund.refund_id), "reported": report.answer.state.value}
        if answer.state is ChannelState.UNKNOWN:
            _log.warning("refund_report_in_doubt", **about)
            raise Unavailable("the channel does not confirm now how the refund has ended")
        if answer.state is not report.answer.state:
            _log.warning("refund_report_outdated", **about, answered=answer.state.value)
        return replace(report, answer=answer, source=Source.QUERY, asked_at=asked_at)

    async def _query(self, payment: Payment, refund: Refund, method: RefundMethod | None) -> ChannelAnswer:
        """Return what the channel answers now about a refund by one of its methods."""
        if method is RefundMethod.PAYOUT:
            return await self._calls.query_payout(replace(refund, route=method))
        asked = refund if method in (None, refund.route) else replace(refund, route=method, channel_refund_no=None)
        return await self._calls.query_refund(await self._accounts.get(refund.account_id), payment, asked)

    async def sweep(self, *, patience_s: float | None = None) -> int:
        """Send or query the refunds that are due; return how many there were. `patience_s` as for `Poller.poll`."""
        return await self._poller.poll(patience_s=patience_s)

    async def resolve(self, refund_id: UUID) -> bool | None:
        """Bring on one refund that is open at its channel: send it, or query it.

        Returns:
            Whether its channel answered; None if it was not asked, or only while catching up.
        """
        async with self._database.transaction() as tx:
            refund = (await find_refunds(tx, [refund_id]))[refund_id]
            payment = (await find(tx, [refund.payment_id]))[refund.payment_id]
        if refund.next_query_at is None:
            return None
        if self._database.predates_restore(refund.created_at):
            await self._ask(payment, refund)
            return None
        if refund.state is RefundState.PAYOUT:
            return await self._pay_out(payment, refund)
        channel = await self._accounts.get(refund.account_id)
        is_sent = refund.state is not RefundState.HELD
        answer = await self._calls.query_refund(channel, payment, refund) if is_sent else None
        source = Source.QUERY
        if answer is None or answer.state is ChannelState.NOT_FOUND:
            # Sending the same number again is safe, and the only way on for a refund that the channel does not know.
            answer, source = await self._send(channel, payment, refund), Source.SUBMISSION
        await self._record(refund.channel, _report(refund, answer, source))
        return answer.state is not ChannelState.UNKNOWN

    async def _send(self, channel: channels.Channel, payment: Payment, refund: Refund) -> ChannelAnswer:
        """Send a refund. While catching up after a restore the channel is asked first: it may have made it already."""
        if self._database.catching_up_since is not None:
            known = await self._known(channel, payment, refund)
            if known.state is not ChannelState.NOT_FOUND:
                return known
        return await self._calls.refund(channel, payment, refund)

    async def _ask(self, payment: Payment, refund: Refund) -> None:
        """Ask about a refund from before a restore; only what the channel knows is recorded, and nothing is sent."""
        if refund.state is RefundState.PAYOUT:
            known = await self._calls.query_payout(refund)
        else:
            try:
                known = await self._calls.query_refund(await self._accounts.get(refund.account_id), payment, refund)
            except channels.NotOffered:
                return  # it stays without an answer, for a person to decide
        if known.state is ChannelState.UNKNOWN:
            return
        if known.state is not ChannelState.NOT_FOUND:
            await self._record(refund.channel, _report(refund, known, Source.QUERY))
        now = self._clock.now()
        await self._database.run(lambda tx: sql.mark_refund_answered.execute(tx, refund.refund_id, now))

    async def _known(self, channel: channels.Channel, payment: Payment, refund: Refund) -> ChannelAnswer:
        """Return what the channel knows of a refund; NOT_FOUND where it cannot be asked."""
        try:
            return await self._calls.query_refund(channel, payment, refund)
        except channels.NotOffered:
            return ChannelAnswer(ChannelState.NOT_FOUND)

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await self._poller.stop()
        await asyncio.gather(self._places.close(), self._reports.close())

    async def _pay_out(self, payment: Payment, refund: Refund) -> bool:
        """Query a payout; send it where the channel has none, once the original method is proven to have failed."""
        answer = await self._calls.query_payout(refund)
        if answer.state is ChannelState.NOT_FOUND:
            original = await self._query_original(payment, refund)
            if original is ChannelState.SUCCEEDED:
                answer = ChannelAnswer(ChannelState.FAILED, channel_code="original_succeeded")
            elif original in (ChannelState.UNKNOWN, ChannelState.PENDING):
                answer = ChannelAnswer(ChannelState.UNKNOWN, channel_code="original_in_doubt")
            else:
                answer = await self._calls.payout(refund)
        await self._record(refund.channel, _report(refund, answer, Source.QUERY))
        return answer.state is not ChannelState.UNKNOWN

    async def _query_original(self, payment: Payment, refund: Refund) -> ChannelState:
        """Return what the channel answers now about the method that had failed; a success is recorded as late."""
        original, asked_at = replace(refund, route=RefundMethod.ORIGINAL), self._clock.now()
        try:
            answer = await self._query(payment, refund, RefundMethod.ORIGINAL)
        except channels.NotOffered:
            return ChannelState.FAILED
        if answer.state is ChannelState.SUCCEEDED:
            report = _report(original, answer, Source.QUERY)
            await self._record(refund.channel, replace(report, asked_at=asked_at))
        return answer.state

    async def _record(
        self, channel: str, report: ChannelReport, claim: idempotency.Claim | None = None
    ) -> Recorded[Refund]:
        recorded = await self._reports.submit(channel, report, claim=claim)
        refund, state = recorded.row, report.answer.state
        if refund is None or recorded.outcome is not RecordOutcome.APPLIED:
            return recorded
        about = {"refund": ids.encode("ref", refund.refund_id), "state": refund.state.value}
        if state in (ChannelState.FAILED, ChannelState.CLOSED) and refund.kind is RefundKind.SURPLUS:
            _REFUSED.labels(refund.channel).inc()
            _log.error("surplus_refund_refused", **about, refusals=refund.tries)
        elif state is ChannelState.SUCCEEDED and refund.late_success_at:
            _LATE.labels(refund.channel).inc()
            _log.error("refund_succeeded_late", **about, route=str(report.method))
        elif refund.state is RefundState.FAILED and refund.late_failure_at == refund.finished_at:
            _RETURNED.labels(refund.channel).inc()
            _log.error("refund_failed_after_success", **about, route=refund.route.value)
        return recorded


def _report(refund: Refund, answer: ChannelAnswer, source: Source) -> ChannelReport:
    payout_account_id = refund.payout_account_id if refund.route is RefundMethod.PAYOUT else None
    account_id = payout_account_id or refund.account_id
    return ChannelReport(refund.refund_id, account_id, answer, source, method=refund.route)


@dataclass(frozen=True, slots=True)
class _Due:
    """A refund that is due for a call to this account."""

    refund_id: UUID
    account_id: UUID


async def _claim_due(tx: db.Tx, now: datetime, until: datetime, limit: int, without: Sequence[UUID]) -> list[_Due]:
    rows = await sql.claim_due_refunds.fetch(tx, now, until, limit, without)
    return [_Due(row["id"], row["account_id"]) for row in rows]


def _describe(due: _Due) -> dict[str, str]:
    return {"refund": ids.encode("ref", due.refund_id)}
