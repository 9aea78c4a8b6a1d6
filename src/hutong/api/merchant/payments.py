"""/v1/payments"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field, TypeAdapter, ValidationError
from starlette.responses import Response

from hutong import customers, db, ids, merchants, money, payments
from hutong.api.dependencies import Caller, IdempotencyKey, Services, Use, claim_of, own_payment
from hutong.api.paging import Limit, Period, cut, id_cursor, read_cursor, rendered_page_answer
from hutong.api.problems import replayed, responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import rendered_answer
from hutong.api.schemas.fields import example_body
from hutong.api.schemas.payment import (
    ORDER_NO,
    MetadataName,
    MetadataValue,
    PaymentCreate,
    PaymentList,
    PaymentObject,
    PaymentUpdate,
)
from hutong.errors import InvalidParameter
from hutong.http_requests import InvalidJson, decode_json
from hutong.payments import refunds

Expand = Annotated[
    Literal["refunds"] | None, Query(description="`refunds`: the answer has the refunds of each payment.")
]
METADATA = TypeAdapter(Annotated[dict[MetadataName, MetadataValue], Field(min_length=1, max_length=20)])

router = APIRouter(prefix="/v1/payments", tags=["Payments"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=PaymentObject,
    responses={
        **replayed(201),
        200: {
            "model": PaymentObject,
            "description": "The order was placed before; this is its payment.",
            **replayed(200)[200],
        },
        **responses(
            codes="order_no_reused idempotency_key_in_flight idempotency_key_reused method_unknown no_route "
            "discount_exceeds_item items_do_not_add_up manual_capture_not_offered"
        ),
    },
    summary="Create a payment",
)
async def create_payment(
    use: Use,
    merchant: Caller,
    body: Annotated[PaymentCreate, example_body(PaymentCreate)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Create a payment for one of your orders.

    `merchant_order_no` is unique: repeating it with the same content returns the same payment, with other content it
    is refused. With `method`, the order is placed at a channel at once and the answer has the action for the payer;
    without it, send the payer to `checkout_url`.
    """
    now = use.clock.now()
    claim = claim_of(merchant, idempotency_key, "POST /v1/payments", body)
    order = payments.PlaceOrder(_new_payment(use, merchant, body, now), claim)
    try:
        order = await _check(use, merchant, body, order, now)
    except InvalidParameter:
        # An order that was placed in time gets the same answer again, however late it is repeated.
        result = await use.lifecycle.repeated(order)
        if result is None:
            raise
    else:
        result = await use.lifecycle.place(order)
    return use.answers.to_order(result)


@router.get(
    "",
    response_model=PaymentList,
    responses=responses(400, 401, 422, 503),
    summary="List payments",
)
async def list_payments(
    use: Use,
    merchant: Caller,
    period: Period,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("pay")] = None,
    status: Annotated[payments.PaymentStatus | None, Query(description="Only payments in this state.")] = None,
    merchant_order_no: Annotated[
        str | None, Query(pattern=ORDER_NO, description="Only the payment of this order.")
    ] = None,
    metadata: Annotated[
        str | None,
        Query(
            max_length=2_000,
            description="Only payments whose metadata have all of these names and values: a JSON object, such as "
            '`{"shop":"12"}`.',
        ),
    ] = None,
    expand: Expand = None,
) -> Response:
    """Return your payments, newest first."""
    after = read_cursor("pay", cursor)
    begin, end = period
    async with use.database.transaction() as tx:
        entries = await payments.list_payments(
            tx,
            merchant.merchant_id,
            after=after,
            status=status,
            merchant_order_no=merchant_order_no,
            begin=begin,
            end=end,
            metadata=None if metadata is None else _read_metadata(metadata),
            limit=limit + 1,
        )
        page, next_cursor = cut(entries, limit, lambda payment: ids.encode("pay", payment.payment_id))
        data = await _rendered(use, tx, page, expand)
    return rendered_page_answer(data, next_cursor)


@router.get(
    "/{payment_id}",
    response_model=PaymentObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a payment",
)
async def get_payment(use: Use, merchant: Caller, payment_id: str, expand: Expand = None) -> Response:
    """Return one payment, as last committed."""
    payment = await own_payment(use, merchant, payment_id)
    if expand is None:
        return rendered_answer(use.answers.payment(payment))
    async with use.database.transaction() as tx:
        (data,) = await _rendered(use, tx, [payment], expand)
    return rendered_answer(data)


@router.patch(
    "/{payment_id}",
    response_model=PaymentObject,
    responses=responses(400, 401, 404, 413, 415, 422, 503),
    summary="Change a payment's metadata",
)
async def update_payment(
    use: Use,
    merchant: Caller,
    payment_id: str,
    body: Annotated[PaymentUpdate, example_body(PaymentUpdate)],
) -> Response:
    """Change the `metadata` of a payment, in whatever state it is: given names are set, null removes one, others stay.

    A change emits `payment.updated`; a repetition changes nothing. The order that the payment was created with can
    still be repeated with its own metadata.
    """
    payment = await own_payment(use, merchant, payment_id)

    async def work(tx: db.Tx) -> payments.Payment:
        return await payments.change_metadata(
            tx, payment.payment_id, body.metadata, documents=use.documents, new_id=use.ids.new, now=use.clock.now()
        )

    return rendered_answer(use.answers.payment(await use.database.run(work)))


@router.post(
    "/{payment_id}/close",
    response_model=PaymentObject,
    responses={
        202: {
            "model": PaymentObject,
            "description": "The channel has not confirmed yet; the payment closes later.",
        },
        **responses(404, codes="payment_already_succeeded capture_in_progress"),
    },
    summary="Close a payment",
)
@router.post("/{payment_id}/cancel", include_in_schema=False)  # its other name, kept for clients that use it
async def close_payment(use: Use, merchant: Caller, payment_id: str) -> Response:
    """Close a payment that is not paid, or release an authorization that is not captured.

    The channel is asked first: if the payer has paid in the meantime, the payment succeeds and the answer is 409.
    Closing a closed payment changes nothing.
    """
    payment = await use.lifecycle.close(await own_payment(use, merchant, payment_id))
    return rendered_answer(use.answers.payment(payment), 202 if payment.is_open else 200)


async def _rendered(
    use: Services, tx: db.Tx, entries: Sequence[payments.Payment], expand: Literal["refunds"] | None
) -> list[bytes]:
    if expand is None:
        return [use.answers.payment(payment) for payment in entries]
    found = await refunds.refunds_of(tx, [payment.payment_id for payment in entries])
    return [use.answers.payment_with_refunds(payment, found[payment.payment_id]) for payment in entries]


def _read_metadata(text: str) -> dict[str, str]:
    try:
        wanted = decode_json(text.encode())
        METADATA.validate_python(wanted, strict=True)
    except (InvalidJson, ValidationError) as error:
        raise InvalidParameter(
            '`metadata` must be a JSON object of 1 to 20 names and texts, such as {"shop":"12"}', param="metadata"
        ) from error
    return dict(wanted)


async def _check(
    use: Services, merchant: merchants.Merchant, body: PaymentCreate, order: payments.PlaceOrder, now: datetime
) -> payments.PlaceOrder:
    """Check what may change between a request and its repetition, and choose a channel account."""
    if not now + payments.NewPayment.VALIDITY_MIN <= order.new.expires_at <= now + use.payment_validity:
        days = use.payment_validity.days
        raise InvalidParameter(f"`expires_at` must lie between 1 minute and {days} days from now", param="expires_at")
    if body.return_url is not None:
        merchants.check_return_url(merchant, body.return_url)
    if body.cancel_url is not None:
        merchants.check_return_url(merchant, body.cancel_url, "cancel_url")
    if body.method is None:
        return order
    public_id = ids.encode("pay", order.new.payment_id)
    request = payments.RouteRequest(
        body.method,
        body.amount_minor,
        body.currency,
        payer=body.payer,
        return_url=body.return_url and merchants.channel_return_address(body.return_url, public_id),
        capture_method=order.new.capture_method,
        merchant_id=merchant.merchant_id,
        merchant_order_no=order.new.merchant_order_no,
        fee_ppm=merchant.fee_ppm,
        payment_id=order.new.payment_id,
    )
    first = await use.lifecycle.route_selector.choose(request)
    return replace(order, new=replace(order.new, first_attempt=first))


def _new_payment(
    use: Services, merchant: merchants.Merchant, body: PaymentCreate, now: datetime
) -> payments.NewPayment:
    money.currency(body.currency)
    if body.payer and body.method is None:
        raise InvalidParameter("`payer` requires `method`", param="payer")
    default = use.cashier_validity if body.method is None else use.payment_validity
    validity = min(merchant.payment_validity or default, use.payment_validity)
    discounts = tuple(payments.items.Discount(d.name, d.funder, d.amount_minor, d.item) for d in body.discounts)
    has_items = bool(body.items or discounts)
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
        cancel_url=body.cancel_url,
        metadata=body.metadata,
        fee_ppm=merchant.fee_ppm,
        capture_method=body.capture_method,
        items=payments.items.allocate_discounts(body.amount_minor, _items(body), discounts) if has_items else (),
        discounts=discounts,
        customer=None if body.customer is None else customers.Customer(**body.customer.model_dump()),
    )


def _items(body: PaymentCreate) -> list[payments.items.NewLineItem]:
    if body.capture_method is not payments.CaptureMethod.AUTOMATIC:
        # Each party's share is computed for the whole.
        raise InvalidParameter("`items` requires that the whole amount is captured automatically", param="items")
    return [payments.items.NewLineItem(item.id, item.name, item.quantity, item.amount_minor) for item in body.items]
