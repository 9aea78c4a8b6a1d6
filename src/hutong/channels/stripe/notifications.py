"""Stripe's notifications: signed events.

A snapshot event holds its object as of the time of the event, and events arrive in any order. So an event reports a
state, and the life cycle never takes a state back. A thin event names its object, which is fetched; it is signed in the
same way.

Source:
    https://docs.stripe.com/api/events/types, docs.stripe.com/refunds (failed refunds, refunds by the dashboard),
    https://docs.stripe.com/event-destinations (thin events), https://docs.stripe.com/connect/webhooks (`account`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hutong.channels.errors import NoAnswer, NotAuthentic, NotificationRefused
from hutong.channels.http import decode_object
from hutong.channels.model import FINAL_STATES, About, ChannelAnswer, ChannelState, Notification, text
from hutong.channels.stripe.client import StripeClient
from hutong.channels.stripe.credentials import StripeKeys
from hutong.channels.stripe.disputes import DISPUTE_IDS, read_dispute
from hutong.channels.stripe.requests import EXPAND, EXPAND_SESSION, NUMBER
from hutong.channels.stripe.responses import REFUND_IDS, StripeResponses, is_id, metadata, to_instant

_SIGNATURE_HEADER = "stripe-signature"
_THIN = "v2.core.event"
_ABSENT = 404
_INTENT_EVENTS = "payment_intent."
_SESSION_EXPIRED = "checkout.session.expired"
_DISPUTE_EVENTS = "charge.dispute."
_REFUND_EVENTS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_NAMED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "pi_": ("/v1/payment_intents", EXPAND),
    "cs_": ("/v1/checkout/sessions", EXPAND_SESSION),
    **{prefix: ("/v1/refunds", {}) for prefix in REFUND_IDS},
}
"""Where the objects of thin events are, by how their ids begin."""


def parse_notification(
    keys: StripeKeys, responses: StripeResponses, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> Notification:
    """Verify and read.

    Money that has moved without a number of ours, for the dashboard or another system, has Stripe's number, as a
    dispute has. Any other event without one of ours is about nothing.

    Errors:
        NotificationRefused: not proven to be Stripe's, stale, not an event, or its object cannot be read.
    """
    proven = False
    try:
        keys.verify(headers.get(_SIGNATURE_HEADER, ""), body, now=now)
        proven = True
        return _read(responses, decode_object(body))
    except (NotAuthentic, NoAnswer) as error:
        raise NotificationRefused.because(error, proven=proven) from None


async def complete_notification(
    client: StripeClient, responses: StripeResponses, notification: Notification
) -> Notification | None:
    """Fetch the object that a thin event names. One that Stripe does not know is about nothing.

    Errors:
        NotificationRefused: the object cannot be read.
    """
    kind, number = notification.answer.channel_code or "", notification.number
    path, expand = next(target for prefix, target in _NAMED.items() if number.startswith(prefix))
    try:
        reply = await client.get(f"{path}/{number}", expand)
    except NoAnswer:
        return None
    if reply.status == _ABSENT:
        return _nothing(kind)
    if not reply.ok or reply.content.get("id") != number:
        return None
    try:
        return _subject(responses, kind, reply.content, None)
    except NoAnswer as error:
        raise NotificationRefused.because(error, proven=True) from None


def _read(responses: StripeResponses, event: Mapping[str, Any]) -> Notification:
    """Read an event: a snapshot, which holds its object, or a thin one, which names it.

    One with an account, or with a context, is about another account, which is connected to this one or belongs to the
    same organization; numbers of ours in its object prove nothing.
    """
    kind, data = event.get("type"), event.get("data")
    if not is_id(event.get("id"), "evt_") or event.get("object") not in ("event", _THIN) or not isinstance(kind, str):
        raise NotAuthentic("unreadable")
    if event.get("account") is not None or event.get("context") is not None:
        return _nothing(kind)
    if event["object"] == _THIN:
        return _thin(responses, kind.removeprefix("v1."), event)
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        raise NotAuthentic("unreadable")
    return _subject(responses, kind, subject, to_instant(event.get("created")))


def _thin(responses: StripeResponses, kind: str, event: Mapping[str, Any]) -> Notification:
    """Read a thin event, whose object is yet to be fetched. Others than of payments and disputes are about nothing."""
    if event.get("livemode") is not responses.livemode:
        raise NoAnswer("not_ours", "the event is about the other mode of the account")
    related = event.get("related_object")
    object_id = related.get("id") if isinstance(related, dict) else None
    answer = ChannelAnswer(ChannelState.UNKNOWN, channel_code=text(kind, 64))
    if kind.startswith(_DISPUTE_EVENTS) and is_id(object_id, *DISPUTE_IDS):
        return Notification(str(object_id), answer, About.DISPUTE)
    if _is_taken(kind) and is_id(object_id, *_NAMED):
        return Notification(str(object_id), answer, is_named_only=True)
    return _nothing(kind)


def _is_taken(kind: str) -> bool:
    return kind.startswith(_INTENT_EVENTS) or kind in _REFUND_EVENTS or kind == _SESSION_EXPIRED


def _subject(responses: StripeResponses, kind: str, subject: Mapping[str, Any], at: datetime | None) -> Notification:
    """Read an event's object; `at` is the time of the event, where the object is as of then."""
    if kind.startswith(_INTENT_EVENTS) or kind == _SESSION_EXPIRED:
        number = metadata(subject, "attempt_no")
        if number is not None and NUMBER.fullmatch(number):
            read = responses.intent if kind.startswith(_INTENT_EVENTS) else responses.session
            return Notification(number, read(subject, number, at=at))
        if kind == "payment_intent.succeeded":
            answer = responses.foreign(subject, "payment_intent", "pi_", at=at)
            if answer.state is ChannelState.SUCCEEDED:
                return Notification(answer.channel_order_no or "", answer)
    elif kind in _REFUND_EVENTS:
        number = metadata(subject, "refund_no")
        if number is not None and NUMBER.fullmatch(number):
            return Notification(number, responses.refund(subject, number, at=at), About.REFUND)
        return _in_dashboard(responses, kind, subject, at)
    elif kind.startswith(_DISPUTE_EVENTS):
        return _dispute(responses, kind, subject, at)
    elif kind == "charge.refunded":
        # The versions of the API before 2022-11-15 include the refunds, newest first; others have events of their own.
        listed = subject.get("refunds")
        entries = listed.get("data") if isinstance(listed, dict) else None
        newest = entries[0] if isinstance(entries, list) and entries else None
        if isinstance(newest, dict) and metadata(newest, "refund_no") is None:
            return _in_dashboard(responses, kind, newest, at)
    return _nothing(kind)


def _dispute(responses: StripeResponses, kind: str, subject: Mapping[str, Any], at: datetime | None) -> Notification:
    """Read a dispute. One whose amounts or status cannot be read is named, to be queried."""
    number = responses.identify(subject, "dispute", DISPUTE_IDS)
    answer = ChannelAnswer(ChannelState.UNKNOWN, channel_code=text(kind, 64))
    try:
        report = read_dispute(responses, subject, at=at)
    except NoAnswer:
        return Notification(number, answer, About.DISPUTE)
    return Notification(number, answer, About.DISPUTE, channel_order_no=report.channel_order_no, dispute=report)


def _in_dashboard(
    responses: StripeResponses, kind: str, refund: Mapping[str, Any], at: datetime | None
) -> Notification:
    """Read a refund without a number of ours: made in the dashboard, or by another system."""
    answer = responses.foreign(refund, "refund", *REFUND_IDS, at=at)
    if answer.state not in FINAL_STATES:
        return _nothing(kind)
    number, order = answer.channel_order_no or "", text(refund.get("payment_intent"), 255)
    return Notification(number, answer, About.REFUND, channel_order_no=order)


def _nothing(kind: str) -> Notification:
    return Notification("", ChannelAnswer(ChannelState.UNKNOWN, channel_code=text(kind, 64)), About.NOTHING)
