"""Tealeaf Pay, of docs/add-a-channel.md, as its other side."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from hutong.clock import SystemClock
from hutong.sandbox import control
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.simulator import Simulator, answer_call
from hutong.sandbox.store import Store

SHOP, SECRET = "1001", "a secret of thirty-two characters"
WORDS = {
    OrderState.OPEN: "WAITING",
    OrderState.PAID: "PAID",
    OrderState.DECLINED: "REFUSED",
    OrderState.CLOSED: "CANCELLED",
}


class TealeafSimulator(Simulator):
    channel = "tealeaf"
    interfaces = frozenset({"place", "query", "close"})
    schedule_s = (1, 1, 1)
    bill_kinds = ()
    odd_state = "ODD"

    def __init__(self, folder: Path, store: Store, notifier: Notifier) -> None:
        self.store = store
        self._notifier = notifier

    def routes(self) -> list[web.RouteDef]:
        verbs = {"pay": ("place", self._place), "query": ("query", self._find), "close": ("close", self._close)}
        return [web.post(f"/tealeaf/{verb}", partial(self._answer, *what)) for verb, what in verbs.items()]

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:
        return status == 200 and body == b"taken"

    def pay(self, order: SandboxOrder, faults: NotifyFaults, *, force: bool = False) -> bool:
        if not self.store.pay(order, force=force):
            return False
        body = orjson.dumps({"order": self._document(order, faults.amount_delta_minor)})
        self._notifier.start(order, faults, lambda: (sign(body, self.store.clock.now()), body))
        return True

    def decline(self, order: SandboxOrder, faults: NotifyFaults) -> bool:
        return self.store.decline(order)

    async def _answer(self, interface: str, work: Any, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        lines = [request.headers.get(f"tealeaf-{name}", "") for name in ("time", "nonce")] + [request.path]
        if not hmac.compare_digest(signature(lines, body), request.headers.get("tealeaf-signature", "")):
            return self._reply((401, {"code": "SIGNATURE"}), "")
        fields = orjson.loads(body)
        return await answer_call(
            self,
            request,
            interface,
            number=fields["no"],
            work=lambda: work(fields),
            fail=lambda status, code: (status or 500, {"code": code or "BUSY", "message": "as told"}),
            reply=self._reply,
        )

    def _reply(self, answer: tuple[int, Any], kind: str) -> web.StreamResponse:
        status, fields = answer
        if kind == "other_order" and "order" in fields:
            fields["order"]["no"] = "att_another"
        body = b"{" if kind == "malformed" else orjson.dumps(fields)
        if kind == "too_long":
            body += b" " * (2 << 20)
        now = self.store.clock.now()
        headers = sign(body, now, age_s=3600 if kind == "stale" else 0)
        if kind == "bad_signature":
            headers["tealeaf-signature"] = "0" * 64
        return web.Response(status=status, body=body, headers={} if kind == "unsigned" else headers)

    def _place(self, fields: dict[str, Any]) -> tuple[int, Any]:
        order = self.store.orders.get(fields["no"])
        if order is None:
            order = SandboxOrder(
                fields["no"], self.store.new_channel_no("T"), fields["amount"], fields["currency"], fields["subject"],
                fields["notify_url"], fields, f"tealeaf://{secrets.token_hex(8)}",
                datetime.fromisoformat(fields["expires_at"]),
            )  # fmt: skip
            self.store.place(order)
        elif order.content != fields:
            return 409, {"code": "NUMBER_REUSED"}
        return 200, {"order": self._document(order)}

    def _find(self, fields: dict[str, Any]) -> tuple[int, Any]:
        order = self.store.orders.get(fields["no"])
        return (404, {"code": "NO_SUCH_ORDER"}) if order is None else (200, {"order": self._document(order)})

    def _close(self, fields: dict[str, Any]) -> tuple[int, Any]:
        order = self.store.orders.get(fields["no"])
        if order is not None and order.state is OrderState.OPEN:
            self.store.change(order, OrderState.CLOSED, "closed")
        return self._find(fields)

    def _document(self, order: SandboxOrder, amount_delta_minor: int = 0) -> dict[str, Any]:
        return {
            "shop": SHOP,
            "no": order.order_no,
            "id": order.channel_order_no,
            "amount": order.amount_minor + amount_delta_minor,
            "currency": order.currency,
            "state": WORDS[order.state],
            "qr": order.code_url,
            "paid_at": order.paid_at.isoformat() if order.paid_at else None,
        }


def signature(lines: list[str], body: bytes) -> str:
    text = "".join(f"{line}\n" for line in lines).encode() + body
    return hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()


def sign(body: bytes, now: datetime, *, age_s: int = 0) -> dict[str, str]:
    time, nonce = str(int(now.timestamp()) - age_s), secrets.token_hex(8)
    return {
        "tealeaf-time": time,
        "tealeaf-nonce": nonce,
        "tealeaf-signature": signature([time, nonce, ""], body),
        "Content-Type": "application/json",
    }


@asynccontextmanager
async def serve_tealeaf() -> AsyncIterator[str]:
    """The simulator with its control API, on an address of its own."""
    notifier = Notifier(TealeafSimulator.schedule_s, TealeafSimulator.accepted, speed=1000)
    simulator = TealeafSimulator(Path(), Store("tealeaf", SystemClock()), notifier)
    app = web.Application()
    app.add_routes([*simulator.routes(), *control.routes({"tealeaf": simulator})])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await notifier.close()
        await runner.cleanup()
