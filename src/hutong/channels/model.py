"""What passes between the life cycle and a channel adapter: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum


class ChannelState(StrEnum):
    """What a channel's word amounts to, about a payment, a refund or a payout. Only SUCCEEDED, FAILED and CLOSED are
    final."""

    PENDING = "pending"
    """The channel knows the order and it is not decided: nobody has paid yet, or the refund or payout is under way."""
    AUTHORIZED = "authorized"
    """The payer's side has reserved the money; it moves when it is captured."""
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
    FORM = "form"
    """Post a form in the payer's browser; `content` is JSON: {"url": …, "fields": {name: value}, "charset": …}."""
    SDK = "sdk"
    """Hand parameters to the wallet's own code in an application or a page; `content` is what that code takes."""


@dataclass(frozen=True, slots=True)
class PayerAction:
    kind: ActionKind
    content: str


@dataclass(frozen=True, slots=True)
class PayRequest:
    """One try to take money. `attempt_no` is our number at the channel and never changes for this try.

    Attributes:
        notify_url: Where the channel tells us of it; stored with the try, so that sending again repeats it.
        return_url: Where the payer's browser goes afterwards. What it brings proves nothing.
        payer: What the method asks of the payer, by the names in `Method.requires`: "openid", "auth_code", "token"…
        capture: False only reserves the money, to be taken by `capture`.
        placed_at: When the intent was written: the same in every submission, and the one in `Order`.
    """

    attempt_no: str
    method: str
    amount_minor: int
    currency: str
    subject: str
    expires_at: datetime
    notify_url: str
    payer_ip: str | None = None
    return_url: str | None = None
    payer: Mapping[str, str] = field(default_factory=dict)
    capture: bool = True
    placed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A try that the channel was asked to make, for every later call about it.

    Attributes:
        placed_at: When the intent was written, which is never after the channel received it; the same in every call.
        channel_order_no: The channel's own number, if we have learnt it.
        expires_at: Until when its payer may pay, as `PayRequest.expires_at` said.
    """

    attempt_no: str
    method: str
    amount_minor: int
    currency: str
    placed_at: datetime
    channel_order_no: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money to be given back from a captured order, under a number that never changes however often it is sent.

    Attributes:
        amount_minor: Of the order's currency; `order.amount_minor` is the order's whole.
        created_at: When the intent was written; the same in every call.
        channel_refund_no: The channel's own number, if we have learnt it.
    """

    refund_no: str
    order: Order
    amount_minor: int
    reason: str
    notify_url: str
    created_at: datetime
    channel_refund_no: str | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    """Money to be sent out, under a number that never changes however often it is sent.

    Attributes:
        payee: Who receives it, by the names in `Capabilities.payee_requires`.
    """

    payout_no: str
    amount_minor: int
    currency: str
    payee: Mapping[str, str]
    remark: str
    notify_url: str
    created_at: datetime
    channel_payout_no: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelAnswer:
    """What the channel said about one order, refund or payout, whichever way we learnt it.

    Attributes:
        state: What it amounts to.
        amount_minor, currency: What the channel says the order, the capture, the refund or the payout is about; None
            where it does not say.
        channel_order_no: The channel's own number of it, if it has one by now.
        channel_code, channel_message: The channel's words as they came, cut to 64 and 256 characters.
        code: Our one word for them, from the code map; None where the channel gave no code, "unmapped" where the map
            has none.
        retryable: Whether the same may be tried again later, or elsewhere, with hope of another answer.
        happened_at: When the channel says it happened.
        action: What the payer has to do, after a successful submission.
        fee_minor: What the channel keeps for it, where it says so.
    """

    state: ChannelState
    amount_minor: int | None = None
    currency: str | None = None
    channel_order_no: str | None = None
    channel_code: str | None = None
    channel_message: str | None = None
    happened_at: datetime | None = None
    action: PayerAction | None = None
    code: str | None = None
    retryable: bool = False
    fee_minor: int | None = None


class About(StrEnum):
    """What a notification is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    PAYOUT = "payout"
    NOTHING = "nothing"
    """Genuine, but of no concern: it is accepted and forgotten."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A verified message from a channel.

    Attributes:
        number: Our number of what it is about: attempt, refund or payout; empty where it is about nothing.
        replay_key: What identifies the very message, where the channel signs each repetition anew; a second message
            with the same key is refused. None where a channel repeats the same bytes.
    """

    notification_id: str
    number: str
    answer: ChannelAnswer
    about: About = About.PAYMENT
    replay_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What to answer the channel's HTTP call with."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


NOT_SENT = "not_sent"
"""The `channel_code` of a submission for which no connection was made at all: nothing can have come of it."""


def after_sending(answer: ChannelAnswer) -> ChannelAnswer:
    """What a question is worth that was to tell what became of something sent: without a connection for the question
    there is no answer, but something was sent."""
    return replace(answer, channel_code="no_answer") if answer.channel_code == NOT_SENT else answer


def text(value: object, length: int) -> str | None:
    """Words as they came, cut, without the one character that PostgreSQL does not keep; None where there are none."""
    return value.replace("\0", "")[:length] or None if isinstance(value, str) else None
