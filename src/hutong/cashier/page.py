"""From what the life cycle says to what the payer sees: the page and the state that its script follows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from hutong import ids
from hutong.cashier import assets, qr
from hutong.cashier import formatting as text
from hutong.cashier.model import CheckoutStatus, CheckoutView
from hutong.cashier.next_action import Onward, onward
from hutong.cashier.translations import LANGUAGES, Words
from hutong.channels import ActionKind

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)
_WALLET_ICONS = {"wechat": "scan", "alipay": "scan", "unionpay": "scan", "card": "card"}


class Phase(StrEnum):
    """What the page shows; exactly one of its panels."""

    CHOOSE = "choose"
    SCAN = "scan"
    ONWARD = "onward"
    IN_APP = "in_app"
    CONFIRM = "confirm"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Method:
    """A payment method as it is offered."""

    name: str
    wallet: str
    label: str
    hint: str
    icon: str


def phase(view: CheckoutView) -> Phase:
    """Which panel fits. The server decides this alone, so that no payer's clock has a say.

    Past its end nobody is invited to pay any more, even before the life cycle has closed the payment; who may have
    paid in the last second is told to wait for the answer.
    """
    expired = view.server_time >= view.expires_at
    match view.status:
        case CheckoutStatus.SUCCEEDED:
            return Phase.SUCCEEDED
        case CheckoutStatus.CLOSED:
            return Phase.CLOSED
        case CheckoutStatus.REQUIRES_PAYMENT:
            return Phase.CLOSED if expired else Phase.CHOOSE
        case CheckoutStatus.PROCESSING:
            if view.action is None or expired:
                return Phase.CONFIRM
            if view.action.kind is ActionKind.QR_CODE:
                return Phase.SCAN
            if view.action.kind is ActionKind.SDK:
                return Phase.IN_APP
            return Phase.CONFIRM if onward(view.action) is None else Phase.ONWARD


def state(view: CheckoutView, words: Words) -> dict[str, Any]:
    """What changes while the page is open, in the payer's language.

    It holds no time, so that an unchanged payment has an unchanged ETag.
    """
    shown = phase(view)
    scanning = shown is Phase.SCAN and view.action is not None
    failure = view.failure if view.status is CheckoutStatus.REQUIRES_PAYMENT else None
    return {
        "phase": shown,
        "final": view.status in {CheckoutStatus.SUCCEEDED, CheckoutStatus.CLOSED},
        "method": view.method,
        "qr": qr.picture(view.action.content) if scanning and view.action else None,
        "onward": _told(onward(view.action)) if shown is Phase.ONWARD else None,
        "failure": None if failure is None else text.display(failure.get(words.code, ""), limit=200),
        "return_url": text.web_address(view.return_url),
        "sandbox_payer_url": text.web_address(view.sandbox_payer_url),
    }


def _told(step: Onward | None) -> dict[str, str | None] | None:
    """The step as the script needs it. A form is not in it: only a page that was made for it may post it."""
    return None if step is None else {"kind": step.kind, "url": step.url}


def policy(view: CheckoutView) -> str:
    """The page's Content-Security-Policy: a form that leads to the channel may be posted to the channel alone."""
    step = onward(view.action) if phase(view) is Phase.ONWARD else None
    if step is None or step.kind is not ActionKind.FORM:
        return CONTENT_SECURITY_POLICY
    return CONTENT_SECURITY_POLICY.replace("form-action 'self'", f"form-action 'self' {step.origin}")


def encoded(current: dict[str, Any]) -> tuple[bytes, str]:
    """A state as JSON and its entity tag."""
    body = orjson.dumps(current)
    return body, f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def method(name: str, words: Words) -> Method:
    """A method in the payer's words; one that nobody has named yet is shown by its own name."""
    wallet = name.partition("_")[0]
    return Method(
        name=name,
        wallet=wallet if wallet in _WALLET_ICONS else "other",
        label=words.methods.get(name) or words.wallets.get(wallet) or name.replace("_", " ").capitalize(),
        hint=words.hints.get(name, words.any_hint),
        icon=_WALLET_ICONS.get(wallet, "wallet"),
    )


def render(view: CheckoutView, token: str, words: Words, *, changing: bool = False) -> str:
    """The whole page, complete before any script runs.

    Args:
        changing: The payer asked to choose another method while an attempt is running.
    """
    current = state(view, words)
    shown = current["phase"]
    if changing and shown in {Phase.SCAN, Phase.ONWARD, Phase.IN_APP, Phase.CONFIRM}:
        shown = Phase.CHOOSE
    merchant = text.display(view.merchant_name, limit=120)
    methods = [method(name, words) for name in view.methods]
    running = method(view.method, words) if view.method else None
    return _template("checkout.html").render(
        words=words,
        languages=LANGUAGES.values(),
        assets=assets.assets(),
        payment_id=ids.encode("pay", view.payment_id),
        token=token,
        state=current,
        onward=onward(view.action) if current["onward"] else None,
        etag=encoded(current)[1],
        phase=shown,
        merchant=merchant,
        monogram=text.monogram(merchant),
        subject=text.display(view.subject, limit=300),
        amount=text.amount(view.amount_minor, view.currency),
        methods=methods,
        running=running,
        selected=view.method if view.method in view.methods else next(iter(view.methods), None),
        server_time_ms=int(view.server_time.timestamp() * 1000),
        expires_at_ms=int(view.expires_at.timestamp() * 1000),
        time_left=time_left(view.expires_at - view.server_time, words),
    )


def render_message(title: str, detail: str, words: Words) -> str:
    """A page that says one thing and nothing about any payment."""
    return _template("message.html").render(
        words=words, languages=LANGUAGES.values(), assets=assets.assets(), title=title, detail=detail
    )


def time_left(left: timedelta, words: Words) -> str:
    """A countdown's text, such as "14:59", "2:05:00" or "3 d 2:05:00"; the page's script continues it."""
    seconds = max(0, -(-left // timedelta(seconds=1)))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    clock = f"{minutes:02}:{seconds % 60:02}"
    if days or hours:
        clock = f"{hours}:{clock}"
    return words.time_left_days.format(days=days, time=clock) if days else clock


@cache
def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
