"""Refunds in requests and answers, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from hutong.api.requests import RequestModel, Text
from hutong.api.schemas.fields import ListObject, PageObject
from hutong.api.schemas.open_names import ChannelName
from hutong.api.schemas.payment import (
    AMOUNT_MINOR_MAX,
    ITEM_ID,
    ORDER_NO,
    PayerText,
    PaymentList,
    PaymentObject,
)
from hutong.payments import refunds

Payee = TypeAliasType(
    "Payee",
    Annotated[
        dict[Annotated[Text, Field(min_length=1, max_length=40)], Annotated[Text, Field(max_length=200)]],
        Field(max_length=20),
    ],
)


class RefundItemCreate(RequestModel):
    """The units of one item to refund."""

    id: str = Field(pattern=ITEM_ID)
    quantity: int = Field(default=1, ge=1, le=1_000_000)


class RefundItemObject(BaseModel):
    """The refunded units of one item."""

    id: str
    quantity: int
    amount_minor: int = Field(description="The amount that the payer gets for these units.")


class RefundCreate(RequestModel):
    """A refund to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"merchant_refund_no": "2026-000123-R1", "amount_minor": 500, "reason": "Damaged on arrival"}]
        }
    )

    merchant_refund_no: str = Field(pattern=ORDER_NO, description="Your own refund number, unique among your refunds.")
    amount_minor: int | None = Field(
        default=None, ge=1, le=AMOUNT_MINOR_MAX, description="The amount in minor units; if omitted, all that is left."
    )
    items: list[RefundItemCreate] = Field(
        default=[],
        max_length=200,
        description="The items to refund, for a payment with items; if omitted, all that are left.",
    )
    reason: Text = Field(
        default="refund", min_length=1, max_length=80, description="The reason; some channels show it to the payer."
    )
    payee: Payee | None = Field(
        default=None,
        description="The payee of a payout, if the money cannot go back the way it came; encrypted, never shown.",
    )


class RefundObject(BaseModel):
    """A refund."""

    id: str
    object: Literal["refund"]
    payment_id: str
    merchant_order_no: str = Field(description="The order number of the payment.")
    kind: refunds.RefundKind = Field(description="`surplus`: money that no payment counts, refunded automatically.")
    source: refunds.RefundSource = Field(
        description="Who has ordered it: you, the platform (surplus), or a person in the channel's own portal."
    )
    state: refunds.RefundState
    route: refunds.RefundMethod = Field(description="The way that the money takes, or took last.")
    merchant_refund_no: str | None = Field(description="Null for surplus, and for a refund made in a channel's portal.")
    amount_minor: int = Field(description="The refunded part of the captured amount.")
    amount_paid_minor: int = Field(
        description="The part of it that the payer gets; a channel's discount makes it less."
    )
    amount_settled_minor: int = Field(
        description="The part of it that is taken back from you; a discount that you bear makes it less."
    )
    currency: str
    fee_returned_minor: int = Field(description="The part of our fee that you get back.")
    items: list[RefundItemObject]
    reason: str
    channel: ChannelName
    channel_refund_no: str | None
    channel_code: str | None = Field(description="The channel's own code, unchanged.")
    channel_message: str | None
    text: PayerText | None = Field(description="The text to show to the payer.")
    created_at: datetime
    finished_at: datetime | None
    failed_after_success_at: datetime | None = Field(
        description="When the channel reported last that the refund had failed after its success."
    )


class RefundList(ListObject):
    """A page of the refunds of a payment, oldest first."""

    has_more: bool
    next_cursor: str | None = Field(description="The `cursor` of the next page.")
    data: list[RefundObject]


class MerchantRefundList(PageObject):
    """A page of refunds, newest first."""

    data: list[RefundObject]


# Payments may show their refunds, whose parts are described beside payments.
for _model in (PaymentObject, PaymentList):
    _model.model_rebuild(_types_namespace={"RefundObject": RefundObject})
