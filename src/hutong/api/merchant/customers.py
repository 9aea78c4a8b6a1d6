"""The route of `/v1/customers`: names and pictures of customers, outside of orders."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from hutong import customers, db
from hutong.api.dependencies import Caller, Use
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import example_body
from hutong.api.schemas.payment import CustomerGiven

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
