"""The payer's side of the sandbox: the open orders of all channels, and a page for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from aiohttp import web
from multidict import MultiMapping

from hutong.sandbox import pages
from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.simulator import Simulator

_ORDERS_MAX = 50
_RECENT_MAX = 5
_START = datetime(1970, 1, 1, tzinfo=UTC)

_Match = tuple[Simulator, SandboxOrder]


def routes(simulators: Mapping[str, Simulator]) -> list[web.RouteDef]:
    """Return the routes.

    GET / leads to the others; GET /payer lists the open orders; GET /payer?code_url=… shows one; POST /payer with
    `code_url` and `do` (pay or decline) decides one, and `from=orders` leads back to the list.
    """
    return [
        web.get("/", _root),
        web.get("/payer", _Payer(simulators).show),
        web.post("/payer", _Payer(simulators).decide),
    ]


async def _root(request: web.Request) -> web.Response:
    return pages.render(request, "root.html", title="sandbox")


class _Payer:
    def __init__(self, simulators: Mapping[str, Simulator]) -> None:
        self._simulators = simulators

    async def show(self, request: web.Request) -> web.Response:
        if "code_url" not in request.query:
            return self._list(request)
        match = self._find(request.query)
        if match is not None:
            simulator, order = match
            simulator.visit(order, request.query)
        return _page(request, match)

    async def decide(self, request: web.Request) -> web.Response:
        if (refusal := pages.refuse_foreign(request)) is not None:
            return refusal
        form = await request.post()
        action, match = form.get("do"), self._find(form)
        if match is None:
            return _page(request, None)
        simulator, order = match
        if action == "pay":
            simulator.pay(order, simulator.store.faults.notify)
        elif action == "decline":
            simulator.decline(order, simulator.store.faults.notify)
        after = {"lang": pages.language(request)}
        if form.get("from") != "orders":
            after |= {"code_url": order.code_url, "done": str(action)}
        raise web.HTTPSeeOther(request.rel_url.with_query(after))

    def _find(self, values: MultiMapping[object]) -> _Match | None:
        code_url = str(values.get("code_url", ""))
        for simulator in self._simulators.values():
            order = simulator.store.by_code.get(code_url)
            if order is not None:
                return simulator, order
        return None

    def _list(self, request: web.Request) -> web.Response:
        lang = pages.language(request)
        waiting = sorted(self._each(is_open=True), key=lambda match: match[1].placed_at or _START, reverse=True)
        ended = sorted(self._each(is_open=False), key=lambda match: match[1].changed_at or _START, reverse=True)
        return pages.render(
            request,
            "orders.html",
            title="orders",
            script="orders.js",
            orders=[_shown(match, lang) for match in waiting[:_ORDERS_MAX]],
            more=max(len(waiting) - _ORDERS_MAX, 0),
            recent=[_shown(match, lang) for match in ended[:_RECENT_MAX]],
        )

    def _each(self, *, is_open: bool) -> Iterator[_Match]:
        for simulator in self._simulators.values():
            for order in simulator.store.orders.values():
                if simulator.awaits_payer(order) if is_open else order.state is not OrderState.OPEN:
                    yield simulator, order


def _shown(match: _Match, lang: str) -> pages.ShownOrder:
    simulator, order = match
    store = simulator.store
    now = store.clock.now()
    return pages.show_order(simulator.channel, order, payable=store.payable(order), now=now, lang=lang)


def _page(request: web.Request, match: _Match | None) -> web.Response:
    """Show one order. Once it has ended, the page leads back to the merchant by itself, as a channel's page does."""
    if match is None:
        return pages.render(request, "order.html", title="payer", status=404, order=None, back=None, declined=False)
    simulator, order = match
    shown, back = _shown(match, pages.language(request)), simulator.way_back(order)
    posts = back is not None and back.fields is not None
    return pages.render(
        request,
        "order.html",
        title="payer",
        script="back.js" if back is not None and shown.state != "open" else None,
        forms_to=[back.url] if back is not None and posts else [],
        order=shown,
        back=back,
        declined=request.query.get("done") == "decline",
    )
