"""What merchants send and get, as models: they check requests and make the OpenAPI document."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

ORDER_NO = r"^[\x21-\x7e]{1,64}$"
"""What a merchant may use for its order numbers: visible ASCII."""

AMOUNT_MINOR_MAX = 999_999_999_999_999
"""Within the integers that every JSON reader keeps exactly, and far below what the ledger can sum."""


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _clean(text: str) -> str:
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError("holds a control character or half of a surrogate pair")
    if not text.strip():
        raise ValueError("is blank")
    return text


def _instant(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("is not an instant like 2026-01-01T12:00:00Z")
    return datetime.fromisoformat(value.upper())


Text = Annotated[str, AfterValidator(_clean)]
OptionalText = Annotated[str, AfterValidator(lambda text: text and _clean(text))]
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]


class RequestModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


def _known_bank(payer: dict[str, str]) -> dict[str, str]:
    if "institution" in payer and not _INSTITUTION.fullmatch(payer["institution"]):
        raise ValueError("institution is a bank's code: up to 32 letters, digits, hyphens and underscores")
    return payer


_INSTITUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
Payer = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")],
        Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_clean)],
    ],
    Field(max_length=8),
    AfterValidator(_known_bank),
]
_PAYER = (
    "What the method asks of the payer, by name, such as `openid` or `auth_code`; forgotten when the try has ended. "
    "`institution`, the code of the payer's bank, may always be told: payments go where that bank works."
)

ITEM_ID = r"^[\x21-\x7e]{1,64}$"


class ItemCreate(RequestModel):
    """One line of an order."""

    id: str = Field(pattern=ITEM_ID, description="Your own name of it, such as a SKU; once in a payment.")
    name: Text = Field(min_length=1, max_length=127)
    quantity: int = Field(default=1, ge=1, le=1_000_000)
    amount_minor: int = Field(ge=0, le=AMOUNT_MINOR_MAX, description="For all units together, before discounts.")


class DiscountCreate(RequestModel):
    """What is taken off, and who bears it."""

    name: Text = Field(min_length=1, max_length=127)
    funder: Literal["merchant", "platform", "channel"] = Field(
        description="Who bears it: you earn less, or the platform or the channel puts it to what the payer pays."
    )
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX)
    item: str | None = Field(default=None, pattern=ITEM_ID, description="The item it is for; without it, all.")


class CustomerGiven(RequestModel):
    """Who pays, as you know them."""

    id: str = Field(pattern=ORDER_NO, description="Your own; the same person has the same one in every order.")
    name: Text | None = Field(default=None, min_length=1, max_length=64, description="Shown in lists of bills.")
    avatar: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="What names the picture's present version, such as its hash.",
    )


class PaymentCreate(RequestModel):
    """A merchant's order."""

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
        description="Your own number of the order; unique among your payments.",
    )
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX, description="In minor units: 1999 is 19.99 in CNY.")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")
    subject: Text = Field(min_length=1, max_length=127, description="What is paid for; the payer sees it.")
    method: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9_]{1,32}$",
        description="How to pay, such as `wechat_native`. Without it the payer chooses in the cashier.",
    )
    payer: Payer = Field(default={}, description=_PAYER)
    customer: CustomerGiven | None = Field(
        default=None,
        description="Who pays. Bills can be found by it; all of a customer's bills show the newest name and avatar.",
    )
    capture_method: Literal["automatic", "manual"] = Field(
        default="automatic", description="`manual` only reserves the money; take it by a capture."
    )
    return_url: str | None = Field(
        default=None,
        pattern=r"^https?://[\x21-\x7e]{1,2000}$",
        description="Where the payer is sent back to; its origin must be registered for the merchant.",
    )
    expires_at: Instant | None = Field(
        default=None,
        description=(
            "Until when it may be paid: 1 minute from now at least, 15 days at most unless the installation says "
            "otherwise. Default: what is agreed for the merchant, or the most."
        ),
    )
    items: list[ItemCreate] = Field(
        default=[],
        max_length=200,
        description="What is bought; less the discounts it is `amount_minor`. Refunds then name items.",
    )
    discounts: list[DiscountCreate] = Field(default=[], max_length=50)
    metadata: dict[
        Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_clean)],
        Annotated[OptionalText, Field(max_length=500)],
    ] = Field(default={}, max_length=20, description="Your own names and values; returned as they are.")


class AttemptCreate(RequestModel):
    """A try by a method of your choice."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "wechat_native"}]})

    method: str = Field(pattern=r"^[a-z0-9_]{1,32}$", description="How to pay.")
    payer: Payer = Field(default={}, description=_PAYER)
    return_url: str | None = Field(
        default=None,
        pattern=r"^https?://[\x21-\x7e]{1,2000}$",
        description="Where the payer is sent back to after this try; without it, to the cashier.",
    )


class PaymentCapture(RequestModel):
    """How much of an authorization to take."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount_minor": 1500}]})

    amount_minor: int | None = Field(
        default=None, ge=1, le=AMOUNT_MINOR_MAX, description="At most what was authorized; all of it if not given."
    )


class TimelineEntry(BaseModel):
    """One thing that happened to a payment."""

    at: datetime
    what: str = Field(description="Such as `payment.created`, `attempt.submitted` or `payment.capture_requested`.")
    attempt_id: str | None
    source: Literal["submission", "notification", "query", "close", "capture", "bill", "operator"] | None = Field(
        description="How it was learnt from the channel, or who did it."
    )
    channel_code: str | None
    amount_minor: int | None
    reason: str | None


class Timeline(BaseModel):
    """The story of a payment, first to last."""

    object: Literal["timeline"]
    payment_id: str
    data: list[TimelineEntry]


class Action(BaseModel):
    """What the payer has to do next."""

    kind: Literal["qr_code", "redirect", "form", "sdk"]
    content: str = Field(
        description=(
            "`qr_code`: the text of the code. `redirect`: the address to open. `form`: JSON with `url`, `fields` and "
            "`charset`, to be posted by the payer's browser. `sdk`: what the wallet's own code takes."
        )
    )


class PayerText(BaseModel):
    """A text for the payer."""

    en: str
    zh: str


class AttemptObject(BaseModel):
    """One try at a channel."""

    id: str
    method: str
    channel: str
    state: Literal["created", "submitted", "unknown", "authorized", "succeeded", "failed", "closed"]
    surplus: bool = Field(description="The channel took this money although nothing was owed; it must be given back.")
    action: Action | None
    channel_order_no: str | None
    channel_code: str | None = Field(description="The channel's own code, as it came.")
    channel_message: str | None
    code: str | None = Field(
        description="Our one word for it, the same at every channel, such as `insufficient_funds`."
    )
    retryable: bool | None = Field(description="Whether trying again later, or elsewhere, may bring another answer.")
    text: PayerText | None = Field(description="What the payer may be told.")
    created_at: datetime
    finished_at: datetime | None


class CustomerObject(BaseModel):
    """Who pays, as the merchant knows them."""

    id: str
    name: str | None
    avatar: str | None


class PaymentObject(BaseModel):
    """A payment."""

    id: str
    object: Literal["payment"]
    status: Literal["requires_payment", "processing", "requires_capture", "succeeded", "closed"]
    merchant_order_no: str
    amount_minor: int
    capture_method: Literal["automatic", "manual"]
    amount_captured_minor: int = Field(description="What was taken; 0 until the payment has succeeded.")
    amount_refunded_minor: int = Field(description="What is back with the payer.")
    amount_refunding_minor: int = Field(description="What is on its way back.")
    currency: str
    subject: str
    return_url: str | None
    metadata: dict[str, str]
    customer: CustomerObject | None = Field(default=None, description="As it was given with the order.")
    checkout_url: str = Field(description="The cashier page; open it for the payer.")
    created_at: datetime
    expires_at: datetime
    authorized_at: datetime | None
    capture_before: datetime | None = Field(description="When an authorization that was not captured is given up.")
    capturing: bool = Field(description="A capture was asked for and the channel has not confirmed it yet.")
    succeeded_at: datetime | None
    closed_at: datetime | None
    close_reason: Literal["merchant", "expired", "operator"] | None
    closing: bool = Field(description="The end was asked for and the channel has not confirmed it yet.")
    attempts: list[AttemptObject]


class PaymentList(BaseModel):
    """A page of payments, newest first."""

    object: Literal["list"]
    data: list[PaymentObject]
    has_more: bool
    next_cursor: str | None


class ItemObject(BaseModel):
    """One line of an order, and who bears which part of its price."""

    id: str
    name: str
    quantity: int
    quantity_refunded: int = Field(description="Given back, or on its way.")
    amount_minor: int = Field(description="For all units together, before discounts.")
    payer_minor: int
    merchant_minor: int
    platform_minor: int
    channel_minor: int


class ItemList(BaseModel):
    """What was bought."""

    object: Literal["list"]
    data: list[ItemObject]


def example(model: type[BaseModel]) -> Any:
    """The first example of a model."""
    return model.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index]
