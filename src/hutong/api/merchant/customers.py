"""Routes of `/v1/customers`: names and pictures of customers, outside of orders."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import customers, db, search
from hutong.api.dependencies import Caller, Use
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import example_body
from hutong.api.schemas.payment import ORDER_NO, CustomerGiven
from hutong.errors import NotFound

router = APIRouter(prefix="/v1/customers", tags=["Bills"], route_class=StrictRoute)


class CustomerPut(CustomerGiven):
    """The new name and picture of a customer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "u-1001", "name": "张三", "avatar": "5f2b9c"}]},
    )


class CustomerProfileObject(BaseModel):
    """The current name and picture of a customer."""

    id: str
    object: Literal["customer"]
    name: str | None
    avatar: str | None
    updated_at: datetime


class KnownCustomerObject(CustomerProfileObject):
    """The current name and picture of a customer, from an order or outside of one."""

    updated_at: datetime | None = Field(  # type: ignore[assignment]
        description="When they were given; null if orders have only named the customer's id."
    )


@router.get(
    "/{customer_id}",
    response_model=KnownCustomerObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a customer",
)
async def get_customer(use: Use, merchant: Caller, customer_id: str) -> Response:
    """Return the current name and picture of one of your customers, by your own id, encoded as a part of the path.

    What you set here is shown at once; what an order sets, with its payment record, usually within a second.
    """
    try:
        own_id = unquote(customer_id, errors="strict")
    except UnicodeDecodeError:
        own_id = ""
    if not re.fullmatch(ORDER_NO, own_id):
        raise NotFound("no customer has this id")
    async with use.database.transaction() as tx:
        given = await customers.find_customer(tx, merchant.merchant_id, own_id)
    async with use.records.transaction() as tx:
        projected = await search.find_profile(tx, merchant.merchant_id, own_id)
    profiles = [profile for profile in (given, projected) if profile is not None]
    if not profiles:
        raise NotFound("no customer has this id")
    newest = max(profiles, key=lambda profile: profile.updated_at)
    is_dated = newest.updated_at > search.NEVER
    return json_answer(customers.customer_document(newest) | ({} if is_dated else {"updated_at": None}))


@router.post(
    "",
    response_model=CustomerProfileObject,
    responses=responses(400, 401, 413, 415, 422, 503),
    summary="Set a customer's name and picture",
)
async def put_customer(
    use: Use,
    merchant: Caller,
    body: Annotated[CustomerPut, example_body(CustomerPut)],
) -> Response:
    """Give one of your customers a new name or picture. All their payment records show it, old ones too.

    A field that you leave out is cleared. A repetition changes nothing. Orders may set the same fields in `customer`;
    the latest setting wins.
    """
    command = customers.PutCustomer(merchant.merchant_id, customers.Customer(**body.model_dump()))

    async def work(tx: db.Tx) -> list[customers.CustomerProfile]:
        return await customers.put_customers(tx, [command], new_id=use.ids.new, now=use.clock.now())

    (profile,) = await use.database.run(work)
    return json_answer(customers.customer_document(profile))
