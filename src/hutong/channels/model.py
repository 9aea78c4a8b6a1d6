"""What passes between the life cycle and a channel adapter: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class ChannelState(StrEnum):
    """What a channel's word amounts to. Only SUCCEEDED, FAILED and CLOSED are final."""

    PENDING = "pending"
    """The channel knows the order and nobody has paid it."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The channel says that no money was taken, and that it never will be under this number."""
    CLOSED = "closed"
    """The channel has closed the order unpaid; nobody can pay it any more."""
    UNKNOWN = "unknown"
    """No proven answer: a time-out, a broken or unsigned reply, a code we do not know. Ask, never resend elsewhere."""
    NOT_FOUND = "not_found"
    """The channel does not know the number. Right after submission this proves nothing."""


class ActionKind(StrEnum):
    """What the payer has to do next."""

    QR_CODE = "qr_code"
    """Scan a code; `content` is the text of it."""
    REDIRECT = "redirect"
    """Open an address; `content` is the address."""


@dataclass(frozen=True, slots=True)
class PayerAction:
    kind: ActionKind
    content: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one channel can do, as data; the cashier, the router and the life cycle read it.

    Attributes:
        channel: Its name, such as "wechat".
        methods: Payment methods offered, such as "wechat_native".
        currencies: ISO 4217 codes.
        amount_minor_min, amount_minor_max: Limits of one payment, both inclusive.
        order_no_length_max: Longest number of ours that the channel takes.
        expiry_min, expiry_max: The range in which an order's end may lie after its start.
        notifies: Whether the channel calls us; otherwise it is only asked.
        resubmits: Whether sending the same number again is safe and returns the same order.
        subject_length_max: Longest description, in characters; longer ones are cut by the adapter.
    """

    channel: str
    methods: frozenset[str]
    currencies: frozenset[str]
    amount_minor_min: int
    amount_minor_max: int
    order_no_length_max: int
    expiry_min: timedelta
    expiry_max: timedelta
    notifies: bool
    resubmits: bool
    subject_length_max: int


@dataclass(frozen=True, slots=True)
class PayRequest:
    """One try to take money. `attempt_no` is our number at the channel and never changes for this try."""

    attempt_no: str
    method: str
    amount_minor: int
    currency: str
    subject: str
    expires_at: datetime
    notify_url: str
    payer_ip: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelAnswer:
    """What the channel said about one order, whichever way we learnt it.

    Attributes:
        state: What it amounts to.
        amount_minor, currency: What the channel says the order is about; None where it does not say.
        channel_order_no: The channel's own number, if it has one by now.
        channel_code, channel_message: The channel's words as they came, cut to 64 and 256 characters.
        happened_at: When the channel says it happened.
        action: What the payer has to do, after a successful submission.
    """

    state: ChannelState
    amount_minor: int | None = None
    currency: str | None = None
    channel_order_no: str | None = None
    channel_code: str | None = None
    channel_message: str | None = None
    happened_at: datetime | None = None
    action: PayerAction | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A verified message from a channel about one of our orders.

    Attributes:
        replay_key: What identifies the very message, where the channel signs each repetition anew; a second message
            with the same key is refused. None where a channel repeats the same bytes.
    """

    notification_id: str
    attempt_no: str
    answer: ChannelAnswer
    replay_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What to answer the channel's HTTP call with."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """One account at one channel, ready to be called. Adapters hold no state but their credentials.

    No verb raises for what a channel may do: what is not proven is ChannelState.UNKNOWN. Each verb may be repeated
    with the same number.
    """

    capabilities: Capabilities

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order. PENDING carries the payer's action; FAILED is a refusal proven by the channel."""
        ...

    async def query(self, attempt_no: str, *, now: datetime) -> ChannelAnswer:
        """Ask for the order's state."""
        ...

    async def close(self, attempt_no: str, *, now: datetime) -> ChannelAnswer:
        """Close an unpaid order: CLOSED once the channel confirms; SUCCEEDED if it says the order is paid."""
        ...

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
