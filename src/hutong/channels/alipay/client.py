"""Alipay's HTTP client: one address for every interface, signed parameters out, one signed node back.

The signature covers the bytes of the node exactly as received, so the node is cut out of the answer, never rebuilt.

Source:
    https://w3cschool.cn/aliminiapp/aliminiapp-dcmn2d18.html (`app_auth_token`: a third-party application acts for a
    merchant), https://opendocs.alipay.com/common/02kf5p (parameters and answers), https://opendocs.alipay.com/common/02mse7
    (verifying), https://opendocs.alipay.com/common/056zub (alipay.open.app.alipaycert.download).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote_plus, urlencode

from hutong.channels.alipay.credentials import CHARSET, CODECS, SIGN_TYPE, AlipayCredentials, AlipayKeys
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import ChannelUnreachable, NoAnswer, NotAuthentic
from hutong.channels.http import Http, HttpReply
from hutong.channels.key_fetches import KeyFetches
from hutong.channels.model import text
from hutong.clock import BEIJING

SUCCESS = "10000"
PATH = "/gateway.do"
CERTIFICATE = "alipay.open.app.alipaycert.download"
AUTHORIZATION_QUERY = "alipay.open.auth.token.app.query"
_OWN = frozenset({CERTIFICATE, AUTHORIZATION_QUERY})
"""What an application asks for itself, not for the merchant that it acts for."""
_NAMED = re.compile(r"(?i)\bcharset=\"?([0-9a-z-]+)")
_SN = re.compile(r"[0-9a-f]{1,64}")


class AlipayClient:
    """The calls of one application."""

    def __init__(self, credentials: AlipayCredentials, keys: AlipayKeys, http: Http, codes: Codes) -> None:
        self._app_id = credentials.app_id
        token = credentials.app_auth_token
        self._authorization = {} if token is None else {"app_auth_token": token.get_secret_value()}
        self._base_url = credentials.base_url
        self._keys = keys
        self._http = http
        self._codes = codes
        # Two, so that what strangers name in notifications delays no certificate that an answer names.
        self._fetches = KeyFetches(keys.holds)
        self._fetches_for_strangers = KeyFetches(keys.holds)
        """The time in the last answer's header, for diagnosis only."""

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
        flat: bool = False,
    ) -> dict[str, str]:
        """Return all parameters of a request, signed.

        Args:
            flat: Whether the content's fields are parameters of their own, as a few interfaces take them.
        """
        parameters = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": CHARSET,
            "sign_type": SIGN_TYPE,
            "timestamp": now.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            **_application(content, flat=flat),
            **self._keys.common,
            **({} if method in _OWN else self._authorization),
        }
        if notify_url:
            parameters["notify_url"] = notify_url
        if return_url:
            parameters["return_url"] = return_url
        return parameters | {"sign": self._keys.sign(parameters)}

    async def call(
        self,
        method: str,
        content: Mapping[str, Any],
        *,
        now: datetime,
        notify_url: str | None = None,
        flat: bool = False,
    ) -> dict[str, Any]:
        """Send one request and return the node of its answer, proven to be Alipay's.

        Errors:
            NoAnswer: there is no answer, or it is not proven.
        """
        reply = await self._send(method, content, now=now, notify_url=notify_url, flat=flat)
        parts = _open(reply, method)
        if (certificate_sn := parts.certificate_sn) is not None and self._is_wanted(certificate_sn, now):
            await self._fetches.obtain(certificate_sn, partial(self._fetch, certificate_sn, now), now=now)
        try:
            self._keys.verify(parts.signature, parts.raw, parts.certificate_sn, now=now)
        except NotAuthentic as error:
            raise self._unproven(parts.node, str(error)) from None
        return parts.node

    async def obtain_certificate(self, certificate_sn: str, now: datetime) -> bool:
        """Return whether a certificate that a notification names is held by now, after a fetch if one is due."""
        if not self._is_wanted(certificate_sn, now):
            return False
        fetch = partial(self._fetch, certificate_sn, now)
        return await self._fetches_for_strangers.obtain(certificate_sn, fetch, now=now, patient=False)

    def _is_wanted(self, certificate_sn: str, now: datetime) -> bool:
        known_form = self._keys.certificate_mode and _SN.fullmatch(certificate_sn) is not None
        return known_form and not self._keys.holds(certificate_sn, now)

    async def _send(
        self,
        method: str,
        content: Mapping[str, Any],
        *,
        now: datetime,
        notify_url: str | None = None,
        flat: bool = False,
    ) -> HttpReply:
        parameters = self.signed(method, content, now=now, notify_url=notify_url, flat=flat)
        # All but the business content is in the address, as in Alipay's own SDKs.
        body = urlencode({name: parameters.pop(name) for name in _application(content, flat=flat)}).encode()
        headers = {"Content-Type": f"application/x-www-form-urlencoded;charset={CHARSET}"}
        try:
            reply = await self._http.call("POST", f"{self.address}?{urlencode(parameters)}", headers=headers, body=body)
        except ChannelUnreachable as error:
            raise NoAnswer.unreachable(error) from None
        return reply

    async def _fetch(self, certificate_sn: str, now: datetime) -> bool:
        """Fetch a certificate from Alipay and adopt it; return whether Alipay has answered with one, or has none."""
        try:
            parts = _open(await self._send(CERTIFICATE, {"alipay_cert_sn": certificate_sn}, now=now), CERTIFICATE)
        except NoAnswer:
            return False
        content = parts.node.get("alipay_cert_content")
        if isinstance(content, str):
            with suppress(NotAuthentic, binascii.Error, ValueError):
                self._keys.adopt_certificate(certificate_sn, base64.b64decode(content, validate=True).decode())
        return True

    def _unproven(self, node: Mapping[str, Any], reason: str) -> NoAnswer:
        """Return the error for an answer without proof; a refusal's code is kept for people and decides nothing."""
        code, sub_code = text(node.get("code"), 64), text(node.get("sub_code"), 64)
        if code is not None and code != SUCCESS and sub_code is not None:
            meaning = self._codes.find("*", code, sub_code)
            unified_code, entry = (None, None) if meaning is None else (meaning.unified_code, meaning.entry)
            message = text(node.get("sub_msg"), 256)
            return NoAnswer(sub_code, message, unified_code=unified_code, code_entry=entry, reason=reason)
        return NoAnswer(reason, "the answer is not proven to come from Alipay")


def _application(content: Mapping[str, Any], *, flat: bool) -> dict[str, str]:
    """Return the parameters that hold the business content."""
    if flat:
        return dict(content)
    return {"biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":"))}


class _Parts:
    """The parts of an answer. `raw` is the node as received, byte for byte."""

    __slots__ = ("certificate_sn", "node", "raw", "signature")

    def __init__(self, node: dict[str, Any], raw: bytes, signature: object, certificate_sn: str | None) -> None:
        self.node = node
        self.raw = raw
        self.signature = signature
        self.certificate_sn = certificate_sn


def _open(reply: HttpReply, method: str) -> _Parts:
    try:
        document, codec = _decoded(reply)
        members = _members(document)
        name = method.replace(".", "_") + "_response"
        value, raw = members[name] if "error_response" not in members else _error(members)
        certificate_sn = members["alipay_cert_sn"][0] if "alipay_cert_sn" in members else None
        if not isinstance(value, dict) or not (certificate_sn is None or isinstance(certificate_sn, str)):
            raise ValueError
    except (ValueError, KeyError, RecursionError):
        raise NoAnswer("unreadable", f"an answer with status {reply.status} is not of Alipay's form") from None
    return _Parts(value, raw.encode(codec), members["sign"][0] if "sign" in members else None, certificate_sn)


def _decoded(reply: HttpReply) -> tuple[str, str]:
    """Return the text of an answer, with the codec that it was read by: that which it names, or else what fits.

    Errors:
        ValueError: none fits.
    """
    named = _NAMED.search(reply.headers.get("content-type", ""))
    codecs = dict.fromkeys([CODECS.get(named[1].lower(), CHARSET) if named else CHARSET, CHARSET, "gbk"])
    for codec in codecs:
        try:
            return reply.body.decode(codec), codec
        except UnicodeDecodeError:
            continue
    raise ValueError("in no charset of Alipay's")


def _error(members: Mapping[str, tuple[Any, str]]) -> tuple[Any, str]:
    """Return the gateway's own refusal, which has another name; nothing but a refusal may use it."""
    value, raw = members["error_response"]
    if not isinstance(value, dict) or value.get("code") in (None, SUCCESS, "10003"):
        raise ValueError
    return value, raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name occurs twice")
    return unique


def _refuse(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
_BLANK = " \t\r\n"


def _members(document: str) -> dict[str, tuple[Any, str]]:
    """Return the members of a JSON object, each as a value and as its text.

    Errors:
        ValueError: not one JSON object, or a name occurs twice.
    """
    members: dict[str, tuple[Any, str]] = {}
    at = _skip(document, 0)
    if document[at : at + 1] != "{":
        raise ValueError("not an object")
    at = _skip(document, at + 1)
    while document[at : at + 1] not in ("}", ""):
        name, at = _DECODER.raw_decode(document, at)
        at = _skip(document, at)
        if not isinstance(name, str) or name in members or document[at : at + 1] != ":":
            raise ValueError("not an object")
        start = _skip(document, at + 1)
        value, at = _DECODER.raw_decode(document, start)
        members[name] = (value, document[start:at])
        at = _skip(document, at)
        if document[at : at + 1] == ",":
            at = _skip(document, at + 1)
        elif document[at : at + 1] != "}":
            raise ValueError("not an object")
    if document[at : at + 1] != "}" or _skip(document, at + 1) != len(document):
        raise ValueError("not one object")
    return members


def _skip(document: str, at: int) -> int:
    while document[at : at + 1] and document[at] in _BLANK:
        at += 1
    return at


def order_string(parameters: Mapping[str, str]) -> str:
    """Return signed parameters as the application's SDK takes them."""
    return "&".join(f"{name}={quote_plus(value)}" for name, value in sorted(parameters.items()))
