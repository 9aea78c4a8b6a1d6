"""Stripe's HTTP client: authorized requests out, JSON back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from hutong.channels.errors import ChannelUnreachable, NoAnswer, NotAuthentic
from hutong.channels.http import Http, decode_object
from hutong.channels.model import OrderReference
from hutong.channels.stripe.credentials import StripeCredentials, StripeKeys

API_VERSION = "2025-03-31.basil"
"""Pinned: Stripe's objects change their shape with the requested version."""

_NOT_OFFERED = frozenset({400, 403, 404})
_SLACK = timedelta(minutes=10)
"""Between our clock and Stripe's, and from an intent to its call."""
_EXPAND_LIST = {"expand[]": "data.latest_charge"}
_PAGE, _PAGES_MAX = 100, 100


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

    async def find_intents(self, order: OrderReference) -> StripeReply | list[Mapping[str, Any]]:
        """Find the PaymentIntents with our number in their metadata.

        Stripe's search lags behind by a minute or more, and is not offered in India. Where it is refused without a
        code, which no public source names, the lists of what was created near the time of the order, and then while it
        could be placed, are looked through.

        Returns:
            The intents, with their charges; or Stripe's answer where it neither searches nor lists.

        Errors:
            NoAnswer: as for `get`, or there are too many to look through.
        """
        query = {"query": f"metadata['attempt_no']:'{order.attempt_no}'", **_EXPAND_LIST}
        reply = await self.get("/v1/payment_intents/search", query)
        if reply.status not in _NOT_OFFERED or reply.error.get("code"):
            return _entries(reply) if reply.ok else reply
        placed_at = order.placed_at
        for end in (placed_at, placed_at + timedelta(days=1)):
            listed = await self._list_intents(order.attempt_no, placed_at - _SLACK, end + _SLACK)
            if listed != []:
                return listed
        return []

    async def _list_intents(
        self, attempt_no: str, start: datetime, end: datetime
    ) -> StripeReply | list[Mapping[str, Any]]:
        """List what was created in a time, page by page, up to the page with our number."""
        filters = {"created[gte]": str(int(start.timestamp())), "created[lte]": str(int(end.timestamp()))}
        filters |= {"limit": str(_PAGE), **_EXPAND_LIST}
        for _ in range(_PAGES_MAX):
            reply = await self.get("/v1/payment_intents", filters)
            if not reply.ok:
                return reply
            entries = _entries(reply)
            found = [entry for entry in entries if (entry.get("metadata") or {}).get("attempt_no") == attempt_no]
            if found or reply.content.get("has_more") is not True:
                return found
            filters |= {"starting_after": str(entries[-1].get("id") if entries else "")}
        raise NoAnswer("unreadable", "too many PaymentIntents to look through")

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


def _entries(reply: StripeReply) -> list[Mapping[str, Any]]:
    """Return the objects of a list.

    Errors:
        NoAnswer: it is not a list of objects with metadata.
    """
    entries = reply.content.get("data")
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("metadata") or {}, dict) for entry in entries
    ):
        raise NoAnswer("unreadable", "not a list of PaymentIntents")
    return entries
