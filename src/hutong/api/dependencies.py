"""What the routes work with, and who is calling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import Response

from hutong import channels, db, ids, merchants, operators, payments, vault
from hutong.clock import Clock
from hutong.errors import Unauthorized


@dataclass(frozen=True, slots=True)
class Services:
    """Wired by the composition root, kept on the application.

    Attributes:
        effects: What the approval of a proposal does, by its action.
        sandbox: Whether merchants may be called back over http and on private addresses.
        records: The database of payment records; it may be another than the payments'.
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
    records: db.Database
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


def json_answer(document: Any, status: int = 200) -> Response:
    """An answer that is made already; FastAPI would check it against its model once more."""
    return Response(orjson.dumps(document), status, media_type="application/json")
