"""The pages of the sandbox: one frame, one design, complete without a script, and none of them posts for a stranger."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from jinja2 import Environment

from hutong.errors import InvalidRequest
from hutong.foreign_text import escape
from hutong.http_requests import refuse_doubled_headers, refuse_foreign_origin
from hutong.money import to_display
from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.translations import TEXTS
from hutong.static_files import read_templates

_FOLDER = Path(__file__).parent
_LANGUAGES = {"en": ("en", "English"), "zh": ("zh-CN", "中文")}
_SHOWN_MAX = 300
_TOLD_IN_MINUTES = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """An order as a page shows it; `state` is "expired" for an open one that nobody can pay any more."""

    channel: str
    code_url: str
    description: str
    amount: tuple[str, str, str]
    currency: str
    state: str
    time_left: str


def show_order(channel: str, order: SandboxOrder, *, payable: bool, now: datetime, lang: str) -> ShownOrder:
    """Return an order as a page in this language shows it."""
    description = " ".join(escape(order.description).split())
    return ShownOrder(
        channel=channel,
        code_url=order.code_url,
        description=description if len(description) <= _SHOWN_MAX else description[:_SHOWN_MAX] + "…",
        amount=to_display(order.amount_minor, order.currency),
        currency=order.currency,
        state=order.state.value if payable or order.state is not OrderState.OPEN else "expired",
        time_left=_time_left(order.expires_at, now, lang),
    )


def language(request: web.Request) -> str:
    """Return the page's language: the requested one, otherwise the browser's."""
    wanted = request.query.get("lang", request.headers.get("Accept-Language", ""))
    return "zh" if wanted.lower().startswith("zh") else "en"


def render(
    request: web.Request,
    template: str,
    *,
    title: str,
    status: int = 200,
    script: str | None = None,
    forms_to: Sequence[str] = (),
    **values: Any,
) -> web.Response:
    """Render a page.

    Args:
        title: The name of the title's text.
        script: The name of the page's own script.
        forms_to: The addresses to which its forms lead, or to which their answers redirect.
    """
    lang, css = language(request), _asset("pages.css")
    code = None if script is None else _asset(script)
    names = [
        {"tag": tag, "name": name, "href": str(request.rel_url.update_query(lang=key))}
        for key, (tag, name) in _LANGUAGES.items()
    ]
    text = _environment().get_template(template).render(
        texts=TEXTS[lang], lang=lang, tag=_LANGUAGES[lang][0], languages=names, title=title,
        css=css, script=code, **values,
    )  # fmt: skip
    sources = ["'self'", *dict.fromkeys(filter(None, map(_origin, forms_to)))]
    policy = [
        "default-src 'none'",
        f"style-src {_digest(css)}",
        "img-src data:",
        "connect-src 'self'",
        f"form-action {' '.join(sources)}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
    if code is not None:
        policy.append(f"script-src {_digest(code)}")
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "Content-Language": _LANGUAGES[lang][0],
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def refuse_foreign(request: web.Request) -> web.Response | None:
    """Return the refusal of a doubled header, or of what a page of another site has sent; None for all else."""
    try:
        refuse_doubled_headers(name for name, _ in request.raw_headers)
        refuse_foreign_origin({name.lower(): value for name, value in request.headers.items()})
    except InvalidRequest as error:
        return web.json_response({"error": error.detail}, status=error.http_status)
    return None


def web_address(address: object) -> str | None:
    """Return an address if a page may lead a browser there, otherwise None."""
    return address if isinstance(address, str) and _origin(address) is not None else None


def _origin(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    usable = address.isascii() and address.isprintable() and parts.scheme in ("http", "https") and parts.hostname
    if not usable or "@" in parts.netloc or any(character in parts.netloc for character in " ;,'\"\\"):
        return None
    return f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port else "")


def _time_left(expires_at: datetime | None, now: datetime, lang: str) -> str:
    texts = TEXTS[lang]
    if expires_at is None:
        return str(texts["no_end"])
    left = expires_at - now
    if left >= _TOLD_IN_MINUTES:
        return str(texts["time_left_days"]).format(days=left.days)
    minutes = left // timedelta(minutes=1)
    return str(texts["time_left"]).format(minutes=minutes) if minutes > 0 else str(texts["time_left_short"])


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (_FOLDER / "static" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return read_templates(_FOLDER / "templates")
