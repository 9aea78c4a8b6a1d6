"""Stripe: what a proven event says.

An event holds its object as it was when it happened, and events come in any order; what they say is a state, and the
life cycle takes no state back.
"""

from __future__ import annotations

import re

import orjson

from hutong.channels.model import About, ChannelAnswer, ChannelState, Notification, text
from hutong.channels.stripe.client import NoWord, instant, metadata
from hutong.channels.stripe.responses import StripeObjects, is_id

NUMBER = re.compile(r"[0-9A-Za-z_-]{6,64}")
_INTENT_EVENTS = "payment_intent."
_REFUND_EVENTS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})


def read_event(objects: StripeObjects, body: bytes) -> Notification:
    """Read an event. What carries no number of ours, disputes among it, is about nothing.

    Errors:
        NoWord: not an event, or its object cannot be read.
    """
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NoWord("unreadable") from None
    event_id = event.get("id") if isinstance(event, dict) else None
    if not isinstance(event_id, str) or not is_id(event_id, "evt_") or event.get("object") != "event":
        raise NoWord("unreadable")
    kind, data = event.get("type"), event.get("data")
    thing = data.get("object") if isinstance(data, dict) else None
    if not isinstance(kind, str) or not isinstance(thing, dict):
        raise NoWord("unreadable")
    at = instant(event.get("created"))
    if kind.startswith(_INTENT_EVENTS) or kind == "checkout.session.expired":
        number = metadata(thing, "attempt_no")
        if number is not None and NUMBER.fullmatch(number):
            reader = objects.intent if kind.startswith(_INTENT_EVENTS) else objects.session
            return Notification(event_id, number, reader(thing, number, at=at))
    elif kind in _REFUND_EVENTS:
        number = metadata(thing, "refund_no")
        if number is not None and NUMBER.fullmatch(number):
            return Notification(event_id, number, objects.refund(thing, number, at=at), About.REFUND)
    return Notification(event_id, "", ChannelAnswer(ChannelState.UNKNOWN, channel_code=text(kind, 64)), About.NOTHING)
