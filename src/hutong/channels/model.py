"""Values that pass between the life cycle and a channel adapter: frozen, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from hutong.channels.disputes import DisputeReport
from hutong.channels.sums import ReturnedSums, Sums


class ChannelState(StrEnum):
    """The meaning of a channel's answer about a payment, a refund or a payout.

    Only SUCCEEDED, FAILED and CLOSED are final.
    """

    PENDING = "pending"
    """The channel knows the number and has not decided: nobody has paid yet, or the refund or payout is under way."""
    AUTHORIZED = "authorized"
    """The payer's side has reserved the money; it moves when it is captured."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The channel has proven that no money moved, and that none ever will under this number."""
    CLOSED = "closed"
    """The channel has closed the order unpaid; nobody can pay it any more."""
    UNKNOWN = "unknown"
    """No proven answer: a timeout, a broken or unsigned reply, an unmapped code. Query; never resend elsewhere."""
    NOT_FOUND = "not_found"
    """The channel does not know the number. Right after submission this proves nothing."""


FINAL_STATES = frozenset({ChannelState.SUCCEEDED, ChannelState.FAILED, ChannelState.CLOSED})


class ActionKind(StrEnum):
    """The payer's next step."""

    QR_CODE = "qr_code"
    """Scan a code; `content` is its text."""
    REDIRECT = "redirect"
    """Open an address; `content` is the address."""
    FORM = "form"
    """Post a form in the payer's browser; `content` is JSON: {"url": …, "fields": {name: value}, "charset": …}."""
    SDK = "sdk"
    """Pass parameters to the wallet's SDK in an application or a page; `content` is what the SDK takes."""


@dataclass(frozen=True, slots=True)
class PayerAction:
    kind: ActionKind
    content: str


@dataclass(frozen=True, slots=True)
class PayRequest:
    """One attempt to take money. `attempt_no` is our number at the channel and identifies this attempt permanently.

    The payer's network address is not part of it: placing the order again must repeat it exactly, and by then the
    payer may have moved. A method that requires the address gets it in `payer`, which is stored with the attempt.

    Attributes:
        notify_url: Where the channel sends its notifications; stored with the attempt, so that resending repeats it.
        return_url: Where the payer's browser goes afterwards. What the browser brings back proves nothing.
        payer: The values that the method needs, by the names in `PaymentMethod.requires`, such as "openid".
        capture: False only reserves the money, to be taken by `capture`.
        placed_at: When the intent was written: the same in every submission, and in `OrderReference`.
    """

    attempt_no: str
    method: str
    amount_minor: int
    currency: str
    subject: str
    expires_at: datetime
    notify_url: str
    return_url: str | None = None
    payer: Mapping[str, str] = field(default_factory=dict)
    capture: bool = True
    placed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderReference:
    """An attempt that was sent to the channel, for every later call about it.

    Attributes:
        placed_at: When the intent was written, which is never after the channel received it; the same in every call.
        channel_order_no: The channel's own number, if it is known.
        expires_at: Until when the payer may pay, as in `PayRequest.expires_at`.
        notify_url: Where the channel sends notifications about a capture or a release of reserved money.
        capture: As in `PayRequest.capture`: False where the order has only reserved the money.
        capture_requested_at, close_requested_at: When the intent to capture the reserved money, or to end the payment,
            was written; the same in every call, since some channels identify such a call by its time.
    """

    attempt_no: str
    method: str
    amount_minor: int
    currency: str
    placed_at: datetime
    channel_order_no: str | None = None
    expires_at: datetime | None = None
    notify_url: str | None = None
    capture: bool = True
    capture_requested_at: datetime | None = None
    close_requested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """Money to give back from a captured order. `refund_no` is the same however often the request is sent.

    Attributes:
        amount_minor: In the order's currency; `order.amount_minor` is the whole order.
        created_at: When the intent was written; the same in every call.
        channel_refund_no: The channel's own number, if it is known.
    """

    refund_no: str
    order: OrderReference
    amount_minor: int
    reason: str
    notify_url: str
    created_at: datetime
    channel_refund_no: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """Money to send out. `payout_no` is the same however often the request is sent.

    Attributes:
        payee: The recipient, by the names in `Capabilities.payee_requires`.
    """

    payout_no: str
    amount_minor: int
    currency: str
    payee: Mapping[str, str]
    remark: str
    notify_url: str


@dataclass(frozen=True, slots=True)
class ChannelAnswer:
    """A channel's answer about one order, refund or payout, from a call or from a notification.

    Attributes:
        state: The meaning of the answer.
        amount_minor, currency: The amount of the order, the capture, the refund or the payout as the channel states
            it; None where it does not. With coupons, the ordered sum or a refund's part of it.
        channel_order_no: The channel's own number, if it has assigned one.
        channel_code, channel_message: The channel's own texts, cut to 64 and 256 characters.
        code: Our unified code for them, from the code map; None where the channel gave no code, "unmapped" where the
            map has none.
        code_entry: The entry of the code map that `code` is from, as "interface/code/sub_code", whose text the payer
            reads; None where `code` is from none.
        retryable: Whether another attempt, later or elsewhere, may bring another answer.
        happened_at: When it happened, by the channel's clock.
        action: The payer's next step, after a successful submission.
        sums: The three sums of a success; None where all are equal, or the channel does not state them.
        returned: The parts of a refund; None where all are equal, or the channel does not state them.
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
    code_entry: str | None = None
    retryable: bool = False
    sums: Sums | None = None
    returned: ReturnedSums | None = None

    @property
    def paid_minor(self) -> int | None:
        """What the payer paid, where it is not the whole amount."""
        return None if self.sums is None else self.sums.paid_minor

    @property
    def settled_minor(self) -> int | None:
        """What will settle, where the channel states it."""
        return None if self.sums is None else self.sums.settled_minor

    @property
    def is_given_back(self) -> bool:
        """Whether a refund is refused because that much of the order's money has been given back already."""
        return self.state is ChannelState.FAILED and self.code in ("already_refunded", "refund_exceeds")


class About(StrEnum):
    """The subject of a notification."""

    PAYMENT = "payment"
    REFUND = "refund"
    PAYOUT = "payout"
    DISPUTE = "dispute"
    NOTHING = "nothing"
    """Genuine, but about nothing of ours: accepted and dropped."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A verified message from a channel.

    Attributes:
        number: Our number of its subject: attempt, refund or payout; empty where it is about nothing.
        replay_key: Identifies this very message, where the channel signs each repetition separately: a second message
            with the same key is refused. None where a channel repeats the same bytes.
        order_no, channel_order_no: Our number and the channel's of the order whose money a refund gives back, where the
            message names them. They tell the order of a refund that a person made in the channel's portal.
        refunded_minor: How much of the order has gone back by all refunds, where the message states that.
        dispute: The dispute that the message states; None where it only names one by `number`, which is the channel's,
            to be queried.
        is_named_only: Whether the message names its subject, by the channel's `number`, without stating it: nothing is
            recorded before `complete_notification` has fetched it.
    """

    number: str
    answer: ChannelAnswer
    about: About = About.PAYMENT
    replay_key: bytes | None = None
    order_no: str | None = None
    channel_order_no: str | None = None
    refunded_minor: int | None = None
    dispute: DisputeReport | None = None
    is_named_only: bool = False


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a channel's HTTP call."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


NOT_SENT = "not_sent"
"""The `channel_code` of a submission for which no connection was made at all: it cannot have had any effect."""


def after_sending(answer: ChannelAnswer) -> ChannelAnswer:
    """Return the answer to a query that follows a submission, never with the code NOT_SENT.

    Without a connection the query was not sent, but the submission before it was.
    """
    return replace(answer, channel_code="no_answer") if answer.channel_code == NOT_SENT else answer


def text(value: object, length: int) -> str | None:
    """Return a channel's text cut to a length; None for an empty text and for anything else.

    It loses the one character that PostgreSQL does not store.
    """
    return value.replace("\0", "")[:length] or None if isinstance(value, str) else None
