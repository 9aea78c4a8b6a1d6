"""Disputes in requests and answers, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from hutong.api.schemas.fields import PageObject


class DisputeResponseObject(BaseModel):
    """What the merchant has answered in a dispute."""

    id: str
    accepts: bool = Field(description="Whether it accepts the claim, or states that the matter is settled.")
    state: Literal["sending", "taken", "refused"] = Field(
        description="`sending`: sent until the channel has decided about it."
    )
    channel_code: str | None = Field(description="The channel's own code, unchanged.")
    channel_message: str | None
    created_at: datetime
    finished_at: datetime | None


class DisputeObject(BaseModel):
    """A payer's claim against a payment."""

    id: str
    object: Literal["dispute"]
    payment_id: str
    merchant_order_no: str = Field(description="The order number of the payment.")
    state: Literal["needs_response", "under_review", "won", "lost", "accepted"]
    amount_minor: int = Field(description="What the payer disputes.")
    amount_taken_minor: int = Field(
        description="What the channel has taken for it by now, less what it has given back; 0 for a mere complaint."
    )
    fee_minor: int = Field(description="What the channel has charged for it by now, less what it has given back.")
    amount_held_minor: int = Field(
        description="How much of both is held from you, or booked for good once the dispute has ended. It is less than "
        "both together only while your balance does not cover it."
    )
    currency: str
    reason: str | None = Field(description="The channel's own code of the reason.")
    payer_statement: str | None = Field(description="What the payer has written, unchanged.")
    due_at: datetime | None = Field(description="Until when you may answer.")
    channel: str
    channel_dispute_no: str = Field(description="The channel's own number of it.")
    source: Literal["notification", "query", "bill", "operator"] = Field(
        description="How the latest state was learned."
    )
    opened_at: datetime = Field(description="By the channel's clock.")
    changed_at: datetime = Field(description="By the channel's clock.")
    created_at: datetime = Field(description="When it was recorded here.")
    finished_at: datetime | None
    responses: list[DisputeResponseObject] = Field(description="What you have answered, first to last.")


class DisputeList(PageObject):
    """A page of disputes, newest first."""

    data: list[DisputeObject]
