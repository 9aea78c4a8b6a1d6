"""The payer's phone for developers who use the cashier on a desktop: one page with two buttons."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from string import Template

from aiohttp import web

from hutong.money import to_major
from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.simulator import Simulator

_TEXTS = {
    "en": {
        "title": "Sandbox payer",
        "note": "A simulated wallet. No money moves.",
        "pay": "Pay",
        "decline": "Decline",
        "absent": "No such code. The sandbox forgets its orders when it restarts.",
        "open": "Waiting for your decision",
        "authorized": "Reserved",
        "paid": "Paid",
        "declined": "Declined",
        "closed": "Closed: nobody can pay it any more",
        "expired": "Too late: the order has expired",
    },
    "zh": {
        "title": "沙箱付款人",
        "note": "模拟钱包，不会发生真实扣款。",
        "pay": "付款",
        "decline": "拒绝",
        "absent": "没有这个二维码。沙箱重启后不再保留订单。",
        "open": "等待您的决定",
        "authorized": "已预授权",
        "paid": "已付款",
        "declined": "付款失败",
        "closed": "订单已关闭，不能再付款",
        "expired": "订单已过期，不能再付款",
    },
}

_PAGE = Template("""<!doctype html>
<html lang="$lang"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title><style>
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f2f3f5;color:#1f2329}
main{max-width:24rem;margin:10vh auto;padding:2rem;background:#fff;border-radius:1rem;text-align:center}
.amount{font-size:2.5rem;font-weight:600;margin:.5rem 0}
.note{color:#6b7280;font-size:.875rem}
button{font:inherit;padding:.75rem 2rem;margin:.5rem;border:0;border-radius:.5rem;cursor:pointer}
.yes{background:#07773d;color:#fff}.no{background:#e5e7eb;color:#1f2329}
</style></head><body><main><h1 class="note">$title</h1>$body<p class="note">$note</p></main></body></html>
""")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


def routes(simulators: Mapping[str, Simulator]) -> list[web.RouteDef]:
    """Return the routes.

    GET /payer?code_url=… shows an order; POST /payer with `code_url` and `do` (pay or decline) decides it.
    """

    def find(code_url: str) -> tuple[Simulator, SandboxOrder] | None:
        for simulator in simulators.values():
            order = simulator.store.by_code.get(code_url)
            if order is not None:
                return simulator, order
        return None

    async def show(request: web.Request) -> web.Response:
        match = find(request.query.get("code_url", ""))
        if match is not None:
            simulator, order = match
            simulator.opened(order)
        return _page(request, match)

    async def decide(request: web.Request) -> web.Response:
        form = await request.post()
        match = find(str(form.get("code_url", "")))
        if match is not None:
            simulator, order = match
            if form.get("do") == "pay":
                simulator.pay(order, simulator.store.faults.notify)
            elif form.get("do") == "decline":
                simulator.decline(order, simulator.store.faults.notify)
        return _page(request, match)

    return [web.get("/payer", show), web.post("/payer", decide)]


def _page(request: web.Request, match: tuple[Simulator, SandboxOrder] | None) -> web.Response:
    language = request.query.get("lang", request.headers.get("Accept-Language", ""))
    lang = "zh" if language.lower().startswith("zh") else "en"
    texts = _TEXTS[lang]
    body = f"<p>{escape(texts['absent'])}</p>"
    if match is not None:
        simulator, order = match
        body = _order(order, texts, payable=simulator.store.payable(order))
    text = _PAGE.substitute(lang=lang, title=texts["title"], note=texts["note"], body=body)
    return web.Response(
        status=200 if match is not None else 404,
        text=text,
        content_type="text/html",
        headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"},
    )


def _order(order: SandboxOrder, texts: dict[str, str], *, payable: bool) -> str:
    state = order.state.value if payable or order.state is not OrderState.OPEN else "expired"
    amount = f"{order.currency} {to_major(order.amount_minor, order.currency)}"
    shown = (
        f"<p>{escape(order.description)}</p><p class='amount'>{escape(amount)}</p>"
        f"<p role='status' data-state='{state}'>{escape(texts[state])}</p>"
    )
    if not payable:
        return shown
    return (
        f"{shown}<form method='post' action='/payer'>"
        f"<input type='hidden' name='code_url' value='{escape(order.code_url)}'>"
        f"<button class='yes' name='do' value='pay'>{escape(texts['pay'])}</button>"
        f"<button class='no' name='do' value='decline'>{escape(texts['decline'])}</button></form>"
    )
