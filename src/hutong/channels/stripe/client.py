"""Stripe: one call over the network, and the reading of what came back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from hutong.channels.codes.codes import Codes
from hutong.channels.errors import ChannelUnreachable
from hutong.channels.http import Http
from hutong.channels.model import ChannelAnswer, ChannelState, text
from hutong.channels.stripe.credentials import StripeCredentials, StripeKeys
from hutong.money import AMOUNT_MINOR_MAX

API_VERSION = "2025-03-31.basil"
"""Pinned: Stripe's objects change their shape with the version that is asked for."""

_REFUSED_FOR_GOOD = frozenset({400, 401, 402, 403, 404})
"""Statuses at which Stripe says that it did not do it. At 409, 429 and from 500 on it may yet be done."""


class NoWord(Exception):
    """Stripe has not said anything that can be used; carries the UNKNOWN answer."""

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(code)
        self.answer = ChannelAnswer(
            ChannelState.UNKNOWN, channel_code=text(code, 64), channel_message=text(message, 256)
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is JSON.

    Attributes:
        replayed: It is what Stripe answered to the first call with this Idempotency-Key: what was, not what is.
    """

    status: int
    content: Mapping[str, Any]
    replayed: bool
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether it is what was asked for, as far as the outside tells."""
        return self.status == 200 and "error" not in self.content

    @property
    def error(self) -> Mapping[str, Any]:
        found = self.content.get("error")
        return found if isinstance(found, dict) else {}


class StripeWire:
    """Calls for one account."""

    def __init__(self, credentials: StripeCredentials, http: Http, keys: StripeKeys, codes: Codes) -> None:
        self._base_url = credentials.base_url
        self._http = http
        self._keys = keys
        self._codes = codes

    async def post(self, path: str, fields: Mapping[str, str], *, key: str) -> Reply:
        """Change something.

        Args:
            key: The Idempotency-Key. Within a day the same key with the same fields is the same call, done once.

        Errors:
            NoWord: no answer, or one that is not JSON.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": key}
        return await self._call("POST", path, headers, urlencode(fields).encode())

    async def get(self, path: str, fields: Mapping[str, str] | None = None) -> Reply:
        """Ask for something.

        Errors:
            NoWord: as for `post`.
        """
        return await self._call("GET", f"{path}?{urlencode(fields)}" if fields else path, {}, b"")

    async def _call(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        said = {"Authorization": self._keys.authorize(), "Stripe-Version": API_VERSION, **headers}
        try:
            reply = await self._http.call(method, self._base_url + target, headers=said, body=body)
        except ChannelUnreachable as error:
            raise NoWord("no_answer" if error.sent else "not_sent", error.detail) from None
        try:
            content = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise NoWord("unreadable", f"an answer with status {reply.status} is not a JSON object")
        replayed = reply.headers.get("idempotent-replayed") == "true"
        return Reply(reply.status, content, replayed, reply.headers)

    def refusal(self, interface: str, reply: Reply) -> ChannelAnswer:
        """What an answer other than the wanted one amounts to, by the code map."""
        error = reply.error
        code = text(error.get("code"), 64) or text(error.get("type"), 64)
        message = text(error.get("message"), 256)
        if code is None or reply.status < 400:
            return ChannelAnswer(
                ChannelState.UNKNOWN, channel_code=code or f"http_{reply.status}", channel_message=message
            )
        answer = self.words(interface, code, text(error.get("decline_code"), 64) or "", message)
        if answer.state is not ChannelState.UNKNOWN and reply.status not in _REFUSED_FOR_GOOD:
            return ChannelAnswer(
                ChannelState.UNKNOWN,
                channel_code=answer.channel_code,
                channel_message=message,
                code="in_doubt",
                retryable=True,
            )
        return answer

    def words(self, interface: str, code: str, decline_code: str, message: str | None) -> ChannelAnswer:
        """A code with its decline code as the code map reads it."""
        meaning = self._codes.read(interface, code, decline_code, message=message or "")
        shown = f"{code}/{decline_code}" if decline_code and decline_code != code else code
        return ChannelAnswer(
            meaning.state,
            channel_code=shown[:64],
            channel_message=message,
            code=meaning.unified_code,
            retryable=meaning.retryable,
        )

    def state(self, interface: str, word: object) -> tuple[ChannelState, str | None]:
        """What a status amounts to, and our word for it. One that the map does not hold is UNKNOWN."""
        meaning = self._codes.read(interface, text(word, 64) or "missing")
        return meaning.state, meaning.unified_code


def amount(value: object) -> int | None:
    """An amount in minor units, which is how Stripe counts too, or None."""
    return value if type(value) is int and 0 < value <= AMOUNT_MINOR_MAX else None


def currency(value: object) -> str | None:
    """An ISO 4217 code, which Stripe writes in small letters, or None."""
    return value.upper() if isinstance(value, str) and re.fullmatch("[a-z]{3}", value) else None


def instant(value: object) -> datetime | None:
    """Seconds since 1970, or None."""
    if type(value) is not int or not 0 < value < 1 << 36:
        return None
    return datetime.fromtimestamp(value, UTC)


def metadata(thing: Mapping[str, Any], name: str) -> str | None:
    """What we wrote on an object when we made it."""
    written = thing.get("metadata")
    value = written.get(name) if isinstance(written, dict) else None
    return value if isinstance(value, str) else None
