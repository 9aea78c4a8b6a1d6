"""The control API: plays the payer and the bank, and tells a channel to misbehave. JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hutong.sandbox.bill import DIFFERENCES, plant
from hutong.sandbox.faults import KINDS, CallFault, Faults, NotifyFaults
from hutong.sandbox.simulator import Simulator
from hutong.sandbox.store import Book, Order, describe

Model = TypeVar("Model", bound=BaseModel)
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Notify(_Strict):
    """How notifications misbehave; see `NotifyFaults`."""

    delay_ms: Count = 0
    copies: Annotated[int, Field(ge=1, le=100)] = 1
    lose: Count = 0
    reorder: bool = False
    amount_delta_minor: int = 0


class Scan(_Strict):
    """Which order the payer scans: by the text of the code or by the platform's number."""

    code_url: str | None = None
    order_no: str | None = None
    notify: Notify | None = None


class Pay(Scan):
    """The payer pays; `force` takes money for an order that is closed or declined, as a channel should not."""

    force: bool = False


class Finish(_Strict):
    """How a refund or a payout under way ends, by the platform's number."""

    number: str
    outcome: Literal["succeeded", "failed"] = "succeeded"
    notify: Notify | None = None


class Call(_Strict):
    """The next `times` calls of an interface that hold `match` meet a fault."""

    interface: str
    kind: str
    match: str = ""
    times: Annotated[int, Field(ge=1)] = 1
    status: Annotated[int, Field(ge=200, le=599)] = 500
    code: str = "SYSTEM_ERROR"
    ms: Count = 0


class Change(_Strict):
    """What stays in force until it is changed; what is left out stays as it is, see `Faults`. `calls` take the place of
    all that coming calls would have met."""

    latency_ms: Count = 0
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    maintenance_ms: Count | None = None
    auto_pay_ms: Count | None = None
    money_out_ms: Count | None = None
    notify: Notify | None = None
    calls: list[Call] | None = None


class Alter(_Strict):
    """Differences to plant in the bill of a day: how many of each of `DIFFERENCES`."""

    day: date
    kind: str | None = None
    seed: int = 0
    differences: dict[str, Count] = {}


def routes(simulators: Mapping[str, Simulator]) -> list[web.RouteDef]:
    """The routes under /control.

    GET /control names the channels. Under /control/{channel}: POST scan, pay, decline play the payer; POST refund,
    payout end one that is under way; POST next: a fault for coming calls; POST faults: lasting faults; POST reset: no
    faults; POST rotate: sign with the next key; POST bill: plant differences, answered with their key. GET faults,
    orders, refunds, payouts, truth (with `?after=SEQ`), bill (with `?day=YYYY-MM-DD&kind=`).
    """
    controls = {channel: _Control(simulator) for channel, simulator in simulators.items()}

    async def index(_request: web.Request) -> web.Response:
        return _answer({"channels": list(controls)})

    async def dispatch(request: web.Request) -> web.StreamResponse:
        control = controls.get(request.match_info["channel"])
        if control is None:
            return _answer({"error": "no such channel", "channels": list(controls)}, status=404)
        what: Any = control.verbs.get((request.method, request.match_info["verb"]))
        if what is None:
            return _answer({"error": "no such verb", "verbs": [f"{m} {v}" for m, v in control.verbs]}, status=404)
        response: web.StreamResponse = await what(request)
        return response

    path = "/control/{channel}/{verb}"
    return [web.get("/control", index), web.get(path, dispatch), web.post(path, dispatch)]


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._book: Book = simulator.book
        self.verbs = {
            ("POST", "scan"): self.scan,
            ("POST", "pay"): self.pay,
            ("POST", "decline"): self.decline,
            ("POST", "refund"): self.refund,
            ("POST", "payout"): self.payout,
            ("POST", "next"): self.next_calls,
            ("POST", "faults"): self.change,
            ("POST", "reset"): self.reset,
            ("POST", "rotate"): self.rotate,
            ("POST", "bill"): self.alter,
            ("GET", "bill"): self.bill,
            ("GET", "faults"): self.faults,
            ("GET", "orders"): self._lister("orders", self._book.orders.values),
            ("GET", "refunds"): self._lister("refunds", self._book.refunds.values),
            ("GET", "payouts"): self._lister("payouts", self._book.payouts.values),
            ("GET", "truth"): self.truth,
        }

    async def scan(self, request: web.Request) -> web.Response:
        order = self._find(await _read(request, Scan))
        self._simulator.opened(order)
        return _answer(describe(order))

    async def pay(self, request: web.Request) -> web.Response:
        asked = await _read(request, Pay)
        order = self._find(asked)
        return _done(order, self._simulator.pay(order, self._notify(asked.notify), force=asked.force))

    async def decline(self, request: web.Request) -> web.Response:
        asked = await _read(request, Scan)
        order = self._find(asked)
        return _done(order, self._simulator.decline(order, self._notify(asked.notify)))

    async def refund(self, request: web.Request) -> web.Response:
        asked = await _read(request, Finish)
        refund = self._book.refunds.get(asked.number) or _absent("refund")
        succeeded = asked.outcome == "succeeded"
        return _done(refund, self._simulator.finish_refund(refund, self._notify(asked.notify), succeeded=succeeded))

    async def payout(self, request: web.Request) -> web.Response:
        asked = await _read(request, Finish)
        payout = self._book.payouts.get(asked.number) or _absent("payout")
        succeeded = asked.outcome == "succeeded"
        return _done(payout, self._simulator.finish_payout(payout, self._notify(asked.notify), succeeded=succeeded))

    async def next_calls(self, request: web.Request) -> web.Response:
        asked = await _read(request, Call)
        unknown = self._unknown(asked)
        if unknown is None:
            self._book.faults.calls.append(CallFault(**asked.model_dump()))
        return unknown or await self.faults(request)

    def _unknown(self, asked: Call) -> web.Response | None:
        if asked.kind not in KINDS:
            return _answer({"error": "no such kind", "kinds": KINDS}, status=422)
        if asked.interface not in self._simulator.interfaces:
            return _answer({"error": "no such interface", "interfaces": sorted(self._simulator.interfaces)}, status=422)
        return None

    async def change(self, request: web.Request) -> web.Response:
        asked, faults = await _read(request, Change), self._book.faults
        for unknown in map(self._unknown, asked.calls or ()):
            if unknown is not None:
                return unknown
        for name in asked.model_fields_set & {"latency_ms", "percent", "auto_pay_ms", "money_out_ms"}:
            setattr(faults, name, getattr(asked, name))
        if asked.maintenance_ms is not None:
            faults.maintenance_until = self._book.clock.now() + timedelta(milliseconds=asked.maintenance_ms)
        if asked.notify is not None:
            faults.notify = self._notify(asked.notify)
        if asked.calls is not None:
            faults.calls = [CallFault(**each.model_dump()) for each in asked.calls]
        return await self.faults(request)

    async def reset(self, request: web.Request) -> web.Response:
        self._book.faults = Faults()
        return await self.faults(request)

    async def rotate(self, _request: web.Request) -> web.Response:
        return _answer({"rotated": self._simulator.rotate()})

    async def faults(self, _request: web.Request) -> web.Response:
        return _answer({name: value for name, value in asdict(self._book.faults).items() if not name.startswith("_")})

    async def truth(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        return _answer({"truth": self._book.truth[int(after) if after.isdecimal() else 0 :]})

    async def alter(self, request: web.Request) -> web.Response:
        asked = await _read(request, Alter)
        kind = self._kind(asked.kind)
        if set(asked.differences) - set(DIFFERENCES):
            return _answer({"error": "no such difference", "differences": DIFFERENCES}, status=422)
        true = self._simulator.entries(kind, asked.day)
        rows, key = plant(true, asked.differences, seed=asked.seed, odd_state=self._simulator.odd_state)
        self._book.planted[kind, asked.day.isoformat()] = rows
        return _answer({"day": asked.day, "kind": kind, "rows": len(rows), "key": key})

    async def bill(self, request: web.Request) -> web.Response:
        try:
            day = date.fromisoformat(request.query.get("day", ""))
        except ValueError:
            return _answer({"error": "day is YYYY-MM-DD"}, status=422)
        body = self._simulator.bill(self._kind(request.query.get("kind")), day)
        return web.Response(body=body, content_type="application/octet-stream")

    def _kind(self, asked: str | None) -> str:
        kinds = self._simulator.bill_kinds
        if asked is not None and asked not in kinds:
            raise web.HTTPUnprocessableEntity(text='{"error":"no such kind"}', content_type="application/json")
        return asked or kinds[0]

    def _notify(self, asked: Notify | None) -> NotifyFaults:
        return self._book.faults.notify if asked is None else NotifyFaults(**asked.model_dump())

    def _find(self, asked: Scan) -> Order:
        book = self._book
        return book.by_code.get(asked.code_url or "") or book.orders.get(asked.order_no or "") or _absent("order")

    @staticmethod
    def _lister(name: str, values: Callable[[], Iterable[Any]]) -> Callable[[web.Request], Any]:
        async def show(_request: web.Request) -> web.Response:
            return _answer({name: [describe(value) for value in values()]})

        return show


def _absent(what: str) -> Any:
    raise web.HTTPNotFound(text=f'{{"error":"no such {what}"}}', content_type="application/json")


def _done(record: Any, done: bool) -> web.Response:
    if not done:
        return _answer({"error": "it has ended, or cannot be paid", "record": describe(record)}, status=409)
    return _answer(describe(record))


async def _read(request: web.Request, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        raise web.HTTPUnprocessableEntity(text=error.json(include_url=False), content_type="application/json") from None


def _answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
