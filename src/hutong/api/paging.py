"""Lists and their pages: the parameters `limit` and `cursor`, and the answers that hold a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends, Query
from fastapi.params import Query as QueryParameter
from pydantic import BeforeValidator
from starlette.responses import Response

from hutong import ids
from hutong.api.requests import Instant
from hutong.api.responses import json_answer, rendered_answer
from hutong.errors import InvalidParameter, NotFound

T = TypeVar("T")


def _plain_digits(value: object) -> object:
    """Refuse the other ways in which Python reads an integer: signs, blanks, underscores, digits of other scripts."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise ValueError("is not a whole number in decimal digits")
    return value


CURSOR_DESCRIPTION = "The `next_cursor` of the previous page."

Limit = Annotated[
    int,
    Query(ge=1, le=100, description="The maximum number of entries in the answer."),
    BeforeValidator(_plain_digits),  # after the bounds: before them, the description would not name them
]


async def period(
    begin: Annotated[Instant | None, Query(alias="from", description="Created at or after this instant.")] = None,
    end: Annotated[Instant | None, Query(alias="to", description="Created before this instant.")] = None,
) -> tuple[datetime | None, datetime | None]:
    """Return the range of time that a list is about.

    Errors:
        InvalidParameter: it ends before it begins.
    """
    check_period(begin, end)
    return begin, end


def check_period(begin: datetime | None, end: datetime | None) -> None:
    """Refuse a range of time that ends before it begins. Errors: InvalidParameter."""
    if begin is not None and end is not None and end <= begin:
        raise InvalidParameter("`to` must be after `from`", param="to")


Period = Annotated[tuple[datetime | None, datetime | None], Depends(period)]


def id_cursor(prefix: str) -> QueryParameter:
    """Declare a cursor that is the public id of a page's last entry."""
    parameter: QueryParameter = Query(pattern=rf"^{prefix}_[0-7][0-9a-z]{{25}}$", description=CURSOR_DESCRIPTION)
    return parameter


def read_cursor(prefix: str, text: str | None) -> UUID | None:
    """Return the id of the entry that a page follows; None for the first page.

    Errors:
        InvalidParameter: the text is no id of this kind.
    """
    if text is None:
        return None
    try:
        return ids.decode(prefix, text)
    except NotFound as error:
        raise InvalidParameter("`cursor` is not a cursor of this list", param="cursor") from error


def read_payment_id(text: str) -> UUID:
    """Return the id of the payment that a list is about.

    Errors:
        InvalidParameter: the text is no such id.
    """
    try:
        return ids.decode("pay", text)
    except NotFound as error:
        raise InvalidParameter("`payment_id` is not the id of a payment", param="payment_id") from error


def cut(entries: Sequence[T], limit: int, cursor_of: Callable[[T], Any]) -> tuple[Sequence[T], Any]:
    """Cut a page from entries of which one more than `limit` was requested.

    Returns:
        The page, and the cursor of the next page; None on the last one.
    """
    page = entries[:limit]
    return page, cursor_of(page[-1]) if len(entries) > limit else None


def page_answer(data: Iterable[Any], next_cursor: Any, **more: Any) -> Response:
    """Answer with a page of documents, and with the list's own fields in `more`."""
    page = {"object": "list", "data": list(data), "has_more": next_cursor is not None, "next_cursor": next_cursor}
    return json_answer(page | more)


def rendered_page_answer(data: Iterable[bytes], next_cursor: Any, **more: Any) -> Response:
    """Answer with a page of documents that are already rendered as JSON, and with the list's own fields in `more`."""
    page = {"object": "list", "has_more": next_cursor is not None, "next_cursor": next_cursor}
    head = orjson.dumps(page | more)
    return rendered_answer(head[:-1] + b',"data":[' + b",".join(data) + b"]}")


def list_answer(data: Iterable[Any]) -> Response:
    """Answer with a list that has no pages."""
    return json_answer({"object": "list", "data": list(data)})
