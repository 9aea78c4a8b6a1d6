"""/v1/payments"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from fastapi import APIRouter, Body, Query
from pydantic import BeforeValidator
from starlette.responses import Response

from hutong import customers, ids, merchants, money, payments
from hutong.api.dependencies import Caller, Services, Use
from hutong.api.idempotency import IdempotencyKey, claim_of
from hutong.api.problems import responses
from hutong.api.schemas import payment as schema
from hutong.api.strict_json import StrictRoute
from hutong.errors import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/payments", tags=["Payments"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=schema.PaymentObject,
    responses={
        200: {"model": schema.PaymentObject, "description": "The order was placed before; this is its payment."},
        **responses(400, 401, 409, 413, 415, 422, 503),
    },
    summary="Create a payment",
)
async def create_payment(
    use: Use,
    merchant: Caller,
    body: Annotated[
        schema.PaymentCreate, Body(openapi_examples={"wechat": {"value": schema.example(schema.PaymentCreate)}})
    ],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Create a payment for one of your orders.

    `merchant_order_no` is unique: repeating it with the same content returns the same payment, with other content it
    is refused. With `method`, the order is placed at a channel at once and the answer carries what the payer has to
    do; without, send the payer to `checkout_url`.
    """
    now = use.clock.now()
    claim = claim_of(merchant, idempotency_key, "POST /v1/payments", body)
    order = payments.PlaceOrder(_new_payment(use, merchant, body, now), claim)
    try:
        order = await _check(use, merchant, body, order, now)
    except InvalidParameter:
        # What was placed while it could be is answered as it was then, however late it is repeated.
        answered = await use.lifecycle.repeated(order)
        if answered is None:
            raise
    else:
        answered = await use.lifecycle.place(order)
    status, answer = answered
    return json_answer(answer, status)


@router.get(
    "",
    response_model=schema.PaymentList,
    responses=responses(400, 401, 422, 503),
    summary="List payments",
)
async def list_payments(
    use: Use,
    merchant: Caller,
    limit: Annotated[
        int, BeforeValidator(schema.plain_digits), Query(ge=1, le=100, description="How many at most.")
    ] = 20,
    cursor: Annotated[
        str | None, Query(pattern=r"^pay_[0-7][0-9a-z]{25}$", description="`next_cursor` of the page before.")
    ] = None,
    status: Annotated[payments.PaymentStatus | None, Query(description="Only payments in this state.")] = None,
    merchant_order_no: Annotated[
        str | None, Query(pattern=schema.ORDER_NO, description="Only the payment of this order.")
    ] = None,
) -> Response:
    """Your payments, newest first."""
    after = read_cursor("pay", cursor)
    async with use.database.transaction() as tx:
        found = await payments.list_payments(
            tx, merchant.merchant_id, after=after, status=status, merchant_order_no=merchant_order_no, limit=limit + 1
        )
    page = found[:limit]
    has_more = len(found) > limit
    next_cursor = ids.encode("pay", page[-1].payment_id) if has_more else None
    head = orjson.dumps({"object": "list", "has_more": has_more, "next_cursor": next_cursor})
    data = b",".join(use.lifecycle.render(payment) for payment in page)
    return json_answer(head[:-1] + b',"data":[' + data + b"]}")


@router.get(
    "/{payment_id}",
    response_model=schema.PaymentObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a payment",
)
async def get_payment(use: Use, merchant: Caller, payment_id: str) -> Response:
    """One payment, as last committed."""
    return json_answer(use.lifecycle.render(await own_payment(use, merchant, payment_id)))


@router.post(
    "/{payment_id}/close",
    response_model=schema.PaymentObject,
    responses={
        202: {"model": schema.PaymentObject, "description": "The channel has not confirmed yet; it will be closed."},
        **responses(400, 401, 404, 409, 422, 503),
    },
    summary="Close a payment",
)
async def close_payment(use: Use, merchant: Caller, payment_id: str) -> Response:
    """Ask for the end of an unpaid payment.

    The channel is asked first: if the payer has paid in the meantime, the payment succeeds and the answer is 409.
    Closing a closed payment changes nothing.
    """
    payment = await use.lifecycle.close(await own_payment(use, merchant, payment_id))
    return json_answer(use.lifecycle.render(payment), 202 if payment.is_open else 200)


async def _check(
    use: Services, merchant: merchants.Merchant, body: schema.PaymentCreate, order: payments.PlaceOrder, now: datetime
) -> payments.PlaceOrder:
    """Check what may change between a request and its repetition, and choose a channel account."""
    if not now + payments.VALIDITY_MIN <= order.new.expires_at <= now + use.payment_validity:
        days = use.payment_validity.days
        raise InvalidParameter(f"lies between 1 minute and {days} days from now", param="expires_at")
    check_return_url(body.return_url, merchant)
    if body.method is None:
        return order
    wish = payments.RouteRequest(
        body.method,
        body.amount_minor,
        body.currency,
        payer=body.payer,
        return_url=body.return_url,
        capture_method=order.new.capture_method,
        merchant_id=merchant.merchant_id,
        fee_ppm=merchant.fee_ppm,
        payment_id=order.new.payment_id,
    )
    first = await use.lifecycle.route_selector.choose(wish)
    return replace(order, new=replace(order.new, first_attempt=first))


def _new_payment(
    use: Services, merchant: merchants.Merchant, body: schema.PaymentCreate, now: datetime
) -> payments.NewPayment:
    money.currency(body.currency)
    if body.payer and body.method is None:
        raise InvalidParameter("says something of the payer for a method that is not given", param="payer")
    validity = min(merchant.payment_validity or use.payment_validity, use.payment_validity)
    discounts = tuple(
        payments.Discount(d.name, payments.Funder(d.funder), d.amount_minor, d.item) for d in body.discounts
    )
    return payments.NewPayment(
        payment_id=use.ids.new(),
        merchant_id=merchant.merchant_id,
        merchant_order_no=body.merchant_order_no,
        amount_minor=body.amount_minor,
        currency=body.currency,
        subject=body.subject,
        expires_at=body.expires_at or now + validity,
        checkout_token=secrets.token_urlsafe(18),
        return_url=body.return_url,
        metadata=body.metadata,
        fee_ppm=merchant.fee_ppm,
        capture_method=payments.CaptureMethod(body.capture_method),
        items=_items(body, discounts),
        discounts=discounts,
        customer=None if body.customer is None else customers.Customer(**body.customer.model_dump()),
    )


def check_return_url(url: str | None, merchant: merchants.Merchant) -> None:
    """Refuse to send payers where the merchant has not said that they may be sent."""
    if url is not None and not _registered(url, merchant.return_origins):
        raise InvalidParameter("its origin is not registered for this merchant", param="return_url")


def _items(body: schema.PaymentCreate, discounts: Sequence[payments.Discount]) -> tuple[payments.LineItem, ...]:
    """What is bought, with each party's part of its price."""
    if not body.items and not discounts:
        return ()
    if body.capture_method != "automatic":
        # Each party's part is computed for the whole.
        raise InvalidParameter("a payment with items is captured at once and whole", param="items")
    bought = [payments.NewLineItem(item.id, item.name, item.quantity, item.amount_minor) for item in body.items]
    return payments.allocate_discounts(body.amount_minor, bought, discounts)


def _registered(url: str, origins: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return "@" not in parts.netloc and f"{parts.scheme}://{parts.netloc}" in origins


async def own_payment(use: Services, merchant: merchants.Merchant, payment_id: str) -> payments.Payment:
    """The caller's payment with this id.

    Errors:
        NotFound: there is none, or it is another merchant's.
    """
    identifier = ids.decode("pay", payment_id)
    payment = await use.lifecycle.find(identifier)
    if payment is None or payment.merchant_id != merchant.merchant_id:
        raise NotFound("no payment has this id")
    return payment


def read_cursor(prefix: str, text: str | None) -> UUID | None:
    """After what a page begins; None for the first page.

    Errors:
        InvalidParameter: the text names nothing of this kind.
    """
    if text is None:
        return None
    try:
        return ids.decode(prefix, text)
    except NotFound as error:
        raise InvalidParameter("is not a cursor of this list", param="cursor") from error


def json_answer(body: bytes, status: int = 200) -> Response:
    """An answer whose body is JSON already."""
    return Response(body, status, media_type="application/json")
