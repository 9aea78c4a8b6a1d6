"""/v1/routing and /v1/operator/routing: why payments went where they did, and where they go from now on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import db, ids, operators, payments, routing
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.approvals import ProposalObject, proposal_document
from hutong.api.problems import responses
from hutong.api.requests import Instant, StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import Arm, HealthState, NewOverrideKind, RoutingMode, SelectionReason
from hutong.api.schemas.fields import Reason, example_body

router = APIRouter(prefix="/v1", tags=["Routing"], route_class=StrictRoute)

AccountName = Annotated[
    str, Field(pattern=r"^[\x21-\x7e]{1,97}$", description="Such as `wechat/main`; for a block also a channel.")
]


class CandidateObject(BaseModel):
    """The evaluation of one account."""

    account: str
    refused: str | None = Field(description="Why it did not qualify, such as `amount_above_limit`.")
    score: float | None
    factors: dict[str, float] = Field(description="Every factor of the score, by name.")
    explanation: str | None = Field(description="The reason that the rules give.")
    explanation_zh: str | None = Field(description="The same reason in Chinese.")


class DecisionObject(BaseModel):
    """Why an attempt goes through its account."""

    id: str
    object: Literal["routing_decision"]
    payment_id: str
    attempt_id: str
    decided_at: datetime
    chosen: str | None = Field(description="The account; null if none qualified.")
    how: SelectionReason
    configuration: int = Field(description="The version in force; 0 before the first is published.")
    pin: str | None
    arm: Arm | None = Field(description="The configuration that decided, while a trial was running.")
    method: str
    amount_minor: int
    currency: str
    merchant: str
    institution: str | None = Field(description="The payer's bank, if the merchant named it.")
    formula: str | None = Field(
        description="How the score is computed from the factors; null for decisions that are older than this field."
    )
    outcome: str = Field(description="The current state of the attempt.")
    code: str | None
    candidates: list[CandidateObject]


class InterfaceObject(BaseModel):
    """The health of an account at one method."""

    interface: str
    state: HealthState
    share: float = Field(description="The share of its traffic that it may get, 0–1.")
    success: float
    confidence: float = Field(description="How many results the estimate is based on; older ones count less.")
    latency_ms: float
    since: datetime | None = Field(description="When it entered this state.")
    why: str | None = Field(description="The reason for the state, with figures.")


class RoutingAccountObject(BaseModel):
    """An account as routing sees it."""

    id: str
    name: str
    blocked: str | None = Field(description="Why it gets no new payments; null if it is not blocked.")
    month_minor: int = Field(description="This month's volume, if the account takes one currency only.")
    month_minor_of: dict[str, int] = Field(description="This month's volume by currency, if the account takes several.")
    interfaces: list[InterfaceObject]


class OverrideObject(BaseModel):
    """A pin or a block."""

    id: str
    object: Literal["routing_override"]
    kind: routing.OverrideKind
    product: str
    account: str
    interface: str | None = Field(description="The method that is left, if a suggestion to leave it was confirmed.")
    until: datetime | None
    reason: str
    operator_id: str
    created_at: datetime
    lifted_at: datetime | None


class RoutingObject(BaseModel):
    """Where payments go now, as known to the process that answers."""

    object: Literal["routing"]
    configuration: int
    modes: dict[str, RoutingMode] = Field(description='By product; `""` is all others.')
    accounts: list[RoutingAccountObject]
    overrides: list[OverrideObject]
    trial: str | None = Field(description="The trial that is running.")


class OverrideCreate(Reason):
    """A pin or a block to set."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "block", "account": "wechat/main", "reason": "the channel has called"}]
        }
    )

    kind: NewOverrideKind
    account: AccountName
    product: str = Field(
        default="", pattern=r"^[a-z0-9_]{0,32}$", description="The product that is pinned; empty is every product."
    )
    until: Instant | None = Field(default=None, description="The end; a pin must end within seven days.")


class ConfigurationCreate(Reason):
    """A configuration to propose."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "document": {"policies": {"": {"objective": "lowest_cost"}}},
                    "reason": "the new price list",
                }
            ]
        }
    )

    document: dict[str, Any] = Field(description="Accounts, policies and merchants' classes; see the guide.")
    anyway: bool = Field(default=False, description="Propose it although its trial does not support it.")


@router.get(
    "/routing/decisions/{decision_id}",
    response_model=DecisionObject,
    responses=responses(404, codes="routing_decision_not_found"),
    summary="Get a routing decision",
)
async def get_routing_decision(use: Use, _operator: Acting, decision_id: str) -> Response:
    """Return why an attempt goes through its account: every candidate, why it did not qualify, and its score's factors.

    Requires an operator's key. A decision has the id of its attempt, with `rtd_` for `att_`.
    """
    attempt_id = ids.decode(routing.LoggedDecision.PREFIX, decision_id)
    async with use.database.transaction() as tx:
        decisions = await routing.find_decisions(tx, [attempt_id])
        outcomes = await payments.attempt_outcomes(tx, [attempt_id])
    if not decisions:
        raise routing.DecisionNotFound("no decision has this id")
    return json_answer(routing.decision_document(decisions[0], outcomes[attempt_id]))


@router.get(
    "/operator/routing", response_model=RoutingObject, responses=responses(400, 401, 422, 503), summary="See routing"
)
async def get_routing(use: Use, _operator: Acting) -> Response:
    """Return the health of the accounts, the configuration in force, and the active pins and blocks."""
    now = use.clock.now()
    await use.lifecycle.route_selector.offers()
    async with use.database.transaction() as tx:
        overrides = await routing.active_overrides(tx, now=now)
    return json_answer(routing.routing_document(use.lifecycle.route_selector.routing_state, overrides, now=now))


@router.post(
    "/operator/routing/configurations",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(403, codes="routing_configuration_refused routing_rules_refused routing_trial_undecided"),
    summary="Propose a routing configuration",
)
async def propose_routing_configuration(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[ConfigurationCreate, example_body(ConfigurationCreate)],
) -> Response:
    """Propose a routing configuration; it comes into force once another person has approved it.

    A configuration with an error is refused now, naming the place of the error; the one in force stays.
    """
    await use.lifecycle.route_selector.offers()
    proposal_id = use.ids.new()

    async def work(tx: db.Tx) -> operators.Proposal:
        return await routing.propose_configuration(
            tx,
            body.document,
            candidates=use.lifecycle.route_selector.routing_state.candidates,
            anyway=body.anyway,
            proposal_id=proposal_id,
            maker_id=operator.operator_id,
            reason=body.reason,
            now=use.clock.now(),
            request_id=request_id(request),
        )

    return json_answer(proposal_document(await use.database.run(work)), 201)


@router.post(
    "/operator/routing/overrides",
    status_code=201,
    response_model=OverrideObject,
    responses=responses(400, 401, 403, 413, 415, 422, 503),
    summary="Pin or block an account",
)
async def add_routing_override(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[OverrideCreate, example_body(OverrideCreate)],
) -> Response:
    """Send all payments through one account, or no new ones; applied by every process within two seconds."""
    operators.require(operator, operators.Role.OPERATOR)
    override = routing.Override(
        use.ids.new(),
        routing.OverrideKind(body.kind),
        body.product,
        body.account,
        body.until,
        body.reason,
        operator.operator_id,
        use.clock.now(),
    )
    await use.lifecycle.route_selector.offers()
    state = use.lifecycle.route_selector.routing_state

    async def work(tx: db.Tx) -> routing.Override:
        return await routing.add_override(
            tx,
            override,
            candidates=state.candidates,
            products=state.configuration.policies.keys(),
            request_id=request_id(request),
        )

    return json_answer(routing.override_document(await use.database.run(work)), 201)


@router.post(
    "/operator/routing/overrides/{override_id}/lift",
    response_model=OverrideObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Lift a pin or a block",
)
async def lift_routing_override(
    request: Request,
    use: Use,
    operator: Acting,
    override_id: str,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """Lift a pin or a block before its end."""
    operators.require(operator, operators.Role.OPERATOR)
    identifier = ids.decode(routing.Override.PREFIX, override_id)

    async def work(tx: db.Tx) -> routing.Override:
        return await routing.lift_override(
            tx,
            identifier,
            operator_id=operator.operator_id,
            reason=body.reason,
            now=use.clock.now(),
            request_id=request_id(request),
        )

    return json_answer(routing.override_document(await use.database.run(work)))
