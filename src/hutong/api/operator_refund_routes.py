"""/v1/operator/refunds: what people on the platform's side do with a refund."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Body, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from hutong import db, ids, operators, payments
from hutong.api import refund_schema, schema
from hutong.api.operator_payment_routes import ActCreate
from hutong.api.operator_routes import ProposalObject, proposal_document, request_id
from hutong.api.problem import responses
from hutong.api.services import Acting, Services, Use
from hutong.api.strict import StrictRoute
from hutong.errors import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/operator/refunds/{refund_id}", tags=["Operators"], route_class=StrictRoute)


class RouteCreate(ActCreate):
    """Which way a failed refund goes on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"route": "manual", "reason": "the card is closed; the payer called"}]}
    )

    route: Literal["payout", "manual"]
    account: str | None = Field(default=None, description="The channel account that pays out: `acc_…`.")
    payee: dict[Annotated[str, Field(max_length=40)], Annotated[schema.Text, Field(max_length=200)]] | None = Field(
        default=None, max_length=20, description="Who receives the payout; kept sealed, never shown."
    )


class SettlementCreate(ActCreate):
    """What became of a refund that a person pays."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reference": "20261121-0007", "from_bank": True, "reason": "paid by bank transfer"}]
        }
    )

    reference: schema.Text | None = Field(
        max_length=128, description="Where the payment can be found; null gives the refund up."
    )
    from_bank: bool = Field(default=False, description="Paid from the bank account, not at the channel's portal.")


@router.get(
    "",
    response_model=refund_schema.RefundObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a refund",
)
async def see_refund(use: Use, _operator: Acting, refund_id: str) -> Response:
    """Any merchant's refund, as last committed."""
    return Response(payments.render_refund(await _any_refund(use, refund_id)), media_type="application/json")


@router.post(
    "/route",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Propose another way for a failed refund",
)
async def propose_route(
    request: Request,
    use: Use,
    operator: Acting,
    refund_id: str,
    body: Annotated[RouteCreate, Body(openapi_examples={"one": {"value": schema.example(RouteCreate)}})],
) -> Response:
    """Send a failed refund by payout or by hand. It moves money, so it takes two persons: this proposes."""
    refund = await _any_refund(use, refund_id)
    command = payments.ConvertRefund(
        refund.refund_id,
        payments.RefundRoute(body.route),
        None if body.account is None else _account(body.account),
        None if body.payee is None else payments.seal_payee(use.vault, refund.refund_id, body.payee),
    )
    new = payments.route_proposal(
        use.ids.new(), operator.operator_id, command, reason=body.reason, request_id=request_id(request)
    )
    return await _propose(use, new)


@router.post(
    "/settle",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Propose to take a refund as paid by hand",
)
async def propose_settlement(
    request: Request,
    use: Use,
    operator: Acting,
    refund_id: str,
    body: Annotated[SettlementCreate, Body(openapi_examples={"one": {"value": schema.example(SettlementCreate)}})],
) -> Response:
    """Say that a refund in state `manual` is paid, or give it up. It moves money, so it takes two persons."""
    refund = await _any_refund(use, refund_id)
    command = payments.SettleManually(refund.refund_id, body.reference, body.from_bank)
    new = payments.settle_proposal(
        use.ids.new(), operator.operator_id, command, reason=body.reason, request_id=request_id(request)
    )
    return await _propose(use, new)


async def _propose(use: Services, new: operators.NewProposal) -> Response:
    async def work(tx: db.Tx) -> operators.Proposal:
        (made,) = await operators.propose(tx, [new], now=use.clock.now())
        return made

    document = proposal_document(await use.database.run(work))
    return Response(orjson.dumps(document), 201, media_type="application/json")


async def _any_refund(use: Services, refund_id: str) -> payments.Refund:
    identifier = ids.decode("ref", refund_id)
    async with use.database.transaction() as tx:
        found = (await payments.find_refunds(tx, [identifier])).get(identifier)
    if found is None:
        raise NotFound("no refund has this id")
    return found


def _account(text: str) -> UUID:
    try:
        return ids.decode("acc", text)
    except NotFound as error:
        raise InvalidParameter("is not a channel account", param="account") from error
