"""Common parts of the routes about the books: the person who acts, parameters, documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response

from hutong import bookkeeping, operators
from hutong.api.dependencies import request_id
from hutong.api.operator.approvals import proposal_document
from hutong.api.paging import CURSOR_DESCRIPTION, page_answer
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import Reason
from hutong.clock import instant

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PREFIX = "/v1/operator/ledger"
TAGS: list[str | Enum] = ["Ledger"]

CURRENCY = r"^[A-Z]{3}$"
PUBLIC_ID = r"^([a-z]{3}_[0-7][0-9a-z]{25}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
"""An id in its public form or as a plain UUID."""

Day = Annotated[date, Query(description="A closed day.")]
Code = Annotated[int | None, Query(ge=1, le=65_535, description="Only this subject of the chart.")]
Currency = Annotated[str | None, Query(pattern=CURRENCY, description="Only this currency.")]
PlaceCursor = Annotated[
    str | None, Query(pattern=r"^([1-9][0-9]{0,17}|[1-8][0-9]{18})$", description=CURSOR_DESCRIPTION)
]
UuidCursor = Annotated[str | None, Query(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
                                         description=CURSOR_DESCRIPTION)]  # fmt: skip


def person_of(request: Request, operator: operators.Operator, body: Reason) -> bookkeeping.Person:
    """Return the person behind a request, with the reason that they give."""
    return bookkeeping.Person(operator, body.reason, request_id(request))


def document(row: DataclassInstance | Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the API's document of a row: instants as text, intervals in minutes."""
    values = dict(row) if isinstance(row, Mapping) else asdict(row)
    shown: dict[str, Any] = {"object": kind}
    for name, value in values.items():
        if isinstance(value, timedelta):
            shown[f"{name}_minutes"] = value // timedelta(minutes=1)
        elif name != "cursor":
            shown[name] = instant(value) if isinstance(value, datetime) else value
    return shown


def page(rows: Iterable[DataclassInstance], kind: str, next_cursor: Any) -> Response:
    """Answer with a page of rows."""
    return page_answer((document(row, kind) for row in rows), next_cursor)


def done_or_proposed(done: DataclassInstance | operators.Proposal, kind: str) -> Response:
    """Answer with what was done (200), or with the proposal that waits for a second person (201)."""
    if isinstance(done, operators.Proposal):
        return json_answer(proposal_document(done), 201)
    return json_answer(document(done, kind))
