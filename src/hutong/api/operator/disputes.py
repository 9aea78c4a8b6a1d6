"""/v1/operator/disputes: disputes as operators see them, and those that channels have no interface for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from hutong import ids
from hutong.api.dependencies import Acting, Services, Use, request_id
from hutong.api.operator.approvals import ProposalObject, propose
from hutong.api.paging import Limit, cut, id_cursor, read_cursor, rendered_page_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import rendered_answer
from hutong.api.schemas.dispute import DisputeEnter, DisputeList, DisputeMove, DisputeObject
from hutong.api.schemas.fields import example_body
from hutong.errors import NotFound
from hutong.payments import disputes

router = APIRouter(prefix="/v1/operator", tags=["Operators"], route_class=StrictRoute)


@router.get(
    "/disputes", response_model=DisputeList, responses=responses(400, 401, 422, 503), summary="List all disputes"
)
async def list_disputes(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("dsp")] = None,
    state: Annotated[disputes.DisputeState | None, Query(description="Only disputes in this state.")] = None,
) -> Response:
    """Return the disputes of all merchants, newest first."""
    after = read_cursor("dsp", cursor)
    async with use.database.transaction() as tx:
        entries = await disputes.list_disputes(tx, state=state, after=after, limit=limit + 1)
    page, next_cursor = cut(entries, limit, lambda dispute: ids.encode("dsp", dispute.dispute_id))
    return rendered_page_answer((use.answers.dispute(dispute) for dispute in page), next_cursor)


@router.get(
    "/disputes/{dispute_id}",
    response_model=DisputeObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a dispute",
)
async def get_dispute(use: Use, _operator: Acting, dispute_id: str) -> Response:
    """Return any merchant's dispute, as last committed."""
    return rendered_answer(use.answers.dispute(await _find(use, dispute_id)))


@router.post(
    "/payments/{payment_id}/disputes",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    summary="Propose to enter a dispute",
)
async def propose_dispute(
    request: Request,
    use: Use,
    operator: Acting,
    payment_id: str,
    body: Annotated[DisputeEnter, example_body(DisputeEnter)],
) -> Response:
    """Enter a dispute that the channel has no interface for.

    It moves money in the books, so another person approves it.
    """
    identifier = ids.decode("pay", payment_id)
    payment = await use.lifecycle.find(identifier)
    if payment is None:
        raise NotFound("no payment has this id")
    command = disputes.EnterDispute(
        operator.operator_id,
        payment,
        body.amount_minor,
        body.reason,
        dispute_no=body.channel_dispute_no,
        taken_minor=body.amount_taken_minor,
        fee_minor=body.fee_minor,
        dispute_reason=body.dispute_reason,
        payer_statement=body.payer_statement,
        due_at=body.due_at,
        request_id=request_id(request),
    )
    return await propose(use, command.proposal(use.ids.new()))


@router.post(
    "/disputes/{dispute_id}/move",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    summary="Propose how a dispute has gone on",
)
async def propose_dispute_move(
    request: Request,
    use: Use,
    operator: Acting,
    dispute_id: str,
    body: Annotated[DisputeMove, example_body(DisputeMove)],
) -> Response:
    """Record how a dispute has gone on, once another person approves it. A later statement of its channel holds."""
    command = disputes.MoveDispute(
        operator.operator_id,
        await _find(use, dispute_id),
        body.state,
        body.reason,
        taken_minor=body.amount_taken_minor,
        fee_minor=body.fee_minor,
        request_id=request_id(request),
    )
    return await propose(use, command.proposal(use.ids.new()))


async def _find(use: Services, dispute_id: str) -> disputes.Dispute:
    identifier = ids.decode("dsp", dispute_id)
    async with use.database.transaction() as tx:
        dispute = (await disputes.find_disputes(tx, [identifier])).get(identifier)
    if dispute is None:
        raise NotFound("no dispute has this id")
    return dispute
