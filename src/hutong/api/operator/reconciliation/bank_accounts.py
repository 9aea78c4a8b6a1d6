"""/v1/operator/reconciliation/bank-accounts: the bank accounts whose statements come in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import db, operators
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.reconciliation.shared import PREFIX, TAGS
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute, Text
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import Reason, example_body
from hutong.reconciliation import bank

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)


class BankAccountObject(BaseModel):
    """A bank account whose statements come in."""

    id: str
    object: Literal["bank_account"]
    name: str
    number: str = Field(description="As the bank's statements name it, without blanks.")
    currency: str
    created_at: datetime


class BankAccountList(BaseModel):
    """All bank accounts, in the order in which they were added."""

    object: Literal["list"]
    data: list[BankAccountObject]


class BankAccountAdd(Reason):
    """A bank account to add."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "main", "number": "GB33BUKB20201555555555", "currency": "CNY", "reason": "opened in May"}
            ]
        },
    )

    name: Text = Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$", description="A name of your own.")
    number: str = Field(
        pattern=r"^[0-9A-Za-z][0-9A-Za-z ./-]{0,63}$", description="As the bank's statements name it, such as an IBAN."
    )
    currency: str = Field(pattern=r"^[A-Z]{3}$")


@router.get(
    "/bank-accounts", response_model=BankAccountList, responses=responses(401, 503), summary="List bank accounts"
)
async def list_bank_accounts(use: Use, _operator: Acting) -> Response:
    """List the bank accounts whose statements come in."""
    async with use.database.transaction() as tx:
        accounts = await bank.list_accounts(tx)
    return json_answer({"object": "list", "data": [account.document() for account in accounts]})


@router.post(
    "/bank-accounts",
    status_code=201,
    response_model=BankAccountObject,
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
    summary="Add a bank account",
)
async def add_bank_account(
    request: Request, use: Use, operator: Acting, body: Annotated[BankAccountAdd, example_body(BankAccountAdd)]
) -> Response:
    """Add a bank account; takes the role `operator`."""
    operators.require(operator, operators.Role.OPERATOR)
    account = bank.BankAccount(use.ids.new(), body.name, body.number, body.currency, use.clock.now())

    async def work(tx: db.Tx) -> bank.BankAccount:
        return await bank.add_account(
            tx, account, reason=body.reason, actor_id=operator.operator_id, request_id=request_id(request)
        )

    return json_answer((await use.database.run(work)).document(), status=201)
