"""The verbs of a channel adapter, each callable again with the same number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from hutong.channels.bill import Bill, BillIdentity, BillRow
from hutong.channels.capability import Capabilities
from hutong.channels.disputes import DisputeReport, DisputeResponse, ResponseAnswer
from hutong.channels.errors import NotOffered
from hutong.channels.model import (
    ChannelAnswer,
    HttpAnswer,
    Notification,
    OrderReference,
    PayoutRequest,
    PayRequest,
    RefundRequest,
)


@dataclass(frozen=True, slots=True)
class AccountFinding:
    """The result of one check of an account.

    Attributes:
        check: The subject of the check, such as "host" or "merchant_key".
        fault: The exact fault, such as "certificate_expired"; None if there is none.
        advice: The remedy, for people; holds no secret.
    """

    check: str
    fault: str | None
    advice: str


class Channel(Protocol):
    """One account at one channel, ready to be called.

    Adapters hold no state but their credentials and the channel's keys that they have fetched since.

    No verb raises for what a channel may do: an unproven answer is ChannelState.UNKNOWN. Each verb may be repeated
    with the same number. Amounts are converted here and nowhere else: outside, money is in minor units.

    Attributes:
        acceptance: The answer to a notification that ends its repetitions; sent only after the effect is committed.
        refusal: The channel's own form of refusing a notification, without a reason: a forger learns nothing from it.

    Errors:
        InvalidParameter: the channel could not take the request; nothing was sent.
        NotOffered: the channel has no such verb, which `capabilities` states beforehand.
    """

    capabilities: Capabilities
    acceptance: HttpAnswer
    refusal: HttpAnswer

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order.

        Returns:
            PENDING with the payer's action, if there is one; SUCCEEDED and AUTHORIZED where the channel decides at
            once; FAILED for a refusal proven by the channel; UNKNOWN with the code NOT_SENT only where nothing at all
            was sent, since the payment may then go to another channel.
        """
        ...

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Query the order's state."""
        ...

    async def close(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """End an unpaid or authorized order.

        Returns:
            CLOSED once the channel confirms; SUCCEEDED if the channel answers that the money is taken.
        """
        ...

    async def capture(self, order: OrderReference, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        """Take authorized money, once, whole or in part: SUCCEEDED with the captured amount. The rest is released."""
        raise NotOffered(f"{self.capabilities.channel} has no capture")

    async def void(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Cancel a whole payment on its own day, before it is settled; answered like a refund."""
        raise NotOffered(f"{self.capabilities.channel} has no void")

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Refund to the original payment method: SUCCEEDED, PENDING while under way, FAILED if proven impossible."""
        raise NotOffered(f"{self.capabilities.channel} has no refunds")

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Query the state of a refund or a void."""
        raise NotOffered(f"{self.capabilities.channel} has no refunds")

    async def payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Send money out."""
        raise NotOffered(f"{self.capabilities.channel} has no payouts")

    async def query_payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Query the state of a payout."""
        raise NotOffered(f"{self.capabilities.channel} has no payouts")

    async def query_dispute(self, dispute_no: str, *, now: datetime) -> DisputeReport | None:
        """Query the state of a dispute; None without a proven answer."""
        raise NotOffered(f"{self.capabilities.channel} has no disputes")

    async def list_disputes(self, day: date, *, now: datetime) -> list[DisputeReport] | None:
        """List the disputes that were opened on a day, those whose notification was lost among them.

        Args:
            day: In the zone in which the channel counts days.

        Returns:
            Reports, or None without a proven answer.
        """
        raise NotOffered(f"{self.capabilities.channel} has no disputes")

    async def respond_to_dispute(self, response: DisputeResponse, *, now: datetime) -> ResponseAnswer:
        """Send the merchant's answer to a dispute, or that the merchant gives in."""
        raise NotOffered(f"{self.capabilities.channel} has no disputes")

    async def register_address(self, url: str, *, now: datetime) -> AccountFinding:
        """Register the address at which the channel is to notify of disputes, in place of another.

        Returns:
            The address that the channel keeps now; a fault if it has not taken this one.
        """
        raise NotOffered(f"{self.capabilities.channel} takes no address of notifications by interface")

    def identify_url(self, method: str, return_url: str, state: str) -> str:
        """Return the address that a payer's browser opens so that the channel tells who they are.

        Args:
            return_url: Where the channel sends the browser afterwards, with `code` and `state` added to the query.
            state: Letters and digits, at most 128.
        """
        raise NotOffered(f"{self.capabilities.channel} does not identify payers")

    async def identify(self, method: str, code: str) -> Mapping[str, str] | None:
        """Return the payer's details behind a code, those in `PaymentMethod.identifies`; None without an answer."""
        raise NotOffered(f"{self.capabilities.channel} does not identify payers")

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify and read a message. Header names are lower case.

        Errors:
            NotificationRefused: not proven to come from this channel for this account, stale, or not readable.
        """
        ...

    async def complete_notification(self, notification: Notification, *, now: datetime) -> Notification | None:
        """Fetch the subject of a verified message that only names it, and read it as if the message had stated it.

        Returns:
            The whole notification; None without a proven answer, so that the channel is to repeat the message.

        Errors:
            NotificationRefused: what the channel answers cannot be read.
        """
        return notification

    async def fetch_named_key(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:
        """Fetch the key that a notification names and that is not held, at a bounded rate.

        Returns:
            Whether it is held by now, so that the notification is worth verifying again.
        """
        return False

    def adopted_keys(self) -> Mapping[str, str]:
        """Return the channel's keys that were fetched and verified, beyond the credentials: by their id, in PEM."""
        return {}

    def adopt_keys(self, keys: Mapping[str, str]) -> None:
        """Take over keys that another process has fetched and verified, or this one before a restart."""

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the bill of a day into a folder, streaming, and check it against the channel's hash and totals."""
        raise NotOffered(f"{self.capabilities.channel} has no bills")

    def bill_identity(self) -> BillIdentity:
        """Return what the bills of this account name, and when their days end."""
        return BillIdentity()

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        """Yield the rows of a READY or EMPTY bill, in its order, with bounded memory.

        Errors:
            BillRefused: not a bill of this layout, or its rows do not add up to its own totals. A caller that has
                begun to read must not use any of its rows.
        """
        raise NotOffered(f"{self.capabilities.channel} has no bills")

    async def diagnose(self, *, now: datetime) -> list[AccountFinding]:
        """Test the credentials and name what is wrong, without touching money."""
        return []
