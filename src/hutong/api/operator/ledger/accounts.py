"""/v1/operator/ledger: accounts, their limits, and the chart."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import bookkeeping, db, ids, ledger
from hutong.api.dependencies import Acting, Use
from hutong.api.operator.ledger.shared import (
    CURRENCY,
    PREFIX,
    PUBLIC_ID,
    TAGS,
    Code,
    Currency,
    Identifier,
    PlaceCursor,
    document,
    page,
    person_of,
)
from hutong.api.paging import Limit, cut, list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute, Text
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import AccountFlag, SubjectOwner, TrueOrFalse
from hutong.api.schemas.fields import ListObject, PageObject, Reason, example_body
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX
from hutong.ledger import finance

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)


class AccountObject(BaseModel):
    """An account; balances are on its normal side."""

    object: Literal["ledger_account"]
    account_id: UUID
    code: int = Field(description="The subject of the chart.")
    name_en: str
    name_zh: str
    owner: UUID
    currency: str = Field(description="Empty for a ledger that keeps no currency.")
    balance_minor: int
    balance: str = Field(description="In major units.")
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    overdraft_limit_minor: int
    flags: list[str]
    closed: bool
    opened_at: datetime


class AccountList(PageObject):
    """A page of accounts in the order of their creation."""

    data: list[AccountObject]


class OverdraftObject(BaseModel):
    """A change of an account's overdraft limit."""

    object: Literal["overdraft_change"]
    old_limit_minor: int
    new_limit_minor: int
    changed_at: datetime
    changed_by: str
    reason: str


class OverdraftList(ListObject):
    """The changes, newest first."""

    data: list[OverdraftObject]


class SubjectObject(BaseModel):
    """A subject of the chart of accounts."""

    object: Literal["ledger_subject"]
    code: int
    parent: int
    name_en: str
    name_zh: str
    kind: str = Field(description="Its class: asset, liability, equity, income or expense.")
    side: finance.Side
    per: str = Field(description="The kind of owner that has an account each.")
    added: bool = Field(description="Whether it was added to the chart of this version.")


class SubjectList(ListObject):
    """The chart, by code."""

    data: list[SubjectObject]


class AccountCreate(Reason):
    """An account of the chart to open."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"code": 3102, "currency": "CNY", "reason": "the first closing of a year"}]}
    )

    code: int = Field(ge=1, le=9_999)
    currency: str = Field(pattern=CURRENCY)
    owner: str | None = Field(
        default=None, pattern=PUBLIC_ID, description="May be left out for the platform's own accounts."
    )


class OverdraftCreate(Reason):
    """A new overdraft limit."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"limit_minor": 500_000, "reason": "agreed by contract 12"}]}
    )

    limit_minor: int = Field(ge=0, le=AMOUNT_MINOR_MAX, description="0 ends the agreement.")


class SubjectCreate(Reason):
    """A subject to add to the chart."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"code": 5101, "parent": 5100, "name_en": "bank charges", "name_zh": "银行手续费",
                 "reason": "the new chart of the group"}
            ]
        }
    )  # fmt: skip

    code: int = Field(ge=1_001, le=5_999, description="Four digits; the first is that of its class.")
    parent: int = Field(ge=1_000, le=5_900, description="The group that it belongs to.")
    name_en: Text = Field(min_length=1, max_length=64)
    name_zh: Text = Field(min_length=1, max_length=64)
    per: SubjectOwner = Field(default="company", description="The kind of owner that has an account each.")
    covered: bool = Field(default=False, description="Whether its accounts must not be overdrawn.")


_WRITE = responses(400, 401, 403, 404, 409, 413, 415, 422, 503)


@router.get(
    "/accounts", response_model=AccountList, responses=responses(400, 401, 422, 503), summary="List ledger accounts"
)
async def list_ledger_accounts(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: PlaceCursor = None,
    owner: Annotated[str | None, Query(pattern=PUBLIC_ID, description="Only accounts of this owner.")] = None,
    code: Code = None,
    name: Annotated[
        str | None, Query(min_length=1, max_length=64, description="Part of the name of the subject.")
    ] = None,
    currency: Currency = None,
    flag: Annotated[
        AccountFlag | None,
        Query(description="Only accounts with this flag."),
    ] = None,
    closed: Annotated[TrueOrFalse | None, Query(description="Only closed accounts, or only open ones.")] = None,
) -> Response:
    """List accounts with their balances and limits, in the order of their creation."""
    query = finance.AccountQuery(
        owner=None if owner is None else ids.read_any(owner, param="owner"),
        code=code,
        name=name,
        currency=currency,
        flags=() if flag is None else (flag,),
        closed=None if closed is None else closed == "true",
        after=int(cursor or 0),
        limit=limit + 1,
    )
    async with use.database.transaction() as tx:
        accounts = await finance.list_accounts(tx, query)
    shown, next_cursor = cut(accounts, limit, lambda account: str(account.cursor))
    return page(shown, "ledger_account", next_cursor)


@router.post("/accounts", response_model=AccountObject, responses=_WRITE, summary="Open a ledger account")
async def open_ledger_account(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[AccountCreate, example_body(AccountCreate)],
) -> Response:
    """Open the account of a subject, an owner and a currency. Repeating it returns the account that is open."""
    owner = None if body.owner is None else ids.read_any(body.owner, param="owner")

    async def work(tx: db.Tx) -> finance.ListedAccount:
        return await bookkeeping.open_account(
            tx, person_of(request, operator, body), code=body.code, owner=owner, currency=body.currency,
            now=use.clock.now(),
        )  # fmt: skip

    return json_answer(document(await use.database.run(work), "ledger_account"))


@router.post(
    "/accounts/{account_id}/close", response_model=AccountObject, responses=_WRITE, summary="Close a ledger account"
)
async def close_ledger_account(
    request: Request,
    use: Use,
    operator: Acting,
    account_id: Identifier,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """Close an account that has neither balance nor holds: the ledger refuses further transfers on it."""

    async def work(tx: db.Tx) -> finance.ListedAccount:
        person = person_of(request, operator, body)
        return await bookkeeping.close_account(tx, person, account_id, now=use.clock.now())

    return json_answer(document(await use.database.run(work), "ledger_account"))


@router.post(
    "/accounts/{account_id}/reopen", response_model=AccountObject, responses=_WRITE, summary="Reopen a ledger account"
)
async def reopen_ledger_account(
    request: Request,
    use: Use,
    operator: Acting,
    account_id: Identifier,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """Reopen a closed account."""

    async def work(tx: db.Tx) -> finance.ListedAccount:
        person = person_of(request, operator, body)
        return await bookkeeping.reopen_account(tx, person, account_id, now=use.clock.now())

    return json_answer(document(await use.database.run(work), "ledger_account"))


@router.post(
    "/accounts/{account_id}/overdraft",
    response_model=AccountObject,
    responses=_WRITE,
    summary="Set an overdraft limit",
)
async def set_overdraft_limit(
    request: Request,
    use: Use,
    operator: Acting,
    account_id: Identifier,
    body: Annotated[OverdraftCreate, example_body(OverdraftCreate)],
) -> Response:
    """Set how far an account that must not be overdrawn may go below zero."""

    async def work(tx: db.Tx) -> finance.ListedAccount:
        person = person_of(request, operator, body)
        return await bookkeeping.set_overdraft_limit(tx, person, account_id, body.limit_minor, now=use.clock.now())

    return json_answer(document(await use.database.run(work), "ledger_account"))


@router.get(
    "/accounts/{account_id}/overdrafts",
    response_model=OverdraftList,
    responses=responses(400, 401, 404, 422, 503),
    summary="List overdraft limits",
)
async def list_overdrafts(use: Use, _operator: Acting, account_id: Identifier) -> Response:
    """List every change of an account's overdraft limit, newest first."""
    async with use.database.transaction() as tx:
        changes = await finance.list_overdrafts(tx, account_id)
    return list_answer(document(change, "overdraft_change") for change in changes)


@router.get("/subjects", response_model=SubjectList, responses=responses(400, 401, 422, 503), summary="List the chart")
async def list_subjects(use: Use, _operator: Acting) -> Response:
    """List the chart of accounts by code."""
    async with use.database.transaction() as tx:
        subjects = await finance.list_subjects(tx)
    return list_answer(_subject(subject) for subject in subjects.values())


@router.post(
    "/subjects", status_code=201, response_model=SubjectObject, responses=_WRITE, summary="Add a subject to the chart"
)
async def add_subject(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[SubjectCreate, example_body(SubjectCreate)],
) -> Response:
    """Add a subject to the chart of accounts, permanently, and return it."""

    async def work(tx: db.Tx) -> finance.Subject:
        return await bookkeeping.add_subject(
            tx, person_of(request, operator, body), code=body.code, parent=body.parent, name_en=body.name_en,
            name_zh=body.name_zh, per=ledger.AccountOwner(body.per), covered=body.covered, now=use.clock.now(),
        )  # fmt: skip

    return json_answer(_subject(await use.database.run(work)), 201)


def _subject(subject: finance.Subject) -> dict[str, Any]:
    return {
        "object": "ledger_subject",
        "code": subject.code,
        "parent": subject.parent,
        "name_en": subject.name_en,
        "name_zh": subject.name_zh,
        "kind": subject.klass.value,
        "side": subject.normal_side.value,
        "per": subject.per.value,
        "added": subject.code not in ledger.CHART,
    }
