"""/v1/operator/routing/suggestions: switches that an operator has to confirm or dismiss."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hutong import db, ids, operators, routing
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.paging import list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import SuggestionKind
from hutong.api.schemas.fields import ListObject, Reason, example_body

router = APIRouter(prefix="/v1/operator/routing/suggestions", tags=["Routing"], route_class=StrictRoute)


class SuggestionObject(BaseModel):
    """A switch, or a switch back, that health suggests where operators confirm them."""

    id: str
    object: Literal["routing_suggestion"]
    what: SuggestionKind
    account: str
    interface: str
    why: str = Field(description="The reason, with figures.")
    since: datetime = Field(description="Since when health has called for it.")
    suggested_at: datetime
    dismissed_at: datetime | None = Field(
        description="When an operator dismissed it; it is not repeated while health stays the same."
    )


class SuggestionList(ListObject):
    """The suggestions, oldest first."""

    data: list[SuggestionObject]


@router.get("", response_model=SuggestionList, responses=responses(400, 401, 422, 503), summary="List suggestions")
async def list_routing_suggestions(use: Use, _operator: Acting) -> Response:
    """Return the open suggestions and the dismissed ones that health still calls for.

    A suggestion that health no longer calls for is withdrawn.
    """
    async with use.database.transaction() as tx:
        found = await routing.list_suggestions(tx)
    return list_answer(routing.suggestion_document(suggestion) for suggestion in found)


@router.post(
    "/{suggestion_id}/confirm",
    response_model=SuggestionObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Confirm a suggestion",
)
async def confirm_routing_suggestion(
    request: Request,
    use: Use,
    operator: Acting,
    suggestion_id: str,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """Leave the account at this method, or return to it, in every process within two seconds. One person is enough."""
    return await _decide(request, use, operator, suggestion_id, body, confirm=True)


@router.post(
    "/{suggestion_id}/dismiss",
    response_model=SuggestionObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Dismiss a suggestion",
)
async def dismiss_routing_suggestion(
    request: Request,
    use: Use,
    operator: Acting,
    suggestion_id: str,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """Change nothing; the suggestion is not repeated while health stays the same."""
    return await _decide(request, use, operator, suggestion_id, body, confirm=False)


async def _decide(
    request: Request, use: Use, operator: operators.Operator, suggestion_id: str, body: Reason, *, confirm: bool
) -> Response:
    operators.require(operator, operators.Role.OPERATOR)
    identifier = ids.decode(routing.Suggestion.PREFIX, suggestion_id)

    async def work(tx: db.Tx) -> routing.Suggestion:
        return await routing.decide_suggestion(
            tx,
            identifier,
            confirm=confirm,
            operator_id=operator.operator_id,
            reason=body.reason,
            override_id=use.ids.new(),
            now=use.clock.now(),
            request_id=request_id(request),
        )

    return json_answer(routing.suggestion_document(await use.database.run(work)))
