"""The legacy mode: a form with the field names of Alipay's notifications, signed by RSA2, answered by `success`.

For merchants whose systems were written for such a gateway: what they verify, look up and answer stays the same.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, cast
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from hutong.money import to_major

ACKNOWLEDGED = b"success"
MEDIA_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
_CHINA = timezone(timedelta(hours=8))
_TRADE = {"succeeded": "TRADE_SUCCESS", "closed": "TRADE_CLOSED"}
_REFUND = {"succeeded": "REFUND_SUCCESS", "failed": "REFUND_FAIL"}


def load(secret: str) -> RSAPrivateKey:
    """Read a key as `new_key` makes it."""
    return cast("RSAPrivateKey", serialization.load_pem_private_key(secret.encode(), None))


def encode(fields: Mapping[str, str], key: RSAPrivateKey) -> bytes:
    """The form with its signature, over every field but `sign` and `sign_type`, in order of their names."""
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return urlencode({**fields, "sign_type": "RSA2", "sign": base64.b64encode(signature).decode()}).encode()


def fields_of(event: Mapping[str, Any], *, merchant: str, now: datetime) -> dict[str, str]:
    """An event in the words of Alipay's notifications; what is not known is left out.

    Args:
        event: As webhooks of today carry it.
        merchant: Stands as `app_id`.
        now: Stands as `notify_time`.
    """
    data = event["data"]
    about = {"payment": _payment, "refund": _refund}.get(data.get("object"), _other)(data)
    fields = {
        "notify_id": event["id"],
        "notify_type": "trade_status_sync",
        "notify_time": _local(now),
        "app_id": merchant,
        "charset": "utf-8",
        "version": "1.0",
        "event_type": event["type"],
        "event_seq": str(event["object_seq"]),
        **about,
    }
    return {name: value for name, value in fields.items() if value}


def _payment(data: Mapping[str, Any]) -> dict[str, str | None]:
    refunded, currency = data["amount_refunded_minor"], data["currency"]
    gone = data["status"] == "succeeded" and refunded == data["amount_captured_minor"]
    return {
        "trade_no": data["id"],
        "out_trade_no": data["merchant_order_no"],
        "trade_status": "TRADE_CLOSED" if gone else _TRADE.get(data["status"], "WAIT_BUYER_PAY"),
        "total_amount": to_major(data["amount_minor"], currency),
        "receipt_amount": to_major(data["amount_captured_minor"], currency),
        "refund_fee": to_major(refunded, currency) if refunded else None,
        "trans_currency": currency,
        "subject": data["subject"],
        "gmt_create": _read(data["created_at"]),
        "gmt_payment": _read(data["succeeded_at"]),
        "gmt_close": _read(data["closed_at"]),
    }


def _refund(data: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        "notify_type": "refund_status_sync",
        "trade_no": data["payment_id"],
        "out_trade_no": data.get("merchant_order_no"),  # the oldest events lack it
        "refund_no": data["id"],
        "out_request_no": data["merchant_refund_no"],
        "refund_status": _REFUND.get(data["state"], "REFUND_PROCESSING"),
        "refund_fee": to_major(data["amount_minor"], data["currency"]),
        "trans_currency": data["currency"],
        "refund_reason": data["reason"],
        "gmt_create": _read(data["created_at"]),
        "gmt_refund": _read(data["finished_at"]),
    }


def _other(data: Mapping[str, Any]) -> dict[str, str | None]:
    return {"notify_type": "other", "object_id": data.get("id")}


def _read(instant: str | None) -> str | None:
    return None if instant is None else _local(datetime.fromisoformat(instant))


def _local(instant: datetime) -> str:
    return instant.astimezone(_CHINA).strftime("%Y-%m-%d %H:%M:%S")
