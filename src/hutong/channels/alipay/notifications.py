"""Alipay's notifications: a form, signed over its own parameters; of a trade, or a message to the application.

Only one spelling of a body is accepted, so that no byte of it can be changed unnoticed: each name once, `+` for a
space, capitals in escapes, nothing unescaped but what Alipay leaves unescaped.

Source:
    https://opendocs.alipay.com/common/02mse7 (verifying), https://opendocs.alipay.com/open/05osv8 (parameters),
    https://www.apifox.cn/apidoc/docs-site/3618910/doc-3307376 (the message of a complaint, in GBK).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote_plus

import orjson

from hutong.channels.alipay.credentials import CODECS, AlipayCredentials, AlipayKeys
from hutong.channels.alipay.responses import AlipayResponses, to_instant, to_minor
from hutong.channels.errors import NoAnswer, NotAuthentic, NotificationRefused
from hutong.channels.model import About, ChannelAnswer, ChannelState, Notification, text

_NAME = r"[a-z][a-z0-9_]{0,63}"
_VALUE = r"(?:[0-9A-Za-z*._~+-]|%[0-9A-F]{2})*"
_FORM = re.compile(rf"{_NAME}={_VALUE}(?:&{_NAME}={_VALUE})*")
_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")
_COMPLAINT = "alipay.merchant.tradecomplain.changed"
_COMPLAINT_NO = re.compile(r"[0-9]{20,64}")
_NOTHING = ChannelAnswer(ChannelState.UNKNOWN)
_BODY_LIMIT = 64 << 10
_PARAMETERS_MAX = 100


def parse_notification(
    credentials: AlipayCredentials,
    keys: AlipayKeys,
    responses: AlipayResponses,
    body: bytes,
    *,
    now: datetime,
) -> Notification:
    """Verify and read.

    Errors:
        NotificationRefused: not proven to be Alipay's, not about this application and seller, or not readable.
    """
    proven = False
    try:
        parameters = _parameters(body)
        keys.verify_parameters(parameters, now=now)
        _check_ours(parameters, credentials)
        proven = True
        return _read(parameters, responses)
    except (NotAuthentic, NoAnswer) as error:
        raise NotificationRefused.because(error, proven=proven) from None


def named_certificate(body: bytes) -> str | None:
    """Return the certificate that an unverified notification names; None if it names none."""
    try:
        return _parameters(body).get("alipay_cert_sn")
    except NotAuthentic:
        return None


def _parameters(body: bytes) -> dict[str, str]:
    if len(body) > _BODY_LIMIT:
        raise NotAuthentic("unreadable")
    try:
        form = body.decode("ascii")
        if not _FORM.fullmatch(form):
            raise NotAuthentic("unreadable")
        pairs = [pair.split("=") for pair in form.split("&")]
        charset = next((unquote_plus(value, "ascii", "strict") for name, value in pairs if name == "charset"), "")
        codec = CODECS.get(charset.lower())
        if codec is None:
            raise NotAuthentic("charset")
        parameters = {name: unquote_plus(value, codec, "strict") for name, value in pairs}
    except ValueError:
        raise NotAuthentic("unreadable") from None
    if len(parameters) != len(pairs) or len(pairs) > _PARAMETERS_MAX:
        raise NotAuthentic("unreadable")
    return parameters


def _check_ours(parameters: Mapping[str, str], credentials: AlipayCredentials) -> None:
    """Check that a notification is for this application and about this merchant.

    A message goes to the application alone, and may not name the merchant whom a third-party application acts for.
    """
    merchant_app_id, is_trade = credentials.merchant_app_id, "out_trade_no" in parameters
    unnamed = credentials.app_id if is_trade else merchant_app_id
    if parameters.get("app_id") != credentials.app_id or parameters.get("auth_app_id", unnamed) != merchant_app_id:
        raise NotAuthentic("not_ours")
    if is_trade and parameters.get("seller_id") != credentials.seller_id:
        raise NotAuthentic("not_ours")


def _read(parameters: Mapping[str, str], responses: AlipayResponses) -> Notification:
    if text(parameters.get("notify_id"), 128) is None:
        raise NotAuthentic("unreadable")
    if parameters.get("msg_method") == _COMPLAINT:
        return Notification(_complaint_no(parameters), _NOTHING, About.DISPUTE)
    if parameters.get("notify_type") != "trade_status_sync":
        return Notification("", _NOTHING, About.NOTHING)
    attempt_no, refund_no = parameters.get("out_trade_no", ""), parameters.get("out_biz_no", "")
    if not _NUMBER.fullmatch(attempt_no):
        raise NotAuthentic("unreadable")
    answer = responses.trade(parameters, attempt_no, paid_at=parameters.get("gmt_payment"))
    # Of a refund that was made in the merchant's portal the notification may name no number, and looks like the
    # repetition of the payment's but for the time and the sum of refunds.
    refunded_minor = to_minor(parameters.get("refund_fee")) if parameters.get("gmt_refund") else None
    if parameters.get("gmt_refund") and _NUMBER.fullmatch(refund_no) and refund_no != attempt_no:
        # The notification holds the sum of all refunds of the order, but not the amount of this one.
        refund = replace(
            responses.status("refund_status", "REFUND_SUCCESS", shown=answer.channel_code),
            channel_order_no=answer.channel_order_no,
            happened_at=to_instant(parameters["gmt_refund"][:19]),
        )
        return Notification(refund_no, refund, About.REFUND, order_no=attempt_no, refunded_minor=refunded_minor)
    return Notification(attempt_no, answer, refunded_minor=refunded_minor or None)


def _complaint_no(parameters: Mapping[str, str]) -> str:
    """Return the complaint that a message names; what has become of it must be queried."""
    try:
        content = orjson.loads(parameters.get("biz_content", ""))
    except orjson.JSONDecodeError:
        raise NotAuthentic("unreadable") from None
    number = content.get("complain_event_id") if isinstance(content, dict) else None
    if not isinstance(number, str) or not _COMPLAINT_NO.fullmatch(number):
        raise NotAuthentic("unreadable")
    return number
