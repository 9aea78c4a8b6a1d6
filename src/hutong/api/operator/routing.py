"""/v1/routing and /v1/operator/routing: why payments went where they did, and where they shall go."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import db, ids, operators, payments, routing
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.approvals import ProposalObject, proposal_document
from hutong.api.problems import responses
from hutong.api.responses import json_answer
from hutong.api.schemas import payment as schema
from hutong.api.strict_json import StrictRoute

router = APIRouter(prefix="/v1", tags=["Routing"], route_class=StrictRoute)

AccountName = Annotated[
    str, Field(pattern=r"^[\x21-\x7e]{1,97}$", description="Such as `wechat/main`; for a block also a channel.")
]


class CandidateObject(BaseModel):
    """What was thought of one account."""

    account: str
    refused: str | None = Field(description="Why it did not qualify, such as `amount_above_limit`.")
    score: float | None
    factors: dict[str, float] = Field(description="Every factor of the score by its name.")
    explanation: str | None = Field(description="What the rules say of it.")
    explanation_zh: str | None = Field(description="The same in Chinese.")


class DecisionObject(BaseModel):
    """Why an attempt went where it did."""

    id: str
    object: Literal["routing_decision"]
    payment_id: str
    attempt_id: str
    decided_at: datetime
    chosen: str | None = Field(description="The account.")
    how: Literal["score", "priority", "split", "pin", "probe", "explore", "default", "no_route"]
    configuration: int = Field(description="The version in force; 0 while none was published.")
    pin: str | None
    arm: Literal["draft", "control"] | None = Field(description="Which configuration decided, while a draft was tried.")
    method: str
    amount_minor: int
    currency: str
    merchant: str
    institution: str | None = Field(description="The payer's bank, where the merchant told it.")
    formula: str | None = Field(
        description="How the factors made the score; null for a decision from before it was kept."
    )
    outcome: str = Field(description="The attempt's state now.")
    code: str | None
    candidates: list[CandidateObject]


class InterfaceObject(BaseModel):
    """How an account is doing at one method."""

    interface: str
    state: Literal["healthy", "degraded", "open", "probing"]
    share: float = Field(description="The part of its traffic that it may get, 0–1.")
    success: float
    confidence: float = Field(description="How many results this rests on; older ones count for less.")
    latency_ms: float
    since: datetime | None = Field(description="Since when it is in this state.")
    why: str | None = Field(description="Why, with the figures.")


class RoutingAccountObject(BaseModel):
    """An account as routing sees it."""

    id: str
    name: str
    blocked: str | None = Field(description="Why it gets nothing new.")
    month_minor: int = Field(description="What has gone through it this month, where it takes one currency only.")
    month_minor_of: dict[str, int] = Field(description="The same by currency, where it takes several.")
    interfaces: list[InterfaceObject]


class OverrideObject(BaseModel):
    """A pin or a block."""

    id: str
    object: Literal["routing_override"]
    kind: Literal["pin", "block", "leave"]
    product: str
    account: str
    interface: str | None = Field(description="The method that is left, where a suggestion to leave was confirmed.")
    until: datetime | None
    reason: str
    operator_id: str
    created_at: datetime
    lifted_at: datetime | None


class RoutingObject(BaseModel):
    """Where payments go now, as the process that answers knows it."""

    object: Literal["routing"]
    configuration: int
    modes: dict[str, Literal["auto", "suggest", "manual"]] = Field(description='By product; `""` is all others.')
    accounts: list[RoutingAccountObject]
    overrides: list[OverrideObject]
    trial: str | None = Field(description="The draft that is being tried.")


class Reason(schema.RequestModel):
    """Why it is done."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the channel has called"}]})

    reason: schema.Text = Field(min_length=1, max_length=operators.REASON_LENGTH_MAX, description="Kept for ever.")


class OverrideCreate(Reason):
    """A pin or a block to be set."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "block", "account": "wechat/main", "reason": "the channel has called"}]
        }
    )

    kind: Literal["pin", "block"]
    account: AccountName
    product: str = Field(default="", pattern=r"^[a-z0-9_]{0,32}$", description="What is pinned; empty is everything.")
    until: schema.Instant | None = Field(default=None, description="A pin ends within seven days.")


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
    anyway: bool = Field(default=False, description="Although the draft was tried and that does not speak for it.")


_CONFIGURATION = {"one": {"value": schema.example(ConfigurationCreate)}}


@router.get(
    "/routing/decisions/{decision_id}",
    response_model=DecisionObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a routing decision",
)
async def get_decision(use: Use, _operator: Acting, decision_id: str) -> Response:
    """Why an attempt went where it did: every candidate, why it did not qualify, and every factor of its score.

    Takes an operator's key. A decision has the number of its attempt: `rtd_` for `att_`.
    """
    identifier = ids.decode(payments.DECISION_PREFIX, decision_id)
    async with use.database.transaction() as tx:
        found = [one for one in await payments.find_decisions(tx, identifier) if one.attempt_id == identifier]
    if not found or found[0].record is None:
        raise routing.DecisionGone("no decision has this id")
    return json_answer(payments.decision_document(found[0]))


@router.get(
    "/operator/routing", response_model=RoutingObject, responses=responses(400, 401, 422, 503), summary="See routing"
)
async def see_routing(use: Use, _operator: Acting) -> Response:
    """How the accounts are doing, which configuration is in force, and what operators have pinned or blocked."""
    now = use.clock.now()
    await use.lifecycle.route_selector.offers()
    live = use.lifecycle.route_selector.routing_state
    async with use.database.transaction() as tx:
        overrides = await routing.standing_overrides(tx, now=now)
    return json_answer(routing.routing_document(live, overrides, now=now))


@router.post(
    "/operator/routing/configurations",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
    summary="Propose a routing configuration",
)
async def propose_configuration(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[
        ConfigurationCreate, Body(openapi_examples={"one": {"value": schema.example(ConfigurationCreate)}})
    ],
) -> Response:
    """Propose how payments shall be routed; it holds once another person has approved it.

    What is wrong with it is refused now, with its place: the one in force stays.
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
async def add_override(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[OverrideCreate, Body(openapi_examples={"one": {"value": schema.example(OverrideCreate)}})],
) -> Response:
    """Send everything through one account, or nothing new through it; holds everywhere within two seconds."""
    operators.require(operator, operators.Role.OPERATOR)
    wanted = routing.Override(
        use.ids.new(),
        routing.Kind(body.kind),
        body.product,
        body.account,
        body.until,
        body.reason,
        operator.operator_id,
        use.clock.now(),
    )
    await use.lifecycle.route_selector.offers()
    live = use.lifecycle.route_selector.routing_state

    async def work(tx: db.Tx) -> routing.Override:
        return await routing.add_override(
            tx,
            wanted,
            candidates=live.candidates,
            products=live.configuration.policies.keys(),
            request_id=request_id(request),
        )

    made = await use.database.run(work)
    return json_answer(routing.override_document(made), 201)


@router.post(
    "/operator/routing/overrides/{override_id}/lift",
    response_model=OverrideObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Lift a pin or a block",
)
async def lift_override(
    request: Request,
    use: Use,
    operator: Acting,
    override_id: str,
    body: Annotated[Reason, Body(openapi_examples={"one": {"value": schema.example(Reason)}})],
) -> Response:
    """End a pin or a block before its time."""
    operators.require(operator, operators.Role.OPERATOR)
    identifier = ids.decode(routing.OVERRIDE_PREFIX, override_id)

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
