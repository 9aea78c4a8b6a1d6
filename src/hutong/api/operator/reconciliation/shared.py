"""Common parts of the routes of reconciliation."""

from __future__ import annotations

import asyncio
from enum import Enum
from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request

from hutong import ids, reconciliation
from hutong.api.dependencies import Services
from hutong.api.operator.ledger.shared import Date
from hutong.api.requests import BodyTooLarge
from hutong.errors import InvalidParameter, NotFound

PREFIX = "/v1/operator/reconciliation"
TAGS: list[str | Enum] = ["Reconciliation"]

ACCOUNT_ID = r"^(acc|bka)_[0-7][0-9a-z]{25}$"
AccountId = Annotated[str | None, Query(pattern=ACCOUNT_ID, description="Only this account, at a channel or a bank.")]
DayFilter = Annotated[Date | None, Query(description="Only this day of the account.")]


async def find_party(use: Services, account: str) -> reconciliation.Counterparty:
    """Return the channel account or the bank account of this public id.

    Errors:
        InvalidParameter: there is none.
    """
    identifier = account_of(account)
    assert identifier is not None
    try:
        return await reconciliation.find_party(use.reconciliation, identifier)
    except NotFound as error:
        raise InvalidParameter(f"`account`: {error.detail}", param="account") from error


def account_of(text: str | None, param: str = "account") -> UUID | None:
    """Return the id of a channel account or a bank account; None for none.

    Errors:
        InvalidParameter.
    """
    return _decoded(text, param, "an account")


def owner_of(text: str | None, param: str = "owner") -> UUID | None:
    """Return the id of an operator; None for none.

    Errors:
        InvalidParameter.
    """
    return _decoded(text, param, "an operator")


def _decoded(text: str | None, param: str, name: str) -> UUID | None:
    if text is None:
        return None
    try:
        return ids.decode(text.partition("_")[0], text)
    except NotFound as error:
        raise InvalidParameter(f"`{param}` is not the id of {name}", param=param) from error


async def write_body(request: Request, path: Path, most: int) -> None:
    """Write the body to a file as it comes.

    Errors:
        BodyTooLarge.
    """
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise BodyTooLarge(f"the file is larger than {most} bytes", param="body")
            await asyncio.to_thread(file.write, chunk)
