"""/v1/operator: proposals, their approval by a second person, and the audit journal."""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from typing_extensions import TypeAliasType

from hutong import db, ids, operators
from hutong.api.dependencies import Acting, Services, Use, request_id
from hutong.api.paging import CURSOR_DESCRIPTION, Limit, cut, id_cursor, page_answer, read_cursor
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import ProposalState
from hutong.api.schemas.fields import ListObject, PageObject, Reason, example_body
from hutong.clock import instant
from hutong.errors import InvalidParameter

LIST_LIMIT_S = 120.0
"""A decision, and its approval, may be about a list of many thousands."""

router = APIRouter(prefix="/v1/operator", tags=["Operators"], route_class=StrictRoute)


class DecisionCreate(Reason):
    """The reason of an approver's decision."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "checked against the channel's announcement"}]}
    )


class ProposalObject(BaseModel):
    """An action that takes two persons: one proposes it, another decides."""

    id: str
    object: Literal["proposal"]
    action: str = Field(description="The action that an approval executes.")
    object_kind: str
    object_id: str
    payload: dict[str, Any] = Field(description="The input of the action.")
    reason: str
    state: ProposalState
    maker_id: str
    checker_id: str | None
    decision_reason: str | None
    proposed_at: datetime
    expires_at: datetime
    decided_at: datetime | None


class ProposalList(PageObject):
    """A page of proposals, newest first."""

    data: list[ProposalObject]


AuditFacts = TypeAliasType("AuditFacts", dict[str, Any])


class AuditObject(BaseModel):
    """One entry of the audit journal."""

    seq: int
    at: datetime
    actor_id: str | None = Field(description="The operator who acted; null is the system itself.")
    action: str
    object_kind: str
    object_id: str
    reason: str
    before: AuditFacts | None
    after: AuditFacts | None
    request_id: str | None


class AuditList(ListObject):
    """A page of the audit journal, newest first."""

    data: list[AuditObject]
    has_more: bool
    next_cursor: int | None


@router.get(
    "/proposals",
    response_model=ProposalList,
    responses=responses(400, 401, 422, 503),
    summary="List proposals",
)
async def list_proposals(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor(operators.PROPOSAL_PREFIX)] = None,
    state: Annotated[Literal["open"] | None, Query(description="Only proposals that can still be decided.")] = None,
) -> Response:
    """List the proposals, newest first."""
    after = read_cursor(operators.PROPOSAL_PREFIX, cursor)
    async with use.database.transaction() as tx:
        proposals = await operators.list_proposals(
            tx, now=use.clock.now(), after=after, open_only=state is not None, limit=limit + 1
        )
    page, next_cursor = cut([proposal_document(proposal) for proposal in proposals], limit, itemgetter("id"))
    return page_answer(page, next_cursor)


@router.get(
    "/proposals/{proposal_id}",
    response_model=ProposalObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a proposal",
)
async def get_proposal(use: Use, _operator: Acting, proposal_id: str) -> Response:
    """Return one proposal with the whole input of its action."""
    identifier = ids.decode(operators.PROPOSAL_PREFIX, proposal_id)
    async with use.database.transaction() as tx:
        proposal = await operators.find_proposal(tx, identifier, now=use.clock.now())
    return json_answer(proposal_document(proposal))


@router.post(
    "/proposals/{proposal_id}/approve",
    response_model=ProposalObject,
    responses=responses(
        403,
        404,
        codes="own_proposal proposal_closed conflict dispute_not_entered exception_not_decidable "
        "notification_mismatch payment_already_succeeded refund_route_refused "
        "routing_configuration_refused routing_rules_refused routing_trial_undecided",
    ),
    summary="Approve a proposal",
)
async def approve_proposal(
    request: Request,
    use: Use,
    operator: Acting,
    proposal_id: str,
    body: Annotated[DecisionCreate, example_body(DecisionCreate)],
) -> Response:
    """Approve and execute an action. Takes the role `approver`, and a person other than the proposal's maker.

    The action and the approval are committed together: if the action is refused, the proposal stays open.
    """
    return await _decide(request, use, operator, proposal_id, body, approve=True)


@router.post(
    "/proposals/{proposal_id}/reject",
    response_model=ProposalObject,
    responses=responses(403, 404, codes="own_proposal proposal_closed"),
    summary="Reject a proposal",
)
async def reject_proposal(
    request: Request,
    use: Use,
    operator: Acting,
    proposal_id: str,
    body: Annotated[DecisionCreate, example_body(DecisionCreate)],
) -> Response:
    """Reject an action. Takes the role `approver`, and a person other than the proposal's maker."""
    return await _decide(request, use, operator, proposal_id, body, approve=False)


@router.get(
    "/audit",
    response_model=AuditList,
    responses=responses(400, 401, 422, 503),
    summary="Read the audit journal",
)
async def list_audit_entries(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: Annotated[str | None, Query(pattern=r"^[1-9][0-9]{0,17}$", description=CURSOR_DESCRIPTION)] = None,
    object_kind: Annotated[
        str | None, Query(pattern=r"^[a-z][a-z_]{0,63}$", description="The kind of the object; requires `object_id`.")
    ] = None,
    object_id: Annotated[
        str | None,
        Query(pattern=r"^[\x21-\x7e]{1,255}$", description="Only entries about this object; requires `object_kind`."),
    ] = None,
) -> Response:
    """List the actions of operators with their reasons, newest first."""
    if (object_kind is None) != (object_id is None):
        raise InvalidParameter("`object_kind` and `object_id` require each other", param="object_kind")
    audited = (object_kind, object_id) if object_kind is not None and object_id is not None else None
    async with use.database.transaction() as tx:
        records = await operators.list_audit(
            tx, before_seq=None if cursor is None else int(cursor), about=audited, limit=limit + 1
        )
    page, next_cursor = cut([audit_document(record) for record in records], limit, itemgetter("seq"))
    return page_answer(page, next_cursor)


async def _decide(
    request: Request, use: Use, operator: operators.Operator, proposal_id: str, body: DecisionCreate, *, approve: bool
) -> Response:
    decision = operators.ApprovalDecision(
        ids.decode(operators.PROPOSAL_PREFIX, proposal_id),
        operator.operator_id,
        approve,
        body.reason,
        request_id(request),
    )

    async def work(tx: db.Tx) -> operators.Proposal:
        return await operators.conclude(tx, decision, use.approval_handlers, now=use.clock.now())

    with db.time_limit(LIST_LIMIT_S):
        return json_answer(proposal_document(await use.database.run(work)))


async def propose(use: Services, new: operators.NewProposal) -> Response:
    """Write a proposal, and answer with it. Errors as `operators.propose`."""

    async def work(tx: db.Tx) -> list[operators.Proposal]:
        return await operators.propose(tx, [new], now=use.clock.now())

    (proposal,) = await use.database.run(work)
    return json_answer(proposal_document(proposal), 201)


def proposal_document(proposal: operators.Proposal) -> dict[str, Any]:
    """Return the API's document of a proposal."""
    return {
        "id": ids.encode(operators.PROPOSAL_PREFIX, proposal.proposal_id),
        "object": "proposal",
        "action": proposal.action,
        "object_kind": proposal.object_kind,
        "object_id": proposal.object_id,
        "payload": dict(proposal.payload),
        "reason": proposal.reason,
        "state": proposal.state,
        "maker_id": ids.encode(operators.OPERATOR_PREFIX, proposal.maker_id),
        "checker_id": None
        if proposal.checker_id is None
        else ids.encode(operators.OPERATOR_PREFIX, proposal.checker_id),
        "decision_reason": proposal.decision_reason,
        "proposed_at": instant(proposal.proposed_at),
        "expires_at": instant(proposal.expires_at),
        "decided_at": None if proposal.decided_at is None else instant(proposal.decided_at),
    }


def audit_document(record: operators.AuditRecord) -> dict[str, Any]:
    """Return the API's document of an audit entry."""
    entry = record.entry
    return {
        "seq": record.seq,
        "at": instant(record.at),
        "actor_id": None if entry.actor_id is None else ids.encode(operators.OPERATOR_PREFIX, entry.actor_id),
        "action": entry.action,
        "object_kind": entry.object_kind,
        "object_id": entry.object_id,
        "reason": entry.reason,
        "before": entry.before,
        "after": entry.after,
        "request_id": entry.request_id,
    }
