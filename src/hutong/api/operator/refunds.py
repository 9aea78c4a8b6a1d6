"""/v1/operator/refunds: another method for a refund whose first method failed, decided by two persons."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from hutong import ids, operators, payments
from hutong.api.dependencies import Acting, Services, Use, request_id
from hutong.api.operator.approvals import ProposalObject, propose
from hutong.api.operator.payments import ActCreate
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute, Text
from hutong.api.schemas.enums import FallbackRoute
from hutong.api.schemas.fields import example_body
from hutong.api.schemas.payment import Payer
from hutong.errors import InvalidParameter, NotFound
from hutong.payments import refunds

router = APIRouter(prefix="/v1/operator/refunds/{refund_id}", tags=["Operators"], route_class=StrictRoute)


class RefundRouteCreate(ActCreate):
    """Another method for a failed refund."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"route": "manual", "reason": "the card is closed; the payer gave an account"}]}
    )

    route: FallbackRoute = Field(description="`payout` sends it out; `manual` waits for a person.")
    payout_account_id: str | None = Field(default=None, description="The channel account that pays out.")
    payee: Payer = Field(default={}, description="The payee of a payout; kept sealed.")


class RefundSettleCreate(ActCreate):
    """A person's settlement of a refund that is paid by hand."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reference": "bank transfer 20261121-77", "from_bank": True, "reason": "paid by hand"}]
        }
    )

    reference: Annotated[Text, Field(min_length=1, max_length=128)] | None = Field(
        description="Where the payment can be found; null gives the refund up."
    )
    from_bank: bool = Field(default=False, description="Paid from our bank account, not at the channel's portal.")


@router.post(
    "/route",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Propose another method for a refund",
)
async def propose_refund_route(
    request: Request,
    use: Use,
    operator: Acting,
    refund_id: str,
    body: Annotated[RefundRouteCreate, example_body(RefundRouteCreate)],
) -> Response:
    """Send a failed refund by payout, or have a person pay it.

    The approval does it, if the previous method is proven to have failed by then, so that money never goes out twice.
    """
    refund = await _refund(use, refund_id)
    payload: dict[str, Any] = {"route": body.route}
    if body.payout_account_id is not None:
        try:
            ids.decode("acc", body.payout_account_id)
        except NotFound as error:
            raise InvalidParameter(
                "`payout_account_id` is not the id of a channel account", param="payout_account_id"
            ) from error
        payload["payout_account_id"] = body.payout_account_id
    if body.payee:
        sealed = refunds.seal_payee(use.vault, refund.refund_id, body.payee)
        payload["payee_sealed"] = base64.b64encode(sealed).decode()
    return await _propose(
        request, use, operator, refund, payments.OperatorActionType.CONVERT_REFUND, payload, body.reason
    )


@router.post(
    "/settle",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Propose to settle a manual refund",
)
async def propose_refund_settlement(
    request: Request,
    use: Use,
    operator: Acting,
    refund_id: str,
    body: Annotated[RefundSettleCreate, example_body(RefundSettleCreate)],
) -> Response:
    """Record that a manual refund was paid, with a reference to the payment, or give the refund up."""
    refund = await _refund(use, refund_id)
    payload = {"reference": body.reference, "from_bank": body.from_bank}
    return await _propose(
        request, use, operator, refund, payments.OperatorActionType.SETTLE_REFUND, payload, body.reason
    )


async def _propose(
    request: Request,
    use: Services,
    operator: operators.Operator,
    refund: refunds.Refund,
    action: payments.OperatorActionType,
    payload: dict[str, Any],
    reason: str,
) -> Response:
    new = refunds.proposal(use.ids.new(), operator.operator_id, refund, action, payload, reason, request_id(request))
    return await propose(use, new)


async def _refund(use: Services, refund_id: str) -> refunds.Refund:
    identifier = ids.decode("ref", refund_id)
    async with use.database.transaction() as tx:
        refund = (await refunds.find_refunds(tx, [identifier])).get(identifier)
    if refund is None:
        raise NotFound("no refund has this id")
    return refund
