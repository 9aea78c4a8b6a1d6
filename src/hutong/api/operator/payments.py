"""/v1/operator/payments: payments as operators see them, and their actions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from hutong import ids, operators, payments
from hutong.api.dependencies import Acting, Services, Use, request_id
from hutong.api.operator.approvals import ProposalObject, propose
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute, Text
from hutong.api.responses import json_answer, rendered_answer
from hutong.api.schemas.fields import Reason, example_body
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX, PaymentObject, Timeline
from hutong.errors import InvalidParameter, NotFound
from hutong.operators import Role

router = APIRouter(prefix="/v1/operator/payments/{payment_id}", tags=["Operators"], route_class=StrictRoute)


class ActCreate(Reason):
    """The reason of an action."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the payer called: paid an hour ago"}]})


class BilledSuccessCreate(ActCreate):
    """A success that stands in a channel's bill."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "attempt_id": "att_01h455vb4pex5vsknk084sn02q",
                    "amount_minor": 1999,
                    "currency": "CNY",
                    "channel_order_no": "4200000000202611210000000001",
                    "bill": "trade bill of 2026-11-20, row 17",
                    "reason": "the channel no longer answers about this order",
                }
            ]
        }
    )

    attempt_id: str
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX, description="As in the bill.")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="As in the bill.")
    amount_paid_minor: int | None = Field(
        default=None, ge=0, le=AMOUNT_MINOR_MAX, description="What the payer paid, if the bill has a discount."
    )
    amount_settled_minor: int | None = Field(
        default=None, ge=0, le=AMOUNT_MINOR_MAX, description="What the channel settles, if the bill has a discount."
    )
    channel_order_no: Text = Field(min_length=1, max_length=64, description="As in the bill.")
    bill: Text = Field(min_length=1, max_length=200, description="Which bill and which row.")


@router.get("", response_model=PaymentObject, responses=responses(400, 401, 404, 422, 503), summary="See a payment")
async def get_payment(use: Use, _operator: Acting, payment_id: str) -> Response:
    """Return any merchant's payment, as last committed."""
    return rendered_answer(use.answers.payment(await _any_payment(use, payment_id)))


@router.get(
    "/timeline",
    response_model=Timeline,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a payment's timeline",
)
async def get_payment_timeline(use: Use, _operator: Acting, payment_id: str) -> Response:
    """Return the timeline that the merchant sees, with the platform's operators, their actions and reasons."""
    payment = await _any_payment(use, payment_id)
    async with use.database.transaction() as tx:
        return json_answer(await payments.timeline(tx, payment, for_operators=True))


@router.post(
    "/query",
    response_model=PaymentObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Query the channel about a payment now",
)
async def query_payment(
    request: Request,
    use: Use,
    operator: Acting,
    payment_id: str,
    body: Annotated[ActCreate, example_body(ActCreate)],
) -> Response:
    """Query the channel about every attempt that has not succeeded, open or ended. Takes the role `operator`."""
    return await _act(request, use, operator, payment_id, payments.OperatorActionType.QUERY, body.reason)


@router.post(
    "/close",
    response_model=PaymentObject,
    responses=responses(403, 404, codes="payment_already_succeeded capture_in_progress"),
    summary="Close a payment as an operator",
)
async def close_payment(
    request: Request,
    use: Use,
    operator: Acting,
    payment_id: str,
    body: Annotated[ActCreate, example_body(ActCreate)],
) -> Response:
    """Close a payment that is not paid or not captured; the channel is queried first. Takes the role `operator`."""
    return await _act(request, use, operator, payment_id, payments.OperatorActionType.CLOSE, body.reason)


@router.post(
    "/attach-success",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Propose to attach a success found in a bill",
)
async def propose_success(
    request: Request,
    use: Use,
    operator: Acting,
    payment_id: str,
    body: Annotated[BilledSuccessCreate, example_body(BilledSuccessCreate)],
) -> Response:
    """Accept a channel's bill as evidence where the channel itself gives no answer.

    It moves money in the books, so it takes two persons: this proposes it, and an approval records the success, as
    surplus where the attempt or the payment had ended.
    """
    payment = await _any_payment(use, payment_id)
    try:
        attempt_id = ids.decode("att", body.attempt_id)
    except NotFound:
        attempt_id = None
    if attempt_id not in {attempt.attempt_id for attempt in payment.attempts} or attempt_id is None:
        raise InvalidParameter("`attempt_id` is not an attempt of this payment", param="attempt_id")
    success = payments.BilledSuccess(
        attempt_id,
        body.amount_minor,
        body.currency,
        body.channel_order_no,
        body.bill,
        paid_minor=body.amount_paid_minor,
        settled_minor=body.amount_settled_minor,
    )
    action = _action(request, operator, payment, payments.OperatorActionType.ATTACH_SUCCESS, body.reason)
    return await propose(use, action.proposal(use.ids.new(), success))


async def _act(
    request: Request,
    use: Services,
    operator: operators.Operator,
    payment_id: str,
    action: payments.OperatorActionType,
    reason: str,
) -> Response:
    operators.require(operator, Role.OPERATOR)
    payment = await _any_payment(use, payment_id)
    after = await use.lifecycle.act(payment, _action(request, operator, payment, action, reason))
    return rendered_answer(use.answers.payment(after))


def _action(
    request: Request,
    operator: operators.Operator,
    payment: payments.Payment,
    action: payments.OperatorActionType,
    reason: str,
) -> payments.OperatorAction:
    return payments.OperatorAction(operator.operator_id, payment.payment_id, action, reason, request_id(request))


async def _any_payment(use: Services, payment_id: str) -> payments.Payment:
    identifier = ids.decode("pay", payment_id)
    payment = await use.lifecycle.find(identifier)
    if payment is None:
        raise NotFound("no payment has this id")
    return payment
