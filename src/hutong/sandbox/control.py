"""The control API: plays the payer and tells the channel to misbehave. JSON in, JSON out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hutong.sandbox.book import KINDS, Book, CallFault, Faults, NotifyFaults, Order, describe
from hutong.sandbox.wechat import WeChatSimulator

Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Notify(_Strict):
    """How notifications misbehave; see `NotifyFaults`."""

    delay_ms: Annotated[int, Field(ge=0)] = 0
    copies: Annotated[int, Field(ge=1, le=100)] = 1
    lose: Annotated[int, Field(ge=0)] = 0
    amount_delta_minor: int = 0


class Scan(_Strict):
    """Which order the payer scans: by the text of the code or by the platform's number."""

    code_url: str | None = None
    order_no: str | None = None


class Pay(Scan):
    """The payer pays; `force` takes money for an order that is closed or declined, as a channel should not."""

    force: bool = False
    notify: Notify | None = None


class Call(_Strict):
    """The next `times` calls of an interface that hold `match` meet a fault."""

    interface: Literal["place", "query", "close", "certificates"]
    kind: str
    match: str = ""
    times: Annotated[int, Field(ge=1)] = 1
    status: Annotated[int, Field(ge=200, le=599)] = 500
    code: str = "SYSTEM_ERROR"


class Change(_Strict):
    """What stays in force until it is changed; None leaves it as it is."""

    latency_ms: Annotated[int, Field(ge=0)] | None = None
    auto_pay_ms: Annotated[int, Field(ge=0)] | None = None
    notify: Notify | None = None


def routes(book: Book, simulator: WeChatSimulator) -> list[web.RouteDef]:
    """The routes under /control.

    POST pay, decline: play the payer. POST next: a fault for coming calls. POST faults: lasting faults. POST reset:
    no faults. GET faults, orders, truth (with `?after=SEQ`).
    """
    control = _Control(book, simulator)
    return [
        web.post("/control/pay", control.pay),
        web.post("/control/decline", control.decline),
        web.post("/control/next", control.next_calls),
        web.post("/control/faults", control.change),
        web.post("/control/reset", control.reset),
        web.get("/control/faults", control.faults),
        web.get("/control/orders", control.orders),
        web.get("/control/truth", control.truth),
    ]


class _Control:
    def __init__(self, book: Book, simulator: WeChatSimulator) -> None:
        self._book = book
        self._simulator = simulator

    async def pay(self, request: web.Request) -> web.Response:
        asked = await _read(request, Pay)
        order = self._find(asked)
        notify = self._book.faults.notify if asked.notify is None else NotifyFaults(**asked.notify.model_dump())
        if not self._simulator.pay(order, notify, force=asked.force):
            return _answer({"error": "the order is not open", "order": describe(order)}, status=409)
        return _answer(describe(order))

    async def decline(self, request: web.Request) -> web.Response:
        order = self._find(await _read(request, Scan))
        if not self._simulator.decline(order):
            return _answer({"error": "the order is not open", "order": describe(order)}, status=409)
        return _answer(describe(order))

    async def next_calls(self, request: web.Request) -> web.Response:
        asked = await _read(request, Call)
        if asked.kind not in KINDS:
            return _answer({"error": "no such kind", "kinds": KINDS}, status=422)
        self._book.faults.calls.append(CallFault(**asked.model_dump()))
        return await self.faults(request)

    async def change(self, request: web.Request) -> web.Response:
        asked = await _read(request, Change)
        if asked.latency_ms is not None:
            self._book.faults.latency_ms = asked.latency_ms
        if asked.auto_pay_ms is not None:
            self._book.faults.auto_pay_ms = asked.auto_pay_ms
        if asked.notify is not None:
            self._book.faults.notify = NotifyFaults(**asked.notify.model_dump())
        return await self.faults(request)

    async def reset(self, request: web.Request) -> web.Response:
        self._book.faults = Faults()
        return await self.faults(request)

    async def faults(self, _request: web.Request) -> web.Response:
        return _answer(asdict(self._book.faults))

    async def orders(self, _request: web.Request) -> web.Response:
        return _answer({"orders": [describe(order) for order in self._book.orders.values()]})

    async def truth(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        return _answer({"truth": self._book.truth[int(after) if after.isdecimal() else 0 :]})

    def _find(self, asked: Scan) -> Order:
        order = self._book.by_code.get(asked.code_url or "") or self._book.orders.get(asked.order_no or "")
        if order is None:
            raise web.HTTPNotFound(text='{"error":"no such order"}', content_type="application/json")
        return order


async def _read(request: web.Request, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        raise web.HTTPUnprocessableEntity(text=error.json(include_url=False), content_type="application/json") from None


def _answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
