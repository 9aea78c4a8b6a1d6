"""The control API: acts as the payer and the bank, and injects faults. JSON in, JSON out."""

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
from hutong.sandbox.pages import refuse_foreign
from hutong.sandbox.records import Coupon, SandboxOrder, describe
from hutong.sandbox.simulator import Simulator
from hutong.sandbox.store import Store

Model = TypeVar("Model", bound=BaseModel)
Count = Annotated[int, Field(ge=0, le=100_000)]
Milliseconds = Annotated[int, Field(ge=0, le=30 * 86_400_000)]
_DIGITS_MAX = 19
_EARLIEST, _LATEST = date(1970, 1, 1), date(9998, 12, 31)
"""Beyond these a day has no begin or no end in some zone."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Notify(_Strict):
    """Faults of notifications; see `NotifyFaults`."""

    delay_ms: Milliseconds = 0
    copies: Annotated[int, Field(ge=1, le=100)] = 1
    lose: Count = 0
    reorder: bool = False
    amount_delta_minor: Annotated[int, Field(ge=-(10**15), le=10**15)] = 0
    named_only: bool = False
    other_account: bool = False


class Scan(_Strict):
    """The order that the payer scans, by the text of the code or by the platform's number."""

    code_url: str | None = None
    order_no: str | None = None
    notify: Notify | None = None


class CouponUsed(_Strict):
    """A coupon that the payer uses, see `Coupon`."""

    name: Annotated[str, Field(min_length=1, max_length=32)] = "coupon"
    funder: Literal["channel", "platform", "merchant"]
    amount_minor: Annotated[int, Field(ge=1, le=10**15)]
    prepaid: bool = False


class Pay(Scan):
    """A payment by the payer; `force` takes money for a closed or declined order, as no channel should."""

    force: bool = False
    coupons: Annotated[list[CouponUsed], Field(max_length=10)] = []


class Finish(_Strict):
    """The end of a pending refund or payout, by the platform's number."""

    number: str
    outcome: Literal["succeeded", "failed"] = "succeeded"
    notify: Notify | None = None


class Portal(_Strict):
    """A refund by a person in the channel's portal; without an amount, of all that is left."""

    order_no: str
    amount_minor: Annotated[int, Field(ge=1, le=10**15)] | None = None
    numbered: bool = True
    notify: Notify | None = None


class Return(_Strict):
    """The failure of a refund that has succeeded, by the number under which the channel knows it."""

    number: str
    notify: Notify | None = None


class OpenDispute(_Strict):
    """A dispute by the payer of a paid order; without an amount, of the whole. See `Simulator.open_dispute`."""

    order_no: str
    amount_minor: Annotated[int, Field(ge=1, le=10**15)] | None = None
    reason: Annotated[str, Field(max_length=64)] | None = None
    form: str | None = None
    statement: Annotated[str, Field(max_length=1000)] = "It has not arrived."
    notify: Notify | None = None


class Move(_Strict):
    """A change of a dispute by the payer or the bank, by the channel's number, to one of the channel's statuses."""

    number: str
    status: str
    notify: Notify | None = None


class Call(_Strict):
    """A fault of the next `times` calls of an interface that contain `match`."""

    interface: str
    kind: str
    match: str = ""
    times: Annotated[int, Field(ge=1, le=100_000)] = 1
    status: Annotated[int, Field(ge=200, le=599)] = 500
    code: str = "SYSTEM_ERROR"
    ms: Milliseconds = 0


class Change(_Strict):
    """Changes of the lasting faults; omitted fields stay unchanged, see `Faults`. `calls` replace all faults of coming
    calls."""

    latency_ms: Milliseconds = 0
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    maintenance_ms: Milliseconds | None = None
    auto_pay_ms: Milliseconds | None = None
    money_out_ms: Milliseconds | None = None
    strict: bool = True
    notify: Notify | None = None
    calls: list[Call] | None = None


class Alter(_Strict):
    """Differences to plant in a day's bill: the number of each of `DIFFERENCES`."""

    day: Annotated[date, Field(ge=_EARLIEST, le=_LATEST)]
    kind: str | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    differences: dict[str, Count] = {}


def routes(simulators: Mapping[str, Simulator]) -> list[web.RouteDef]:
    """Return the routes under /control.

    GET /control names the channels. Under /control/{channel}: POST scan, pay, decline act as the payer; POST refund,
    payout end a pending one; POST portal: a refund by a person in the channel's portal; POST return: a refund that had
    succeeded fails; POST dispute: the payer disputes an order; POST move: a dispute changes; POST next: a fault of
    coming calls; POST faults: lasting faults; POST reset: no faults; POST rotate: sign with the next key; POST bill:
    plant differences, answered with their key. GET faults, orders, refunds, payouts, disputes, truth (with
    `?after=SEQ`), bill (with `?day=YYYY-MM-DD&kind=`).
    """
    controls = {channel: _Control(simulator) for channel, simulator in simulators.items()}

    async def index(request: web.Request) -> web.Response:
        return refuse_foreign(request) or _answer({"channels": list(controls)})

    async def dispatch(request: web.Request) -> web.StreamResponse:
        if (refusal := refuse_foreign(request)) is not None:
            return refusal
        control = controls.get(request.match_info["channel"])
        if control is None:
            return _answer({"error": "there is no such channel", "channels": list(controls)}, status=404)
        handler: Any = control.verbs.get((request.method, request.match_info["verb"]))
        if handler is None:
            return _answer(
                {"error": "there is no such verb", "verbs": [f"{m} {v}" for m, v in control.verbs]}, status=404
            )
        response: web.StreamResponse = await handler(request)
        return response

    path = "/control/{channel}/{verb}"
    return [web.get("/control", index), web.get(path, dispatch), web.post(path, dispatch)]


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._store: Store = simulator.store
        self.verbs = {
            ("POST", "scan"): self.scan,
            ("POST", "pay"): self.pay,
            ("POST", "decline"): self.decline,
            ("POST", "refund"): self.refund,
            ("POST", "payout"): self.payout,
            ("POST", "portal"): self.portal,
            ("POST", "return"): self.return_refund,
            ("POST", "dispute"): self.dispute,
            ("POST", "move"): self.move_dispute,
            ("POST", "next"): self.next_calls,
            ("POST", "faults"): self.change,
            ("POST", "reset"): self.reset,
            ("POST", "rotate"): self.rotate,
            ("POST", "bill"): self.alter,
            ("GET", "bill"): self.bill,
            ("GET", "faults"): self.faults,
            ("GET", "orders"): self._lister("orders", self._store.orders.values),
            ("GET", "refunds"): self._lister("refunds", self._store.refunds.values),
            ("GET", "payouts"): self._lister("payouts", self._store.payouts.values),
            ("GET", "disputes"): self._lister("disputes", self._store.disputes.values),
            ("GET", "truth"): self.truth,
        }

    async def scan(self, request: web.Request) -> web.Response:
        order = self._find(await _read(request, Scan))
        self._simulator.opened(order)
        return _answer(describe(order))

    async def pay(self, request: web.Request) -> web.Response:
        body = await _read(request, Pay)
        order = self._find(body)
        coupons = tuple(Coupon(**each.model_dump()) for each in body.coupons)
        unusable = self._simulator.unusable(order, coupons)
        if unusable is not None:
            return _answer({"error": unusable}, status=422)
        if self._store.is_payable(order, force=body.force):
            order.coupons = coupons
        return _outcome(order, self._simulator.pay(order, self._notify(body.notify), force=body.force))

    async def decline(self, request: web.Request) -> web.Response:
        body = await _read(request, Scan)
        order = self._find(body)
        return _outcome(order, self._simulator.decline(order, self._notify(body.notify)))

    async def refund(self, request: web.Request) -> web.Response:
        body = await _read(request, Finish)
        refund = self._store.refunds.get(body.number) or _absent("refund")
        succeeded = body.outcome == "succeeded"
        return _outcome(refund, self._simulator.finish_refund(refund, self._notify(body.notify), succeeded=succeeded))

    async def portal(self, request: web.Request) -> web.Response:
        body = await _read(request, Portal)
        order = self._store.orders.get(body.order_no) or _absent("order")
        amount = self._store.refundable_minor(order) if body.amount_minor is None else body.amount_minor
        notify = self._notify(body.notify)
        refund = self._simulator.give_back_in_portal(order, amount, notify, numbered=body.numbered)
        return _outcome(refund or order, refund is not None)

    async def return_refund(self, request: web.Request) -> web.Response:
        body = await _read(request, Return)
        refund = self._store.refunds.get(body.number) or _absent("refund")
        return _outcome(refund, self._simulator.return_refund(refund, self._notify(body.notify)))

    async def dispute(self, request: web.Request) -> web.Response:
        body = await _read(request, OpenDispute)
        order = self._store.orders.get(body.order_no) or _absent("order")
        amount, notify = body.amount_minor or order.captured_minor, self._notify(body.notify)
        opened = self._simulator.open_dispute(
            order, notify, amount_minor=amount, reason=body.reason, form=body.form, statement=body.statement
        )
        return _outcome(opened or order, opened is not None)

    async def move_dispute(self, request: web.Request) -> web.Response:
        body = await _read(request, Move)
        dispute = self._store.disputes.get(body.number) or _absent("dispute")
        return _outcome(dispute, self._simulator.move_dispute(dispute, self._notify(body.notify), status=body.status))

    async def payout(self, request: web.Request) -> web.Response:
        body = await _read(request, Finish)
        payout = self._store.payouts.get(body.number) or _absent("payout")
        succeeded = body.outcome == "succeeded"
        return _outcome(payout, self._simulator.finish_payout(payout, self._notify(body.notify), succeeded=succeeded))

    async def next_calls(self, request: web.Request) -> web.Response:
        body = await _read(request, Call)
        unknown = self._unknown(body)
        if unknown is None:
            self._store.faults.calls.append(CallFault(**body.model_dump()))
        return unknown or await self.faults(request)

    def _unknown(self, call: Call) -> web.Response | None:
        if call.kind not in KINDS:
            return _answer({"error": "there is no such kind", "kinds": KINDS}, status=422)
        if call.interface not in self._simulator.interfaces:
            return _answer(
                {"error": "there is no such interface", "interfaces": sorted(self._simulator.interfaces)}, status=422
            )
        return None

    async def change(self, request: web.Request) -> web.Response:
        body, faults = await _read(request, Change), self._store.faults
        for unknown in map(self._unknown, body.calls or ()):
            if unknown is not None:
                return unknown
        for name in body.model_fields_set & {"latency_ms", "percent", "auto_pay_ms", "money_out_ms", "strict"}:
            setattr(faults, name, getattr(body, name))
        if body.maintenance_ms is not None:
            faults.maintenance_until = self._store.clock.now() + timedelta(milliseconds=body.maintenance_ms)
        if body.notify is not None:
            faults.notify = self._notify(body.notify)
        if body.calls is not None:
            faults.calls = [CallFault(**each.model_dump()) for each in body.calls]
        return await self.faults(request)

    async def reset(self, request: web.Request) -> web.Response:
        self._store.faults = Faults()
        return await self.faults(request)

    async def rotate(self, _request: web.Request) -> web.Response:
        return _answer({"rotated": self._simulator.rotate()})

    async def faults(self, _request: web.Request) -> web.Response:
        return _answer({name: value for name, value in asdict(self._store.faults).items() if not name.startswith("_")})

    async def truth(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        return _answer(
            {"truth": self._store.truth[int(after) if after.isdecimal() and len(after) < _DIGITS_MAX else 0 :]}
        )

    async def alter(self, request: web.Request) -> web.Response:
        body = await _read(request, Alter)
        kind = self._kind(body.kind)
        if set(body.differences) - set(DIFFERENCES):
            return _answer({"error": "there is no such difference", "differences": DIFFERENCES}, status=422)
        entries = self._simulator.entries(kind, body.day)
        rows, key = plant(entries, body.differences, seed=body.seed, odd_state=self._simulator.odd_state)
        self._store.planted[kind, body.day.isoformat()] = rows
        return _answer({"day": body.day, "kind": kind, "rows": len(rows), "key": key})

    async def bill(self, request: web.Request) -> web.Response:
        try:
            day = date.fromisoformat(request.query.get("day", ""))
        except ValueError:
            day = date.min
        if not _EARLIEST <= day <= _LATEST:
            return _answer({"error": "`day` must be YYYY-MM-DD, from 1970 to 9998"}, status=422)
        content = self._simulator.bill(self._kind(request.query.get("kind")), day)
        return web.Response(body=content, content_type="application/octet-stream")

    def _kind(self, name: str | None) -> str:
        kinds = self._simulator.bill_kinds
        if name is not None and name not in kinds:
            raise web.HTTPUnprocessableEntity(text='{"error":"there is no such kind"}', content_type="application/json")
        return name or kinds[0]

    def _notify(self, body: Notify | None) -> NotifyFaults:
        return self._store.faults.notify if body is None else NotifyFaults(**body.model_dump())

    def _find(self, body: Scan) -> SandboxOrder:
        store = self._store
        return store.by_code.get(body.code_url or "") or store.orders.get(body.order_no or "") or _absent("order")

    @staticmethod
    def _lister(name: str, values: Callable[[], Iterable[Any]]) -> Callable[[web.Request], Any]:
        async def show(_request: web.Request) -> web.Response:
            return _answer({name: [describe(value) for value in values()]})

        return show


def _absent(name: str) -> Any:
    raise web.HTTPNotFound(text=f'{{"error":"there is no such {name}"}}', content_type="application/json")


def _outcome(record: Any, done: bool) -> web.Response:
    if not done:
        return _answer({"error": "the record has ended or cannot be paid", "record": describe(record)}, status=409)
    return _answer(describe(record))


async def _read(request: web.Request, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        raise web.HTTPUnprocessableEntity(text=error.json(include_url=False), content_type="application/json") from None


def _answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
