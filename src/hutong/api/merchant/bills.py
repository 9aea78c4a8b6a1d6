"""/v1/bills: every payment with its refunds in one row, searched and exported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response, StreamingResponse

from hutong import ids
from hutong import search as query
from hutong.api.dependencies import Caller, Services, Use
from hutong.api.paging import Limit, page_answer
from hutong.api.problems import responses
from hutong.api.responses import json_answer
from hutong.api.schemas import bill as bill_schema
from hutong.api.strict_json import StrictRoute
from hutong.errors import NotFound

router = APIRouter(prefix="/v1/bills", tags=["Bills"], route_class=StrictRoute)

Filters = Annotated[query.RecordQuery, Depends(bill_schema.filters)]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="`next_cursor` of the page before, of the same search."),
]
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get(
    "",
    response_model=bill_schema.BillList,
    responses=responses(400, 401, 422, 503),
    summary="Search bills",
)
async def search_bills(
    use: Use, merchant: Caller, wanted: Filters, limit: Limit = 20, cursor: Cursor = None
) -> Response:
    """Your bills, newest first: payments that are done, reserved or closed, each with its refunds and its customer.

    They are made of events and mostly less than a second behind; `as_of` says how far they are. To decide something,
    get the payment itself.
    """
    wanted = replace(wanted, merchant_id=merchant.merchant_id)
    async with use.bills.transaction() as tx:
        page = await query.search(tx, wanted, limit=limit, cursor=cursor)
    data = [query.record_document(bill, use.avatar_base) for bill in page.bills]
    return await records_answer(use, data, page.next_cursor)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses=CSV | responses(400, 401, 422, 503),
    summary="Export bills",
)
async def export_bills(use: Use, merchant: Caller, wanted: Filters) -> Response:
    """All bills of a search as CSV, newest first. What a spreadsheet would take for a formula is marked as text."""
    return await csv_answer(use, replace(wanted, merchant_id=merchant.merchant_id))


@router.get(
    "/{payment_id}",
    response_model=bill_schema.BillObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a bill",
)
async def get_bill(use: Use, merchant: Caller, payment_id: str) -> Response:
    """The bill of one payment."""
    identifier = ids.decode("pay", payment_id)
    async with use.bills.transaction() as tx:
        bill = await query.find_record(tx, identifier, merchant_id=merchant.merchant_id)
    if bill is None:
        raise NotFound("no bill has this id")
    return json_answer(query.record_document(bill, use.avatar_base))


async def records_answer(use: Services, data: list[dict[str, Any]], next_cursor: str | None) -> Response:
    """A page of bills."""
    as_of = await query.as_of(use.database, use.bills, now=use.clock.now())
    return page_answer(data, next_cursor, as_of=as_of)


async def csv_answer(use: Services, wanted: query.RecordQuery) -> Response:
    """All bills of a search, a page at a time."""
    pages = query.export(use.bills, wanted)
    first = await anext(pages)  # before the answer has begun, so that an error can still be told

    async def text() -> AsyncIterator[str]:
        yield query.to_csv(first, heading=True)
        async for page in pages:
            yield query.to_csv(page, heading=False)

    headers = {"Content-Disposition": 'attachment; filename="bills.csv"'}
    return StreamingResponse(text(), media_type="text/csv; charset=utf-8", headers=headers)
