"""What a channel adapter does: the verbs, each callable again with the same number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from hutong.channels.bill import Bill, BillRow
from hutong.channels.capability import Capabilities
from hutong.channels.errors import NotOffered
from hutong.channels.model import ChannelAnswer, HttpAnswer, Notification, Order, Payout, PayRequest, Refund


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at in an account.

    Attributes:
        check: What was looked at, such as "clock" or "merchant_key".
        fault: The exact fault, such as "certificate_expired"; None where it is well.
        advice: What to do about it, for people; holds no secret.
    """

    check: str
    fault: str | None
    advice: str


class Channel(Protocol):
    """One account at one channel, ready to be called. Adapters hold no state but their credentials.

    No verb raises for what a channel may do: what is not proven is ChannelState.UNKNOWN. Each verb may be repeated
    with the same number. Money is converted here and nowhere else: outside, it is minor units.

    Errors:
        InvalidParameter: the request is not one that this channel could take; nothing was sent.
        NotOffered: the channel has no such verb; `capabilities` says so beforehand.
    """

    capabilities: Capabilities

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order. PENDING carries the payer's action, if there is one; SUCCEEDED and AUTHORIZED where the
        channel decides at once; FAILED is a refusal proven by the channel; UNKNOWN with the code NOT_SENT only where
        nothing at all was sent, since the payment may then be tried elsewhere."""
        ...

    async def query(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Ask for the order's state."""
        ...

    async def close(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """End an order that is unpaid or authorized: CLOSED once the channel confirms; SUCCEEDED if it says that the
        money is taken."""
        ...

    async def capture(self, order: Order, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        """Take authorized money, once, whole or in part: SUCCEEDED with the captured amount. The rest is released."""
        raise NotOffered(f"{self.capabilities.channel} has no capture")

    async def void(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Cancel a whole payment on its own day, before it is settled; answered like a refund."""
        raise NotOffered(f"{self.capabilities.channel} has no void")

    async def refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Give money back by the original way: SUCCEEDED, PENDING while under way, FAILED if proven that it is not."""
        raise NotOffered(f"{self.capabilities.channel} has no refunds")

    async def query_refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Ask what became of a refund or a void."""
        raise NotOffered(f"{self.capabilities.channel} has no refunds")

    async def payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        """Send money out."""
        raise NotOffered(f"{self.capabilities.channel} has no payouts")

    async def query_payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        """Ask what became of a payout."""
        raise NotOffered(f"{self.capabilities.channel} has no payouts")

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify and read a message. Header names are lower case.

        Errors:
            NotificationRefused: not proven to come from this channel for this account, stale, or not readable.
        """
        ...

    def accept_notification(self) -> HttpAnswer:
        """The answer that tells the channel to stop repeating; sent only after the effect is committed."""
        ...

    def refuse_notification(self, reason: str) -> HttpAnswer:
        """The answer that tells the channel that its message was not taken."""
        ...

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the bill of a day into a folder, streaming, and check it against the channel's hash and totals."""
        raise NotOffered(f"{self.capabilities.channel} has no bills")

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        """The rows of a READY or EMPTY bill, in its order, with bounded memory.

        Errors:
            BillRefused: not a bill of this layout, or its rows do not add up to its own totals. A reader that has
                begun must not use what it has read.
        """
        raise NotOffered(f"{self.capabilities.channel} has no bills")

    async def diagnose(self, *, now: datetime) -> list[Finding]:
        """Try the credentials out and name what is wrong, without touching money."""
        return []
