"""Stripe's HTTP client: authorized requests out, JSON back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hutong.channels.errors import ChannelUnreachable, NoAnswer, NotAuthentic
from hutong.channels.http import Http, decode_object
from hutong.channels.stripe.credentials import StripeCredentials, StripeKeys

API_VERSION = "2025-03-31.basil"
"""Pinned: Stripe's objects change their shape with the requested version."""


@dataclass(frozen=True, slots=True)
class StripeReply:
    """A JSON answer.

    Attributes:
        replayed: Stripe repeats its answer to the first call with this Idempotency-Key: a past state, not the current
            one.
    """

    status: int
    content: Mapping[str, Any]
    replayed: bool
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether status and form are those of a success; the content is still to be checked."""
        return self.status == 200 and "error" not in self.content

    @property
    def error(self) -> Mapping[str, Any]:
        error = self.content.get("error")
        return error if isinstance(error, dict) else {}


class StripeClient:
    """The calls of one account."""

    def __init__(self, credentials: StripeCredentials, http: Http, keys: StripeKeys) -> None:
        self._base_url = credentials.base_url
        self._http = http
        self._keys = keys

    async def post(self, path: str, fields: Mapping[str, str], *, key: str) -> StripeReply:
        """Send a change.

        Args:
            key: The Idempotency-Key. Within a day the same key with the same fields is the same call, executed once.

        Errors:
            NoAnswer: no answer, or one that is not JSON.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": key}
        return await self._call("POST", path, headers, urlencode(fields).encode())

    async def get(self, path: str, fields: Mapping[str, str] | None = None) -> StripeReply:
        """Send a query.

        Errors:
            NoAnswer: as for `post`.
        """
        return await self._call("GET", f"{path}?{urlencode(fields)}" if fields else path, {}, b"")

    async def _call(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> StripeReply:
        headers = {"Authorization": self._keys.authorize(), "Stripe-Version": API_VERSION, **headers}
        try:
            reply = await self._http.call(method, self._base_url + target, headers=headers, body=body)
            content = decode_object(reply.body)
        except ChannelUnreachable as error:
            raise NoAnswer.unreachable(error) from None
        except NotAuthentic:
            raise NoAnswer("unreadable", f"an answer with status {reply.status} is not a JSON object") from None
        replayed = reply.headers.get("idempotent-replayed") == "true"
        return StripeReply(reply.status, content, replayed, reply.headers)
