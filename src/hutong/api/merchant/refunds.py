"""/v1/payments/{id}/refunds and /v1/refunds"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from hutong import db, ids, merchants, payments
from hutong.api.dependencies import Caller, IdempotencyKey, Use, claim_of, own_payment
from hutong.api.paging import (
    Limit,
    Period,
    cut,
    id_cursor,
    list_answer,
    read_cursor,
    read_payment_id,
    rendered_page_answer,
)
from hutong.api.problems import replayed, responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import rendered_answer
from hutong.api.schemas.fields import example_body
from hutong.api.schemas.payment import ORDER_NO, ItemList
from hutong.api.schemas.refund import MerchantRefundList, RefundCreate, RefundList, RefundObject
from hutong.errors import InvalidParameter, NotFound
from hutong.payments import refunds

router = APIRouter(prefix="/v1", tags=["Refunds"], route_class=StrictRoute)


@router.post(
    "/payments/{payment_id}/refunds",
    status_code=201,
    response_model=RefundObject,
    responses={
        **replayed(201),
        200: {"model": RefundObject, "description": "This refund was requested before.", **replayed(200)[200]},
        **responses(
            404,
            codes="idempotency_key_in_flight idempotency_key_reused refund_no_reused payment_not_refundable "
            "refund_exceeds_available insufficient_merchant_funds refund_not_offered "
            "refund_window_closed refund_count_exceeded partial_refund_not_offered "
            "same_day_refund_not_offered unknown_refund_item refund_quantity_exceeded "
            "refund_by_item_only",
        ),
    },
    summary="Create a refund",
)
async def create_refund(
    use: Use,
    merchant: Caller,
    payment_id: str,
    body: Annotated[
        RefundCreate,
        example_body(RefundCreate),
    ],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Refund a payment, in whole or in part.

    `merchant_refund_no` is unique: repeating it with the same content returns the same refund, with other content it
    is refused. The money is reserved first, then the channel is called; the answer has the state that this led to.
    """
    claim = claim_of(merchant, idempotency_key, f"POST /v1/payments/{payment_id}/refunds", body)
    payment = await own_payment(use, merchant, payment_id)
    order = refunds.RefundOrder(
        body.merchant_refund_no,
        body.amount_minor,
        body.reason,
        returns_fee=merchant.returns_fee,
        payee=body.payee,
        items=tuple((item.id, item.quantity) for item in body.items),
    )
    return use.answers.to_refund(await use.lifecycle.refunds.place(payment, order, claim=claim))


@router.get(
    "/payments/{payment_id}/refunds",
    response_model=RefundList,
    responses=responses(400, 401, 404, 422, 503),
    summary="List a payment's refunds",
)
async def list_payment_refunds(
    use: Use,
    merchant: Caller,
    payment_id: str,
    limit: Limit = 100,
    cursor: Annotated[str | None, id_cursor("ref")] = None,
) -> Response:
    """Return the refunds of one payment, first to last."""
    payment = await own_payment(use, merchant, payment_id)
    after = read_cursor("ref", cursor)
    async with use.database.transaction() as tx:
        entries = await refunds.list_refunds_of_payment(tx, payment.payment_id, after=after, limit=limit + 1)
    page, next_cursor = cut(entries, limit, lambda refund: ids.encode("ref", refund.refund_id))
    return rendered_page_answer((use.answers.refund_object(refund) for refund in page), next_cursor)


@router.get(
    "/payments/{payment_id}/items",
    response_model=ItemList,
    responses=responses(400, 401, 404, 503),
    summary="List a payment's items",
)
async def list_payment_items(use: Use, merchant: Caller, payment_id: str) -> Response:
    """Return the line items of a payment, with each party's share of the price."""
    payment = await own_payment(use, merchant, payment_id)
    async with use.database.transaction() as tx:
        return list_answer(await payments.list_items(tx, payment.payment_id))


@router.get(
    "/refunds",
    response_model=MerchantRefundList,
    responses=responses(400, 401, 422, 503),
    summary="List refunds",
)
async def list_refunds(
    use: Use,
    merchant: Caller,
    period: Period,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("ref")] = None,
    state: Annotated[refunds.RefundState | None, Query(description="Only refunds in this state.")] = None,
    payment_id: Annotated[str | None, Query(description="Only refunds of this payment.")] = None,
    merchant_refund_no: Annotated[
        str | None, Query(pattern=ORDER_NO, description="Only the refund with this number of yours.")
    ] = None,
) -> Response:
    """Return the refunds of all your payments, newest first; also those that the platform or a channel has made."""
    begin, end = period
    async with use.database.transaction() as tx:
        entries = await refunds.list_refunds(
            tx,
            merchant.merchant_id,
            after=await _read_refund_cursor(tx, merchant, cursor),
            state=state,
            payment_id=None if payment_id is None else read_payment_id(payment_id),
            merchant_refund_no=merchant_refund_no,
            begin=begin,
            end=end,
            limit=limit + 1,
        )
    page, next_cursor = cut(entries, limit, lambda refund: ids.encode("ref", refund.refund_id))
    return rendered_page_answer((use.answers.refund_object(refund) for refund in page), next_cursor)


@router.get(
    "/refunds/{refund_id}",
    response_model=RefundObject,
    responses=responses(400, 401, 404, 503),
    summary="Get a refund",
)
async def get_refund(use: Use, merchant: Caller, refund_id: str) -> Response:
    """Return one refund, as last committed."""
    identifier = ids.decode("ref", refund_id)
    async with use.database.transaction() as tx:
        refund = (await refunds.find_refunds(tx, [identifier], merchant_id=merchant.merchant_id)).get(identifier)
    if refund is None:
        raise NotFound("no refund has this id")
    return rendered_answer(use.answers.refund_object(refund))


async def _read_refund_cursor(tx: db.Tx, merchant: merchants.Merchant, cursor: str | None) -> refunds.Refund | None:
    identifier = read_cursor("ref", cursor)
    if identifier is None:
        return None
    found = await refunds.find_refunds(tx, [identifier], merchant_id=merchant.merchant_id)
    if identifier not in found:
        raise InvalidParameter("`cursor` is not a cursor of this list", param="cursor")
    return found[identifier]
