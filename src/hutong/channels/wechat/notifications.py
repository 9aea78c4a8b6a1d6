"""WeChat Pay's notifications: a signed envelope around an encrypted object.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012525110 (payment), 4012791865 (refund), 4012712115 (transfer);
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter10_2_16.shtml (complaint: `complaint_id`, `action_type`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime

from hutong.channels.errors import NoAnswer, NotAuthentic, NotificationRefused
from hutong.channels.http import decode_object
from hutong.channels.model import About, ChannelAnswer, ChannelState, Notification, text
from hutong.channels.wechat.credentials import WeChatKeys
from hutong.channels.wechat.requests import to_payout_no
from hutong.channels.wechat.responses import WeChatResponses

_SUBJECTS: Mapping[str, tuple[About, str]] = {
    "transaction": (About.PAYMENT, "out_trade_no"),
    "refund": (About.REFUND, "out_refund_no"),
    "mch_payment": (About.PAYOUT, "out_bill_no"),
}
"""By the type of the encrypted object: the subject, and the field with our number."""
_NUMBER = re.compile(r"[0-9A-Za-z_-]{4,32}")
_REFUND_NUMBER = re.compile(r"[0-9A-Za-z_|*@-]{1,64}")
"""Of a refund that may have been made in the merchant platform, by a number of WeChat's (out_refund_no, 4012791865)."""

_COMPLAINT = "COMPLAINT."
"""The begin of the events of a complaint; the type of their encrypted object is not documented."""
_COMPLAINT_NUMBER = re.compile(r"[0-9A-Za-z_-]{1,64}")


def parse_notification(
    keys: WeChatKeys, responses: WeChatResponses, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> Notification:
    """Verify, decrypt and read.

    Errors:
        NotificationRefused: not proven to be WeChat's, stale, not about this merchant, or not readable.
    """
    proven = False
    try:
        keys.verify(headers, body, now=now)
        envelope = decode_object(body)
        resource = envelope.get("resource")
        if text(envelope.get("id"), 64) is None or not isinstance(resource, dict):
            raise NotAuthentic("unreadable")
        plain = keys.decrypt(resource)
        proven = True  # WeChat's signature alone does not tell for which merchant
        content = decode_object(plain)
        # WeChat signs each repetition separately, so the very same signature is a replay.
        replay_key = hashlib.sha256(headers["wechatpay-signature"].encode()).digest()
        if str(envelope.get("event_type")).startswith(_COMPLAINT):
            return _complaint(content, replay_key)
        about, field = _SUBJECTS.get(str(resource.get("original_type")), (About.NOTHING, ""))
        if about is About.NOTHING or "combine_out_trade_no" in content:
            # A coupon, a combined order: WeChat would repeat it for a day.
            return Notification("", ChannelAnswer(ChannelState.UNKNOWN), About.NOTHING, replay_key)
        number, form = content.get(field), _REFUND_NUMBER if about is About.REFUND else _NUMBER
        if not isinstance(number, str) or not form.fullmatch(number):
            raise NotAuthentic("unreadable")
        if about is About.REFUND:
            answer = responses.notified_refund(content, number)
            order_no, order = text(content.get("out_trade_no"), 64), text(content.get("transaction_id"), 64)
            return Notification(number, answer, about, replay_key, order_no=order_no, channel_order_no=order)
        if about is About.PAYOUT:
            return Notification(to_payout_no(number), responses.payout(content, number), about, replay_key)
        return Notification(number, responses.order(content, number), about, replay_key)
    except (NotAuthentic, NoAnswer) as error:
        raise NotificationRefused.because(error, proven=proven) from None


def _complaint(content: Mapping[str, object], replay_key: bytes) -> Notification:
    """Read a notification that names a complaint and what was done, but does not state the complaint."""
    number = content.get("complaint_id")
    if not isinstance(number, str) or not _COMPLAINT_NUMBER.fullmatch(number):
        raise NotAuthentic("unreadable")
    return Notification(number, ChannelAnswer(ChannelState.UNKNOWN), About.DISPUTE, replay_key)
