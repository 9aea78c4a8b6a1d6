"""Disputes in requests and answers, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

from hutong import payments
from hutong.api.requests import Instant, RequestModel, Text
from hutong.api.schemas.fields import PageObject, Reason
from hutong.api.schemas.open_names import ChannelName
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX
from hutong.payments import disputes

Evidence = Annotated[str, Field(min_length=1, max_length=20_000)]
"""One text; a channel's own limit is lower."""


class DisputeResponseObject(BaseModel):
    """What the merchant has answered in a dispute."""

    id: str
    accepts: bool = Field(description="Whether it accepts the claim, or states that the matter is settled.")
    state: disputes.ResponseState = Field(description="`sending`: sent until the channel has decided about it.")
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
    state: disputes.DisputeState
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
    channel: ChannelName
    channel_dispute_no: str = Field(description="The channel's own number of it.")
    source: payments.Source = Field(description="How the latest state was learned.")
    opened_at: datetime = Field(description="By the channel's clock.")
    changed_at: datetime = Field(description="By the channel's clock.")
    created_at: datetime = Field(description="When it was recorded here.")
    finished_at: datetime | None
    responses: list[DisputeResponseObject] = Field(description="What you have answered, first to last.")


class DisputeList(PageObject):
    """A page of disputes, newest first."""

    data: list[DisputeObject]


class DisputeAnswer(RequestModel):
    """An answer to a dispute."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"evidence": {"uncategorized_text": "Delivered on 3 March; the payer has signed for it."}}]
        }
    )

    evidence: dict[Annotated[Text, Field(min_length=1, max_length=64)], Evidence] = Field(
        min_length=1,
        max_length=40,
        description="Texts by the names that the channel takes; `dispute_evidence_refused` names what does not fit. "
        "Encrypted until the channel has decided about the answer, then deleted.",
    )


class DisputeAcceptance(RequestModel):
    """The acceptance of a dispute, with what its channel takes or requires for it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"evidence": {"remark": "We have sent you a new pair."}}]}
    )

    evidence: dict[Annotated[Text, Field(min_length=1, max_length=64)], Evidence] = Field(
        default={},
        max_length=40,
        description="Most channels take none. Alipay requires a `remark` for the payer.",
    )


class DisputeEnter(Reason):
    """A dispute that a channel has reported by other ways than an interface."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "amount_minor": 1999,
                    "amount_taken_minor": 1999,
                    "fee_minor": 0,
                    "dispute_reason": "not_received",
                    "due_at": "2026-12-20T12:00:00Z",
                    "reason": "retrieval request by the bank's letter of 3 December",
                }
            ]
        }
    )

    channel_dispute_no: Text | None = Field(
        default=None, min_length=1, max_length=128, description="The channel's own number, if it has one."
    )
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX, description="What the payer disputes.")
    amount_taken_minor: int = Field(
        default=0, ge=0, le=AMOUNT_MINOR_MAX, description="What the channel has taken for it by now."
    )
    fee_minor: int = Field(default=0, ge=0, le=AMOUNT_MINOR_MAX, description="What the channel has charged for it.")
    dispute_reason: Text | None = Field(default=None, min_length=1, max_length=64, description="The channel's code.")
    payer_statement: Text | None = Field(
        default=None, min_length=1, max_length=1000, description="What the payer has written."
    )
    due_at: Instant | None = Field(default=None, description="Until when the merchant may answer.")


class DisputeMove(Reason):
    """How a dispute has gone on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"state": "won", "reason": "the bank's letter of 9 January"}]}
    )

    state: Annotated[disputes.DisputeState, Strict(False)]
    amount_taken_minor: int | None = Field(
        default=None,
        ge=0,
        le=AMOUNT_MINOR_MAX,
        description="What the channel has taken by then; if left out, as before, and nothing where the dispute is won.",
    )
    fee_minor: int | None = Field(
        default=None, ge=0, le=AMOUNT_MINOR_MAX, description="What it has charged by then; if left out, as before."
    )
