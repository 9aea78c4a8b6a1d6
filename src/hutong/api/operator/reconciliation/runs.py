"""/v1/operator/reconciliation/runs: the days that were reconciled, and requests to reconcile one."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import ids, operators, reconciliation
from hutong.api.dependencies import Acting, Services, Use
from hutong.api.operator.ledger.shared import Date
from hutong.api.operator.reconciliation.shared import (
    ACCOUNT_ID,
    PREFIX,
    TAGS,
    AccountId,
    DayFilter,
    account_of,
    find_party,
)
from hutong.api.paging import Limit, cut, id_cursor, list_answer, page_answer, read_cursor
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import ListObject, PageObject, example_body
from hutong.reconciliation import REQUEST_PREFIX, RUN_PREFIX, RunRequest, runs

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)


class ReconciliationRunObject(BaseModel):
    """The last reconciliation of an account's day."""

    id: str
    object: Literal["reconciliation_run"]
    account_id: str
    day: date
    inputs: str = Field(description="The digest of all that it was computed from.")
    engine: str
    totals: dict[str, Any] = Field(description="By layer: counts and signed sums.")
    explained_ppm: int | None = Field(description="Matched money in millionths of the money; null without money.")
    finished_at: datetime


class ReconciliationRunList(PageObject):
    """A page of runs, those first that were made last."""

    data: list[ReconciliationRunObject]


class ReconciliationRequestObject(BaseModel):
    """A request to reconcile a day, and the days after it that were reconciled before."""

    id: str
    object: Literal["reconciliation_request"]
    account_id: str
    day: date
    requested_at: datetime
    requested_by: str
    next_at: datetime = Field(description="When it is run, or run again.")
    failures: int
    stage: str | None = Field(description="The day and the step that is under way; null while none is.")
    error: str | None = Field(description="Why its last run has failed.")
    done_at: datetime | None


class ReconciliationRequestList(ListObject):
    """Requests, the last first."""

    data: list[ReconciliationRequestObject]


class ReconciliationRequestCreate(BaseModel):
    """A day that is to be reconciled."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"account": "acc_01h455vb4pex5vsknk084sn02q", "day": "2026-03-31"}]},
    )

    account: str = Field(pattern=ACCOUNT_ID, description="The account at the channel or the bank account.")
    day: Date


@router.get(
    "/runs",
    response_model=ReconciliationRunList,
    responses=responses(400, 401, 422, 503),
    summary="List reconciliation runs",
)
async def list_reconciliation_runs(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor(RUN_PREFIX)] = None,
    account: AccountId = None,
    day: DayFilter = None,
) -> Response:
    """List the last run of each account's day."""
    before, of_account = read_cursor(RUN_PREFIX, cursor), account_of(account)
    async with use.database.transaction() as tx:
        found = await runs.list_runs(tx, account_id=of_account, day=day, before=before, limit=limit + 1)
    page, following = cut(found, limit, lambda run: ids.encode(RUN_PREFIX, run.run_id))
    names = await _names(use, {run.account_id for run in page})
    return page_answer((runs.run_document(run, names[run.account_id]) for run in page), following)


@router.get(
    "/requests",
    response_model=ReconciliationRequestList,
    responses=responses(400, 401, 422, 503),
    summary="List requests to reconcile",
)
async def list_reconciliation_requests(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    state: Annotated[Literal["open"] | None, Query(description="Only requests that have not ended.")] = None,
) -> Response:
    """List the requests to reconcile a day, with how far each is."""
    async with use.database.transaction() as tx:
        found = await reconciliation.list_requests(tx, open_only=state is not None, limit=limit)
    names = await _names(use, {request.account_id for request in found})
    return list_answer(request.document(names[request.account_id]) for request in found)


@router.get(
    "/requests/{request_id}",
    response_model=ReconciliationRequestObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a request to reconcile",
)
async def get_reconciliation_request(use: Use, _operator: Acting, request_id: str) -> Response:
    """Return one request, with how far its run is."""
    identifier = ids.decode(REQUEST_PREFIX, request_id)
    async with use.database.transaction() as tx:
        found = await reconciliation.find_request(tx, identifier)
    return json_answer(await _document(use, found))


@router.post(
    "/requests",
    status_code=202,
    response_model=ReconciliationRequestObject,
    responses=responses(400, 401, 403, 413, 415, 422, 503),
    summary="Reconcile a day",
)
async def start_reconciliation(
    use: Use,
    operator: Acting,
    body: Annotated[ReconciliationRequestCreate, example_body(ReconciliationRequestCreate)],
) -> Response:
    """Request that a day of an account is reconciled, and the days after it that were reconciled before.

    The worker runs it. A request of the same day that is open is taken for this one.
    """
    operators.require(operator, operators.Role.OPERATOR)
    party = await find_party(use, body.account)
    by, now, new_id = ids.encode(operators.OPERATOR_PREFIX, operator.operator_id), use.clock.now(), use.ids.new()
    request = await use.database.run(
        lambda tx: reconciliation.request_run(tx, party.account_id, body.day, by=by, now=now, new_id=new_id)
    )
    return json_answer(await _document(use, request), 202)


async def _document(use: Services, request: RunRequest) -> dict[str, Any]:
    return request.document((await _names(use, {request.account_id}))[request.account_id])


async def _names(use: Services, account_ids: set[UUID]) -> dict[UUID, str]:
    """Return the public ids of accounts."""
    async with use.database.transaction() as tx:
        return await reconciliation.account_names(tx, account_ids)
