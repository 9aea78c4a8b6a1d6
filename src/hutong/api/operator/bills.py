"""/v1/operator/bills: the bills of all merchants, also by payer, and how far they have followed the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from hutong import ids, merchants
from hutong import search as query
from hutong.api.dependencies import Acting, Services, Use
from hutong.api.merchant.bills import CSV, Cursor, Filters, csv_answer, records_answer
from hutong.api.paging import Limit, list_answer
from hutong.api.problems import responses
from hutong.api.responses import json_answer
from hutong.api.schemas import bill as bill_schema
from hutong.api.strict_json import StrictRoute
from hutong.errors import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/operator", tags=["Operators"], route_class=StrictRoute)

MerchantId = Annotated[
    str | None, Query(pattern=r"^mer_[0-7][0-9a-z]{25}$", description="Only bills of this merchant.")
]


@router.get(
    "/bills",
    response_model=bill_schema.OperatorBillList,
    responses=responses(400, 401, 422, 503),
    summary="Search all bills",
)
async def search_all_bills(
    use: Use,
    _operator: Acting,
    wanted: Filters,
    merchant: MerchantId = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Bills of all merchants, newest first; with `customer`, those of one payer wherever merchants share their ids."""
    async with use.bills.transaction() as tx:
        page = await query.search(tx, _of(wanted, merchant), limit=limit, cursor=cursor)
    return await records_answer(use, await _documents(use, page.bills), page.next_cursor)


@router.get(
    "/bills/export",
    response_class=StreamingResponse,
    responses=CSV | responses(400, 401, 422, 503),
    summary="Export all bills",
)
async def export_all_bills(use: Use, _operator: Acting, wanted: Filters, merchant: MerchantId = None) -> Response:
    """All bills of a search as CSV, newest first."""
    return await csv_answer(use, _of(wanted, merchant))


@router.get(
    "/bills/{payment_id}",
    response_model=bill_schema.OperatorBillObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a bill",
)
async def see_bill(use: Use, _operator: Acting, payment_id: str) -> Response:
    """Any merchant's bill."""
    identifier = ids.decode("pay", payment_id)
    async with use.bills.transaction() as tx:
        bill = await query.find_record(tx, identifier)
    if bill is None:
        raise NotFound("no bill has this id")
    (document,) = await _documents(use, [bill])
    return json_answer(document)


@router.get(
    "/bill-sources",
    response_model=bill_schema.BillSourceList,
    responses=responses(400, 401, 422, 503),
    summary="See how far bills are",
)
async def see_bill_sources(use: Use, _operator: Acting) -> Response:
    """Each stream of events that bills are made of: how far they have followed it, and how far it goes."""
    found = await query.progress(use.database, use.bills, now=use.clock.now())
    return list_answer(asdict(source) | {"lag": source.lag} for source in found)


def _of(wanted: query.RecordQuery, merchant: str | None) -> query.RecordQuery:
    if merchant is None:
        return wanted
    try:
        return replace(wanted, merchant_id=ids.decode("mer", merchant))
    except NotFound as error:
        raise InvalidParameter("is no such id", param="merchant") from error


async def _documents(use: Services, bills: Sequence[query.PaymentRecord]) -> list[dict[str, Any]]:
    """Bills with their merchants."""
    wanted: list[UUID] = sorted({bill.merchant_id for bill in bills})
    async with use.database.transaction() as tx:
        known = await merchants.find_merchants(tx, wanted) if wanted else {}
    return [
        query.record_document(bill, use.avatar_base)
        | {
            "merchant": {
                "id": ids.encode("mer", bill.merchant_id),
                "name": known[bill.merchant_id].name if bill.merchant_id in known else None,
            }
        }
        for bill in bills
    ]
