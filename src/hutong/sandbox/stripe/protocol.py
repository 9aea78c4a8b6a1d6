"""Stripe's HTTP: the caller's key, and answers with Stripe's headers."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import orjson
from aiohttp import web

from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.validation import StripeRefusal


@dataclass(frozen=True, slots=True)
class StripeAnswer:
    """A status and a body; `original` is the request that first got a replayed answer."""

    status: int
    body: Mapping[str, Any]
    original: str | None = None


def api_key(request: web.Request) -> str:
    """Return the API key of a request."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        try:
            key = base64.b64decode(key, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if scheme not in ("Bearer", "Basic") or not key:
        raise StripeRefusal(401, None, "You did not provide an API key.")
    return key


def fail(status: int | None, code: str | None) -> StripeAnswer:
    kind = "invalid_request_error" if status is not None and status < 500 else "api_error"
    return StripeAnswer(
        status or 500,
        StripeRefusal(0, code or None, code or "An error occurred with Stripe's servers.", kind=kind).body,
    )


def reply(request: web.Request, answer: StripeAnswer, kind: str, now: datetime) -> web.StreamResponse:
    document: Any = answer.body
    if kind in ("unsigned", "bad_signature", "stale"):
        # Stripe signs no answers; a page of a server in between stands for an answer that is not Stripe's.
        return web.Response(status=answer.status, text="<html>Welcome to the hotel</html>", content_type="text/html")
    if kind == "other_order":
        entries = document["data"] if isinstance(document.get("data"), list) else [document]
        other = [dict(entry) | {"metadata": {"attempt_no": "another_order_no"}} for entry in entries]
        document = dict(document) | {"data": other} if isinstance(document.get("data"), list) else other[0]
    body = orjson.dumps(document)
    if kind == "malformed":
        body = b'{"id": "pi_'
    elif kind == "too_long":
        body += b" " * (2 << 20)
    headers = {"Content-Type": "application/json", "Request-Id": f"req_{secrets.token_hex(7)}"}
    headers["Date"] = format_datetime(now.astimezone(UTC), usegmt=True)
    headers["Stripe-Version"] = request.headers.get("Stripe-Version", objects.API_VERSION)
    if answer.original is not None:
        headers |= {"Idempotent-Replayed": "true", "Original-Request": answer.original}
    return web.Response(status=answer.status, body=body, headers=headers)
