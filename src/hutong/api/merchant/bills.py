"""Routes of `/v1/bills`: payment records, searched and exported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from hutong import ids, search
from hutong.api.dependencies import Caller, Services, Trail, Use
from hutong.api.paging import Limit, page_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.bill import BillList, BillObject, filters
from hutong.api.traces import Traces
from hutong.clock import instant

router = APIRouter(prefix="/v1/bills", tags=["Bills"], route_class=StrictRoute)

Filters = Annotated[search.RecordQuery, Depends(filters)]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The `next_cursor` of the previous page of the same search."),
]
HeadingIn = Annotated[search.HeadingLanguage, Query(description="The language of the heading.")]
Marked = Annotated[
    bool, Query(description="Whether to begin with a byte-order mark, by which Excel knows that the file is in UTF-8.")
]
CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": search.to_csv([], heading=True)}}}
}


@router.get(
    "",
    response_model=BillList,
    responses=responses(codes="search_too_wide"),
    summary="Search payment records",
)
async def search_bills(
    request: Request,
    use: Use,
    trail: Trail,
    merchant: Caller,
    query: Filters,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Return your payment records, newest first: payments that are reserved, succeeded or closed, each with its refunds
    and its customer.

    Records are derived from events and usually less than a second behind; `as_of` says up to when they are complete.
    Before you act on a payment, get the payment itself.
    """
    query = replace(query, merchant_id=merchant.merchant_id)
    await trace_search(request, use, trail, query)
    async with use.records.transaction() as tx:
        page = await search.search_records(tx, query, limit=limit, cursor=cursor)
    data = [search.record_document(record, use.avatar_base) for record in page.records]
    return await records_answer(use, data, page.next_cursor)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses=CSV | responses(codes="search_too_wide"),
    summary="Export payment records",
)
async def export_bills(
    request: Request,
    use: Use,
    trail: Trail,
    merchant: Caller,
    query: Filters,
    lang: HeadingIn = search.HeadingLanguage.EN,
    bom: Marked = False,
) -> Response:
    """Return all records of a search as CSV, newest first: a row for each payment, then one for each of its refunds
    and for what is held for its disputes.

    `net_minor` is what you get, less our fee; what you give back is negative, so that the column adds up to the change
    of your balance. Text that a spreadsheet would run as a formula begins with an apostrophe, and amounts
    are never changed.
    """
    query = replace(query, merchant_id=merchant.merchant_id)
    await trace_export(request, use, trail, query)
    return await csv_answer(use, query, lang=lang, bom=bom)


@router.get(
    "/{payment_id}",
    response_model=BillObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a payment record",
)
async def get_bill(use: Use, merchant: Caller, payment_id: str) -> Response:
    """Return the record of one payment."""
    identifier = ids.decode("pay", payment_id)
    async with use.records.transaction() as tx:
        record = await search.find_record(tx, identifier, merchant_id=merchant.merchant_id)
    return json_answer(search.record_document(record, use.avatar_base))


async def trace_search(
    request: Request, use: Services, trail: Traces, query: search.RecordQuery, actor_id: UUID | None = None
) -> None:
    """Leave a trace of a search by person, before its answer."""
    person = query.customer_id or query.counterparty
    if person is not None:
        about = ("customer", person)
        await trail.read(
            use.database, request.scope, "read.person", actor_id=actor_id, about=about, conditions=_conditions(query)
        )


async def trace_export(
    request: Request, use: Services, trail: Traces, query: search.RecordQuery, actor_id: UUID | None = None
) -> None:
    """Leave a trace of an export, before its answer."""
    about = ("payment_records", "all" if query.merchant_id is None else ids.encode("mer", query.merchant_id))
    await trail.read(
        use.database, request.scope, "read.export", actor_id=actor_id, about=about, conditions=_conditions(query)
    )


def _conditions(query: search.RecordQuery) -> dict[str, str]:
    given = {name: value for name, value in asdict(query).items() if value is not None}
    if query.merchant_id is not None:
        given["merchant_id"] = ids.encode("mer", query.merchant_id)
    return {name: str(value) for name, value in given.items()}


async def records_answer(use: Services, data: list[dict[str, Any]], next_cursor: str | None) -> Response:
    """Return a page of payment records."""
    as_of = await search.as_of(use.database, use.records, now=use.clock.now())
    return page_answer(data, next_cursor, as_of=instant(as_of))


async def csv_answer(use: Services, query: search.RecordQuery, *, lang: search.HeadingLanguage, bom: bool) -> Response:
    """Stream all payment records of a search as rows that add up, a page at a time."""
    pages = search.export_records(use.records, query)
    first = await anext(pages)  # before the response starts, so that an error can still set its status

    async def rows(records: Sequence[search.PaymentRecord]) -> list[search.StatementRow]:
        async with use.database.transaction() as tx:
            return await search.statement_rows(tx, records)

    opening = search.statement_csv(await rows(first), heading=lang, mark=bom)

    async def text() -> AsyncIterator[str]:
        yield opening
        async for page in pages:
            yield search.statement_csv(await rows(page), heading=None)

    headers = {"Content-Disposition": 'attachment; filename="bills.csv"'}
    return StreamingResponse(text(), media_type="text/csv; charset=utf-8", headers=headers)
