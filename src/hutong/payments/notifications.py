"""Taking channels' notifications: verified, recorded and committed, and only then accepted."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import About, ChannelState
from hutong.clock import Clock
from hutong.errors import HutongError, NotFound, Unavailable
from hutong.payments import errors
from hutong.payments.channel_reports import RecordOutcome
from hutong.payments.disputes.lifecycle import KEPT, DisputeResult, Disputes
from hutong.payments.disputes.record import DisputeOutcome
from hutong.payments.exception_items import (
    NUMBER_MAX,
    ExceptionKind,
    ExceptionStatus,
    NewException,
    PaymentException,
    Seal,
    exception_of,
    seal_message,
)
from hutong.payments.exception_store import keep_exceptions, list_exceptions, mark_decided
from hutong.payments.model import Source
from hutong.payments.refunds.portal import SETTLED, SUM_OF_REFUNDS, PortalOutcome, PortalRefunds
from hutong.payments.unknown_numbers import UnknownReport, keep_unknown_number, owners_of
from hutong.telemetry import get_logger
from hutong.vault import Vault

_log = get_logger(__name__)

_PAGE = 100

RecordNotification = Callable[..., Awaitable[RecordOutcome]]
"""Records a notification of a channel for an account: `Payments.record_notification`."""


class Notifications:
    """Takes the notifications of all channels.

    Whatever is proven to be the channel's own and does not fit is kept as an exception, and accepted then: the channel
    has done its part, and persons decide.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        record: RecordNotification,
        portal: PortalRefunds,
        disputes: Disputes,
        *,
        clock: Clock,
        ids: ids.Ids,
        vault: Vault | None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._record = record
        self._portal = portal
        self._disputes = disputes
        self._clock = clock
        self._ids = ids
        self._vault = vault

    async def take(self, account_id: UUID, headers: Mapping[str, str], body: bytes) -> channels.HttpAnswer:
        """Take a channel's notification: verify, record and commit it, and only then accept it.

        Repeat:
            A notification repeated by the channel changes nothing and is accepted; the same bytes again are refused
            where the channel signs each repetition separately.

        While catching up after a restore, a report about an unknown number of ours is kept for its adoption.

        Errors:
            NotificationRefused, NotificationReplayed; NotFound: no such account. Unavailable: it contradicts the end of
                a refund, or is about a refund in the portal, and the channel does not confirm it now; or it only
                names its subject, which cannot be fetched now.
        """
        channel = await self._accounts.get(account_id)
        try:
            notification = await self._parse(channel, headers, body)
        except channels.NotificationRefused as refused:
            if not refused.is_unreadable:
                raise
            seal = self._seal(account_id, "", headers, body)
            await self._keep(self._unreadable(account_id, refused.reason, body), seal)
            return channel.acceptance
        if notification.about is About.NOTHING:
            # Such as a coupon: genuine, and about nothing that is kept here.
            _log.info("notification_set_aside", account_id=str(account_id), code=notification.answer.channel_code)
            return channel.acceptance
        number = notification.number[:NUMBER_MAX]
        seal = self._seal(account_id, number, headers, body)
        if notification.about is About.DISPUTE:
            await self.take_dispute(account_id, notification, seal)
            return channel.acceptance
        try:
            outcome = await self._record(channel.capabilities.channel, account_id, notification, seal)
        except NotFound:
            outcome = None  # a number, but none of ours
        if outcome is RecordOutcome.REPLAYED:
            raise errors.NotificationReplayed("the same notification was taken before")
        if outcome is RecordOutcome.NOT_FOUND and self._database.catching_up_since is not None:
            unknown = UnknownReport(account_id, notification, headers, body)
            await keep_unknown_number(self._database, self._vault, unknown, now=self._clock.now())
        elif outcome is None and notification.about is About.REFUND:
            await self.take_portal(account_id, notification, seal)
        elif outcome in (None, RecordOutcome.NOT_FOUND):
            await self._keep(await self._misplaced(account_id, notification), seal)
        elif notification.refunded_minor is not None and notification.about is About.PAYMENT:
            await self.take_portal(account_id, _sum_of_refunds(notification), seal)
        return channel.acceptance

    async def take_dispute(
        self,
        account_id: UUID,
        notification: channels.Notification,
        seal: Seal | None = None,
        source: Source = Source.NOTIFICATION,
    ) -> DisputeOutcome:
        """Record what is stated of a dispute; what does not fit an order is kept, and tried again.

        Errors:
            NotificationReplayed. Unavailable: as `Disputes.take`.
        """
        result = await self._disputes.take(account_id, notification, source)
        if result.outcome is DisputeOutcome.REPLAYED:
            raise errors.NotificationReplayed("the same notification was taken before")
        if result.outcome in KEPT:
            await self._keep(self._unfitting_dispute(account_id, notification, result, source), seal)
        return result.outcome

    async def take_portal(
        self,
        account_id: UUID,
        notification: channels.Notification,
        seal: Seal | None = None,
        source: Source = Source.NOTIFICATION,
    ) -> PortalOutcome:
        """Adopt a refund with a number that is not ours; what cannot be adopted now is kept, and tried again.

        Errors:
            Unavailable: as `PortalRefunds.take`.
        """
        state = notification.answer.state
        if state is not ChannelState.SUCCEEDED:
            # No money has gone back; a failure of a refund that is known here was recorded before.
            _log.info("notification_set_aside", account_id=ids.encode("acc", account_id), code=state.value)
            return PortalOutcome.NOTHING_MOVED
        result = await self._portal.take(account_id, notification, source)
        if result.outcome in SETTLED:
            return result.outcome
        kept = await self._misplaced(account_id, notification)
        if result.attempt is not None:
            kept = replace(
                kept,
                amount_minor=notification.answer.amount_minor or notification.refunded_minor,
                payment_id=result.attempt.payment_id,
                attempt_id=result.attempt.attempt_id,
                reason=result.outcome.value,
                source=source,
            )
        await self._keep(kept, seal)
        return result.outcome

    async def _parse(self, channel: channels.Channel, headers: Mapping[str, str], body: bytes) -> channels.Notification:
        """Verify and read; again if a key that it names could be fetched, and whole if it only names its subject.

        Errors:
            NotificationRefused: as `Channel.parse_notification`. Unavailable: the subject cannot be fetched now.
        """
        now = self._clock.now()
        try:
            notification = channel.parse_notification(headers, body, now=now)
        except channels.NotificationRefused as refused:
            if refused.reason != "unknown_key" or not await channel.fetch_named_key(headers, body, now=now):
                raise
            notification = channel.parse_notification(headers, body, now=now)
        if not notification.is_named_only:
            return notification
        completed = await channel.complete_notification(notification, now=now)
        if completed is None:
            raise Unavailable("the channel does not answer now about what its message names")
        return completed

    async def match_known(self) -> int:
        """Record what was kept about numbers that have become known since; return how many there were.

        A server that took over without the last commits of another one receives them again, by merchants and channels.
        """
        matched, after = 0, None
        while True:
            async with self._database.transaction() as tx:
                unknown = ExceptionKind.UNKNOWN_NUMBER
                page = await list_exceptions(tx, before=after, status=ExceptionStatus.OPEN, kind=unknown, limit=_PAGE)
                ours = [(item.number, item.about) for item in page if item.about is not About.DISPUTE]
                known = await owners_of(tx, ours)
            for item in page:
                if item.about is About.DISPUTE:
                    matched += await self._match_dispute(item)
                elif item.about is About.REFUND and item.attempt_id is not None:
                    matched += await self._match_portal(item)
                else:
                    matched += item.number in known and await self._match(item)
            if len(page) < _PAGE:
                return matched
            after = page[-1].exception_id

    async def _match(self, item: PaymentException) -> bool:
        channel = (await self._accounts.get(item.account_id)).capabilities.channel
        answer = channels.ChannelAnswer(
            item.state,
            amount_minor=item.amount_minor,
            currency=item.currency,
            channel_order_no=item.channel_order_no,
            happened_at=item.happened_at,
            sums=item.sums,
        )
        outcome = await self._record(channel, item.account_id, channels.Notification(item.number, answer, item.about))
        if outcome is RecordOutcome.NOT_FOUND:
            return False  # it is another account's, for persons to decide
        await self._mark_matched(item, "the number is known by now")
        return True

    async def _match_portal(self, item: PaymentException) -> bool:
        """Adopt a refund that was made in the portal and that did not fit when it was reported."""
        answer = channels.ChannelAnswer(
            item.state, currency=item.currency, channel_order_no=item.channel_order_no, happened_at=item.happened_at
        )
        assert item.attempt_id is not None
        order_no, is_sum = ids.encode("att", item.attempt_id), item.number.endswith(SUM_OF_REFUNDS)
        notification = channels.Notification(
            item.number,
            answer if is_sum else replace(answer, amount_minor=item.amount_minor),
            About.REFUND,
            order_no=order_no,
            refunded_minor=item.amount_minor if is_sum else None,
        )
        try:
            result = await self._portal.take(item.account_id, notification, Source.NOTIFICATION)
        except HutongError as error:
            _log.warning("portal_refund_waits", number=item.number, reason=error.code)
            return False
        if result.outcome in SETTLED:
            await self._mark_matched(item, "the refund is known by now")
        return result.outcome in SETTLED

    async def _match_dispute(self, item: PaymentException) -> bool:
        """Record a dispute whose order has become known since; the channel is asked about it."""
        if not await self._disputes.is_known(item.account_id, item.number, item.attempt_id, item.channel_order_no):
            return False
        notification = channels.Notification(item.number, channels.ChannelAnswer(item.state), About.DISPUTE)
        try:
            result = await self._disputes.take(item.account_id, notification, Source.QUERY)
        except HutongError as error:
            _log.warning("dispute_waits", number=item.number, reason=error.code)
            return False
        if result.outcome not in KEPT:
            await self._mark_matched(item, "the dispute is known by now")
        return result.outcome not in KEPT

    async def _mark_matched(self, item: PaymentException, reason: str) -> None:
        now, status = self._clock.now(), ExceptionStatus.MATCHED
        decide = partial(mark_decided, status=status, by="hutong", reason=reason, now=now)
        await self._database.run(lambda tx: decide(tx, item.exception_id))

    def _unreadable(self, account_id: UUID, reason: str, body: bytes) -> NewException:
        return NewException(
            exception_id=self._ids.new(),
            account_id=account_id,
            kind=ExceptionKind.UNREADABLE,
            about=About.NOTHING,
            number="",
            source=Source.NOTIFICATION,
            state=ChannelState.UNKNOWN,
            digest=hashlib.sha256(body).digest(),
            reason=reason,
        )

    def _unfitting_dispute(
        self, account_id: UUID, notification: channels.Notification, result: DisputeResult, source: Source
    ) -> NewException:
        """Return the exception of a dispute whose order is none of ours, or does not fit it."""
        report, attempt = result.report, result.attempt
        answer = channels.ChannelAnswer(ChannelState.UNKNOWN)
        if report is not None:
            answer = replace(
                answer,
                amount_minor=report.amount_minor,
                currency=report.currency,
                channel_order_no=report.channel_order_no,
                happened_at=report.changed_at,
            )
        new = exception_of(
            answer,
            ExceptionKind.UNKNOWN_NUMBER,
            exception_id=self._ids.new(),
            account_id=account_id,
            about=About.DISPUTE,
            number=notification.number if report is None else report.dispute_no,
            source=source,
            payment_id=None if attempt is None else attempt.payment_id,
            attempt_id=None if attempt is None else attempt.attempt_id,
        )
        return replace(new, reason=result.outcome.value)

    async def _misplaced(self, account_id: UUID, notification: channels.Notification) -> NewException:
        """Return the exception of a number that is unknown, or of another account's order."""
        about = notification.about
        async with self._database.transaction() as tx:
            owner = (await owners_of(tx, [(notification.number, about)])).get(notification.number)
        kind = ExceptionKind.UNKNOWN_NUMBER if owner is None else ExceptionKind.OTHER_ACCOUNT
        return exception_of(
            notification.answer,
            kind,
            exception_id=self._ids.new(),
            account_id=account_id,
            about=about,
            number=notification.number,
            source=Source.NOTIFICATION,
            payment_id=None if owner is None else owner.payment_id,
            attempt_id=None if owner is None or about is not About.PAYMENT else owner.object_id,
            refund_id=None if owner is None or about is About.PAYMENT else owner.object_id,
        )

    def _seal(self, account_id: UUID, number: str, headers: Mapping[str, str], body: bytes) -> Seal | None:
        """Return what seals a message as evidence; None in a process without a key, which keeps figures alone."""
        if self._vault is None:
            return None
        return partial(seal_message, self._vault, account_id, number, headers, body)

    async def _keep(self, news: NewException, seal: Seal | None) -> None:
        sealed, now = replace(news, message=seal and seal()), self._clock.now()
        await self._database.run(lambda tx: keep_exceptions(tx, [sealed], now=now))


def _sum_of_refunds(notification: channels.Notification) -> channels.Notification:
    """Return a payment's notification as one about its refunds, of which it states only the sum."""
    reported = notification.answer
    answer = channels.ChannelAnswer(
        ChannelState.SUCCEEDED, currency=reported.currency, channel_order_no=reported.channel_order_no
    )
    number = f"{notification.number}:{notification.refunded_minor}{SUM_OF_REFUNDS}"
    return replace(notification, number=number, answer=answer, about=About.REFUND, order_no=notification.number)
