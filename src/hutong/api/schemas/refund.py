"""What merchants send and get about refunds, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hutong.api.schemas.payment import AMOUNT_MINOR_MAX, ITEM_ID, ORDER_NO, RequestModel, Text


class RefundItemCreate(RequestModel):
    """How much of one item goes back."""

    id: str = Field(pattern=ITEM_ID)
    quantity: int = Field(default=1, ge=1, le=1_000_000)


class RefundItemObject(BaseModel):
    """What goes back of one item."""

    id: str
    quantity: int
    amount_minor: int = Field(description="What the payer gets for it.")


class RefundCreate(RequestModel):
    """Money to be given back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"merchant_refund_no": "2026-000123-R1", "amount_minor": 500, "reason": "Damaged on arrival"}]
        }
    )

    merchant_refund_no: str = Field(
        pattern=ORDER_NO, description="Your own number of the refund; unique among your refunds."
    )
    amount_minor: int | None = Field(
        default=None, ge=1, le=AMOUNT_MINOR_MAX, description="In minor units; without it, all that is left."
    )
    items: list[RefundItemCreate] = Field(
        default=[],
        max_length=200,
        description="Which items go back, for a payment that has items; without it, all that are left.",
    )
    reason: Text = Field(
        default="refund", min_length=1, max_length=80, description="Some channels show it to the payer."
    )
    payee: dict[Annotated[str, Field(min_length=1, max_length=40)], Annotated[Text, Field(max_length=200)]] | None = (
        Field(
            default=None,
            max_length=20,
            description="Who receives a payout if the money cannot go back the way it came; kept sealed, never shown.",
        )
    )


class RefundObject(BaseModel):
    """A refund."""

    id: str
    object: Literal["refund"]
    payment_id: str
    merchant_order_no: str = Field(description="Of the payment.")
    kind: Literal["refund", "surplus"] = Field(
        description="`surplus`: money that no payment counts, given back by itself."
    )
    state: Literal["created", "held", "submitted", "unknown", "succeeded", "failed", "payout", "manual"]
    route: Literal["void", "original", "payout", "manual"] = Field(
        description="Which way the money goes, or went last."
    )
    merchant_refund_no: str | None = Field(description="Null for surplus.")
    amount_minor: int = Field(description="What the payer gets.")
    currency: str
    fee_returned_minor: int = Field(description="What you get back of our fee.")
    items: list[RefundItemObject]
    reason: str
    channel: str
    channel_refund_no: str | None
    channel_code: str | None = Field(description="The channel's own code, as it came.")
    channel_message: str | None
    created_at: datetime
    finished_at: datetime | None


class RefundList(BaseModel):
    """Refunds of a payment, first to last."""

    object: Literal["list"]
    has_more: bool
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page.")
    data: list[RefundObject]
