"""Watching disputes: open ones are asked about, lost messages are made up for, and merchants are reminded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from prometheus_client import Gauge

from hutong import channels, db, ids
from hutong.channels import About, ChannelAnswer, ChannelState, Notification
from hutong.clock import Clock
from hutong.errors import HutongError
from hutong.payments.disputes.model import PREFIX, QUERY_WHEN_DUE, REMINDERS, DisputeEventType, DisputeState
from hutong.payments.disputes.record import DisputeOutcome, Recording
from hutong.payments.disputes.store import find_disputes, lock_disputes, save_dispute
from hutong.payments.model import PaymentEvent, Source
from hutong.payments.polling import Poller
from hutong.payments.statements import sql
from hutong.payments.store import write_timeline
from hutong.payments.timeline import TimelineEntry
from hutong.telemetry import get_logger

if TYPE_CHECKING:
    from hutong.payments.lifecycle import Payments

_log = get_logger(__name__)
_OPEN = Gauge("hutong_disputes_open", "Disputes that have not ended, by state.", ["state"])
_OVERDUE = Gauge("hutong_disputes_overdue", "Disputes whose time to answer has passed without an answer.")

_LIST_LIMIT_S = 60.0
"""How long one account may take to list its disputes, before the next hour."""
_REMINDED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class _Due:
    """A dispute that is due for a question to this account."""

    dispute_id: UUID
    account_id: UUID


class DisputeWatch:
    """The repeated work of disputes, each account apart from the others.

    Args:
        lifecycle: Records what channels answer.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        lifecycle: Payments,
        recording: Recording,
        *,
        clock: Clock,
        sandbox: bool,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._lifecycle = lifecycle
        self._recording = recording
        self._clock = clock
        self._sandbox = sandbox
        self._poller: Poller[_Due] = Poller(
            database,
            clock=clock,
            claim=_claim_due,
            resolve=self._resolve,
            wake=sql.wake_disputes,
            account=lambda due: due.account_id,
            describe=lambda due: {"dispute": ids.encode(PREFIX, due.dispute_id)},
        )

    async def sweep(self, *, patience_s: float | None = None) -> int:
        """Ask about the disputes that are due, and send what waits; return how many. While catching up nothing is sent.

        Args:
            patience_s: As for `Poller.poll`.
        """
        if self._database.catching_up_since is not None:
            return 0  # a response that the database has lost may have been sent
        return await self._poller.poll(patience_s=patience_s)

    async def _resolve(self, due: _Due) -> bool | None:
        """Bring on one dispute: send the merchant's response, and ask how it goes on.

        Returns:
            Whether its channel answered; None if it was not asked.
        """
        sent = await self._lifecycle.responses.send(due.dispute_id)
        async with self._database.transaction() as tx:
            dispute = (await find_disputes(tx, [due.dispute_id]))[due.dispute_id]
        now = self._clock.now()
        following = now + QUERY_WHEN_DUE if sent is False and not dispute.is_final else dispute.next_query(now)
        await self._database.run(lambda tx: sql.postpone_dispute.execute(tx, due.dispute_id, following))
        if sent is False or following is None:
            return sent
        return await self._ask(due.account_id, Notification(dispute.dispute_no, _NOTHING, About.DISPUTE))

    async def _ask(self, account_id: UUID, notification: Notification) -> bool:
        try:
            await self._lifecycle.notifications.take_dispute(account_id, notification, source=Source.QUERY)
        except HutongError as error:
            _log.info("dispute_not_answered", dispute=notification.number, reason=error.code)
            return False
        return True

    async def find_lost(self) -> int:
        """List each account's disputes of yesterday and today; return how many were not known. Not while catching up:
        the orders may not be known yet.

        An account that does not answer, or hangs, keeps none of the others waiting beyond its own limit.
        """
        if self._database.catching_up_since is not None:
            return 0
        offers = [offer for offer in await self._accounts.offers() if offer.capabilities.disputes is not None]
        own = [offer for offer in offers if offer.sandbox is self._sandbox]
        return sum(await asyncio.gather(*(self._find_lost_of(offer) for offer in own)))

    async def _find_lost_of(self, offer: channels.Offer) -> int:
        account = ids.encode("acc", offer.account_id)
        try:
            async with asyncio.timeout(_LIST_LIMIT_S):
                return await self._take_listed(offer)
        except (HutongError, TimeoutError) as error:
            _log.warning("disputes_not_listed", account=account, reason=getattr(error, "code", "timeout"))
        except Exception as error:  # noqa: BLE001 - one account's trouble must not stop others; it is listed again
            _log.warning("disputes_not_listed", account=account, reason=repr(error))
        return 0

    async def _take_listed(self, offer: channels.Offer) -> int:
        channel, now = await self._accounts.get(offer.account_id), self._clock.now()
        today = offer.capabilities.day_of(now)
        found = 0
        for day in (today - timedelta(days=1), today):
            try:
                reports = await channel.list_disputes(day, now=now)
            except channels.NotOffered:
                return 0
            if reports is None:
                _log.warning("disputes_not_listed", account=ids.encode("acc", offer.account_id), day=day.isoformat())
                continue
            for report in reports:
                listed = Notification(report.dispute_no, _NOTHING, About.DISPUTE, dispute=report)
                take = self._lifecycle.notifications.take_dispute
                outcome = await take(offer.account_id, listed, source=Source.QUERY)
                found += outcome is DisputeOutcome.OPENED
        return found

    async def remind(self) -> int:
        """Remind merchants of disputes that need an answer soon or needed it; return how many reminders were sent.

        Effects:
            One event, entry and line of the log for each reminder, once; sets the gauges of open disputes.
        """
        now = self._clock.now()
        instants = [now + before for before in REMINDERS]
        async with self._database.transaction() as tx:
            due = [row["id"] for row in await sql.disputes_to_remind.fetch(tx, instants, _REMINDED_AT_ONCE)]
            counts = {row["state"]: row for row in await sql.count_open_disputes.fetch(tx, now)}
        for state in (DisputeState.NEEDS_RESPONSE, DisputeState.UNDER_REVIEW):
            _OPEN.labels(state.value).set(counts[state]["count"] if state in counts else 0)
        _OVERDUE.set(sum(row["overdue"] for row in counts.values()))
        sent = 0
        for dispute_id in due:
            sent += await self._database.run(partial(self._remind, dispute_id=dispute_id, now=now))
        return sent

    async def _remind(self, tx: db.Tx, *, dispute_id: UUID, now: datetime) -> bool:
        payment, dispute = (await lock_disputes(tx, [dispute_id]))[dispute_id]
        passed = sum(dispute.due_at is not None and dispute.due_at - now <= before for before in REMINDERS)
        if dispute.state is not DisputeState.NEEDS_RESPONSE or dispute.reminders >= passed:
            return False
        # One that is seen late is reminded of once, of the nearest time.
        dispute.reminders = passed
        is_over = passed == len(REMINDERS)
        event = DisputeEventType.OVERDUE if is_over else DisputeEventType.DUE_SOON
        await save_dispute(tx, dispute)
        await write_timeline(tx, [TimelineEntry(payment.payment_id, event.value, dispute.attempt_id)], now=now)
        happened = [PaymentEvent(event, payment, dispute=dispute)]
        await self._recording.documents.emit(tx, happened, new_id=self._recording.new_id, now=now)
        about = {
            "dispute": ids.encode(PREFIX, dispute.dispute_id),
            "payment": ids.encode("pay", payment.payment_id),
            "due_at": None if dispute.due_at is None else dispute.due_at.isoformat(),
        }
        if is_over:
            _log.error("dispute_overdue", **about)
        else:
            _log.warning("dispute_due_soon", **about)
        return True


_NOTHING = ChannelAnswer(ChannelState.UNKNOWN)


async def _claim_due(tx: db.Tx, now: datetime, until: datetime, limit: int, without: Sequence[UUID]) -> list[_Due]:
    rows = await sql.claim_due_disputes.fetch(tx, now, until, limit, without)
    return [_Due(row["id"], row["account_id"]) for row in rows]
