"""Alipay's notifications: a form, signed over its own parameters.

Only one spelling of a body is taken, so that no byte of it can be changed unnoticed: each name once, `+` for a blank,
capitals in escapes, nothing unescaped but what Alipay leaves unescaped.

Source:
    https://opendocs.alipay.com/common/02mse7 (verifying), https://opendocs.alipay.com/open/05osv8 (parameters).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote_plus

from hutong.channels.alipay.client import Gateway, NoWord
from hutong.channels.alipay.credentials import CHARSET, AlipayCredentials, AlipayKeys, Unproven
from hutong.channels.alipay.responses import explain, instant, trade
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NotificationRefused
from hutong.channels.model import About, ChannelAnswer, ChannelState, Notification, text

_NAME = r"[a-z][a-z0-9_]{0,63}"
_VALUE = r"(?:[0-9A-Za-z*._~+-]|%[0-9A-F]{2})*"
_FORM = re.compile(rf"{_NAME}={_VALUE}(?:&{_NAME}={_VALUE})*")
_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")
_BODY_LIMIT = 64 << 10
_PARAMETERS_MAX = 100


def parse(
    credentials: AlipayCredentials, keys: AlipayKeys, gateway: Gateway, codes: Codes, body: bytes, *, now: datetime
) -> Notification:
    """Verify and read.

    Errors:
        NotificationRefused: not proven to be Alipay's, not about this application and seller, or not readable.
    """
    try:
        said = _form(body)
        keys.verify_parameters(said, now=now)
        _check_ours(said, credentials)
        return _read(said, codes)
    except Unproven as error:
        if str(error) == "unknown_key" and (wanted := _certificate_of(body)) is not None:
            gateway.want(wanted)
        raise NotificationRefused(f"the notification is refused: {error}") from None
    except NoWord as nothing:
        raise NotificationRefused(f"the notification is refused: {nothing.answer.channel_code}") from None


def _form(body: bytes) -> dict[str, str]:
    if len(body) > _BODY_LIMIT:
        raise Unproven("unreadable")
    try:
        written = body.decode("ascii")
        if not _FORM.fullmatch(written):
            raise Unproven("unreadable")
        pairs = [pair.split("=") for pair in written.split("&")]
        said = {name: unquote_plus(value, encoding=CHARSET, errors="strict") for name, value in pairs}
    except ValueError:
        raise Unproven("unreadable") from None
    if len(said) != len(pairs) or len(pairs) > _PARAMETERS_MAX:
        raise Unproven("unreadable")
    if said.get("charset", "").lower() != CHARSET:
        raise Unproven("charset")
    return said


def _certificate_of(body: bytes) -> str | None:
    try:
        return _form(body).get("alipay_cert_sn")
    except Unproven:
        return None


def _check_ours(said: Mapping[str, str], credentials: AlipayCredentials) -> None:
    if said.get("app_id") != credentials.app_id or said.get("auth_app_id", credentials.app_id) != credentials.app_id:
        raise Unproven("not_ours")
    if "out_trade_no" in said and said.get("seller_id") != credentials.seller_id:
        raise Unproven("not_ours")


def _read(said: Mapping[str, str], codes: Codes) -> Notification:
    notification_id = text(said.get("notify_id"), 128)
    if notification_id is None:
        raise Unproven("unreadable")
    if said.get("notify_type") != "trade_status_sync":
        return Notification(notification_id, "", ChannelAnswer(ChannelState.UNKNOWN), About.NOTHING)
    attempt_no, refund_no = said.get("out_trade_no", ""), said.get("out_biz_no", "")
    if not _NUMBER.fullmatch(attempt_no):
        raise Unproven("unreadable")
    answer = trade(codes, said, attempt_no, paid_at=said.get("gmt_payment"))
    if said.get("gmt_refund") and _NUMBER.fullmatch(refund_no) and refund_no != attempt_no:
        # It tells the sum of all refunds of the order, but not the amount of this one.
        told = replace(
            explain(codes.read("refund_status", "REFUND_SUCCESS"), answer.channel_code),
            channel_order_no=answer.channel_order_no,
            happened_at=instant(said["gmt_refund"][:19]),
        )
        return Notification(notification_id, refund_no, told, About.REFUND)
    return Notification(notification_id, attempt_no, answer)
