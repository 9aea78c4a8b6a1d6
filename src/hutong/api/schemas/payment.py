"""Payments in requests and answers, as models that check requests and describe the API."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from typing_extensions import TypeAliasType

from hutong import channels, payments
from hutong.api.requests import Instant, OptionalText, RequestModel, Text
from hutong.api.schemas.enums import CloseReason
from hutong.api.schemas.fields import ListObject, PageObject
from hutong.api.schemas.open_names import ChannelName, PaymentMethod, UnifiedCode
from hutong.foreign_text import clean_text

if TYPE_CHECKING:
    from hutong.api.schemas.refund import RefundObject

ORDER_NO = r"^[\x21-\x7e]{1,64}$"
"""The form of a merchant's order numbers: visible ASCII."""

AMOUNT_MINOR_MAX = 999_999_999_999_999
"""Small enough for every JSON parser to keep exactly, and far below the largest sum of the ledger."""


def _check_institution(payer: dict[str, str]) -> dict[str, str]:
    if "institution" in payer and not _INSTITUTION.fullmatch(payer["institution"]):
        raise ValueError("`institution` is not a bank's code: up to 32 letters, digits, hyphens and underscores")
    return payer


_INSTITUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
Payer = TypeAliasType(
    "Payer",
    Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")],
            Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(clean_text)],
        ],
        Field(max_length=8),
        AfterValidator(_check_institution),
    ],
)
Metadata = TypeAliasType(
    "Metadata",
    Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=40), AfterValidator(clean_text)],
            Annotated[OptionalText, Field(max_length=500)],
        ],
        Field(max_length=20),
    ],
)
_PAYER = (
    "The method's fields about the payer, by name, such as `openid` or `auth_code`; deleted when the attempt ends. "
    "`institution`, the code of the payer's bank, is always allowed: payments go to accounts that reach this bank."
)

ITEM_ID = r"^[\x21-\x7e]{1,64}$"


MetadataName = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(clean_text)]
MetadataValue = Annotated[OptionalText, Field(max_length=500)]


class ItemCreate(RequestModel):
    """One item of an order."""

    id: str = Field(pattern=ITEM_ID, description="Your own id of the item, such as a SKU; unique within a payment.")
    name: Text = Field(min_length=1, max_length=127)
    quantity: int = Field(default=1, ge=1, le=1_000_000)
    amount_minor: int = Field(
        ge=0, le=AMOUNT_MINOR_MAX, description="The price of all units together, before discounts."
    )


class DiscountCreate(RequestModel):
    """A discount, and the party that bears it."""

    name: Text = Field(min_length=1, max_length=127)
    funder: Annotated[payments.items.Funder, Strict(False)] = Field(
        description="The party that bears it: you earn less, or the platform or the channel pays its part."
    )
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX)
    item: str | None = Field(
        default=None, pattern=ITEM_ID, description="The item that is discounted; if omitted, all items."
    )


class CustomerGiven(RequestModel):
    """A customer as the merchant knows them."""

    id: str = Field(pattern=ORDER_NO, description="Your own id of the customer, the same in every order.")
    name: Text | None = Field(default=None, min_length=1, max_length=64, description="The name that bills show.")
    avatar: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="The version of the customer's picture, such as its hash.",
    )


class PaymentCreate(RequestModel):
    """An order to pay for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "merchant_order_no": "2026-000123",
                    "amount_minor": 1999,
                    "currency": "CNY",
                    "subject": "Example Store, order 123",
                    "method": "wechat_native",
                }
            ]
        }
    )

    merchant_order_no: str = Field(
        pattern=ORDER_NO,
        description="Your own order number, unique among your payments.",
    )
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX, description="The amount in minor units: 1999 is 19.99 in CNY.")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="The ISO 4217 code.")
    subject: Text = Field(min_length=1, max_length=127, description="The subject of the order, shown to the payer.")
    method: PaymentMethod | None = Field(
        default=None,
        description="The payment method, such as `wechat_native`; if omitted, the payer chooses in the cashier.",
    )
    payer: Payer = Field(default={}, description=_PAYER)
    customer: CustomerGiven | None = Field(
        default=None,
        description="The customer. Bills can be searched by it, and all bills of a customer show their newest profile.",
    )
    capture_method: Annotated[payments.CaptureMethod, Strict(False)] = Field(
        default=payments.CaptureMethod.AUTOMATIC, description="`manual` only reserves the money, until you capture it."
    )
    return_url: str | None = Field(
        default=None,
        pattern=r"^https?://[\x21-\x7e]{1,2000}$",
        description="The address to which the payer returns; its origin must be registered for the merchant.",
    )
    cancel_url: str | None = Field(
        default=None,
        pattern=r"^https?://[\x21-\x7e]{1,2000}$",
        description=(
            "The address to which the cashier lets the payer go back without having paid, by the same rule. "
            "Default: `return_url`."
        ),
    )
    expires_at: Instant | None = Field(
        default=None,
        description=(
            "The instant at which the payment expires: at least 1 minute and at most 15 days from now, unless the "
            "installation sets another maximum. Default: the merchant's own validity; without one, the maximum, or 30 "
            "minutes, unless the installation sets another time, for an order without `method`."
        ),
    )
    items: list[ItemCreate] = Field(
        default=[],
        max_length=200,
        description="The items bought. Their sum less the discounts is `amount_minor`. Refunds then name items.",
    )
    discounts: list[DiscountCreate] = Field(default=[], max_length=50)
    metadata: Metadata = Field(default={}, description="Your own names and values, returned unchanged.")


class PaymentUpdate(RequestModel):
    """What changes of a payment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": {"shop": "12", "table": None}}]})

    metadata: dict[MetadataName, MetadataValue | None] = Field(
        max_length=40,
        description="Names and values that are added or replaced; null removes a name, and the others stay. "
        "A payment has at most 20.",
    )


class AttemptCreate(RequestModel):
    """An attempt by a method of your choice."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "wechat_native"}]})

    method: PaymentMethod
    payer: Payer = Field(default={}, description=_PAYER)
    return_url: str | None = Field(
        default=None,
        pattern=r"^https?://[\x21-\x7e]{1,2000}$",
        description="The address to which the payer returns after this attempt; if omitted, the cashier.",
    )


class PaymentCapture(RequestModel):
    """The amount to capture of an authorization."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount_minor": 1500}]})

    amount_minor: int | None = Field(
        default=None, ge=1, le=AMOUNT_MINOR_MAX, description="At most the authorized amount; if omitted, all of it."
    )


class TimelineEntryObject(BaseModel):
    """One event of a payment's timeline."""

    at: datetime
    what: str = Field(
        description="The event, such as `payment.created`, `attempt.submitted` or `payment.capture_requested`."
    )
    attempt_id: str | None
    source: payments.Source | None = Field(
        description="The source of the report: an answer or a notification of the channel, a bill, or an operator."
    )
    channel_code: str | None
    amount_minor: int | None
    reason: str | None


class Timeline(BaseModel):
    """The timeline of a payment, oldest entry first."""

    object: Literal["timeline"]
    payment_id: str
    data: list[TimelineEntryObject]


class Action(BaseModel):
    """The next action of the payer."""

    kind: channels.ActionKind
    content: str = Field(
        description=(
            "`qr_code`: the text of the code. `redirect`: the address to open. `form`: JSON with `url`, `fields` and "
            "`charset`, to be posted by the payer's browser. `sdk`: the parameters of the wallet's own SDK."
        )
    )


class PayerText(BaseModel):
    """A text for the payer."""

    en: str
    zh: str


class AttemptObject(BaseModel):
    """One attempt to pay at a channel."""

    id: str
    method: PaymentMethod
    channel: ChannelName
    state: payments.AttemptState
    surplus: bool = Field(description="The channel took money that no payment counts; it is refunded.")
    action: Action | None
    channel_order_no: str | None
    channel_code: str | None = Field(description="The channel's own code, unchanged.")
    channel_message: str | None
    code: UnifiedCode | None = Field(description="Such as `insufficient_funds`.")
    retryable: bool | None = Field(description="Whether another attempt, later or at another channel, may succeed.")
    text: PayerText | None = Field(description="The text to show to the payer.")
    created_at: datetime
    finished_at: datetime | None


class CustomerObject(BaseModel):
    """The customer of a payment."""

    id: str
    name: str | None
    avatar: str | None


class ChannelDiscountObject(BaseModel):
    """One party's part of a discount that the channel has given the payer, such as a coupon."""

    name: str = Field(description="The channel's own name of it; empty if it has none.")
    funder: payments.items.Funder | None = Field(
        description="The party that bears it, `platform` if it is neither the channel nor you; null if unknown."
    )
    amount_minor: int
    settles: bool = Field(
        description="Whether it is settled to you all the same. A coupon that you have paid for in advance is."
    )


class PaymentObject(BaseModel):
    """A payment."""

    id: str
    object: Literal["payment"]
    status: payments.PaymentStatus
    merchant_order_no: str
    amount_minor: int
    capture_method: payments.CaptureMethod
    amount_captured_minor: int = Field(description="The captured amount; 0 until the payment has succeeded.")
    amount_paid_minor: int = Field(
        description="The part of it that the payer paid; a channel's discount makes it less."
    )
    amount_settled_minor: int = Field(
        description="The part of it that the channel settles, before its fee; a discount that you bear makes it less."
    )
    channel_discounts: list[ChannelDiscountObject] = Field(description="The channel's discounts, such as coupons.")
    amount_refunded_minor: int = Field(description="The amount that has been refunded.")
    amount_refunding_minor: int = Field(description="The amount of refunds that are not finished.")
    amount_disputed_minor: int = Field(
        description="What the channel has taken of it for disputes and not given back; it cannot be refunded."
    )
    currency: str
    subject: str
    return_url: str | None
    cancel_url: str | None
    metadata: Metadata
    customer: CustomerObject | None = Field(default=None, description="The customer in the order, unchanged.")
    checkout_url: str = Field(description="The address of the cashier page; open it for the payer.")
    created_at: datetime
    expires_at: datetime
    authorized_at: datetime | None
    capture_before: datetime | None = Field(description="The instant at which an uncaptured authorization is released.")
    capturing: bool = Field(description="A capture was requested and the channel has not confirmed it yet.")
    succeeded_at: datetime | None
    closed_at: datetime | None
    close_reason: CloseReason | None
    closing: bool = Field(description="The payment's close was requested and the channel has not confirmed it yet.")
    attempts: list[AttemptObject]
    refunds: list[RefundObject] | None = Field(
        default=None, description="Its refunds, first to last; only in answers to a request with `expand=refunds`."
    )


class PaymentList(PageObject):
    """A page of payments, newest first."""

    data: list[PaymentObject]


class ItemObject(BaseModel):
    """One item of an order, and the part of its price that each party bears."""

    id: str
    name: str
    quantity: int
    quantity_refunded: int = Field(description="The units that are refunded or being refunded.")
    amount_minor: int = Field(description="The price of all units together, before discounts.")
    payer_minor: int
    merchant_minor: int
    platform_minor: int
    channel_minor: int


class ItemList(ListObject):
    """The items of a payment."""

    data: list[ItemObject]


# Payments may show their refunds, whose model needs parts of this file: it completes the model of payments.
from hutong.api.schemas import refund as _refund  # noqa: E402, F401
