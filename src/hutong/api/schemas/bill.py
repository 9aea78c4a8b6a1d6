"""Bills as they are shown and asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, Field

from hutong import search as query
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX, ORDER_NO, Instant, Text
from hutong.errors import InvalidParameter


class BillRefund(BaseModel):
    """A refund whose money is back with the payer."""

    id: str
    merchant_refund_no: str
    amount_minor: int
    reason: str
    route: str
    created_at: datetime
    finished_at: datetime


class CounterpartyObject(BaseModel):
    """Who paid, as the merchant's newest order has it, also for old bills."""

    id: str = Field(description="The merchant's own.")
    name: str | None
    avatar_url: str | None = Field(
        description="`{id}?v={avatar}` behind the address that is set for avatars: it changes when the picture does."
    )


class BillObject(BaseModel):
    """A payment that is done, reserved or closed, with its refunds."""

    id: str = Field(description="The payment's.")
    object: Literal["bill"]
    status: Literal["requires_capture", "succeeded", "closed"]
    merchant_order_no: str
    subject: str
    amount_minor: int
    currency: str
    amount_captured_minor: int
    amount_refunded_minor: int = Field(description="The sum of `refunds`.")
    method: str | None = Field(description="Of the try that the money came through.")
    channel: str | None
    counterparty: CounterpartyObject | None
    created_at: datetime
    authorized_at: datetime | None
    succeeded_at: datetime | None
    closed_at: datetime | None
    refunds: list[BillRefund]


class BillList(BaseModel):
    """A page of bills, newest first."""

    object: Literal["list"]
    data: list[BillObject]
    has_more: bool
    next_cursor: str | None
    as_of: datetime = Field(description="What happened until then is in it; mostly less than a second ago.")


class BillMerchant(BaseModel):
    """Whose bill it is."""

    id: str
    name: str | None


class OperatorBillObject(BillObject):
    """Any merchant's bill."""

    merchant: BillMerchant


class OperatorBillList(BillList):
    """A page of bills of all merchants, newest first."""

    data: list[OperatorBillObject]  # type: ignore[assignment]


class BillSource(BaseModel):
    """How far bills have followed one stream of events."""

    source: str
    no: int = Field(description="The last number that bills show.")
    last_no: int = Field(description="The last number that there is.")
    lag: int
    lag_s: float = Field(description="For how long the first that is not shown has been waiting.")


class BillSourceList(BaseModel):
    """All streams that bills are made of."""

    object: Literal["list"]
    data: list[BillSource]


def _amount(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise ValueError("is not an amount in minor units, in plain digits")
    return value


Amount = Annotated[int | None, BeforeValidator(_amount)]


async def filters(
    begin: Annotated[Instant | None, Query(alias="from", description="Created then or later.")] = None,
    end: Annotated[Instant | None, Query(alias="to", description="Created before then.")] = None,
    status: Annotated[query.RecordStatus | None, Query(description="Only bills in this state.")] = None,
    amount_min: Annotated[Amount, Query(ge=0, le=AMOUNT_MINOR_MAX, description="In minor units.")] = None,
    amount_max: Annotated[Amount, Query(ge=0, le=AMOUNT_MINOR_MAX, description="In minor units.")] = None,
    currency: Annotated[str | None, Query(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")] = None,
    merchant_order_no: Annotated[str | None, Query(pattern=ORDER_NO, description="Only of this order.")] = None,
    customer: Annotated[
        str | None, Query(pattern=ORDER_NO, description="Only of this customer, by the merchant's own id.")
    ] = None,
    counterparty: Annotated[
        Text | None, Query(min_length=1, max_length=64, description="A customer's id, or part of the name.")
    ] = None,
    q: Annotated[
        Text | None, Query(min_length=1, max_length=127, description="Words of the subject; each must occur in it.")
    ] = None,
) -> query.RecordQuery:
    """What a search asks for; whose bills is not the caller's to say.

    Errors:
        InvalidParameter: a range that ends before it begins.
    """
    if begin is not None and end is not None and end <= begin:
        raise InvalidParameter("lies at or before `from`", param="to")
    if amount_min is not None and amount_max is not None and amount_max < amount_min:
        raise InvalidParameter("is less than `amount_min`", param="amount_max")
    return query.RecordQuery(
        begin=begin,
        end=end,
        status=status,
        amount_min=amount_min,
        amount_max=amount_max,
        currency=currency,
        merchant_order_no=merchant_order_no,
        customer_id=customer,
        counterparty=counterparty,
        text=q,
    )
