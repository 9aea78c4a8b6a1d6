"""The payment page, and the state that its script follows, made from the view of the life cycle."""

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
from hutong.cashier import assets, formatting, qr
from hutong.cashier.model import CheckoutStatus, CheckoutView
from hutong.cashier.next_action import NextAction, next_action
from hutong.cashier.translations import LANGUAGES, Translations
from hutong.channels import ActionKind

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)
_WALLET_ICONS = {"wechat": "scan", "alipay": "scan", "unionpay": "scan", "card": "card"}


class Phase(StrEnum):
    """The panel that the page shows; always exactly one."""

    CHOOSE = "choose"
    SCAN = "scan"
    RENEW = "renew"
    """The code or link has expired, and the payer can have a new one."""
    NEXT_ACTION = "next_action"
    IN_APP = "in_app"
    CONFIRM = "confirm"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OfferedMethod:
    """A payment method as the page offers it."""

    name: str
    wallet: str
    label: str
    hint: str
    icon: str


def phase(view: CheckoutView) -> Phase:
    """Choose the panel. The server decides this alone, so that no payer's clock matters.

    After the expiry nobody is invited to pay any more, even before the life cycle has closed the payment; a payer who
    may have paid in the last second is asked to wait for the result.
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
            if view.action_expires_at is not None and view.server_time >= view.action_expires_at:
                return Phase.RENEW
            if view.action.kind is ActionKind.QR_CODE:
                return Phase.SCAN
            if view.action.kind is ActionKind.SDK:
                return Phase.IN_APP
            return Phase.CONFIRM if next_action(view.action) is None else Phase.NEXT_ACTION


def state(view: CheckoutView, texts: Translations) -> dict[str, Any]:
    """Return the part of the page that changes while it is open, in the payer's language.

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
        "next_action": _public(next_action(view.action)) if shown is Phase.NEXT_ACTION else None,
        "failure": None if failure is None else formatting.display(failure.get(texts.code, ""), limit=200),
        "return_url": formatting.web_address(view.return_url),
        "sandbox_payer_url": formatting.web_address(view.sandbox_payer_url),
    }


def _public(step: NextAction | None) -> dict[str, str | None] | None:
    """Return what the script needs of an action. A form's fields are left out: only a page made for it may post it."""
    return None if step is None else {"kind": step.kind, "url": step.url}


def policy(view: CheckoutView) -> str:
    """Return the page's Content-Security-Policy: a form for the channel may be posted to the channel alone."""
    step = next_action(view.action) if phase(view) is Phase.NEXT_ACTION else None
    if step is None or step.kind is not ActionKind.FORM:
        return CONTENT_SECURITY_POLICY
    return CONTENT_SECURITY_POLICY.replace("form-action 'self'", f"form-action 'self' {step.origin}")


def encoded(current: dict[str, Any]) -> tuple[bytes, str]:
    """Return a state as JSON, and its entity tag."""
    body = orjson.dumps(current)
    return body, f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def offered_method(name: str, texts: Translations, *, wallet: str | None = None) -> OfferedMethod:
    """Describe a method in the payer's language by its wallet; without a translation it is shown by its own name."""
    wallet = wallet or name.partition("_")[0]
    return OfferedMethod(
        name=name,
        wallet=wallet if wallet in _WALLET_ICONS else "other",
        label=texts.wallets.get(wallet) or texts.methods.get(name) or name.replace("_", " ").capitalize(),
        hint=texts.hints.get(name, texts.any_hint),
        icon=_WALLET_ICONS.get(wallet, "wallet"),
    )


def render(view: CheckoutView, token: str, texts: Translations, *, changing: bool = False) -> str:
    """Render the whole page, complete before any script runs.

    Args:
        changing: The payer asked to choose another method while an attempt is running.
    """
    current = state(view, texts)
    shown = current["phase"]
    if changing and shown in {Phase.SCAN, Phase.RENEW, Phase.NEXT_ACTION, Phase.IN_APP, Phase.CONFIRM}:
        shown = Phase.CHOOSE
    merchant = formatting.display(view.merchant_name, limit=120)
    methods = [offered_method(name, texts, wallet=view.wallets.get(name)) for name in view.methods]
    running = offered_method(view.method, texts, wallet=view.wallets.get(view.method)) if view.method else None
    return _template("checkout.html").render(
        texts=texts,
        languages=LANGUAGES.values(),
        assets=assets.assets(),
        payment_id=ids.encode("pay", view.payment_id),
        token=token,
        state=current,
        next_action=next_action(view.action) if current["next_action"] else None,
        etag=encoded(current)[1],
        phase=shown,
        merchant=merchant,
        monogram=formatting.monogram(merchant),
        subject=formatting.display(view.subject, limit=300),
        amount=formatting.amount(view.amount_minor, view.currency),
        methods=methods,
        running=running,
        selected=view.method if view.method in view.methods else next(iter(view.methods), None),
        server_time_ms=int(view.server_time.timestamp() * 1000),
        expires_at_ms=int(view.expires_at.timestamp() * 1000),
        time_left=time_left(view.expires_at - view.server_time, texts),
    )


def render_message(title: str, detail: str, texts: Translations) -> str:
    """Render a page with one message and nothing about any payment."""
    return _template("message.html").render(
        texts=texts, languages=LANGUAGES.values(), assets=assets.assets(), title=title, detail=detail
    )


def time_left(left: timedelta, texts: Translations) -> str:
    """Write the time left, such as "14:59", "2:05:00" or "3 d 2:05:00"; the page's script continues it."""
    seconds = max(0, -(-left // timedelta(seconds=1)))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    clock = f"{minutes:02}:{seconds % 60:02}"
    if days or hours:
        clock = f"{hours}:{clock}"
    return texts.time_left_days.format(days=days, time=clock) if days else clock


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
