"""/v1/reconciliation: what channels have settled of a merchant's payments and refunds, row by row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from hutong import export
from hutong.api.dependencies import Caller, Services, Use
from hutong.api.operator.ledger.shared import Date
from hutong.api.paging import CURSOR_DESCRIPTION, Limit, page_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.schemas.enums import ReconciledKind, ReconciledStatus
from hutong.api.schemas.fields import PageObject
from hutong.merchants import Merchant
from hutong.reconciliation import reports

router = APIRouter(prefix="/v1/reconciliation", tags=["Reconciliation"], route_class=StrictRoute)

_PAGE = 500
Day = Annotated[Date, Query(description="The channel's own day.")]


class ReconciliationRowObject(BaseModel):
    """What a channel has settled of one payment or refund. What goes back to the payer is negative."""

    object: Literal["reconciliation_row"]
    day: date = Field(description="The channel's own day.")
    type: ReconciledKind = Field(
        description="`surplus`: money that a channel took and no payment counts, which is given back; "
        "`refund_failure`: a refund whose money has come back; `payout`: a refund that was sent to the payer's account."
    )
    payment_id: str
    refund_id: str | None
    dispute_id: str | None
    currency: str
    amount_ordered_minor: int
    amount_paid_minor: int = Field(description="What the payer has paid, after the channel's discounts.")
    amount_settled_minor: int = Field(description="What the channel settles, before fees.")
    fee_minor: int = Field(description="Our fee.")
    net_minor: int = Field(description="What you get or lose.")
    channel_batch: str | None = Field(description="The channel's settlement batch, where it names one.")
    settle_date: date | None = Field(description="When the channel settles it, where it says so.")
    status: ReconciledStatus = Field(
        description="`reconciled`: the channel's file has the same; `pending`: its row may still come; `different`: "
        "they do not agree, and the platform's operators see to it."
    )


class ReconciliationRowList(PageObject):
    """A page of rows, by channel account and in a lasting order."""

    data: list[ReconciliationRowObject]


@router.get(
    "/rows",
    response_model=ReconciliationRowList,
    responses=responses(400, 401, 422, 503),
    summary="List reconciled rows",
)
async def list_rows(
    use: Use,
    merchant: Caller,
    day: Day,
    limit: Limit = 20,
    cursor: Annotated[
        str | None, Query(pattern=r"^acc_[0-7][0-9a-z]{25}\.[0-9]{1,17}$", description=CURSOR_DESCRIPTION)
    ] = None,
) -> Response:
    """Return what channels have settled of your payments and refunds on a day. It is there once the channel's file of
    the day has come and was reconciled; a file that is corrected later changes it.
    """
    page = await _page(use, merchant, day, cursor, limit)
    return page_answer(page.documents, page.cursor)


_HEADING = ",".join(ReconciliationRowObject.model_fields) + "\r\n"


@router.get(
    "/rows/export",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": _HEADING}}},
        **responses(400, 401, 422, 503),
    },
    summary="Export reconciled rows",
)
async def export_rows(use: Use, merchant: Caller, day: Day) -> Response:
    """Return all rows of a day as CSV. `net_minor` adds up to what the day's money has brought you."""
    first = await _page(use, merchant, day, None, _PAGE)  # before the response starts: an error still sets its status

    async def text() -> AsyncIterator[str]:
        page = first
        yield _HEADING
        while True:
            yield export.to_csv(page.documents).removeprefix(_HEADING)
            if page.cursor is None:
                return
            page = await _page(use, merchant, day, page.cursor, _PAGE)

    headers = {"Content-Disposition": f'attachment; filename="reconciliation-{day.isoformat()}.csv"'}
    return StreamingResponse(text(), media_type="text/csv; charset=utf-8", headers=headers)


async def _page(use: Services, merchant: Merchant, day: date, cursor: str | None, limit: int) -> reports.StatementPage:
    config = use.reconciliation.config
    return await reports.merchant_statement(
        use.database, config.folder, merchant.merchant_id, day, cursor=cursor, limit=limit, limits=config.limits
    )
