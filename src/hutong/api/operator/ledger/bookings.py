"""/v1/operator/ledger: transfers, holds, bookings by hand, manual entries, reversals."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, Strict
from starlette.responses import Response

from hutong import bookkeeping, db, ids, operators
from hutong.api.dependencies import Acting, Use
from hutong.api.operator.approvals import ProposalObject, proposal_document
from hutong.api.operator.ledger.shared import (
    CURRENCY,
    PREFIX,
    PUBLIC_ID,
    TAGS,
    Currency,
    Date,
    Identifier,
    PlaceCursor,
    UuidCursor,
    done_or_proposed,
    page,
    person_of,
)
from hutong.api.paging import Limit, cut
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import TransferKind
from hutong.api.schemas.fields import PageObject, Reason, example_body
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX
from hutong.errors import InvalidParameter
from hutong.ledger import finance, reports

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)


class TransferObject(BaseModel):
    """A row of the journal."""

    object: Literal["ledger_transfer"]
    transfer_id: UUID
    accounting_date: date
    at: datetime
    kind: TransferKind
    event: int
    event_en: str
    event_zh: str
    debit_account_id: UUID
    credit_account_id: UUID
    currency: str
    amount_minor: int
    amount: str = Field(description="In major units.")
    reference: UUID = Field(description="The payment, refund or other object that it belongs to.")
    reversal_id: UUID | None


class TransferList(PageObject):
    """A page of transfers in the order of the journal."""

    data: list[TransferObject]


class HoldObject(BaseModel):
    """An open hold."""

    object: Literal["ledger_hold"]
    hold_id: UUID
    at: datetime
    expires_at: datetime | None = Field(description="Null for a hold without an end.")
    event: int
    event_en: str
    debit_account_id: UUID
    credit_account_id: UUID
    currency: str
    amount_minor: int
    amount: str
    reference: UUID


class HoldList(PageObject):
    """A page of open holds."""

    data: list[HoldObject]


class ReversalObject(BaseModel):
    """A reversal with its reason."""

    object: Literal["ledger_reversal"]
    transfer_id: UUID
    reversal_id: UUID
    event: int
    currency: str
    amount_minor: int
    amount: str
    reason: str
    reversed_by: str
    reversed_at: datetime


class ReversalList(PageObject):
    """A page of reversals, newest first."""

    data: list[ReversalObject]


class ReversedObject(BaseModel):
    """A transfer that is reversed."""

    object: Literal["ledger_reversed"]
    transfer_id: UUID
    reversal_id: UUID
    already: bool = Field(description="Whether it was reversed before.")


class BookedObject(BaseModel):
    """A transfer that is booked."""

    object: Literal["ledger_booked"]
    transfer_id: UUID
    already: bool = Field(description="Whether it was booked before.")


class TransferCreate(Reason):
    """A transfer to book by hand."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "transfer_id": "0196c1a2-b3c4-7000-8000-000000000001",
                    "debit_account_id": "044d009c-0000-0000-0000-000000000001",
                    "credit_account_id": "08fd009c-0000-0000-0000-000000000002",
                    "amount_minor": 1999,
                    "reason": "the bank's interest of March",
                }
            ]
        }
    )

    transfer_id: str = Field(pattern=PUBLIC_ID, description="The same id books once, however often it is sent.")
    debit_account_id: str = Field(pattern=PUBLIC_ID)
    credit_account_id: str = Field(pattern=PUBLIC_ID)
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX)
    code: int = Field(default=99, ge=1, le=65_535, description="The accounting event.")
    reference: str | None = Field(default=None, pattern=PUBLIC_ID, description="The object that it belongs to.")


class EntryLineCreate(BaseModel):
    """One line of a manual entry."""

    model_config = ConfigDict(strict=True, extra="forbid")

    account_id: str = Field(pattern=PUBLIC_ID)
    side: Annotated[finance.Side, Strict(False)]
    amount_minor: int = Field(ge=1, le=AMOUNT_MINOR_MAX)
    currency: str = Field(pattern=CURRENCY)


class EntryCreate(Reason):
    """A manual entry: in each currency, its debits equal its credits."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lines": [
                        {"account_id": "044d009c-0000-0000-0000-000000000001", "side": "debit", "amount_minor": 1500,
                         "currency": "CNY"},
                        {"account_id": "08fd009c-0000-0000-0000-000000000002", "side": "credit", "amount_minor": 1500,
                         "currency": "CNY"},
                    ],
                    "reason": "the correction agreed with the auditor",
                }
            ]
        }
    )  # fmt: skip

    lines: list[EntryLineCreate] = Field(min_length=2, max_length=200)
    reference: str | None = Field(
        default=None, pattern=PUBLIC_ID, description="The object that it is about; by default, the proposal."
    )


_WRITE = responses(400, 401, 403, 404, 409, 413, 415, 422, 503)


@router.get(
    "/transfers", response_model=TransferList, responses=responses(400, 401, 422, 503), summary="List transfers"
)
async def list_transfers(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: PlaceCursor = None,
    reference: Annotated[
        str | None, Query(pattern=PUBLIC_ID, description="Only transfers of this payment, refund or other object.")
    ] = None,
    code: Annotated[int | None, Query(ge=1, le=65_535, description="Only this accounting event.")] = None,
    currency: Currency = None,
    amount_minor: Annotated[int | None, Query(ge=0, le=AMOUNT_MINOR_MAX, description="Only this amount.")] = None,
    since: Annotated[Date, Query(description="From this accounting date on.")] = date.min,
    until: Annotated[Date, Query(description="Up to this accounting date, included.")] = date.max,
) -> Response:
    """List transfers in the order of the journal, archived ones included."""
    if since > until:
        raise InvalidParameter("the first date is after the last", param="since")
    query = reports.TransferQuery(
        reference=None if reference is None else ids.read_any(reference, param="reference"),
        code=code,
        currency=currency,
        amount_minor=amount_minor,
        since=since,
        until=until,
        after=int(cursor or 0),
        limit=limit + 1,
    )
    async with use.database.transaction() as tx:
        transfers = await reports.list_transfers(tx, query)
    shown, next_cursor = cut(transfers, limit, lambda transfer: str(transfer.cursor))
    return page(shown, "ledger_transfer", next_cursor)


@router.get("/holds", response_model=HoldList, responses=responses(400, 401, 422, 503), summary="List open holds")
async def list_holds(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: UuidCursor = None,
    account_id: Annotated[Identifier | None, Query(description="Only holds on this account.")] = None,
) -> Response:
    """List the open holds with their ends."""
    async with use.database.transaction() as tx:
        holds = await reports.list_holds(
            tx, account_id=account_id, after=UUID(cursor) if cursor else None, limit=limit + 1
        )
    shown, next_cursor = cut(holds, limit, lambda hold: str(hold.hold_id))
    return page(shown, "ledger_hold", next_cursor)


@router.get(
    "/reversals", response_model=ReversalList, responses=responses(400, 401, 422, 503), summary="List reversals"
)
async def list_reversals(use: Use, _operator: Acting, limit: Limit = 20, cursor: UuidCursor = None) -> Response:
    """List reversals with their reasons, newest first."""
    async with use.database.transaction() as tx:
        reversals = await reports.list_reversals(tx, before=UUID(cursor) if cursor else None, limit=limit + 1)
    shown, next_cursor = cut(reversals, limit, lambda reversal: str(reversal.reversal_id))
    return page(shown, "ledger_reversal", next_cursor)


@router.post(
    "/transfers",
    response_model=BookedObject,
    responses=_WRITE | {201: {"model": ProposalObject, "description": "It waits for a second person."}},
    summary="Book a transfer by hand",
)
async def book_transfer(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[TransferCreate, example_body(TransferCreate)],
) -> Response:
    """Book one transfer. Above the limit of one person it becomes a proposal, which a second person decides."""
    booking = bookkeeping.Booking(
        ids.read_any(body.transfer_id, param="transfer_id"),
        ids.read_any(body.debit_account_id, param="debit_account_id"),
        ids.read_any(body.credit_account_id, param="credit_account_id"),
        body.amount_minor,
        body.code,
        None if body.reference is None else ids.read_any(body.reference, param="reference"),
    )

    async def work(tx: db.Tx) -> bookkeeping.Booked | operators.Proposal:
        return await bookkeeping.book_by_hand(
            tx, person_of(request, operator, body), booking, limits=use.single_person_limits, new_id=use.ids.new,
            now=use.clock.now(),
        )  # fmt: skip

    return done_or_proposed(await use.database.run(work), "ledger_booked")


@router.post(
    "/transfers/{transfer_id}/reverse",
    response_model=ReversedObject,
    responses=_WRITE | {201: {"model": ProposalObject, "description": "It waits for a second person."}},
    summary="Reverse a transfer",
)
async def reverse_transfer(
    request: Request,
    use: Use,
    operator: Acting,
    transfer_id: Identifier,
    body: Annotated[Reason, example_body(Reason)],
) -> Response:
    """Book the opposite of a transfer, once. Above the limit of one person it becomes a proposal."""

    async def work(tx: db.Tx) -> bookkeeping.Reversed | operators.Proposal:
        return await bookkeeping.reverse(
            tx, person_of(request, operator, body), transfer_id, limits=use.single_person_limits,
            new_id=use.ids.new, now=use.clock.now(),
        )  # fmt: skip

    return done_or_proposed(await use.database.run(work), "ledger_reversed")


@router.post(
    "/entries", status_code=201, response_model=ProposalObject, responses=_WRITE, summary="Propose a manual entry"
)
async def propose_entry(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[EntryCreate, example_body(EntryCreate)],
) -> Response:
    """Propose a manual entry of several lines. The approval of a second person books it under its own code."""
    lines = [
        finance.EntryLine(
            ids.read_any(line.account_id, param=f"lines[{number}].account_id"), line.side,
            line.amount_minor, line.currency,
        )
        for number, line in enumerate(body.lines)
    ]  # fmt: skip
    reference = None if body.reference is None else ids.read_any(body.reference, param="reference")

    async def work(tx: db.Tx) -> operators.Proposal:
        return await bookkeeping.propose_entry(
            tx, person_of(request, operator, body), lines, reference=reference, new_id=use.ids.new,
            now=use.clock.now(),
        )  # fmt: skip

    return json_answer(proposal_document(await use.database.run(work)), 201)
