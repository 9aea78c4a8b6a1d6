"""/v1/operator/routing/trials: experiments in which a draft routes a share of the payments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import db, operators, routing
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.approvals import ProposalObject, proposal_document
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import Arm, TrialVerdict
from hutong.api.schemas.fields import Reason, example_body

router = APIRouter(prefix="/v1/operator/routing/trials", tags=["Routing"], route_class=StrictRoute)


class CurrencyObject(BaseModel):
    """The amounts of an arm's payments in one currency, at the draft's prices."""

    currency: str
    captured: str
    cost: str
    cost_share: float | None


class ArmObject(BaseModel):
    """The payments that one configuration routed."""

    arm: Arm
    ended: int = Field(description="Payments that have ended.")
    succeeded: int
    success: float | None
    currencies: list[CurrencyObject]


class ComparisonObject(BaseModel):
    """The success rate of the draft minus that of the control. It is valid whenever and however often it is read."""

    difference: float
    low: float = Field(description="The confidence interval, of 95 % over all looks together.")
    high: float
    p_value: float


class TrialObject(BaseModel):
    """A trial of a draft, running or ended."""

    id: str
    object: Literal["routing_trial"]
    configuration: int = Field(description="The version that the draft is compared with.")
    document: dict[str, Any]
    share: float
    guardrail: float
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    arms: list[ArmObject]
    comparison: ComparisonObject
    verdict: TrialVerdict


class TrialCreate(Reason):
    """A trial to propose."""

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

    document: dict[str, Any] = Field(description="The draft, in the form of a configuration.")
    share: float = Field(gt=0, le=routing.SHARE_MAX, description="The share of the payments that the draft routes.")
    guardrail: float = Field(
        ge=0,
        le=1,
        description="How much lower the draft's success rate may be; if significantly more, the trial ends by itself.",
    )


@router.get(
    "/latest",
    response_model=TrialObject,
    responses=responses(404, codes="routing_decision_not_found"),
    summary="See the trial",
)
async def get_latest_trial(use: Use, _operator: Acting) -> Response:
    """Return the outcomes of both arms of the running trial, or of the latest one."""
    async with use.database.transaction() as tx:
        latest = await routing.latest_experiment(tx)
    if latest is None:
        raise routing.DecisionNotFound("no draft was ever tried")
    return json_answer(routing.experiment_document(latest))


@router.post(
    "",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(403, codes="routing_configuration_refused routing_rules_refused"),
    summary="Propose a trial",
)
async def propose_trial(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[TrialCreate, example_body(TrialCreate)],
) -> Response:
    """Propose to route a share of the payments by a draft; the trial starts once another person has approved it."""
    await use.lifecycle.route_selector.offers()
    proposal_id = use.ids.new()

    async def work(tx: db.Tx) -> operators.Proposal:
        return await routing.propose_experiment(
            tx,
            body.document,
            version=(await routing.current_configuration(tx)).version,
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
    responses=responses(403, 404, codes="routing_decision_not_found"),
    summary="End the trial",
)
async def end_trial(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """End the running trial: the configuration in force routes all payments, in every process within two seconds."""
    operators.require(operator, operators.Role.OPERATOR)

    async def work(tx: db.Tx) -> dict[str, Any]:
        ended = await routing.end_experiment(
            tx,
            operator_id=operator.operator_id,
            reason=body.reason,
            now=use.clock.now(),
            request_id=request_id(request),
        )
        return routing.experiment_document(ended)

    return json_answer(await use.database.run(work))
