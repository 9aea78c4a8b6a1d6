"""UnionPay's notifications: a form as browsers encode it, signed like an answer."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote_to_bytes

from hutong.channels.errors import NoAnswer, NotAuthentic, NotificationRefused
from hutong.channels.model import About, ChannelAnswer, ChannelState, Notification
from hutong.channels.unionpay.authorizations import released, without_amount
from hutong.channels.unionpay.credentials import UnionPayCredentials, UnionPayKeys
from hutong.channels.unionpay.requests import (
    COMPLETION_TYPE,
    COMPLETION_VOID_TYPE,
    REFUND_TYPE,
    RELEASE_TYPE,
    RESERVE_TYPE,
    RETRIED,
    VOID_TYPE,
)
from hutong.channels.unionpay.responses import UnionPayResponses, put_field, to_our_number

_BODY_LIMIT = 1 << 16
_ORDER_ID = re.compile("[0-9A-Za-z]{1,40}")
_SUBJECTS = {
    "01": (About.PAYMENT, "trade_state"),
    "11": (About.PAYMENT, "trade_state"),
    RESERVE_TYPE: (About.PAYMENT, "authorized_state"),
    COMPLETION_TYPE: (About.PAYMENT, "trade_state"),
    RELEASE_TYPE: (About.PAYMENT, "trade_state"),
    REFUND_TYPE: (About.REFUND, "refund_state"),
    VOID_TYPE: (About.REFUND, "refund_state"),
    COMPLETION_VOID_TYPE: (About.REFUND, "refund_state"),
}
_NOTHING = Notification("", ChannelAnswer(ChannelState.UNKNOWN), About.NOTHING)


def parse_notification(
    credentials: UnionPayCredentials, keys: UnionPayKeys, responses: UnionPayResponses, body: bytes, *, now: datetime
) -> Notification:
    """Verify and read.

    Errors:
        NotificationRefused: not proven to be UnionPay's, not about this merchant, or not readable.
    """
    proven = False
    try:
        if len(body) > _BODY_LIMIT:
            raise NotAuthentic("unreadable")
        fields = read_form(body)
        keys.verify(fields, now=now)
        if fields.get("merId") != credentials.mer_id:
            raise NotAuthentic("not_ours")
        proven = True
        txn_type = fields.get("txnType", "")
        if txn_type not in _SUBJECTS:
            return _NOTHING
        about, interface = _SUBJECTS[txn_type]
        order_id = fields.get("orderId", "")
        if not _ORDER_ID.fullmatch(order_id):
            raise NotAuthentic("unreadable")
        number = to_our_number(order_id) or order_id  # not ours: made in the portal, or by another system
        answer = responses.outcome(interface, fields, fields.get("respCode"), fields.get("respMsg"), now)
    except (NotAuthentic, NoAnswer) as error:
        raise NotificationRefused.because(error, proven=proven) from None
    if answer.state is ChannelState.FAILED and (txn_type, fields.get("txnSubType")) in RETRIED:
        answer = replace(answer, state=ChannelState.PENDING)
    if txn_type == RELEASE_TYPE:
        answer = released(answer)
        if answer.state is not ChannelState.CLOSED:
            return _NOTHING  # the money stays reserved, which is known
    if txn_type == COMPLETION_TYPE and answer.state is not ChannelState.SUCCEEDED:
        answer = without_amount(answer)
    if about is About.PAYMENT:
        return Notification(number, answer, about)
    order_no = to_our_number(fields.get("origOrderId", ""))
    return Notification(number, answer, about, order_no=order_no, channel_order_no=fields.get("origQryId"))


def read_form(body: bytes) -> dict[str, str]:
    """Parse a form in UTF-8.

    Errors:
        NotAuthentic: not such a form, or a name occurs twice.
    """
    fields: dict[str, str] = {}
    try:
        for part in body.decode("ascii").split("&"):
            put_field(fields, _unescape(part))
    except UnicodeDecodeError:
        raise NotAuthentic("unreadable") from None
    return fields


def _unescape(part: str) -> str:
    name, equals, value = part.partition("=")
    if re.search("%(?![0-9A-Fa-f]{2})", value):
        raise NotAuthentic("unreadable")
    return name + equals + unquote_to_bytes(value.replace("+", " ")).decode()
