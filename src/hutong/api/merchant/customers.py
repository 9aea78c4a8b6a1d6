"""/v1/customers: what a merchant tells of its customers outside of orders."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from hutong import db, payments
from hutong.api.dependencies import Caller, Use
from hutong.api.problems import responses
from hutong.api.responses import json_answer
from hutong.api.schemas import payment as schema
from hutong.api.strict_json import StrictRoute

router = APIRouter(prefix="/v1/customers", tags=["Bills"], route_class=StrictRoute)


class CustomerPut(schema.CustomerGiven):
    """What a customer is called from now on, and which picture is theirs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "u-1001", "name": "张三", "avatar": "5f2b9c"}]},
    )


class CustomerProfileObject(BaseModel):
    """What is known of a customer."""

    id: str
    object: Literal["customer"]
    name: str | None
    avatar: str | None
    updated_at: datetime


@router.post(
    "",
    response_model=CustomerProfileObject,
    responses=responses(400, 401, 413, 415, 422, 503),
    summary="Tell of a customer",
)
async def put_customer(
    use: Use,
    merchant: Caller,
    body: Annotated[CustomerPut, Body(openapi_examples={"one": {"value": schema.example(CustomerPut)}})],
) -> Response:
    """Give one of your customers a new name or picture; all bills of theirs show it, old ones too.

    What you leave out is not known any more. Saying the same again changes nothing. Orders may tell the same in
    `customer`; what was said last counts.
    """
    command = payments.PutCustomer(merchant.merchant_id, payments.Customer(**body.model_dump()))

    async def work(tx: db.Tx) -> list[payments.CustomerProfile]:
        return await payments.put_customers(tx, [command], new_id=use.ids.new, now=use.clock.now())

    (profile,) = await use.database.run(work)
    return json_answer(payments.customer_document(profile))
