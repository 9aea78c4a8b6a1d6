"""/v1/operator/ledger: standing orders."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import bookkeeping, db, ids
from hutong.api.dependencies import Acting, Use
from hutong.api.operator.ledger.shared import (
    PREFIX,
    PUBLIC_ID,
    TAGS,
    UuidCursor,
    document,
    page,
    person_of,
)
from hutong.api.paging import Limit, cut
from hutong.api.problems import responses
from hutong.api.requests import Instant, StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import PageObject, Reason, example_body
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX
from hutong.ledger import finance

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)


class OrderObject(BaseModel):
    """A standing order with its last run."""

    object: Literal["standing_order"]
    order_id: UUID
    from_account_id: UUID
    to_account_id: UUID
    currency: str
    most_minor: int
    every_minutes: int
    next_at: datetime
    active: bool
    created_by: str
    stopped_at: datetime | None
    stopped_by: str | None
    stop_reason: str | None
    last_run_at: datetime | None
    last_amount_minor: int | None
    last_failure: str | None = Field(description="Why the last run moved nothing; null if it succeeded.")
    failures: int = Field(description="How many runs have failed since the last that succeeded.")


class OrderList(PageObject):
    """A page of standing orders."""

    data: list[OrderObject]


class OrderCreate(Reason):
    """A standing order to add."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "from_account_id": "07d1009c-0000-0000-0000-000000000001",
                    "to_account_id": "07d2009c-0000-0000-0000-000000000001",
                    "most_minor": 5_000_000,
                    "every_minutes": 1440,
                    "reason": "agreed with the merchant",
                }
            ]
        }
    )

    from_account_id: str = Field(pattern=PUBLIC_ID, description="The account whose free balance is moved.")
    to_account_id: str = Field(pattern=PUBLIC_ID)
    most_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX, description="The most that one run moves.")
    every_minutes: int = Field(ge=1, le=5_270_400, description="Whole days keep the time of the day.")
    first_at: Instant | None = Field(default=None, description="The first run; by default now.")


_WRITE = responses(400, 401, 403, 404, 409, 413, 415, 422, 503)


@router.get(
    "/standing-orders",
    response_model=OrderList,
    responses=responses(400, 401, 422, 503),
    summary="List standing orders",
)
async def list_standing_orders(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: UuidCursor = None,
    active: Annotated[Literal["true"] | None, Query(description="Only orders that are not stopped.")] = None,
) -> Response:
    """List standing orders, each with its last run, its failures since the last success, and its next run."""
    async with use.database.transaction() as tx:
        orders = await finance.list_standing_orders(
            tx, active_only=active is not None, after=UUID(cursor) if cursor else None, limit=limit + 1
        )
    shown, next_cursor = cut(orders, limit, lambda order: str(order.order_id))
    return page(shown, "standing_order", next_cursor)


@router.post(
    "/standing-orders", status_code=201, response_model=OrderObject, responses=_WRITE, summary="Add a standing order"
)
async def add_standing_order(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[OrderCreate, example_body(OrderCreate)],
) -> Response:
    """Move the free balance of one account to another at an interval. Two accounts have one active order at most."""
    order_id, now = use.ids.new(), use.clock.now()

    async def work(tx: db.Tx) -> finance.StandingOrder:
        return await bookkeeping.add_standing_order(
            tx, person_of(request, operator, body), order_id,
            from_account_id=ids.read_any(body.from_account_id, param="from_account_id"),
            to_account_id=ids.read_any(body.to_account_id, param="to_account_id"), most_minor=body.most_minor,
            every=timedelta(minutes=body.every_minutes), first_at=body.first_at or now, now=now,
        )  # fmt: skip

    return json_answer(document(await use.database.run(work), "standing_order"), 201)


@router.post(
    "/standing-orders/{order_id}/stop", response_model=OrderObject, responses=_WRITE, summary="Stop a standing order"
)
async def stop_standing_order(
    request: Request,
    use: Use,
    operator: Acting,
    order_id: UUID,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """Stop a standing order, permanently."""

    async def work(tx: db.Tx) -> finance.StandingOrder:
        person = person_of(request, operator, body)
        return await bookkeeping.stop_standing_order(tx, person, order_id, now=use.clock.now())

    return json_answer(document(await use.database.run(work), "standing_order"))
