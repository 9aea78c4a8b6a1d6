"""/v1/operator/routing/trials: drafts that are tried on a share of the payments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import db, operators, routing
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.approvals import ProposalObject, proposal_document
from hutong.api.operator.routing import Reason
from hutong.api.problems import responses
from hutong.api.responses import json_answer
from hutong.api.schemas import payment as schema
from hutong.api.strict_json import StrictRoute

router = APIRouter(prefix="/v1/operator/routing/trials", tags=["Routing"], route_class=StrictRoute)


class CurrencyObject(BaseModel):
    """What an arm's payments in one currency have brought, at the draft's prices."""

    currency: str
    captured: str
    cost: str
    cost_share: float | None


class ArmObject(BaseModel):
    """The payments that one configuration decided about."""

    arm: Literal["draft", "control"]
    ended: int = Field(description="Payments that are over.")
    succeeded: int
    success: float | None
    currencies: list[CurrencyObject]


class ComparisonObject(BaseModel):
    """The success rate of the draft less that of the control. It may be looked at any time, however often."""

    difference: float
    low: float = Field(description="The confidence interval, of 95 % over all looks together.")
    high: float
    p_value: float


class TrialObject(BaseModel):
    """A draft that is tried, or was."""

    id: str
    object: Literal["routing_trial"]
    configuration: int = Field(description="What it is tried against.")
    document: dict[str, Any]
    share: float
    guardrail: float
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    arms: list[ArmObject]
    comparison: ComparisonObject
    verdict: Literal["undecided", "better", "no_worse", "worse"]


class TrialCreate(Reason):
    """A draft to try."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "document": {"policies": {"": {"objective": "lowest_cost"}}},
                    "share": 0.05,
                    "guardrail": 0.01,
                    "reason": "is the cheaper one as good?",
                }
            ]
        }
    )

    document: dict[str, Any] = Field(description="As for a configuration.")
    share: float = Field(gt=0, le=routing.SHARE_MAX, description="The part of the payments that it routes.")
    guardrail: float = Field(
        ge=0, le=1, description="How much lower its success rate may be; significantly beyond that, it ends by itself."
    )


@router.get(
    "/latest", response_model=TrialObject, responses=responses(400, 401, 404, 422, 503), summary="See the trial"
)
async def see_trial(use: Use, _operator: Acting) -> Response:
    """What has come of both arms of the trial that runs, or of the last one."""
    async with use.database.transaction() as tx:
        found = await routing.latest_trial(tx)
    if found is None:
        raise routing.DecisionGone("no draft was ever tried")
    return json_answer(routing.trial_document(found))


@router.post(
    "",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 413, 415, 422, 503),
    summary="Propose a trial",
)
async def propose_trial(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[TrialCreate, Body(openapi_examples={"one": {"value": schema.example(TrialCreate)}})],
) -> Response:
    """Propose to try a draft on a share of the payments; it starts once another person has approved it."""
    await use.lifecycle.route_selector.offers()
    proposal_id = use.ids.new()

    async def work(tx: db.Tx) -> operators.Proposal:
        return await routing.propose_trial(
            tx,
            body.document,
            version=await routing.current_version(tx),
            share=body.share,
            guardrail=body.guardrail,
            candidates=use.lifecycle.route_selector.routing_state.candidates,
            proposal_id=proposal_id,
            maker_id=operator.operator_id,
            reason=body.reason,
            now=use.clock.now(),
            request_id=request_id(request),
        )

    return json_answer(proposal_document(await use.database.run(work)), 201)


@router.post(
    "/stop",
    response_model=TrialObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="End the trial",
)
async def end_trial(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[Reason, Body(openapi_examples={"one": {"value": schema.example(Reason)}})],
) -> Response:
    """Have all payments routed by the configuration in force; holds everywhere within two seconds."""
    operators.require(operator, operators.Role.OPERATOR)

    async def work(tx: db.Tx) -> routing.Standing:
        ended = await routing.end_trial(
            tx,
            operator_id=operator.operator_id,
            reason=body.reason,
            now=use.clock.now(),
            request_id=request_id(request),
        )
        return await routing.find_trial(tx, ended.trial_id)

    return json_answer(routing.trial_document(await use.database.run(work)))
