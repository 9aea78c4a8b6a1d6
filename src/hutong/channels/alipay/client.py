"""Alipay's gateway: one address for every interface, parameters signed going out, one signed node coming back.

The signature covers the bytes of the node exactly as they came, so the node is cut out of the answer, never rebuilt.

Source:
    https://opendocs.alipay.com/common/02kf5p (parameters and answers), https://opendocs.alipay.com/common/02mse7
    (verifying), https://opendocs.alipay.com/common/056zub (alipay.open.app.alipaycert.download).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote_plus, urlencode

from hutong.channels.alipay.credentials import CHARSET, SIGN_TYPE, AlipayCredentials, AlipayKeys, Unproven
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import ChannelUnreachable
from hutong.channels.http import Http, HttpReply
from hutong.channels.model import ChannelAnswer, ChannelState, text

BEIJING = timezone(timedelta(hours=8))
SUCCESS = "10000"
PATH = "/gateway.do"
_FETCH_AFTER = timedelta(minutes=1)
"""How long between two attempts to learn a certificate, so that a forger cannot make us call at will."""


class NoWord(Exception):
    """Alipay has not said anything that is proven; carries the UNKNOWN answer.

    Attributes:
        reason: Why it is not proven, whatever the unproven answer says of itself.
    """

    def __init__(
        self, code: str, message: str | None, *, unified_code: str | None = None, reason: str | None = None
    ) -> None:
        super().__init__(code)
        self.reason = reason or code
        self.answer = ChannelAnswer(
            ChannelState.UNKNOWN, channel_code=text(code, 64), channel_message=text(message, 256), code=unified_code
        )


class Gateway:
    """One application's way to Alipay."""

    def __init__(self, credentials: AlipayCredentials, keys: AlipayKeys, http: Http, codes: Codes) -> None:
        self._app_id = credentials.app_id
        self._base_url = credentials.base_url
        self._keys = keys
        self._http = http
        self._codes = codes
        self._wanted: str | None = None
        self._fetched_at: datetime | None = None
        self.date: str | None = None
        """What the last answer said of the time, for diagnosis only."""

    @property
    def address(self) -> str:
        return self._base_url + PATH

    def signed(
        self,
        method: str,
        content: Mapping[str, Any],
        *,
        now: datetime,
        notify_url: str | None = None,
        return_url: str | None = None,
    ) -> dict[str, str]:
        """All parameters of a request, signed."""
        parameters = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": CHARSET,
            "sign_type": SIGN_TYPE,
            "timestamp": now.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            **self._keys.common,
        }
        if notify_url:
            parameters["notify_url"] = notify_url
        if return_url:
            parameters["return_url"] = return_url
        return parameters | {"sign": self._keys.sign(parameters)}

    async def call(
        self, method: str, content: Mapping[str, Any], *, now: datetime, notify_url: str | None = None
    ) -> dict[str, Any]:
        """The node that Alipay answers with, proven; anything else raises `NoWord`."""
        if self._wanted is not None:
            await self._fetch(self._wanted, now)
        reply = await self._send(method, content, now=now, notify_url=notify_url)
        parts = _open(reply, method)
        if parts.certificate_sn is not None and not self._keys.knows(parts.certificate_sn):
            await self._fetch(parts.certificate_sn, now)
        try:
            self._keys.verify(parts.signature, parts.raw, parts.certificate_sn, now=now)
        except Unproven as error:
            raise self._unproven(parts.node, str(error)) from None
        return parts.node

    def want(self, certificate_sn: str) -> None:
        """Learn this certificate before the next call: a notification named it."""
        if self._keys.certificate_mode and not self._keys.knows(certificate_sn) and len(certificate_sn) <= 64:
            self._wanted = certificate_sn

    async def _send(
        self, method: str, content: Mapping[str, Any], *, now: datetime, notify_url: str | None = None
    ) -> HttpReply:
        parameters = self.signed(method, content, now=now, notify_url=notify_url)
        # What is not the business content travels in the address, as Alipay's own kits do it.
        body = urlencode({"biz_content": parameters.pop("biz_content")}).encode()
        headers = {"Content-Type": f"application/x-www-form-urlencoded;charset={CHARSET}"}
        try:
            reply = await self._http.call("POST", f"{self.address}?{urlencode(parameters)}", headers=headers, body=body)
        except ChannelUnreachable as error:
            raise NoWord("no_answer" if error.sent else "not_sent", error.detail) from None
        self.date = reply.headers.get("date")
        return reply

    async def _fetch(self, certificate_sn: str, now: datetime) -> None:
        """Learn a certificate from Alipay; what fails shows when the certificate is needed."""
        if self._fetched_at is not None and abs(now - self._fetched_at) < _FETCH_AFTER:
            return
        self._fetched_at, self._wanted = now, None
        if not self._keys.certificate_mode:
            return
        method = "alipay.open.app.alipaycert.download"
        try:
            parts = _open(await self._send(method, {"alipay_cert_sn": certificate_sn}, now=now), method)
            content = parts.node.get("alipay_cert_content")
            if isinstance(content, str):
                self._keys.learn(certificate_sn, base64.b64decode(content, validate=True).decode())
        except (NoWord, Unproven, binascii.Error, ValueError):
            return

    def _unproven(self, node: Mapping[str, Any], reason: str) -> NoWord:
        """An answer without proof; the code of a refusal is kept for people, but nothing is concluded from it."""
        code, sub_code = text(node.get("code"), 64), text(node.get("sub_code"), 64)
        if code is not None and code != SUCCESS and sub_code is not None:
            meaning = self._codes.find("*", code, sub_code)
            unified_code = meaning.unified_code if meaning is not None else None
            return NoWord(sub_code, text(node.get("sub_msg"), 256), unified_code=unified_code, reason=reason)
        return NoWord(reason, "an answer that is not proven to come from Alipay")


def succeeded(node: Mapping[str, Any]) -> bool:
    """Whether Alipay has done what was asked; it then names no code besides."""
    return node.get("code") == SUCCESS and "sub_code" not in node


class _Parts:
    """An answer taken apart. `raw` is the node as it came, byte for byte."""

    __slots__ = ("certificate_sn", "node", "raw", "signature")

    def __init__(self, node: dict[str, Any], raw: bytes, signature: object, certificate_sn: str | None) -> None:
        self.node = node
        self.raw = raw
        self.signature = signature
        self.certificate_sn = certificate_sn


def _open(reply: HttpReply, method: str) -> _Parts:
    try:
        found = _members(reply.body.decode())
        value, raw = found[method.replace(".", "_") + "_response"] if "error_response" not in found else _error(found)
        certificate_sn = found["alipay_cert_sn"][0] if "alipay_cert_sn" in found else None
        if not isinstance(value, dict) or not (certificate_sn is None or isinstance(certificate_sn, str)):
            raise ValueError
    except (ValueError, KeyError, RecursionError):
        raise NoWord("unreadable", f"an answer with status {reply.status} that is not one of Alipay's") from None
    return _Parts(value, raw.encode(), found["sign"][0] if "sign" in found else None, certificate_sn)


def _error(found: Mapping[str, tuple[Any, str]]) -> tuple[Any, str]:
    """The gateway's own refusal stands under another name; only a refusal may."""
    value, raw = found["error_response"]
    if not isinstance(value, dict) or value.get("code") in (None, SUCCESS, "10003"):
        raise ValueError
    return value, raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
_BLANK = " \t\r\n"


def _members(document: str) -> dict[str, tuple[Any, str]]:
    """The members of a JSON object, each as a value and as it is written.

    Errors:
        ValueError: not one JSON object, or a name stands twice.
    """
    found: dict[str, tuple[Any, str]] = {}
    at = _skip(document, 0)
    if document[at : at + 1] != "{":
        raise ValueError("not an object")
    at = _skip(document, at + 1)
    while document[at : at + 1] not in ("}", ""):
        name, at = _DECODER.raw_decode(document, at)
        at = _skip(document, at)
        if not isinstance(name, str) or name in found or document[at : at + 1] != ":":
            raise ValueError("not an object")
        start = _skip(document, at + 1)
        value, at = _DECODER.raw_decode(document, start)
        found[name] = (value, document[start:at])
        at = _skip(document, at)
        if document[at : at + 1] == ",":
            at = _skip(document, at + 1)
        elif document[at : at + 1] != "}":
            raise ValueError("not an object")
    if document[at : at + 1] != "}" or _skip(document, at + 1) != len(document):
        raise ValueError("not one object")
    return found


def _skip(document: str, at: int) -> int:
    while document[at : at + 1] and document[at] in _BLANK:
        at += 1
    return at


def order_string(parameters: Mapping[str, str]) -> str:
    """Signed parameters as the application's kit takes them."""
    return "&".join(f"{name}={quote_plus(value)}" for name, value in sorted(parameters.items()))
