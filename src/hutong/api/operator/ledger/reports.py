"""/v1/operator/ledger: balances, the general ledger and statements of closed days."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from hutong import db
from hutong.api.dependencies import Acting, Use
from hutong.api.operator.ledger.shared import PREFIX, TAGS, Code, Date, Day, UuidCursor, document, page
from hutong.api.paging import Limit, cut, list_answer, page_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.schemas.fields import ListObject, PageObject
from hutong.ledger import reports

_LIMIT_S = 120.0
"""A report may read a whole month of a large ledger."""

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)


class DayEndBalanceObject(BaseModel):
    """The balance of an account at the end of a closed day, on its normal side."""

    object: Literal["day_end_balance"]
    account_id: UUID
    code: int
    name_en: str
    name_zh: str
    owner: UUID
    currency: str
    last_moved: date
    balance_minor: int
    balance: str


class DayEndBalanceList(PageObject):
    """A page of balances in the order of the accounts' ids."""

    data: list[DayEndBalanceObject]


class LedgerLineObject(BaseModel):
    """A subject, or an account, between two closed days."""

    object: Literal["general_ledger_line"]
    code: int
    name_en: str
    name_zh: str
    account_id: UUID | None
    owner: UUID | None
    currency: str
    opening_minor: int
    debits_minor: int
    credits_minor: int
    closing_minor: int
    opening: str
    debits: str
    credits: str
    closing: str


class SubjectLineList(ListObject):
    """The general ledger by subject."""

    data: list[LedgerLineObject]


class AccountLineList(PageObject):
    """A page of the general ledger by account."""

    data: list[LedgerLineObject]


class DayLineObject(BaseModel):
    """One booking of a statement."""

    account_id: UUID
    transfer_id: UUID
    accounting_date: date
    timestamp: int
    event: int
    event_en: str
    event_zh: str
    other_account: UUID
    reference: UUID
    debit_minor: int
    credit_minor: int
    balance_minor: int


class DayStatementObject(BaseModel):
    """The statement of an account on a closed day."""

    object: Literal["day_statement"]
    account_id: UUID
    code: int
    name_en: str
    name_zh: str
    owner: UUID
    currency: str
    day: date
    opening_minor: int
    debits_minor: int
    credits_minor: int
    closing_minor: int
    opening: str
    closing: str
    lines: list[DayLineObject]


class DayStatementList(PageObject):
    """A page of statements in the order of the accounts' ids."""

    data: list[DayStatementObject]


_READ = responses(400, 401, 409, 422, 503)
Since = Annotated[Date, Query(description="The first day, which is closed.")]
Until = Annotated[Date, Query(description="The last day, included, which is closed.")]


@router.get("/balances", response_model=DayEndBalanceList, responses=_READ, summary="List balances at the end of a day")
async def list_balances(
    use: Use, _operator: Acting, day: Day, limit: Limit = 20, cursor: UuidCursor = None, code: Code = None
) -> Response:
    """List the balances of accounts at the end of a closed day."""
    with db.time_limit(_LIMIT_S):
        async with use.database.transaction() as tx:
            balances = await reports.list_day_end_balances(
                tx, day, code=code, after=UUID(cursor) if cursor else None, limit=limit + 1
            )
    shown, next_cursor = cut(balances, limit, lambda balance: str(balance.account_id))
    return page(shown, "day_end_balance", next_cursor)


@router.get("/general-ledger", response_model=SubjectLineList, responses=_READ, summary="See the general ledger")
async def get_general_ledger(use: Use, _operator: Acting, since: Since, until: Until) -> Response:
    """Return opening, movements and closing of every subject between two closed days, both included."""
    with db.time_limit(_LIMIT_S):
        async with use.database.transaction() as tx:
            lines = await reports.list_subjects_between(tx, since, until)
    return list_answer(document(line, "general_ledger_line") for line in lines)


@router.get(
    "/general-ledger/accounts",
    response_model=AccountLineList,
    responses=_READ,
    summary="See the general ledger by account",
)
async def list_general_ledger_accounts(
    use: Use, _operator: Acting, since: Since, until: Until, limit: Limit = 20, cursor: UuidCursor = None,
    code: Code = None,
) -> Response:  # fmt: skip
    """Return opening, movements and closing of accounts between two closed days, both included."""
    with db.time_limit(_LIMIT_S):
        async with use.database.transaction() as tx:
            lines = await reports.list_accounts_between(
                tx, since, until, code=code, after=UUID(cursor) if cursor else None, limit=limit + 1
            )
    shown, next_cursor = cut(lines, limit, lambda line: str(line.account_id))
    return page(shown, "general_ledger_line", next_cursor)


@router.get("/day-statements", response_model=DayStatementList, responses=_READ, summary="List the statements of a day")
async def list_day_statements(
    use: Use, _operator: Acting, day: Day, limit: Limit = 20, cursor: UuidCursor = None
) -> Response:
    """List the statements of all accounts that moved on a closed day."""
    with db.time_limit(_LIMIT_S):
        async with use.database.transaction() as tx:
            statements = await reports.list_day_statements(
                tx, day, after=UUID(cursor) if cursor else None, limit=limit + 1
            )
    shown, next_cursor = cut(statements, limit, lambda statement: str(statement[0].account_id))
    return page_answer((document(account, "day_statement") | {"lines": lines} for account, lines in shown), next_cursor)
