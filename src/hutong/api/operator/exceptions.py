"""/v1/operator/exceptions: what channels report that does not fit an order, and what is decided about it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, Strict
from starlette.responses import Response

from hutong import channels, ids
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.approvals import ProposalObject, propose
from hutong.api.paging import Limit, cut, id_cursor, page_answer, read_cursor
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import PageObject, Reason, example_body
from hutong.errors import NotFound
from hutong.payments import exceptions

router = APIRouter(prefix="/v1/operator/exceptions", tags=["Operators"], route_class=StrictRoute)


class ExceptionObject(BaseModel):
    """Something genuine that a channel has reported, once or often, and that does not fit an order."""

    id: str
    object: Literal["exception"]
    status: exceptions.ExceptionStatus
    kind: exceptions.ExceptionKind
    reason: str = Field(description="One term for what is wrong.")
    account_id: str
    about: channels.About
    number: str = Field(description="Our number, as the channel has it; empty where it cannot be read.")
    payment_id: str | None
    attempt_id: str | None
    refund_id: str | None
    source: str = Field(description="How the channel reported it.")
    state: str = Field(description="The state that the channel reports.")
    amount_minor: int | None = Field(description="The channel's figure.")
    currency: str | None
    expected_minor: int | None = Field(description="Ours.")
    expected_currency: str | None
    channel_order_no: str | None
    happened_at: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    seen: int = Field(description="How often the channel has reported it.")
    decided_at: datetime | None
    decided_by: str | None = Field(description="The approved proposal; `hutong` for a number that became known.")
    decision_reason: str | None


class ExceptionList(PageObject):
    """A page of exceptions, newest first."""

    data: list[ExceptionObject]


class DecisionPropose(Reason):
    """A decision about an exception."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"decision": "refund", "reason": "the payer was shown another amount in the channel's app"}]
        }
    )

    decision: Annotated[exceptions.ExceptionDecision, Strict(False)] = Field(
        description="Of a payment: `take` credits what the channel has taken, `refund` gives it back, `ignore` books "
        "nothing and ends an open attempt unpaid. Of a refund: `take` ends it as the channel reports, with its amount; "
        "`refund` ends it as it was ordered; `ignore` books nothing, and the channel is asked again."
    )


@router.get("", response_model=ExceptionList, responses=responses(400, 401, 422, 503), summary="List exceptions")
async def list_exceptions(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("exc")] = None,
    status: Annotated[exceptions.ExceptionStatus | None, Query(description="Only those in this state.")] = None,
    kind: Annotated[exceptions.ExceptionKind | None, Query(description="Only those of this kind.")] = None,
) -> Response:
    """List what channels have reported that does not fit an order."""
    before = read_cursor("exc", cursor)
    async with use.database.transaction() as tx:
        found = await exceptions.list_exceptions(tx, before=before, status=status, kind=kind, limit=limit + 1)
    page, following = cut(found, limit, lambda item: ids.encode(exceptions.PREFIX, item.exception_id))
    return page_answer(map(exceptions.exception_document, page), following)


@router.get(
    "/{exception_id}",
    response_model=ExceptionObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See an exception",
)
async def get_exception(use: Use, _operator: Acting, exception_id: str) -> Response:
    """Return one exception. Its message is shown by `hutong payment exception`."""
    identifier = ids.decode(exceptions.PREFIX, exception_id)
    async with use.database.transaction() as tx:
        item = await exceptions.find_exception(tx, identifier)
    if item is None:
        raise NotFound("no exception has this id")
    return json_answer(exceptions.exception_document(item))


@router.post(
    "/{exception_id}/decide",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(403, 404, codes="exception_not_decidable"),
    summary="Propose a decision about an exception",
)
async def propose_exception_decision(
    request: Request,
    use: Use,
    operator: Acting,
    exception_id: str,
    body: Annotated[DecisionPropose, example_body(DecisionPropose)],
) -> Response:
    """Propose what to do about an exception. It moves money in the books, so another person has to approve it."""
    command = exceptions.ProposeDecision(
        ids.decode(exceptions.PREFIX, exception_id),
        operator.operator_id,
        body.decision,
        body.reason,
        request_id(request),
    )
    async with use.database.transaction() as tx:
        new = await exceptions.decision_proposal(tx, command, new_id=use.ids.new())
    return await propose(use, new)
