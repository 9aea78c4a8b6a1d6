"""/v1/operator/restore: the catch-up after a restore of the database."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import db, ids, operators, payments
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import PlatformMode, UnknownNumberKind, UnknownNumberSource
from hutong.api.schemas.fields import Reason, example_body
from hutong.errors import Conflict
from hutong.operators import Role

router = APIRouter(prefix="/v1/operator/restore", tags=["Operators"], route_class=StrictRoute)


class LostBillObject(BaseModel):
    """A bill that covers lost time and was not read yet. The worker fetches it."""

    account: str
    channel: str
    day: date = Field(description="The channel's day.")
    made_at: datetime = Field(description="From when on the channel gives it.")
    fetches: int = Field(description="How often it was fetched.")
    next_at: datetime = Field(description="When it is fetched next.")
    error: str | None = Field(description="Why it could not be read the last time.")


class UnknownNumberObject(BaseModel):
    """A number that only a channel knows."""

    number: str
    about: UnknownNumberKind
    account: str
    source: UnknownNumberSource = Field(description="A bill proves nothing: the channel is asked first.")
    state: str = Field(description="As the channel reported it; `unknown` for the row of a bill.")
    amount_minor: int | None
    currency: str | None
    channel_order_no: str | None
    happened_at: datetime | None
    first_at: datetime


class RestoreObject(BaseModel):
    """The state of a catch-up, or of normal work."""

    object: Literal["restore"]
    mode: PlatformMode
    since: datetime | None
    reason: db.CatchUpReason | None = Field(description="How the restore was noticed.")
    epoch: int | None
    lost_since: datetime | None = Field(
        description="The lost time does not begin earlier. Null where that is not known: only an operator can end it."
    )
    attempts_unasked: int = Field(description="Open attempts from before without a definite answer since.")
    refunds_unasked: int = Field(description="The same of refunds.")
    bills_unread: list[LostBillObject] | None
    unknown_numbers: list[UnknownNumberObject]


class RestoreFinish(Reason):
    """Why the catch-up may end."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "all numbers are adopted; the account at Alipay is closed"}]}
    )


class BillDismissal(Reason):
    """Why the catch-up may end without a bill."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the account at UnionPay was closed in May"}]})


@router.get("", response_model=RestoreObject, responses=responses(400, 401, 422, 503), summary="See the catch-up")
async def get_restore(use: Use, _operator: Acting) -> Response:
    """Return the mode, what still has no answer, the bills to read, and the numbers that only channels know."""
    async with use.database.transaction() as tx:
        return json_answer(await _document(tx))


@router.post(
    "/finish",
    response_model=RestoreObject,
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
    summary="End the catch-up",
)
async def finish_restore(
    request: Request, use: Use, operator: Acting, body: Annotated[RestoreFinish, example_body(RestoreFinish)]
) -> Response:
    """Begin normal work although something may be open; takes the role `operator`. What waited is sent.

    Numbers that still wait stay on the list.
    """
    operators.require(operator, Role.OPERATOR)
    actor, now = ids.encode(operators.OPERATOR_PREFIX, operator.operator_id), use.clock.now()

    async def work(tx: db.Tx) -> dict[str, Any]:
        before = await _document(tx)
        finished = await db.finish_catch_up(tx, by=actor, reason=body.reason, now=now)
        if finished is None:
            raise Conflict("the platform is not catching up")
        entry = operators.AuditEntry(
            operator.operator_id,
            "restore.finish",
            "restore",
            str(finished.epoch),
            body.reason,
            before={
                "attempts_unasked": before["attempts_unasked"],
                "refunds_unasked": before["refunds_unasked"],
                "bills_unread": None if before["bills_unread"] is None else len(before["bills_unread"]),
                "unknown_numbers": len(before["unknown_numbers"]),
            },
            request_id=request_id(request),
        )
        after = await _document(tx)
        await operators.audit(tx, [entry], now=now)
        return after

    return json_answer(await use.database.run(work))


@router.post(
    "/bills/{account_id}/{day}/dismiss",
    response_model=RestoreObject,
    responses=responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    summary="Do without a bill",
)
async def dismiss_lost_bill(
    request: Request,
    use: Use,
    operator: Acting,
    account_id: str,
    day: date,
    body: Annotated[BillDismissal, example_body(BillDismissal)],
) -> Response:
    """Let the catch-up end without the bill of an account's day; takes the role `operator`."""
    operators.require(operator, Role.OPERATOR)
    actor, now = ids.encode(operators.OPERATOR_PREFIX, operator.operator_id), use.clock.now()
    account = ids.decode("acc", account_id)

    async def work(tx: db.Tx) -> dict[str, Any]:
        epoch = await payments.restored.dismiss_bill(tx, account, day, by=actor, reason=body.reason, now=now)
        entry = operators.AuditEntry(
            operator.operator_id,
            "restore.dismiss_bill",
            "restore",
            str(epoch),
            body.reason,
            after={"account": account_id, "day": day.isoformat()},
            request_id=request_id(request),
        )
        await operators.audit(tx, [entry], now=now)
        return await _document(tx)

    return json_answer(await use.database.run(work))


async def _document(tx: db.Tx) -> dict[str, Any]:
    return {"object": "restore"} | await payments.restored.catch_up_document(tx)
