"""Dependencies of the routes: the services, the caller, the objects of the caller, and the claim on a key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import orjson
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from hutong import channels, db, idempotency, ids, merchants, operators, payments, reconciliation, vault
from hutong.api.responses import JsonAnswers
from hutong.api.scopes import SCOPES
from hutong.api.traces import Traces
from hutong.clock import Clock, SandboxClock
from hutong.errors import NotFound, Unauthorized


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the routes, wired by the composition root and kept on the application.

    Attributes:
        documents: The public form of payments and refunds.
        answers: Renders payments and refunds.
        approval_handlers: By the action of a proposal, the function that its approval runs.
        installation: The id of this installation, which is no secret.
        sandbox: Whether webhooks may go over plain http and to private addresses.
        sandbox_clock: Moves the time of a sandbox; None where time is not to be moved.
        records: The database in which payment records are searched; it may be another one than that of payments.
        avatar_base: The part of an avatar's address before the customer's id.
        single_person_limits: The most, in minor units by currency, that one operator may book or reverse alone.
        payment_validity: The longest time that an order may stay payable.
        cashier_validity: The time that an order without a method stays payable by default.
    """

    database: db.Database
    directory: merchants.Directory
    accounts: channels.Accounts
    lifecycle: payments.Payments
    documents: payments.Documents
    answers: JsonAnswers
    approval_handlers: Mapping[str, operators.ApprovalHandler]
    vault: vault.Vault
    clock: Clock
    ids: ids.Ids
    installation: str
    sandbox: bool
    records: db.Database
    reconciliation: reconciliation.Reconciliation
    single_person_limits: Mapping[str, int]
    avatar_base: str = ""
    sandbox_clock: SandboxClock | None = None
    payment_validity: timedelta = payments.NewPayment.VALIDITY_MAX
    cashier_validity: timedelta = timedelta(minutes=30)


_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="A merchant's API key: `sk_…`")
_operator = HTTPBearer(auto_error=False, scheme_name="OperatorKey", description="An operator's key: `sk_opr_…`")


async def services(request: Request) -> Services:
    """Return the services of this application. Async, since FastAPI would run a plain function in a thread."""
    opened: Services = request.app.state.services
    return opened


async def traces(request: Request) -> Traces:
    """Return the traces of this application."""
    kept: Traces = request.app.state.traces
    return kept


async def caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> merchants.Merchant:
    """Return the merchant that sent this request.

    Errors:
        Unauthorized: the key is missing or not valid, or may not be used for this operation.
    """
    if credentials is None:
        raise Unauthorized("the API key is missing: send `Authorization: Bearer sk_…`", param="Authorization")
    use, scope = await services(request), SCOPES[request.method, request.scope["route"].path]
    return await use.directory.authenticate(credentials.credentials, scope, now=use.clock.now())


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
        operator = await operators.authenticate(tx, credentials.credentials)
    request.scope["operator_id"] = operator.operator_id  # a trace of what is denied to them names them
    return operator


Use = Annotated[Services, Depends(services)]
Trail = Annotated[Traces, Depends(traces)]
Caller = Annotated[merchants.Merchant, Depends(caller)]
Acting = Annotated[operators.Operator, Depends(acting)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of yours; the same key with the same body gets the first answer again.",
    ),
]


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


def claim_of(
    merchant: merchants.Merchant, key: str | None, operation: str, body: BaseModel
) -> idempotency.Claim | None:
    """Return the claim that a request makes on its key; None without a key.

    Args:
        operation: The method and the path, so that one key cannot stand for two operations.
    """
    if key is None:
        return None
    # Absent fields are left out, so that a later version's new field changes no fingerprint.
    canonical = orjson.dumps(body.model_dump(mode="json", exclude_defaults=True), option=orjson.OPT_SORT_KEYS)
    fingerprint = hashlib.sha256(f"{operation}\n".encode() + canonical).digest()
    return idempotency.Claim(merchant.merchant_id, key, fingerprint)
