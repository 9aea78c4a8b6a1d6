"""/v1/payments/{id}/…: what may be done with a payment, and what has happened to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from hutong import merchants, payments
from hutong.api.dependencies import Caller, Use, own_payment
from hutong.api.problems import responses
from hutong.api.responses import json_answer, rendered_answer
from hutong.api.schemas import payment as schema
from hutong.api.strict_json import StrictRoute

router = APIRouter(prefix="/v1/payments/{payment_id}", tags=["Payments"], route_class=StrictRoute)


@router.post(
    "/attempts",
    status_code=201,
    response_model=schema.PaymentObject,
    responses=responses(400, 401, 404, 409, 413, 415, 422, 503),
    summary="Start an attempt",
)
async def start_attempt(
    use: Use,
    merchant: Caller,
    payment_id: str,
    body: Annotated[
        schema.AttemptCreate, Body(openapi_examples={"wechat": {"value": schema.example(schema.AttemptCreate)}})
    ],
) -> Response:
    """Try a payment by a method, the first time or after another try.

    While a try by the same method is open, it is the one that is returned. A code of another method is closed at its
    channel first; what cannot be closed and could still take the money is answered with `attempt_in_progress`.
    """
    payment = await own_payment(use, merchant, payment_id)
    merchants.check_return_url(merchant, body.return_url)
    started = await use.lifecycle.start(payment, body.method, payer=body.payer, return_url=body.return_url)
    return rendered_answer(use.answers.payment(started), 201)


@router.post(
    "/capture",
    response_model=schema.PaymentObject,
    responses={
        202: {"model": schema.PaymentObject, "description": "The channel has not confirmed yet; it will be asked."},
        **responses(400, 401, 404, 409, 413, 415, 422, 503),
    },
    summary="Capture a payment",
)
async def capture_payment(
    use: Use,
    merchant: Caller,
    payment_id: str,
    body: Annotated[
        schema.PaymentCapture, Body(openapi_examples={"part": {"value": schema.example(schema.PaymentCapture)}})
    ],
) -> Response:
    """Take what the payer has authorized: all of it, or once a part of it, and the rest is given up.

    The same amount again is the same capture. Capture or cancel: the first of the two that arrives is done.
    """
    captured = await use.lifecycle.capture(await own_payment(use, merchant, payment_id), body.amount_minor)
    return rendered_answer(use.answers.payment(captured), 202 if captured.is_capturing else 200)


@router.get(
    "/timeline",
    response_model=schema.Timeline,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a payment's timeline",
)
async def get_timeline(use: Use, merchant: Caller, payment_id: str) -> Response:
    """What has happened to a payment, in order, and how each thing was learnt."""
    payment = await own_payment(use, merchant, payment_id)
    async with use.database.transaction() as tx:
        entries = await payments.read_timeline(tx, [payment.payment_id])
    return json_answer(payments.timeline_document(payment, entries))
