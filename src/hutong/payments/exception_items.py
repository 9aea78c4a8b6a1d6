"""Exceptions: what channels report that does not fit our orders, and what persons decide about it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import orjson

from hutong import channels, ids
from hutong.channels import About, ChannelAnswer, ChannelState
from hutong.errors import ConfigurationError, Conflict
from hutong.payments.model import Source
from hutong.vault import Vault

PREFIX = "exc"
NUMBER_MAX = 128


class ExceptionNotDecidable(Conflict):
    """The exception is decided already, or cannot be decided in this way; nothing was done."""

    code = "exception_not_decidable"


class ExceptionKind(StrEnum):
    """Why a channel's message does not fit."""

    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    UNKNOWN_NUMBER = "unknown_number"
    """No order or refund has this number: made in the channel's portal, or by an earlier installation."""
    OTHER_ACCOUNT = "other_account"
    """The number is that of an order or refund at another channel account."""
    UNREADABLE = "unreadable"
    """Proven to be the channel's, but without figures that can be read."""


class ExceptionStatus(StrEnum):
    """States of an exception."""

    OPEN = "open"
    TAKEN = "taken"
    REFUNDED = "refunded"
    IGNORED = "ignored"
    MATCHED = "matched"
    """The number has become known since, and the report was recorded."""


class ExceptionDecision(StrEnum):
    """What two persons may decide."""

    TAKE = "take"
    """Credit what the channel has taken; of a refund, take what the channel reports, with its amount."""
    REFUND = "refund"
    """Give back what the channel has taken; of a refund, take what was ordered as given back."""
    IGNORE = "ignore"
    """Book nothing. An open attempt ends unpaid; about an open refund the channel is asked again."""


DECIDED = {
    ExceptionDecision.TAKE: ExceptionStatus.TAKEN,
    ExceptionDecision.REFUND: ExceptionStatus.REFUNDED,
    ExceptionDecision.IGNORE: ExceptionStatus.IGNORED,
}


@dataclass(frozen=True, slots=True)
class NewException:
    """What a channel reported, as it is kept.

    Attributes:
        number: Our number as the channel has it; empty where it could not be read.
        amount_minor, currency, channel_order_no, happened_at: The channel's figures.
        expected_minor, expected_currency: Ours.
        paid_minor, settled_minor: The other two of the channel's sums, where they are not the amount.
        reason: One term for what is wrong.
        message: The message, sealed; None for an answer to a query.
        digest: Two messages with the same digest report the same.
    """

    exception_id: UUID
    account_id: UUID
    kind: ExceptionKind
    about: About
    number: str
    source: Source
    state: ChannelState
    digest: bytes
    reason: str
    amount_minor: int | None = None
    currency: str | None = None
    expected_minor: int | None = None
    expected_currency: str | None = None
    channel_order_no: str | None = None
    happened_at: datetime | None = None
    payment_id: UUID | None = None
    attempt_id: UUID | None = None
    refund_id: UUID | None = None
    message: bytes | None = None
    paid_minor: int | None = None
    settled_minor: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentException:
    """One row of payments.exception; fields as in `NewException`.

    Attributes:
        seen: How often the channel has reported it.
        decided_by: The proposal that was approved, or "hutong".
    """

    exception_id: UUID
    account_id: UUID
    digest: bytes
    kind: ExceptionKind
    about: About
    number: str
    payment_id: UUID | None
    attempt_id: UUID | None
    refund_id: UUID | None
    source: Source
    state: ChannelState
    amount_minor: int | None
    currency: str | None
    expected_minor: int | None
    expected_currency: str | None
    channel_order_no: str | None
    happened_at: datetime | None
    reason: str
    first_seen_at: datetime
    last_seen_at: datetime
    seen: int
    status: ExceptionStatus
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    paid_minor: int | None = None
    settled_minor: int | None = None

    @property
    def sums(self) -> channels.sums.Sums | None:
        """The channel's sums, without the names of the discounts; None where all are the amount."""
        return channels.sums.Sums.kept(self.amount_minor, self.paid_minor, self.settled_minor)

    @property
    def is_about_own(self) -> bool:
        """Whether the report is about the attempt or the refund itself, with figures that are not ours."""
        return self.kind in (ExceptionKind.AMOUNT_MISMATCH, ExceptionKind.CURRENCY_MISMATCH)


Seal = Callable[[], bytes]
"""Seals the message that brought a report, once that is needed."""


def exception_of(
    answer: ChannelAnswer,
    kind: ExceptionKind,
    *,
    exception_id: UUID,
    account_id: UUID,
    about: About,
    number: str,
    source: Source,
    expected: tuple[int | None, str | None] = (None, None),
    message: bytes | None = None,
    payment_id: UUID | None = None,
    attempt_id: UUID | None = None,
    refund_id: UUID | None = None,
) -> NewException:
    """Return the exception that a channel's answer is; the same figures about the same number are the same one."""
    reported = (answer.state.value, answer.amount_minor, answer.currency, answer.channel_order_no)
    digest = hashlib.sha256(orjson.dumps([str(part) for part in (kind.value, about.value, number, *reported)])).digest()
    return NewException(
        exception_id=exception_id,
        account_id=account_id,
        kind=kind,
        about=about,
        number=number[:NUMBER_MAX],
        source=source,
        state=answer.state,
        digest=digest,
        reason=kind.value,
        amount_minor=answer.amount_minor,
        currency=answer.currency,
        expected_minor=expected[0],
        expected_currency=expected[1],
        channel_order_no=answer.channel_order_no,
        happened_at=answer.happened_at,
        payment_id=payment_id,
        attempt_id=attempt_id,
        refund_id=refund_id,
        message=message,
        paid_minor=answer.paid_minor,
        settled_minor=answer.settled_minor,
    )


def mismatch_kind(answer: ChannelAnswer, currency: str) -> ExceptionKind:
    """Return what is wrong with an answer whose amount or currency is another than ours."""
    other_currency = answer.currency is not None and answer.currency != currency
    return ExceptionKind.CURRENCY_MISMATCH if other_currency else ExceptionKind.AMOUNT_MISMATCH


def seal_message(vault: Vault | None, account_id: UUID, number: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Seal a channel's message, to be kept as evidence.

    Errors:
        ConfigurationError: this process has no secret key.
    """
    if vault is None:
        raise ConfigurationError("messages of channels can be stored only with HUTONG_SECRET_KEY")
    plain = orjson.dumps({"headers": dict(headers), "body": base64.b64encode(body).decode()})
    return vault.seal(plain, context=_context(account_id, number))


def open_message(vault: Vault, account_id: UUID, number: str, sealed: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a sealed message."""
    plain = orjson.loads(vault.open(sealed, context=_context(account_id, number)))
    return plain["headers"], base64.b64decode(plain["body"])


def _context(account_id: UUID, number: str) -> str:
    return f"channel_message:{ids.encode('acc', account_id)}:{number}"
