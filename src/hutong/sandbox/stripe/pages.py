"""Stripe's hosted pages, which alone see the payer's card: Checkout, and the bank's 3-D Secure page."""

from __future__ import annotations

from html import escape
from string import Template
from urllib.parse import urlsplit

from aiohttp import web

from hutong.money import to_major
from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.orders import StripeOrders

_TEXTS = {
    "en": {
        "pay": "Pay with the test card 4242",
        "authenticate": "Confirm that it is you",
        "decline": "Be declined",
        "back": "Go back",
        "note": "A simulated card page. No money moves, and no card is asked for.",
        "ended": "This page has ended.",
        "declined": "The card was declined. Try again.",
    },
    "zh": {
        "pay": "使用测试卡 4242 付款",
        "authenticate": "确认是本人操作",
        "decline": "模拟拒绝",
        "back": "返回",
        "note": "模拟的银行卡页面，不会发生真实扣款，也不需要卡号。",
        "ended": "本页面已失效。",
        "declined": "银行卡被拒绝，请重试。",
    },
}
_PAGE = Template("""<!doctype html>
<html lang="$lang"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title><link rel="icon" href="data:,"><style>
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f6f8fa;color:#1a1f36}
main{max-width:24rem;margin:10vh auto;padding:2rem;background:#fff;border-radius:1rem;text-align:center}
.amount{font-size:2.5rem;font-weight:600;margin:.5rem 0}.note{color:#5b6270;font-size:.875rem}.bad{color:#b3093c}
button{font:inherit;display:block;width:100%;padding:.75rem;margin:.5rem 0;border:0;border-radius:.5rem;cursor:pointer}
.yes{background:#4b45c6;color:#fff}.no{background:#e6e8ee;color:#1a1f36}
</style></head><body><main><h1 class="note">$title</h1>$body<p class="note">$note</p></main></body></html>
""")


def routes(orders: StripeOrders) -> list[web.RouteDef]:
    """Return the routes.

    GET shows a page; POST with `do` (pay, decline, back) decides and sends the payer back to the merchant.
    """

    async def show(request: web.Request) -> web.Response:
        return _show(request, orders.find(request.match_info["id"]), asks=_asks(request))

    async def decide(request: web.Request) -> web.Response:
        order = orders.find(request.match_info["id"])
        action = str((await request.post()).get("do", ""))
        if order is None or not _open(order):
            return _show(request, order, asks=_asks(request))
        if action == "pay":
            orders.pay(order)
        elif action == "decline":
            orders.decline(order, None if _asks(request) == "authenticate" else "generic_decline")
            if order.data.get("session"):
                return _show(request, order, asks="pay")
        address = order.data.get("cancel_url") if action == "back" else order.data.get("return_url")
        raise web.HTTPSeeOther(str(address or "/"))

    paths = ("/stripe/pay/{id}", "/stripe/authenticate/{id}")
    return [route for path in paths for route in (web.get(path, show), web.post(path, decide))]


def _asks(request: web.Request) -> str:
    return "authenticate" if "/authenticate/" in request.path else "pay"


def _open(order: SandboxOrder) -> bool:
    awaits_payer = order.data.get("session") or objects.status(order) == "requires_action"
    return order.state is OrderState.OPEN and bool(awaits_payer)


def _show(request: web.Request, order: SandboxOrder | None, *, asks: str) -> web.Response:
    lang = "zh" if request.headers.get("Accept-Language", "").lower().startswith("zh") else "en"
    texts = _TEXTS[lang]
    body = f"<p role='status'>{escape(texts['ended'])}</p>"
    sources = "'self'"
    if order is not None and _open(order):
        amount = f"{order.currency} {to_major(order.amount_minor, order.currency)}"
        failed = f"<p class='bad' role='alert'>{escape(texts['declined'])}</p>" if order.data["error"] else ""
        verbs = [("pay", "yes", asks), ("decline", "no", "decline")] + ([("back", "no", "back")] * (asks == "pay"))
        buttons = "".join(
            f"<button class='{look}' name='do' value='{do}'>{escape(texts[name])}</button>" for do, look, name in verbs
        )
        body = (
            f"<p>{escape(order.description)}</p><p class='amount'>{escape(amount)}</p>{failed}"
            f"<form method='post' action='{escape(request.path)}'>{buttons}</form>"
        )
        # Browsers apply the policy of a form to the redirect that follows it.
        parts = urlsplit(str(order.data.get("return_url") or ""))
        sources += f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action"
    return web.Response(
        status=200 if order is not None else 404,
        text=_PAGE.substitute(lang=lang, title="Sandbox Stripe", note=texts["note"], body=body),
        content_type="text/html",
        headers={
            "Content-Security-Policy": f"{policy} {sources}",
            "Cache-Control": "no-store",
        },
    )
