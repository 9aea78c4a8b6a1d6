"""/v1/operator/reconciliation/differences: what the sides do not agree about, and what is decided about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from hutong import db, ids, operators
from hutong.api.dependencies import Acting, Services, Use, request_id
from hutong.api.operator.approvals import LIST_LIMIT_S, proposal_document
from hutong.api.operator.ledger.shared import Currency, Date
from hutong.api.operator.reconciliation.shared import PREFIX, TAGS, AccountId, DayFilter, account_of, owner_of
from hutong.api.paging import Limit, cut, id_cursor, list_answer, page_answer, read_cursor
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.difference import (
    DifferenceAssign,
    DifferenceBulk,
    DifferenceCounters,
    DifferenceDecide,
    DifferenceHistory,
    DifferenceList,
    DifferenceObject,
    DifferencePreviewObject,
    DifferenceResolve,
    DifferencesDecided,
    DifferenceSelection,
    PartnerSuggestions,
)
from hutong.api.schemas.fields import example_body
from hutong.reconciliation import differences, model

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)

_AMOUNT = {"ge": 0, "le": 999_999_999_999_999}


async def _filter(
    account: AccountId = None,
    layer: Annotated[model.Layer | None, Query(description="Only this layer.")] = None,
    klass: Annotated[model.DifferenceClass | None, Query(alias="class", description="Only this class.")] = None,
    state: Annotated[
        model.DifferenceState | None, Query(description="Only this state; without it, all that are not resolved.")
    ] = None,
    owner: Annotated[str | None, Query(pattern=r"^opr_[0-7][0-9a-z]{25}$", description="Only this owner's.")] = None,
    unowned: Annotated[bool, Query(description="Only those without an owner.")] = False,
    currency: Currency = None,
    at_least: Annotated[int | None, Query(**_AMOUNT, description="Only amounts from this on, without sign.")] = None,
    at_most: Annotated[int | None, Query(**_AMOUNT, description="Only amounts up to this one, without sign.")] = None,
    first_until: Annotated[Date | None, Query(description="Only those that are as old as this day.")] = None,
    day: DayFilter = None,
    key: Annotated[
        str | None, Query(pattern=r"^[\x20-\x7e]{1,128}$", description="Only this key or reference.")
    ] = None,
) -> differences.DifferenceFilter:
    """Return the filter that lists, counters and exports share."""
    return differences.DifferenceFilter(
        account_id=account_of(account),
        layer=layer,
        klass=klass,
        states=None if state is None else (state,),
        owner_id=owner_of(owner),
        unowned=unowned,
        currency=currency,
        at_least=at_least,
        at_most=at_most,
        first_until=first_until,
        last_day=day,
        key=key,
    )


Where = Annotated[differences.DifferenceFilter, Depends(_filter)]


@router.get(
    "/differences", response_model=DifferenceList, responses=responses(400, 401, 422, 503), summary="List differences"
)
async def list_differences(
    use: Use,
    _operator: Acting,
    where: Where,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor(model.DIFFERENCE_PREFIX)] = None,
) -> Response:
    """List the differences that a filter selects, newest first."""
    before = read_cursor(model.DIFFERENCE_PREFIX, cursor)
    async with use.database.transaction() as tx:
        found = await differences.list_differences(tx, where, before=before, limit=limit + 1)
    page, following = cut(found, limit, lambda case: ids.encode(model.DIFFERENCE_PREFIX, case.difference_id))
    today = use.clock.now().date()
    return page_answer((differences.difference_document(case, today=today) for case in page), following)


@router.get(
    "/differences/counters",
    response_model=DifferenceCounters,
    responses=responses(400, 401, 422, 503),
    summary="Count differences",
)
async def list_difference_counters(use: Use, _operator: Acting, where: Where) -> Response:
    """Count what the same filter lists, by layer, class, state and currency."""
    async with use.database.transaction() as tx:
        counts = await differences.count_differences(tx, where)
    return list_answer(map(differences.count_document, counts))


@router.post(
    "/difference-assignments",
    response_model=DifferenceList,
    responses=responses(403, 404, 409, codes="conflict"),
    summary="Assign differences",
)
async def assign_differences(
    request: Request, use: Use, operator: Acting, body: Annotated[DifferenceAssign, example_body(DifferenceAssign)]
) -> Response:
    """Give differences an owner, or take them over."""
    chosen = [ids.decode(model.DIFFERENCE_PREFIX, each) for each in body.ids]
    owner_id = ids.decode(operators.OPERATOR_PREFIX, body.owner_id)
    now = use.clock.now()

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        cases = await differences.assign(
            tx, chosen, owner_id, operator=operator, reason=body.reason, now=now, request_id=request_id(request)
        )
        return [differences.difference_document(case, today=now.date()) for case in cases]

    return page_answer(await use.database.run(work), None)


@router.post(
    "/difference-decisions",
    status_code=201,
    response_model=DifferencesDecided,
    responses=responses(403, 404),
    summary="Decide about differences",
)
async def decide_differences(
    request: Request, use: Use, operator: Acting, body: Annotated[DifferenceDecide, example_body(DifferenceDecide)]
) -> Response:
    """Decide about differences one by one. Where money moves, another person has to approve it."""
    decisions = [
        differences.CaseDecision(
            ids.decode(model.DIFFERENCE_PREFIX, each.id),
            each.action,
            each.reason,
            None if each.partner_id is None else ids.decode(model.DIFFERENCE_PREFIX, each.partner_id),
            each.content,
        )
        for each in body.decisions
    ]
    return await _decide(request, use, operator, given(decisions), body.reason)


@router.post(
    "/difference-previews",
    response_model=DifferencePreviewObject,
    responses=responses(403, 404),
    summary="Preview an action",
)
async def preview_differences(
    use: Use, operator: Acting, body: Annotated[DifferenceBulk, example_body(DifferenceBulk)]
) -> Response:
    """Count and add up what an action would do to all differences that a filter selects; nothing is done."""
    where, now = _selected(body.filter), use.clock.now()
    with db.time_limit(LIST_LIMIT_S):
        async with use.database.transaction() as tx:
            seen = await differences.preview(tx, where, body.action, reason=body.reason, operator=operator, now=now)
    return json_answer(differences.preview_document(seen))


@router.post(
    "/difference-resolutions",
    status_code=201,
    response_model=DifferencesDecided,
    responses=responses(403, 404, codes="conflict"),
    summary="Decide about many differences",
)
async def resolve_differences(
    request: Request, use: Use, operator: Acting, body: Annotated[DifferenceResolve, example_body(DifferenceResolve)]
) -> Response:
    """Take the action of a preview for the list that was previewed; another list is refused."""
    where = _selected(body.filter)

    async def select(tx: db.Tx) -> list[differences.CaseDecision]:
        return await differences.select_decisions(tx, where, body.action, reason=body.reason)

    return await _decide(request, use, operator, select, body.reason, body.digest)


@router.get(
    "/differences/{difference_id}",
    response_model=DifferenceObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a difference",
)
async def get_difference(use: Use, _operator: Acting, difference_id: str) -> Response:
    """Return one difference."""
    identifier = ids.decode(model.DIFFERENCE_PREFIX, difference_id)
    async with use.database.transaction() as tx:
        case = await differences.find_difference(tx, identifier)
    return json_answer(differences.difference_document(case, today=use.clock.now().date()))


@router.get(
    "/differences/{difference_id}/history",
    response_model=DifferenceHistory,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a difference's history",
)
async def get_difference_history(use: Use, _operator: Acting, difference_id: str) -> Response:
    """Return what has happened to a difference, in order."""
    identifier = ids.decode(model.DIFFERENCE_PREFIX, difference_id)
    async with use.database.transaction() as tx:
        case = await differences.find_difference(tx, identifier)
        entries = await differences.history(tx, case.difference_id)
    return list_answer(map(differences.history_document, entries))


@router.get(
    "/differences/{difference_id}/suggestions",
    response_model=PartnerSuggestions,
    responses=responses(400, 401, 404, 422, 503),
    summary="Suggest partners",
)
async def list_suggested_partners(use: Use, _operator: Acting, difference_id: str) -> Response:
    """Rank the differences of the other side that might be the partner, each with its reasons."""
    identifier = ids.decode(model.DIFFERENCE_PREFIX, difference_id)
    async with use.database.transaction() as tx:
        case = await differences.find_difference(tx, identifier)
        return list_answer(await differences.suggest_partners(tx, case))


def _selected(selection: DifferenceSelection) -> differences.DifferenceFilter:
    return differences.DifferenceFilter(
        account_id=account_of(selection.account_id, "filter.account_id"),
        layer=selection.layer,
        klass=selection.class_,
        states=None if selection.states is None else tuple(selection.states),
        owner_id=owner_of(selection.owner_id, "filter.owner_id"),
        unowned=selection.unowned,
        currency=selection.currency,
        at_least=selection.at_least_minor,
        at_most=selection.at_most_minor,
        first_until=selection.first_until,
        last_day=selection.last_day,
        key=selection.key,
    )


def given(decisions: list[differences.CaseDecision]) -> Callable[[db.Tx], Awaitable[list[differences.CaseDecision]]]:
    """Return what selects decisions that a request has listed."""

    async def select(_tx: db.Tx) -> list[differences.CaseDecision]:
        return decisions

    return select


async def _decide(
    request: Request,
    use: Services,
    operator: operators.Operator,
    select: Callable[[db.Tx], Awaitable[list[differences.CaseDecision]]],
    reason: str,
    digest: str | None = None,
) -> Response:
    outcome = await decided(request, use, operator, select, reason, digest)
    answer = {
        "object": "differences_decided",
        "proposal": None if outcome.proposal is None else proposal_document(outcome.proposal),
        "done": [ids.encode(model.DIFFERENCE_PREFIX, each) for each in outcome.done],
        "refused": [differences.refusal_document(refusal) for refusal in outcome.refused],
    }
    return json_answer(answer, 201)


async def decided(
    request: Request,
    use: Services,
    operator: operators.Operator,
    select: Callable[[db.Tx], Awaitable[list[differences.CaseDecision]]],
    reason: str,
    digest: str | None = None,
) -> differences.CaseDecisions:
    """Take selected decisions as the person of a request. Errors as `differences.decide`."""

    async def work(tx: db.Tx) -> differences.CaseDecisions:
        return await differences.decide(
            tx,
            await select(tx),
            operator=operator,
            reason=reason,
            now=use.clock.now(),
            new_id=use.ids.new,
            digest=digest,
            request_id=request_id(request),
        )

    with db.time_limit(LIST_LIMIT_S):
        return await use.database.run(work)
