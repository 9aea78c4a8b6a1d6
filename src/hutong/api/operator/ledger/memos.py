"""/v1/operator/ledger: memo ledgers, which are counted beside the books."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import bookkeeping, db, ids, ledger
from hutong.api.dependencies import Acting, Use
from hutong.api.operator.ledger.shared import (
    PREFIX,
    PUBLIC_ID,
    TAGS,
    PlaceCursor,
    UuidCursor,
    document,
    page,
    person_of,
)
from hutong.api.paging import Limit, cut, list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute, Text
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import ListObject, PageObject, Reason, example_body
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX
from hutong.ledger import finance

router = APIRouter(prefix=f"{PREFIX}/memos", tags=TAGS, route_class=StrictRoute)


class MemoLedgerObject(BaseModel):
    """A memo ledger with the sums of its owners."""

    object: Literal["memo_ledger"]
    ledger: str
    owners: int
    entries: int
    total: str = Field(description="A whole number, which may be too large for JSON.")


class MemoLedgerList(ListObject):
    """The memo ledgers by name."""

    data: list[MemoLedgerObject]


class MemoTotalObject(BaseModel):
    """The total of one owner."""

    object: Literal["memo_total"]
    owner: UUID
    total: int
    entries: int


class MemoTotalList(PageObject):
    """A page of totals in the order of the owners."""

    data: list[MemoTotalObject]


class MemoEntryObject(BaseModel):
    """An entry, and the owner's total after it."""

    object: Literal["memo_entry"]
    seq: int
    ref: str
    amount: int
    total_after: int
    entered_at: datetime


class MemoEntryList(PageObject):
    """A page of an owner's entries in their order."""

    data: list[MemoEntryObject]


class MemoCreate(Reason):
    """An entry to count."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "owner": "00000000-0000-0000-0000-000000000001",
                    "ref": "order 1",
                    "amount": 10,
                    "reason": "points of the spring campaign",
                }
            ]
        }
    )

    owner: str = Field(pattern=PUBLIC_ID)
    ref: Text = Field(min_length=1, max_length=255, description="The object; each is counted once.")
    amount: int = Field(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX)


class MemoAnswer(BaseModel):
    """The outcome of an entry."""

    object: Literal["memo"]
    entered: bool = Field(description="False if the object was counted before, with the same amount.")


MemoName = Annotated[str, Path(min_length=1, max_length=255, description="The memo ledger, such as `points`.")]
_READ = responses(400, 401, 422, 503)


@router.get("", response_model=MemoLedgerList, responses=_READ, summary="List memo ledgers")
async def list_memo_ledgers(use: Use, _operator: Acting) -> Response:
    """List the memo ledgers with their sums."""
    async with use.database.transaction() as tx:
        found = await finance.list_memo_ledgers(tx)
    return list_answer(document(one, "memo_ledger") | {"total": str(one.total)} for one in found)


@router.get("/{memo_ledger}", response_model=MemoTotalList, responses=_READ, summary="List the totals of a memo ledger")
async def list_memo_totals(
    use: Use, _operator: Acting, memo_ledger: MemoName, limit: Limit = 20, cursor: UuidCursor = None
) -> Response:
    """List the totals of a memo ledger in the order of its owners."""
    async with use.database.transaction() as tx:
        totals = await finance.list_memo_totals(
            tx, _named(memo_ledger), after=UUID(cursor) if cursor else None, limit=limit + 1
        )
    shown, next_cursor = cut(totals, limit, lambda total: str(total.owner))
    return page(shown, "memo_total", next_cursor)


@router.get(
    "/{memo_ledger}/entries", response_model=MemoEntryList, responses=_READ, summary="List the entries of an owner"
)
async def list_memo_entries(
    use: Use,
    _operator: Acting,
    memo_ledger: MemoName,
    owner: Annotated[str, Query(pattern=PUBLIC_ID)],
    limit: Limit = 20,
    cursor: PlaceCursor = None,
) -> Response:
    """List the entries of an owner in a memo ledger, each with the total after it."""
    identifier = ids.read_any(owner, param="owner")
    async with use.database.transaction() as tx:
        entries = await finance.list_memo_entries(
            tx, _named(memo_ledger), identifier, after=int(cursor or 0), limit=limit + 1
        )
    shown, next_cursor = cut(entries, limit, lambda entry: str(entry.seq))
    return page(shown, "memo_entry", next_cursor)


@router.post(
    "/{memo_ledger}/entries",
    response_model=MemoAnswer,
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
    summary="Count an amount in a memo ledger",
)
async def enter_memo(
    request: Request,
    use: Use,
    operator: Acting,
    memo_ledger: MemoName,
    body: Annotated[MemoCreate, example_body(MemoCreate)],
) -> Response:
    """Count an amount, once for each object. A ledger begins with its first entry."""
    memo = ledger.Memo(memo_ledger, ids.read_any(body.owner, param="owner"), body.ref, body.amount)

    async def work(tx: db.Tx) -> bool:
        return await bookkeeping.enter_memo(tx, person_of(request, operator, body), memo, now=use.clock.now())

    return json_answer({"object": "memo", "entered": await use.database.run(work)})


def _named(memo_ledger: str) -> str:
    """Return the name without the one character that the database cannot look for."""
    return memo_ledger.replace("\0", "")
