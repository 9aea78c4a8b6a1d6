"""Dependencies of the routes: the services, the caller, and the objects of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hutong import channels, db, ids, merchants, operators, payments, vault
from hutong.api.answers import JsonAnswers
from hutong.clock import Clock
from hutong.errors import NotFound, Unauthorized


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the routes, wired by the composition root and kept on the application.

    Attributes:
        answers: Renders payments and refunds.
        approval_handlers: By the action of a proposal, the function that its approval runs.
        sandbox: Whether webhooks may go over plain http and to private addresses.
        records: The database in which payment records are searched; it may be another one than that of payments.
        avatar_base: The part of an avatar's address before the customer's id.
        single_person_limits: The most, in minor units by currency, that one operator may book or reverse alone.
        payment_validity: The longest time that an order may stay payable.
    """

    database: db.Database
    directory: merchants.Directory
    accounts: channels.Accounts
    lifecycle: payments.Payments
    answers: JsonAnswers
    approval_handlers: Mapping[str, operators.ApprovalHandler]
    vault: vault.Vault
    clock: Clock
    ids: ids.Ids
    sandbox: bool
    records: db.Database
    single_person_limits: Mapping[str, int]
    avatar_base: str = ""
    payment_validity: timedelta = payments.NewPayment.VALIDITY_MAX


_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="A merchant's API key: `sk_…`")
_operator = HTTPBearer(auto_error=False, scheme_name="OperatorKey", description="An operator's key: `sk_opr_…`")


async def services(request: Request) -> Services:
    """Return the services of this application. Async, since FastAPI would run a plain function in a thread."""
    opened: Services = request.app.state.services
    return opened


async def caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> merchants.Merchant:
    """Return the merchant that sent this request.

    Errors:
        Unauthorized: the key is missing or not valid.
    """
    if credentials is None:
        raise Unauthorized("the API key is missing: send `Authorization: Bearer sk_…`", param="Authorization")
    return await (await services(request)).directory.authenticate(credentials.credentials)


async def acting(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator)]
) -> operators.Operator:
    """Return the operator that sent this request. A merchant's key does not work here, nor an operator's elsewhere.

    Errors:
        Unauthorized: the key is missing or not valid.
    """
    if credentials is None:
        raise Unauthorized("the operator key is missing: send `Authorization: Bearer sk_opr_…`", param="Authorization")
    async with (await services(request)).database.transaction() as tx:
        return await operators.authenticate(tx, credentials.credentials)


Use = Annotated[Services, Depends(services)]
Caller = Annotated[merchants.Merchant, Depends(caller)]
Acting = Annotated[operators.Operator, Depends(acting)]


def request_id(request: Request) -> str | None:
    """Return the id under which this request is found in the audit journal and in the log."""
    identifier: str | None = request.scope.get("request_id")
    return identifier


async def own_payment(use: Services, merchant: merchants.Merchant, payment_id: str) -> payments.Payment:
    """Return the payment of the calling merchant that has this id.

    Errors:
        NotFound: there is no such payment, or it belongs to another merchant.
    """
    identifier = ids.decode("pay", payment_id)
    payment = await use.lifecycle.find(identifier)
    if payment is None or payment.merchant_id != merchant.merchant_id:
        raise NotFound("no payment has this id")
    return payment
