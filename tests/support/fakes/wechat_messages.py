"""Makes WeChat Pay notifications by the published rules, apart from the sandbox's own code."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.channels import HttpReply
from hutong.clock import ManualClock
from hutong.sandbox.keys import Pair
from hutong.sandbox.wechat.keys import APPID, MCHID, PUBLIC_KEY_ID, WeChatSandboxKeys

ATTEMPT_NO = "att_01h2xcejqtf2nbrexx3vqjhp41"


def transaction(**changed: Any) -> dict[str, Any]:
    """A payment that succeeded."""
    return {
        "appid": APPID,
        "mchid": MCHID,
        "out_trade_no": ATTEMPT_NO,
        "transaction_id": "4200001234202601010000000001",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "success_time": "2026-01-01T08:00:00+08:00",
        "amount": {"total": 8800, "currency": "CNY", "payer_total": 8800, "payer_currency": "CNY"},
    } | changed


def seal(
    keys: WeChatSandboxKeys, plain: bytes, *, associated: bytes = b"transaction", **changed: Any
) -> dict[str, Any]:
    sealed = AESGCM(keys.api_v3_key.encode()).encrypt(b"0123456789ab", plain, associated)
    return {
        "original_type": "transaction",
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": "0123456789ab",
        "associated_data": "transaction",
        "ciphertext": base64.b64encode(sealed).decode(),
    } | changed


def envelope(keys: WeChatSandboxKeys, fields: Any, **changed: Any) -> bytes:
    return orjson.dumps(
        {
            "id": "EV-2026010100000001",
            "create_time": "2026-01-01T08:00:00+08:00",
            "resource_type": "encrypt-resource",
            "event_type": "TRANSACTION.SUCCESS",
            "summary": "支付成功",
            "resource": seal(keys, orjson.dumps(fields)),
        }
        | changed
    )


def sign(key: RSAPrivateKey, serial: str, body: bytes, *, now: datetime, nonce: str = "n" * 32) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    signature = key.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
    return {
        "wechatpay-timestamp": timestamp,
        "wechatpay-nonce": nonce,
        "wechatpay-serial": serial,
        "wechatpay-signature": base64.b64encode(signature).decode(),
        "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
    }


class Wire:
    """Answers as told, signed as WeChat signs; counts the calls."""

    def __init__(self, keys: WeChatSandboxKeys, clock: ManualClock) -> None:
        self.keys, self.clock = keys, clock
        self.answers: list[tuple[int, Any]] = []
        self.calls: list[str] = []

    async def call(self, method: str, url: str, *, headers: Any, body: bytes = b"") -> HttpReply:
        self.calls.append(f"{method} {url}")
        status, fields = self.answers.pop(0)
        raw = b"" if fields is None else orjson.dumps(fields)
        return HttpReply(status, sign(self.keys.public.key, PUBLIC_KEY_ID, raw, now=self.clock.now()), raw)


def proves(pair: Pair, signature: str, *lines: str) -> None:
    """Check a signature over lines, as WeChat's applications do."""
    message = "".join(f"{line}\n" for line in lines).encode()
    pair.key.public_key().verify(base64.b64decode(signature), message, PKCS1v15(), SHA256())
