"""/v1/operator/ledger: closed months and years."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import bookkeeping, db
from hutong.api.dependencies import Acting, Use
from hutong.api.operator.ledger.shared import PREFIX, TAGS, document, person_of
from hutong.api.paging import list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import ListObject, Reason, example_body
from hutong.ledger import finance

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)

PERIOD = r"^[0-9]{4}(-(0[1-9]|1[0-2]))?$"


class PeriodObject(BaseModel):
    """A closed month or year."""

    object: Literal["ledger_period"]
    period: str = Field(description="A month, 2026-03, or a year, 2026.")
    last_day: date
    closed_at: datetime
    closed_by: str
    reason: str
    accounts: int = Field(description="The number of accounts whose balances were carried.")


class PeriodList(ListObject):
    """The closed periods in order."""

    data: list[PeriodObject]


class CarryObject(BaseModel):
    """An amount that a closing carried off an account; a credit balance is positive."""

    object: Literal["ledger_carry"]
    account_id: UUID
    code: int
    currency: str
    transfer_id: UUID
    amount_minor: int
    amount: str


class CarryList(ListObject):
    """The amounts that a closing carried."""

    data: list[CarryObject]


class PeriodCreate(Reason):
    """A month or a year to close."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"period": "2026-03", "reason": "all bills of March are reconciled"}]}
    )

    period: str = Field(pattern=PERIOD, description="A month, 2026-03, or a year, 2026.")


@router.get(
    "/periods", response_model=PeriodList, responses=responses(400, 401, 422, 503), summary="List closed periods"
)
async def list_periods(use: Use, _operator: Acting) -> Response:
    """List the closed months and years in order."""
    async with use.database.transaction() as tx:
        periods = await finance.list_periods(tx)
    return list_answer(document(period, "ledger_period") for period in periods)


@router.get(
    "/periods/{period}/carries",
    response_model=CarryList,
    responses=responses(400, 401, 422, 503),
    summary="See what a closing carried",
)
async def list_carries(use: Use, _operator: Acting, period: str) -> Response:
    """List the amounts that the closing of a period carried; none if it is not closed."""
    async with use.database.transaction() as tx:
        carries = await finance.list_carries(tx, period)
    return list_answer(document(carry, "ledger_carry") for carry in carries)


@router.post(
    "/periods",
    status_code=201,
    response_model=CarryList,
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
    summary="Close a month or a year",
)
async def close_period(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[PeriodCreate, example_body(PeriodCreate)],
) -> Response:
    """Close a period, permanently, and return what was carried.

    A month carries income and expense to the profit of the year; a year carries that to retained earnings.
    """
    close = bookkeeping.close_month if "-" in body.period else bookkeeping.close_year

    async def work(tx: db.Tx) -> list[finance.Carry]:
        person = person_of(request, operator, body)
        return await close(tx, person, body.period, new_id=use.ids.new, now=use.clock.now())

    carries = await use.database.run(work)
    return json_answer({"object": "list", "data": [document(carry, "ledger_carry") for carry in carries]}, 201)
