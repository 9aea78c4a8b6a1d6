"""The WeChat Pay simulator's wire: proves the merchant's signatures, signs what WeChat says, encrypts its messages."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.clock import Clock
from hutong.sandbox.wechat.keys import MCHID, PUBLIC_KEY_ID, WeChatSandboxKeys

SCHEME = "WECHATPAY2-SHA256-RSA2048"
BEIJING = timezone(timedelta(hours=8))
_WINDOW_S = 300
_AUTHORIZATION = re.compile(r'(\w+)="([^"]*)"')

Answer = tuple[int, Any]
"""A status, and what is said with it; None for nothing, bytes for a file."""

Work = Callable[[web.Request, bytes], Answer]


class Refusal(Exception):
    """What WeChat answers in place of doing what was asked."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.body: dict[str, Any] = {"code": code, "message": message}
        if field is not None:
            self.body["detail"] = {"location": "body", "field": field, "issue": message}


class Wire:
    """What the simulator and its merchant prove to each other."""

    def __init__(self, keys: WeChatSandboxKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._aead = AESGCM(keys.api_v3_key.encode())
        self._platform = keys.platform

    def rotate(self) -> None:
        """From now on sign with the certificate that comes next."""
        self._platform = self._keys.platform_next

    def authenticate(self, request: web.Request, body: bytes) -> None:
        """Refuse a request that the merchant has not signed as WeChat wants it."""
        if request.headers.get("Accept") is None or request.headers.get("User-Agent") is None:
            raise Refusal(400, "PARAM_ERROR", "Http头缺少Accept或User-Agent")
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        said = dict(_AUTHORIZATION.findall(rest))
        if scheme != SCHEME or set(said) != {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}:
            raise Refusal(401, "SIGN_ERROR", "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》")
        merchant = {pair.serial: pair for pair in (self._keys.merchant, self._keys.merchant_next)}
        pair = merchant.get(said["serial_no"])
        if said["mchid"] != MCHID or pair is None:
            raise Refusal(401, "SIGN_ERROR", "商户证书序列号有误")
        if not said["timestamp"].isdigit() or abs(int(said["timestamp"]) - self._clock.now().timestamp()) > _WINDOW_S:
            raise Refusal(401, "SIGN_ERROR", "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        lines = (request.method, request.raw_path, said["timestamp"], said["nonce_str"])
        message = "".join(f"{line}\n" for line in lines).encode() + body + b"\n"
        try:
            signature = base64.b64decode(said["signature"], validate=True)
            pair.key.public_key().verify(signature, message, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise Refusal(401, "SIGN_ERROR", "错误的签名，验签失败") from None

    def reply(self, request: web.Request, answer: Answer, kind: str) -> web.Response:
        """The response, with the fault that is asked for."""
        status, said = answer
        if isinstance(said, bytes):
            body = said[: len(said) // 2] if kind == "malformed" else said
            return web.Response(status=status, body=body, content_type="application/octet-stream")
        if kind == "other_order" and isinstance(said, dict):
            said = said | dict.fromkeys(("out_trade_no", "out_refund_no", "out_bill_no"), "another_number")
        body = b"" if said is None else orjson.dumps(said)
        if kind == "malformed":
            body = b'{"code_url": "weixin'
        elif kind == "too_long":
            body += b" " * (2 << 20)
        headers: dict[str, str] = {"Request-ID": secrets.token_hex(16)}
        if kind != "unsigned":
            headers |= self.sign(
                body + (b" " if kind == "bad_signature" else b""),
                request.headers.get("Wechatpay-Serial"),
                age_s=3600 if kind == "stale" else 0,
            )
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        return web.Response(status=status, body=body, headers=headers)

    def sign(self, body: bytes, wanted_serial: str | None, *, age_s: int = 0) -> dict[str, str]:
        """The headers that prove a message; with the public key where the merchant asks for it."""
        platform = self._platform
        public = wanted_serial == PUBLIC_KEY_ID
        key, serial = (self._keys.public.key, PUBLIC_KEY_ID) if public else (platform.key, platform.serial)
        timestamp, nonce = str(int(self._clock.now().timestamp()) - age_s), secrets.token_hex(16)
        message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": serial,
            "Wechatpay-Signature": base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode(),
            "Wechatpay-Signature-Type": SCHEME,
        }

    def seal(self, plain: bytes, associated: str) -> dict[str, str]:
        """What only the merchant can read."""
        nonce = secrets.token_hex(6)
        sealed = self._aead.encrypt(nonce.encode(), plain, associated.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated,
            "ciphertext": base64.b64encode(sealed).decode(),
        }

    def envelope(self, event: str, kind: str, summary: str, channel_no: str, said: Mapping[str, Any]) -> bytes:
        """A notification's body: the same in every sending."""
        return orjson.dumps(
            {
                "id": f"{secrets.token_hex(4)}-{channel_no}",
                "create_time": told(self._clock.now()),
                "resource_type": "encrypt-resource",
                "event_type": event,
                "summary": summary,
                "resource": {"original_type": kind} | self.seal(orjson.dumps(said), kind),
            }
        )

    def certificates(self) -> Answer:
        """The certificates that the merchant should know: the one in use, and the one that comes next."""
        return 200, {
            "data": [
                {
                    "serial_no": pair.serial,
                    "effective_time": told(pair.not_before),
                    "expire_time": told(pair.not_after),
                    "encrypt_certificate": self.seal(pair.certificate_pem.encode(), "certificate"),
                }
                for pair in (self._keys.platform, self._keys.platform_next)
            ]
        }


def told(instant: datetime) -> str:
    """A time as WeChat writes it."""
    return instant.astimezone(BEIJING).isoformat(timespec="seconds")


def fail(status: int | None, code: str | None) -> Answer:
    """An error as WeChat words it."""
    return status or 500, {"code": code or "SYSTEM_ERROR", "message": code or "系统异常，请稍后重试"}


def read_json(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise Refusal(400, "PARAM_ERROR", "请求体不是JSON对象")
    return content
