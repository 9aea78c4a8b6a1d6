"""WeChat Pay's notifications: a signed envelope around an encrypted object.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012525110 (payment), 4012791865 (refund), 4012712115 (transfer).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hutong.channels.encoding import decode_object
from hutong.channels.errors import NotAuthentic, refusing_notifications
from hutong.channels.model import About, Notification, text
from hutong.channels.wechat.credentials import WeChatKeys
from hutong.channels.wechat.requests import to_payout_no
from hutong.channels.wechat.responses import WeChatResponses

_NUMBER = re.compile(r"[0-9A-Za-z_-]{4,32}")


def parse_notification(
    keys: WeChatKeys, responses: WeChatResponses, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> Notification:
    """Verify, decrypt and read.

    Errors:
        NotificationRefused: not proven to be WeChat's, stale, not about this merchant, or not readable.
    """
    with refusing_notifications():
        keys.verify(headers, body, now=now)
        envelope = decode_object(body)
        resource = envelope.get("resource")
        if text(envelope.get("id"), 64) is None or not isinstance(resource, dict):
            raise NotAuthentic("unreadable")
        content = decode_object(keys.decrypt(resource))
        # WeChat signs each repetition separately, so the very same signature is a replay.
        replay_key = hashlib.sha256(headers["wechatpay-signature"].encode()).digest()
        return _read(responses, resource.get("original_type", "transaction"), content, replay_key)


def _read(responses: WeChatResponses, kind: object, content: Mapping[str, Any], replay_key: bytes) -> Notification:
    if kind == "refund":
        number = _number(content.get("out_refund_no"))
        return Notification(number, responses.notified_refund(content, number), About.REFUND, replay_key)
    if kind == "mch_payment":
        number = _number(content.get("out_bill_no"))
        return Notification(to_payout_no(number), responses.payout(content, number), About.PAYOUT, replay_key)
    number = _number(content.get("out_trade_no"))
    return Notification(number, responses.order(content, number), About.PAYMENT, replay_key)


def _number(value: object) -> str:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise NotAuthentic("unreadable")
    return value
