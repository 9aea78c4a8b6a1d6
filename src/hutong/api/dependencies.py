"""What the routes work with, and who is calling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hutong import channels, db, ids, merchants, operators, payments, vault
from hutong.clock import Clock
from hutong.errors import NotFound, Unauthorized


@dataclass(frozen=True, slots=True)
class Services:
    """Wired by the composition root, kept on the application.

    Attributes:
        effects: What the approval of a proposal does, by its action.
        sandbox: Whether merchants may be called back over http and on private addresses.
        bills: Where bills are searched; it may be another database than the payments'.
        avatar_base: What stands before a customer's id in an avatar's address.
        payment_validity: The longest that a payment may be paid.
    """

    database: db.Database
    directory: merchants.Directory
    accounts: channels.Accounts
    lifecycle: payments.Payments
    approval_handlers: Mapping[str, operators.ApprovalHandler]
    vault: vault.Vault
    clock: Clock
    ids: ids.Ids
    sandbox: bool
    bills: db.Database
    avatar_base: str = ""
    payment_validity: timedelta = payments.VALIDITY_MAX


_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="A merchant's API key: `sk_…`")
_operator = HTTPBearer(auto_error=False, scheme_name="OperatorKey", description="An operator's key: `sk_opr_…`")


async def services(request: Request) -> Services:
    """The services of this application. Async, since FastAPI sends what is not to a thread."""
    found: Services = request.app.state.services
    return found


async def caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> merchants.Merchant:
    """The merchant that sent this request.

    Errors:
        Unauthorized: no key, or one that is not valid.
    """
    if credentials is None:
        raise Unauthorized("send an API key: Authorization: Bearer sk_…", param="Authorization")
    return await (await services(request)).directory.authenticate(credentials.credentials)


async def acting(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator)]
) -> operators.Operator:
    """The operator that sent this request. Merchants' keys are of no use here, and theirs of none elsewhere.

    Errors:
        Unauthorized: no key, or one that is not valid.
    """
    if credentials is None:
        raise Unauthorized("send an operator key: Authorization: Bearer sk_opr_…", param="Authorization")
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
