"""Stripe's hosted pages, which alone see the payer's card: Checkout, and the bank's 3-D Secure page."""

from __future__ import annotations

from aiohttp import web

from hutong.sandbox.pages import language, refuse_foreign, render, show_order, web_address
from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.orders import StripeOrders


def routes(orders: StripeOrders, store: Store) -> list[web.RouteDef]:
    """Return the routes.

    GET shows a page; POST with `do` (pay, decline, back) decides and sends the payer back to the merchant.
    """

    async def show(request: web.Request) -> web.Response:
        return _show(request, store, orders.find(request.match_info["id"]), asks=_asks(request))

    async def decide(request: web.Request) -> web.Response:
        if (refusal := refuse_foreign(request)) is not None:
            return refusal
        order = orders.find(request.match_info["id"])
        action = str((await request.post()).get("do", ""))
        if order is None or not awaits_payer(order):
            return _show(request, store, order, asks=_asks(request))
        if action == "pay":
            orders.pay(order)
        elif action == "decline":
            orders.decline(order, None if _asks(request) == "authenticate" else "generic_decline")
            if order.data.get("session"):
                return _show(request, store, order, asks="pay")
        address = order.data.get("cancel_url") if action == "back" else order.data.get("return_url")
        raise web.HTTPSeeOther(web_address(address) or "/")

    paths = ("/stripe/pay/{id}", "/stripe/authenticate/{id}")
    return [route for path in paths for route in (web.get(path, show), web.post(path, decide))]


def awaits_payer(order: SandboxOrder) -> bool:
    """Return whether a page of an order asks its payer."""
    asks = order.data.get("session") or objects.status(order) == "requires_action"
    return order.state is OrderState.OPEN and bool(asks)


def _asks(request: web.Request) -> str:
    return "authenticate" if "/authenticate/" in request.path else "pay"


def _show(request: web.Request, store: Store, order: SandboxOrder | None, *, asks: str) -> web.Response:
    shown, leads_to = None, []
    if order is not None and awaits_payer(order):
        lang, now = language(request), store.clock.now()
        shown = show_order(store.channel, order, payable=True, now=now, lang=lang)
        # Browsers apply the policy of a form to the redirect that follows it.
        leads_to = [str(order.data[name]) for name in ("return_url", "cancel_url") if order.data.get(name)]
    return render(
        request,
        "card.html",
        title="stripe_page",
        status=200 if order is not None else 404,
        forms_to=leads_to,
        order=shown,
        failed=order is not None and bool(order.data["error"]),
        asks=asks,
        path=str(request.rel_url),
    )
