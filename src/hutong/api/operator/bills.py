"""Routes of `/v1/operator/bills`: the payment records of all merchants, also by payer, and how far they lag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from hutong import ids, merchants, search
from hutong.api.dependencies import Acting, Services, Trail, Use
from hutong.api.merchant.bills import (
    CSV,
    Cursor,
    Filters,
    HeadingIn,
    Marked,
    csv_answer,
    records_answer,
    trace_export,
    trace_search,
)
from hutong.api.paging import Limit, list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.bill import BillSourceList, OperatorBillList, OperatorBillObject
from hutong.errors import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/operator", tags=["Operators"], route_class=StrictRoute)

MerchantId = Annotated[
    str | None, Query(pattern=r"^mer_[0-7][0-9a-z]{25}$", description="Only records of this merchant.")
]


@router.get(
    "/bills",
    response_model=OperatorBillList,
    responses=responses(codes="search_too_wide"),
    summary="Search all payment records",
)
async def search_bills(
    request: Request,
    use: Use,
    trail: Trail,
    operator: Acting,
    query: Filters,
    merchant: MerchantId = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Return payment records of all merchants, newest first.

    `customer` selects those of one payer, across merchants that share their customers' ids.
    """
    query = _restrict(query, merchant)
    await trace_search(request, use, trail, query, operator.operator_id)
    async with use.records.transaction() as tx:
        page = await search.search_records(tx, query, limit=limit, cursor=cursor)
    return await records_answer(use, await _documents(use, page.records), page.next_cursor)


@router.get(
    "/bills/export",
    response_class=StreamingResponse,
    responses=CSV | responses(codes="search_too_wide"),
    summary="Export all payment records",
)
async def export_bills(
    request: Request,
    use: Use,
    trail: Trail,
    operator: Acting,
    query: Filters,
    merchant: MerchantId = None,
    lang: HeadingIn = search.HeadingLanguage.EN,
    bom: Marked = False,
) -> Response:
    """Return all records of a search as CSV, newest first, with rows as in the merchants' own export."""
    query = _restrict(query, merchant)
    await trace_export(request, use, trail, query, operator.operator_id)
    return await csv_answer(use, query, lang=lang, bom=bom)


@router.get(
    "/bills/{payment_id}",
    response_model=OperatorBillObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a payment record",
)
async def get_bill(use: Use, _operator: Acting, payment_id: str) -> Response:
    """Return the record of one payment of any merchant."""
    identifier = ids.decode("pay", payment_id)
    async with use.records.transaction() as tx:
        record = await search.find_record(tx, identifier)
    (document,) = await _documents(use, [record])
    return json_answer(document)


@router.get(
    "/bill-sources",
    response_model=BillSourceList,
    responses=responses(400, 401, 422, 503),
    summary="See how far payment records lag",
)
async def list_bill_sources(use: Use, _operator: Acting) -> Response:
    """Return the streams of events that records are made of: the last number applied, and the last number there is."""
    sources = await search.read_progress(use.database, use.records, now=use.clock.now())
    return list_answer(asdict(source) | {"lag": source.lag} for source in sources)


def _restrict(query: search.RecordQuery, merchant: str | None) -> search.RecordQuery:
    if merchant is None:
        return query
    try:
        return replace(query, merchant_id=ids.decode("mer", merchant))
    except NotFound as error:
        raise InvalidParameter("merchant is not the id of a merchant", param="merchant") from error


async def _documents(use: Services, records: Sequence[search.PaymentRecord]) -> list[dict[str, Any]]:
    """Return the public form of records, with their merchants."""
    merchant_ids: list[UUID] = sorted({record.merchant_id for record in records})
    async with use.database.transaction() as tx:
        by_id = await merchants.find_merchants(tx, merchant_ids) if merchant_ids else {}
    return [
        search.record_document(record, use.avatar_base)
        | {
            "merchant": {
                "id": ids.encode("mer", record.merchant_id),
                "name": by_id[record.merchant_id].name if record.merchant_id in by_id else None,
            }
        }
        for record in records
    ]
