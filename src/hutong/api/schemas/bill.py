"""Payment records in the API: responses and the filters of a search."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, Field

from hutong import search
from hutong.api.paging import check_period
from hutong.api.requests import Instant, Text
from hutong.api.schemas.fields import ListObject, PageObject
from hutong.api.schemas.open_names import ChannelName, PaymentMethod
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX, ORDER_NO
from hutong.errors import InvalidParameter


class BillRefund(BaseModel):
    """A refund whose money is back with the payer."""

    id: str
    merchant_refund_no: str | None = Field(description="Null for a refund made in a channel's portal.")
    amount_minor: int
    reason: str
    route: str
    created_at: datetime
    finished_at: datetime


class CounterpartyObject(BaseModel):
    """The payer, with the newest name and picture that the merchant has given, also on old records."""

    id: str = Field(description="The merchant's own id of the customer.")
    name: str | None
    avatar_url: str | None = Field(
        description="The configured address of avatars followed by `{id}?v={avatar}`; it changes when the picture does."
    )


class BillObject(BaseModel):
    """A payment that is reserved, succeeded or closed, with its refunds."""

    id: str = Field(description="The id of the payment.")
    object: Literal["bill"]
    status: search.RecordStatus
    merchant_order_no: str
    subject: str
    amount_minor: int
    currency: str
    amount_captured_minor: int
    amount_paid_minor: int = Field(description="What the payer paid of it.")
    amount_settled_minor: int = Field(description="What the channel settles of it, before its fee.")
    amount_refunded_minor: int = Field(description="The sum of `refunds`.")
    method: PaymentMethod | None = Field(description="The method of the attempt that took the money.")
    channel: ChannelName | None
    counterparty: CounterpartyObject | None
    created_at: datetime
    authorized_at: datetime | None
    succeeded_at: datetime | None
    closed_at: datetime | None
    refunds: list[BillRefund]


class BillList(PageObject):
    """A page of payment records, newest first."""

    data: list[BillObject]
    as_of: datetime = Field(description="Everything up to this instant is included; usually less than a second ago.")


class BillMerchant(BaseModel):
    """The merchant of a payment record."""

    id: str
    name: str | None


class OperatorBillObject(BillObject):
    """A payment record with its merchant."""

    merchant: BillMerchant


class OperatorBillList(BillList):
    """A page of payment records of all merchants, newest first."""

    data: list[OperatorBillObject]  # type: ignore[assignment]


class BillSource(BaseModel):
    """The progress of payment records in one stream of events."""

    source: str
    no: int = Field(description="The last number that payment records show.")
    last_no: int = Field(description="The last number in the stream.")
    lag: int
    lag_s: float = Field(description="For how long the first event that is not shown has been waiting.")


class BillSourceList(ListObject):
    """All streams that payment records are made of."""

    data: list[BillSource]


def _amount(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise ValueError("must be an amount in minor units, in plain digits")
    return value


Amount = Annotated[
    int | None,
    Query(ge=0, le=AMOUNT_MINOR_MAX, description="In minor units."),
    BeforeValidator(_amount),  # after the bounds: before them, the description would not name them
]


async def filters(
    begin: Annotated[Instant | None, Query(alias="from", description="Created at or after this instant.")] = None,
    end: Annotated[Instant | None, Query(alias="to", description="Created before this instant.")] = None,
    status: Annotated[search.RecordStatus | None, Query(description="Only records with this status.")] = None,
    amount_min: Amount = None,
    amount_max: Amount = None,
    currency: Annotated[str | None, Query(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")] = None,
    merchant_order_no: Annotated[
        str | None, Query(pattern=ORDER_NO, description="Only the record of this order.")
    ] = None,
    customer: Annotated[
        str | None, Query(pattern=ORDER_NO, description="Only records of this customer, by the merchant's own id.")
    ] = None,
    counterparty: Annotated[
        Text | None,
        Query(min_length=1, max_length=64, description="The customer's id, or part of the customer's name."),
    ] = None,
    q: Annotated[
        Text | None,
        Query(min_length=1, max_length=127, description="Terms, separated by blanks; each must occur in the subject."),
    ] = None,
) -> search.RecordQuery:
    """Return the query of a search. The route sets its merchant.

    Errors:
        InvalidParameter: a range ends before it begins.
    """
    check_period(begin, end)
    if amount_min is not None and amount_max is not None and amount_max < amount_min:
        raise InvalidParameter("`amount_max` must not be less than `amount_min`", param="amount_max")
    return search.RecordQuery(
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
