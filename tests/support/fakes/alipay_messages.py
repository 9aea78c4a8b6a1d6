"""Makes Alipay's messages by the published rules, apart from the sandbox's own code."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote_plus

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.sandbox.alipay.keys import APP_ID, SELLER_ID

ATTEMPT_NO = "att_01h2xcejqtf2nbrexx3vqjhp41"


def notice(**changed: str | None) -> dict[str, str]:
    """A notification of a payment; None leaves a parameter out."""
    fields: dict[str, Any] = {
        "gmt_create": "2026-01-01 07:59:00",
        "charset": "utf-8",
        "gmt_payment": "2026-01-01 08:00:00",
        "notify_time": "2026-01-01 08:00:01",
        "subject": "糖醋排骨 + 100% (大)",
        "buyer_id": "2088101117955611",
        "version": "1.0",
        "notify_id": "2026010100222080001012345678901234",
        "fund_bill_list": '[{"amount":"88.00","fundChannel":"ALIPAYACCOUNT"}]',
        "notify_type": "trade_status_sync",
        "out_trade_no": ATTEMPT_NO,
        "total_amount": "88.00",
        "trade_status": "TRADE_SUCCESS",
        "trade_no": "2026010122001455610512345678",
        "auth_app_id": APP_ID,
        "receipt_amount": "88.00",
        "app_id": APP_ID,
        "seller_id": SELLER_ID,
    } | changed
    return {name: value for name, value in fields.items() if value is not None}


def signed(key: RSAPrivateKey, fields: dict[str, str], *, codec: str = "utf-8", **unsigned: str) -> bytes:
    message = "&".join(f"{name}={value}" for name, value in sorted(fields.items())).encode(codec)
    signature = base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()
    return form(fields | {"sign_type": "RSA2", "sign": signature} | unsigned, codec=codec)


def form(fields: dict[str, str], *, codec: str = "utf-8") -> bytes:
    return "&".join(f"{name}={quote_plus(value, '*', codec)}" for name, value in fields.items()).encode()
