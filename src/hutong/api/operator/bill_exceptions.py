"""/v1/operator/bill-exceptions: rows of channels' bills that could not be read."""

from __future__ import annotations

from datetime import date, datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from hutong import channels
from hutong.api.dependencies import Acting, Use
from hutong.api.paging import Limit, list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.schemas.fields import ListObject

router = APIRouter(prefix="/v1/operator/bill-exceptions", tags=["Operators"], route_class=StrictRoute)


class BillExceptionObject(BaseModel):
    """A row of a bill that could not be read. The bill's totals prove its other rows."""

    account_id: str = Field(description="The account at the channel.")
    channel: str
    account: str = Field(description="The name of the account.")
    kind: str = Field(description="The kind of the bill, such as `trade`.")
    day: date = Field(description="The channel's day.")
    line_no: int = Field(description="The line of the file on which the row begins, from 1.")
    reason: str
    text: str = Field(description="The row as the channel wrote it.")
    found_at: datetime


class BillExceptionList(ListObject):
    """Rows that could not be read, the latest days first."""

    data: list[BillExceptionObject]


@router.get(
    "",
    response_model=BillExceptionList,
    responses=responses(400, 401, 422, 503),
    summary="List the rows of bills that could not be read",
)
async def list_bill_exceptions(use: Use, _operator: Acting, limit: Limit = 100) -> Response:
    """List the rows of bills that could not be read, the latest days first."""
    async with use.database.transaction() as tx:
        found = await channels.accounts.list_bill_exceptions(tx, limit=limit)
    return list_answer(one.document() for one in found)
