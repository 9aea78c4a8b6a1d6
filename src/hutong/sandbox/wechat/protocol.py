"""WeChat Pay's side of the protocol: verifies the merchant's signatures, signs answers, encrypts notifications."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from hutong.clock import BEIJING, Clock
from hutong.sandbox.wechat.keys import MCHID, PUBLIC_KEY_ID, SP_MCHID, WeChatSandboxKeys

SCHEME = "WECHATPAY2-SHA256-RSA2048"
_WINDOW_S = 300
_AUTHORIZATION = re.compile(r'(\w+)="([^"]*)"')

Answer = tuple[int, Any]
"""A status and its content: a JSON value, None for no content, or bytes for a file."""

Work = Callable[[web.Request, bytes], Answer]


class WeChatRefusal(Exception):
    """A refusal by WeChat: its answer to a request that it does not fulfill."""

    def __init__(
        self, status: int, code: str, message: str, *, location: str | None = None, value: object = None
    ) -> None:
        super().__init__(code)
        self.status = status
        self.body: dict[str, Any] = {"code": code, "message": message}
        if location is not None:
            self.body["detail"] = {"location": location, "value": value}


class WeChatProtocol:
    """The proofs between the simulator and who calls it: signatures and encryption."""

    def __init__(self, keys: WeChatSandboxKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._aeads = {
            MCHID: AESGCM(keys.api_v3_key.encode()),
            SP_MCHID: AESGCM(keys.provider_api_v3_key.encode()),
        }
        self._callers = {MCHID: (keys.merchant, keys.merchant_next), SP_MCHID: (keys.provider,)}
        self._platform = keys.platform

    def rotate(self) -> None:
        """Sign with the next certificate from now on."""
        self._platform = self._keys.platform_next

    def authenticate(self, request: web.Request, body: bytes) -> str:
        """Return the number of the caller; refuse a request that they have not signed by WeChat's rules."""
        if request.headers.get("Accept") is None or request.headers.get("User-Agent") is None:
            raise WeChatRefusal(400, "PARAM_ERROR", "Http头缺少Accept或User-Agent")
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        authorization = dict(_AUTHORIZATION.findall(rest))
        if scheme != SCHEME or set(authorization) != {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}:
            raise WeChatRefusal(
                401, "SIGN_ERROR", "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
            )
        pairs = {pair.serial: pair for pair in self._callers.get(authorization["mchid"], ())}
        pair = pairs.get(authorization["serial_no"])
        if pair is None:
            raise WeChatRefusal(401, "SIGN_ERROR", "商户证书序列号有误")
        timestamp, now = authorization["timestamp"], self._clock.now().timestamp()
        if not timestamp.isdigit() or abs(int(timestamp) - now) > _WINDOW_S:
            raise WeChatRefusal(401, "SIGN_ERROR", "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        lines = (request.method, request.raw_path, timestamp, authorization["nonce_str"])
        message = "".join(f"{line}\n" for line in lines).encode() + body + b"\n"
        try:
            signature = base64.b64decode(authorization["signature"], validate=True)
            pair.key.public_key().verify(signature, message, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise WeChatRefusal(401, "SIGN_ERROR", "错误的签名，验签失败") from None
        return str(authorization["mchid"])

    def reply(self, request: web.Request, answer: Answer, kind: str) -> web.Response:
        """Make the response, with the effect of a fault of this kind."""
        status, content = answer
        if isinstance(content, bytes):
            body = content[: len(content) // 2] if kind == "malformed" else content
            return web.Response(status=status, body=body, content_type="application/octet-stream")
        if kind == "other_order" and isinstance(content, dict):
            content = content | dict.fromkeys(("out_trade_no", "out_refund_no", "out_bill_no"), "another_number")
        body = b"" if content is None else orjson.dumps(content)
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

    def sign(self, body: bytes, requested_serial: str | None, *, age_s: int = 0) -> dict[str, str]:
        """Return the headers that sign a message, with the public key if the merchant requests that."""
        platform = self._platform
        public = requested_serial == PUBLIC_KEY_ID
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

    def seal(self, plain: bytes, associated: str, mchid: str) -> dict[str, str]:
        """Encrypt a text for one caller alone."""
        nonce = secrets.token_hex(6)
        sealed = self._aeads[mchid].encrypt(nonce.encode(), plain, associated.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated,
            "ciphertext": base64.b64encode(sealed).decode(),
        }

    def decrypt(self, request: web.Request, sealed: object) -> str:
        """Return a text that the caller has encrypted with the key that their header names."""
        pairs = {pair.serial: pair for pair in (self._keys.platform, self._keys.platform_next)}
        pair = {**pairs, PUBLIC_KEY_ID: self._keys.public}.get(request.headers.get("Wechatpay-Serial", ""))
        try:
            if pair is None or not isinstance(sealed, str):
                raise ValueError(sealed)
            padding = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303 - as WeChat documents
            return pair.key.decrypt(base64.b64decode(sealed, validate=True), padding).decode()
        except ValueError:
            raise WeChatRefusal(400, "PARAM_ERROR", "敏感信息解密失败") from None

    def envelope(
        self, event: str, kind: str, summary: str, channel_no: str, content: Mapping[str, Any], mchid: str
    ) -> bytes:
        """Return the body of a notification for one caller, the same in every delivery."""
        return orjson.dumps(
            {
                "id": f"{secrets.token_hex(4)}-{channel_no}",
                "create_time": format_time(self._clock.now()),
                "resource_type": "encrypt-resource",
                "event_type": event,
                "summary": summary,
                "resource": {"original_type": kind} | self.seal(orjson.dumps(content), kind, mchid),
            }
        )

    def certificates(self, mchid: str) -> Answer:
        """Return the certificates for a caller: the current one and the next one."""
        return 200, {
            "data": [
                {
                    "serial_no": pair.serial,
                    "effective_time": format_time(pair.not_before),
                    "expire_time": format_time(pair.not_after),
                    "encrypt_certificate": self.seal(pair.certificate_pem.encode(), "certificate", mchid),
                }
                for pair in (self._keys.platform, self._keys.platform_next)
            ]
        }


def format_time(instant: datetime) -> str:
    """Write a time in WeChat's format."""
    return instant.astimezone(BEIJING).isoformat(timespec="seconds")


def fail(status: int | None, code: str | None) -> Answer:
    """Make an error answer in WeChat's form."""
    return status or 500, {"code": code or "SYSTEM_ERROR", "message": code or "系统异常，请稍后重试"}


def read_json(body: bytes) -> dict[str, Any]:
    """Read a request's body, a JSON object."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise WeChatRefusal(400, "PARAM_ERROR", "请求体不是JSON对象")
    return content
