"""/v1/events: the events that the merchant's webhooks carry."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from hutong import db, events, ids, merchants
from hutong.api.dependencies import Caller, Use
from hutong.api.paging import Limit, Period, cut, id_cursor, read_cursor, rendered_page_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import rendered_answer
from hutong.api.schemas.event import EVENT_TYPES, EventList, ListedEvent
from hutong.clock import instant
from hutong.errors import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/events", tags=["Webhooks"], route_class=StrictRoute)

_TYPE_NAMES = frozenset(event.name for event in EVENT_TYPES)
_OBJECT_PREFIXES = ("pay", "ref", "dsp", "whe")


@router.get("", response_model=EventList, responses=responses(400, 401, 422, 503), summary="List events")
async def list_events(
    use: Use,
    merchant: Caller,
    period: Period,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("evt")] = None,
    type: Annotated[  # noqa: A002 - the public name
        str | None,
        Query(max_length=100, pattern=r"^[a-z0-9_.]+$", description="Only this type, such as `payment.succeeded`."),
    ] = None,
    object_id: Annotated[
        str | None,
        Query(
            pattern=rf"^({'|'.join(_OBJECT_PREFIXES)})_[0-7][0-9a-z]{{25}}$",
            description="Only events of this payment, refund, dispute or webhook endpoint.",
        ),
    ] = None,
) -> Response:
    """Return your events, newest first, in the form that webhooks have, whether you have an endpoint for them or not.

    Events are kept for 90 days unless the installation sets another time, and archived then; `kept_since` says from
    when on they are here.
    """
    if type is not None and type not in _TYPE_NAMES:
        raise InvalidParameter(f"`type` must be one of the event types, and there is no `{type}`", param="type")
    about = None if object_id is None else _read_object_id(object_id)
    begin, end = period
    async with use.database.transaction() as tx:
        after = await _read_cursor(tx, merchant, cursor)
        entries = await events.history.list_events(
            tx, merchant.merchant_id, type=type, object_id=about, begin=begin, end=end, after=after, limit=limit + 1
        )
        kept_since = await events.history.kept_since(tx)
    page, next_cursor = cut(entries, limit, lambda event: event.name)
    data = (events.webhook_body(event.name, event) for event in page)
    return rendered_page_answer(data, next_cursor, kept_since=kept_since and instant(kept_since))


@router.get(
    "/{event_id}", response_model=ListedEvent, responses=responses(400, 401, 404, 422, 503), summary="Get an event"
)
async def get_event(use: Use, merchant: Caller, event_id: str) -> Response:
    """Return one of your events, in the form that webhooks have."""
    identifier = ids.decode("evt", event_id)
    async with use.database.transaction() as tx:
        event = await events.history.find_own_event(tx, merchant.merchant_id, identifier)
    return rendered_answer(events.webhook_body(event.name, event))


async def _read_cursor(tx: db.Tx, merchant: merchants.Merchant, cursor: str | None) -> events.RecordedEvent | None:
    identifier = read_cursor("evt", cursor)
    if identifier is None:
        return None
    try:
        return await events.history.find_own_event(tx, merchant.merchant_id, identifier)
    except NotFound as error:
        raise InvalidParameter("`cursor` is not a cursor of this list", param="cursor") from error


def _read_object_id(text: str) -> UUID:
    try:
        return ids.decode(text[:3], text)
    except NotFound as error:
        raise InvalidParameter("`object_id` is not the id of an object", param="object_id") from error
