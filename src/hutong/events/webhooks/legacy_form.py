"""The legacy mode: a form with the field names of Alipay's notifications, signed by RSA2, answered by `success`.

It is for merchants whose systems were written for such a gateway: they verify, look up and answer as before.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from hutong.clock import BEIJING
from hutong.money import to_major

ACKNOWLEDGED = b"success"
MEDIA_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
_TRADE = {"succeeded": "TRADE_SUCCESS", "closed": "TRADE_CLOSED"}
_REFUND = {"succeeded": "REFUND_SUCCESS", "failed": "REFUND_FAIL", "superseded": "REFUND_CLOSED"}


def load(secret: str) -> RSAPrivateKey:
    """Read a key that `new_key` has made."""
    return cast("RSAPrivateKey", serialization.load_pem_private_key(secret.encode(), None))


def encode(fields: Mapping[str, str], key: RSAPrivateKey) -> bytes:
    """Return the form with its signature, made over every field but `sign` and `sign_type`, in order of their names."""
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return urlencode({**fields, "sign_type": "RSA2", "sign": base64.b64encode(signature).decode()}).encode()


def fields_of(event: Mapping[str, Any], *, merchant: str, now: datetime) -> dict[str, str]:
    """Return an event in the fields of Alipay's notifications, without empty ones.

    Args:
        event: The body of a standard webhook.
        merchant: The value of `app_id`.
        now: The value of `notify_time`.
    """
    data = event["data"]
    specific = {"payment": _payment, "refund": _refund}.get(data.get("object"), _other)(data)
    fields = {
        "notify_id": event["id"],
        "notify_type": "trade_status_sync",
        "notify_time": _local(now),
        "app_id": merchant,
        "charset": "utf-8",
        "version": "1.0",
        "event_type": event["type"],
        "event_seq": str(event["object_seq"]),
        "test": "true" if event.get("test") else "",
        **specific,
    }
    return {name: value for name, value in fields.items() if value}


def _payment(data: Mapping[str, Any]) -> dict[str, str | None]:
    refunded, currency = data["amount_refunded_minor"], data["currency"]
    all_refunded = data["status"] == "succeeded" and refunded == data["amount_captured_minor"]
    return {
        "trade_no": data["id"],
        "out_trade_no": data["merchant_order_no"],
        "trade_status": "TRADE_CLOSED" if all_refunded else _TRADE.get(data["status"], "WAIT_BUYER_PAY"),
        "total_amount": to_major(data["amount_minor"], currency),
        # The oldest events have one sum.
        "receipt_amount": to_major(data.get("amount_settled_minor", data["amount_captured_minor"]), currency),
        "buyer_pay_amount": to_major(data.get("amount_paid_minor", data["amount_captured_minor"]), currency),
        "refund_fee": to_major(refunded, currency) if refunded else None,
        "trans_currency": currency,
        "subject": data["subject"],
        "gmt_create": _local_text(data["created_at"]),
        "gmt_payment": _local_text(data["succeeded_at"]),
        "gmt_close": _local_text(data["closed_at"]),
    }


def _refund(data: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        "notify_type": "refund_status_sync",
        "trade_no": data["payment_id"],
        "out_trade_no": data.get("merchant_order_no"),  # missing in the oldest events
        "refund_no": data["id"],
        "out_request_no": data["merchant_refund_no"],
        "refund_status": _REFUND.get(data["state"], "REFUND_PROCESSING"),
        "refund_fee": to_major(data["amount_minor"], data["currency"]),
        "trans_currency": data["currency"],
        "refund_reason": data["reason"],
        "gmt_create": _local_text(data["created_at"]),
        "gmt_refund": _local_text(data["finished_at"]),
    }


def _other(data: Mapping[str, Any]) -> dict[str, str | None]:
    return {"notify_type": "other", "object_id": data.get("id")}


def _local_text(instant: str | None) -> str | None:
    return None if instant is None else _local(datetime.fromisoformat(instant))


def _local(instant: datetime) -> str:
    return instant.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")
