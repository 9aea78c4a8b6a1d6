"""The calls to channels about attempts and refunds whose intents are committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from hutong import channels, ids
from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import Clock
from hutong.errors import InvalidParameter
from hutong.payments.model import Attempt, CaptureMethod, Payment
from hutong.payments.refunds.model import Refund, RefundMethod
from hutong.payments.refunds.payee import payout_request
from hutong.vault import Vault


class ChannelCalls:
    """Builds requests from rows and sends them. A repeated call is identical, and no call writes anything.

    Args:
        accounts: Gives ready channel adapters.
        public_url: The address under which channels reach this installation.
        checkout_url: Gives the address of a payment's cashier page.
        vault: Opens sealed payees; without one nothing is paid out.
    """

    def __init__(
        self,
        accounts: channels.Accounts,
        *,
        clock: Clock,
        public_url: str,
        checkout_url: Callable[[Payment], str],
        vault: Vault | None,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._checkout_url = checkout_url
        self._vault = vault

    async def pay(self, payment: Payment, attempt: Attempt, payer: Mapping[str, str]) -> ChannelAnswer:
        """Place an attempt's order, for the first time or again."""
        channel = await self._accounts.get(attempt.account_id)
        request = channels.PayRequest(
            attempt_no=ids.encode("att", attempt.attempt_id),
            method=attempt.method,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            subject=payment.subject,
            expires_at=attempt.expires_at or _channel_expiry(payment, attempt, channel.capabilities),
            notify_url=attempt.notify_url or notify_url(self._public_url, attempt.account_id),
            return_url=attempt.return_url or self._checkout_url(payment),
            payer=payer,
            capture=payment.capture_method is CaptureMethod.AUTOMATIC,
            placed_at=attempt.created_at,
        )
        return await channel.pay(request, now=self._clock.now())

    async def query(self, payment: Payment, attempt: Attempt) -> ChannelAnswer:
        """Query the state of an attempt's order."""
        channel = await self._accounts.get(attempt.account_id)
        return await channel.query(self._order(payment, attempt), now=self._clock.now())

    async def close(self, payment: Payment, attempt: Attempt) -> ChannelAnswer:
        """Close an attempt's order, or give its authorization up."""
        channel = await self._accounts.get(attempt.account_id)
        return await channel.close(self._order(payment, attempt), now=self._clock.now())

    async def capture(self, payment: Payment, attempt: Attempt) -> ChannelAnswer:
        """Capture the amount of the intent, for the first time or again."""
        assert payment.capture_minor is not None, "the intent is written first"
        channel = await self._accounts.get(attempt.account_id)
        return await channel.capture(self._order(payment, attempt), payment.capture_minor, now=self._clock.now())

    async def refund(self, channel: channels.Channel, payment: Payment, refund: Refund) -> ChannelAnswer:
        """Refund or void, for the first time or again."""
        if refund.amount_minor == 0:
            # Nothing to send: the units' price for the payer has rounded to nothing so far.
            return ChannelAnswer(ChannelState.SUCCEEDED)
        request = self._refund_request(payment, refund)
        try:
            send = channel.void if refund.route is RefundMethod.VOID else channel.refund
            return await send(request, now=self._clock.now())
        except (channels.NotOffered, InvalidParameter) as error:
            # Nothing was sent, and nothing ever will be.
            return ChannelAnswer(ChannelState.FAILED, channel_code=error.code, channel_message=error.detail[:256])

    async def query_refund(self, channel: channels.Channel, payment: Payment, refund: Refund) -> ChannelAnswer:
        """Query the state of a refund or void."""
        return await channel.query_refund(self._refund_request(payment, refund), now=self._clock.now())

    async def payout(self, refund: Refund) -> ChannelAnswer:
        """Pay a refund out, for the first time or again."""
        channel = await self._accounts.get(_payout_account(refund))
        return await channel.payout(self._payout_request(refund), now=self._clock.now())

    async def query_payout(self, refund: Refund) -> ChannelAnswer:
        """Query the state of a payout."""
        channel = await self._accounts.get(_payout_account(refund))
        return await channel.query_payout(self._payout_request(refund), now=self._clock.now())

    def _order(self, payment: Payment, attempt: Attempt) -> channels.OrderReference:
        """Return an attempt's order as every later call identifies it."""
        return channels.OrderReference(
            attempt_no=ids.encode("att", attempt.attempt_id),
            method=attempt.method,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            placed_at=attempt.created_at,
            channel_order_no=attempt.channel_order_no,
            expires_at=attempt.expires_at,
            notify_url=attempt.notify_url or notify_url(self._public_url, attempt.account_id),
            capture=payment.capture_method is CaptureMethod.AUTOMATIC,
            capture_requested_at=payment.capture_requested_at,
            close_requested_at=payment.close_requested_at,
        )

    def _refund_request(self, payment: Payment, refund: Refund) -> channels.RefundRequest:
        attempt = payment.attempt(refund.attempt_id)
        captured_minor = attempt.amount_captured_minor or payment.amount_minor
        # A repetition is the same request, whatever is requested of the payment meanwhile.
        captured_at = payment.capture_requested_at if attempt is payment.counted_attempt else None
        order = replace(
            self._order(payment, attempt),
            amount_minor=captured_minor,
            capture_requested_at=captured_at,
            close_requested_at=None,
        )
        return channels.RefundRequest(
            refund_no=refund.number,
            order=order,
            amount_minor=refund.amount_minor,
            reason=refund.reason,
            notify_url=notify_url(self._public_url, refund.account_id),
            created_at=refund.created_at,
            channel_refund_no=refund.channel_refund_no,
        )

    def _payout_request(self, refund: Refund) -> channels.PayoutRequest:
        url = notify_url(self._public_url, _payout_account(refund))
        return payout_request(self._vault, refund, notify_url=url)


def notify_url(public_url: str, account_id: UUID) -> str:
    """Return the address to which a channel sends notifications about one of our accounts."""
    return f"{public_url}/channels/{ids.encode('acc', account_id)}/notifications"


def _payout_account(refund: Refund) -> UUID:
    assert refund.payout_account_id is not None, "the database refuses a payout without an account"
    return refund.payout_account_id


def _channel_expiry(payment: Payment, attempt: Attempt, can: channels.Capabilities) -> datetime:
    """Return the payment's expiry, brought into the range that the channel accepts; the same however often."""
    start = attempt.created_at
    return min(max(payment.expires_at, start + can.expiry_min), start + can.expiry_max)
