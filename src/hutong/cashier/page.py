"""The payment page, and the state that its script follows, made from the view of the life cycle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, Template

from hutong import ids
from hutong.cashier import assets, formatting, qr, theme
from hutong.cashier.model import CheckoutStatus, CheckoutView
from hutong.cashier.next_action import NextAction, next_action
from hutong.cashier.translations import LANGUAGES, Translations
from hutong.channels import ActionKind
from hutong.clock import instant
from hutong.static_files import read_templates

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)
_WALLETS = frozenset({"wechat", "alipay", "unionpay", "card"})
_CLOCK_BELOW = timedelta(hours=1)


class Phase(StrEnum):
    """The panel that the page shows; always exactly one."""

    CHOOSE = "choose"
    UNAVAILABLE = "unavailable"
    """No method is offered."""
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
            return Phase.CLOSED if expired else Phase.CHOOSE if view.methods else Phase.UNAVAILABLE
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
        "bridge": view.bridge if shown is Phase.IN_APP else None,
        "failure": None if failure is None else formatting.display(failure.get(texts.code, ""), limit=200),
        "declined": failure is not None and view.declined,
        "closed": _closed(view, texts) if shown is Phase.CLOSED else None,
        "receipt": _receipt(view, texts),
        "return_url": formatting.web_address(view.return_url),
        "cancel_url": formatting.web_address(view.cancel_url),
        "sandbox_payer_url": formatting.web_address(view.sandbox_payer_url),
    }


def _closed(view: CheckoutView, texts: Translations) -> str:
    """Return the heading that says why nothing more can be paid."""
    if view.status is CheckoutStatus.REQUIRES_PAYMENT or view.close_reason == "expired":
        return texts.closed_expired
    return texts.closed_merchant if view.close_reason == "merchant" else texts.closed


def _receipt(view: CheckoutView, texts: Translations) -> dict[str, str | None] | None:
    """Return what a payer may want to keep of a finished payment."""
    if view.finished_at is None:
        return None
    method = None if view.finished_method is None else offered_method(view.finished_method, texts).label
    return {"at": instant(view.finished_at), "method": method}


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
        wallet=wallet if wallet in _WALLETS else "other",
        label=texts.wallets.get(wallet) or texts.methods.get(name) or name.replace("_", " ").capitalize(),
        hint=texts.hints.get(name, texts.any_hint),
    )


def render(
    view: CheckoutView, token: str, texts: Translations, *, changing: bool = False, sandbox: bool = False
) -> str:
    """Render the whole page, complete before any script runs.

    Args:
        changing: The payer asked to choose another method while an attempt is running.
        sandbox: Whether the page says that no real money moves.
    """
    current = state(view, texts)
    shown = current["phase"]
    if changing and shown in {Phase.SCAN, Phase.RENEW, Phase.NEXT_ACTION, Phase.IN_APP, Phase.CONFIRM}:
        shown = Phase.CHOOSE
    merchant = formatting.display(view.merchant_name, limit=120)
    methods = [offered_method(name, texts, wallet=view.wallets.get(name)) for name in view.methods]
    running = offered_method(view.method, texts, wallet=view.wallets.get(view.method)) if view.method else None
    return template("checkout.html").render(
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
        order_no=formatting.display(view.merchant_order_no, limit=64),
        amount=formatting.amount(view.amount_minor, view.currency),
        logo_url=None if view.logo is None else f"/pay/logos/{view.logo}",
        theme=None if view.color is None else theme.of_color(view.color),
        sandbox=sandbox,
        finished_at="" if view.finished_at is None else _utc(view.finished_at),
        methods=methods,
        running=running,
        open_in_browser=view.open_in_browser,
        selected=view.method if view.method in view.methods else next(iter(view.methods), None),
        server_time_ms=int(view.server_time.timestamp() * 1000),
        expires_at_ms=int(view.expires_at.timestamp() * 1000),
        time_left=time_left(view.expires_at, view.server_time),
    )


def render_message(title: str, detail: str, texts: Translations, *, sandbox: bool) -> str:
    """Render a page with one message and nothing about any payment."""
    return template("message.html").render(
        texts=texts, languages=LANGUAGES.values(), assets=assets.assets(), title=title, detail=detail, sandbox=sandbox
    )


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """The time left to pay: a clock such as "14:59" below an hour, otherwise the instant of the end."""

    text: str
    is_clock: bool


def time_left(expires_at: datetime, now: datetime) -> TimeLeft:
    """Write the time left; the page's script continues it, and writes a date in the payer's own time zone."""
    left = expires_at - now
    if left >= _CLOCK_BELOW:
        return TimeLeft(_utc(expires_at), is_clock=False)
    seconds = max(0, -(-left // timedelta(seconds=1)))
    return TimeLeft(f"{seconds // 60:02}:{seconds % 60:02}", is_clock=True)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@cache
def template(name: str) -> Template:
    """Return a template of the cashier."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    return read_templates(Path(__file__).parent / "templates")
