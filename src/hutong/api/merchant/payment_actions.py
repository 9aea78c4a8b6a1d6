"""/v1/payments/{id}/…: the actions on a payment, and its timeline."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from hutong import merchants, payments
from hutong.api.dependencies import Caller, Use, own_payment
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer, rendered_answer
from hutong.api.schemas.fields import example_body
from hutong.api.schemas.payment import AttemptCreate, PaymentCapture, PaymentObject, Timeline

router = APIRouter(prefix="/v1/payments/{payment_id}", tags=["Payments"], route_class=StrictRoute)


@router.post(
    "/attempts",
    status_code=201,
    response_model=PaymentObject,
    responses=responses(
        404, codes="attempt_in_progress method_unknown payment_not_payable no_route manual_capture_not_offered"
    ),
    summary="Start an attempt",
)
async def start_attempt(
    use: Use,
    merchant: Caller,
    payment_id: str,
    body: Annotated[AttemptCreate, example_body(AttemptCreate)],
) -> Response:
    """Start an attempt to pay by a method, the first or a further one.

    While an attempt by the same method is open, it is the one that is returned. An attempt by another method is closed
    at its channel first; if it cannot be closed and could still take the money, the answer is `attempt_in_progress`.
    """
    payment = await own_payment(use, merchant, payment_id)
    return_url = body.return_url
    if return_url is not None:
        merchants.check_return_url(merchant, return_url)
        return_url = merchants.channel_return_address(return_url, payment_id)
    started = await use.lifecycle.start(
        payment, body.method, payer=body.payer, return_url=return_url, switching=merchant.switching
    )
    return rendered_answer(use.answers.payment(started), 201)


@router.post(
    "/capture",
    response_model=PaymentObject,
    responses={
        202: {
            "model": PaymentObject,
            "description": "The channel has not confirmed yet; it is queried until it does.",
        },
        **responses(
            404,
            codes="payment_not_capturable capture_in_progress capture_exceeds_authorized partial_capture_not_offered",
        ),
    },
    summary="Capture a payment",
)
async def capture_payment(
    use: Use,
    merchant: Caller,
    payment_id: str,
    body: Annotated[PaymentCapture, example_body(PaymentCapture)],
) -> Response:
    """Capture the authorized amount, or once a part of it, and the rest is given up.

    The same amount again is the same capture. Of a capture and a close, the first to arrive is done.
    """
    captured = await use.lifecycle.capture(await own_payment(use, merchant, payment_id), body.amount_minor)
    return rendered_answer(use.answers.payment(captured), 202 if captured.is_capturing else 200)


@router.get(
    "/timeline",
    response_model=Timeline,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a payment's timeline",
)
async def get_payment_timeline(use: Use, merchant: Caller, payment_id: str) -> Response:
    """Return the timeline of a payment: its events in order, each with its source."""
    payment = await own_payment(use, merchant, payment_id)
    async with use.database.transaction() as tx:
        return json_answer(await payments.timeline(tx, payment))
