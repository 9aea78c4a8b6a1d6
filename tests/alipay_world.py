"""A simulated Alipay at hand, with a clock that moves when told, and accounts that point at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web

from hutong.channels import Codes, Http, Order, Payout, PayRequest, Refund, load_codes
from hutong.channels.alipay.adapter import Alipay
from hutong.channels.alipay.credentials import AlipayCredentials
from hutong.clock import ManualClock
from hutong.sandbox import control
from hutong.sandbox.alipay.simulator import AlipaySimulator
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.store import Book

CODES = Codes(load_codes(Alipay.code_map))
START = datetime(2026, 3, 10, 2, 0, tzinfo=UTC)
"""Ten in the morning in Beijing."""


@dataclass
class AlipayWorld:
    simulator: AlipaySimulator
    clock: ManualClock
    url: str
    http: Http
    session: aiohttp.ClientSession

    def channel(self, *, certificate_mode: bool = False, **changed: object) -> Alipay:
        raw = self.simulator.keys.credentials(self.url, certificate_mode=certificate_mode) | changed
        context = {"sandbox": True, "stored": True}
        return Alipay(AlipayCredentials.model_validate(raw, context=context), self.http, CODES)

    def request(self, method: str = "alipay_qr", **changed: Any) -> PayRequest:
        fields: dict[str, Any] = {
            "attempt_no": f"att_{uuid4().hex[:26]}",
            "method": method,
            "amount_minor": 8800,
            "currency": "CNY",
            "subject": "糖醋排骨, a/b=c&d",
            "expires_at": self.clock.now().replace(minute=30),
            "notify_url": "",
            "payer": {"auth_code": "28763443825664394"} if method == "alipay_code" else {},
        } | changed
        return PayRequest(**fields)

    def order(self, request: PayRequest) -> Order:
        return Order(request.attempt_no, request.method, request.amount_minor, request.currency, self.clock.now())

    def refund(self, request: PayRequest, amount_minor: int, **changed: Any) -> Refund:
        fields: dict[str, Any] = {
            "refund_no": f"ref_{uuid4().hex[:26]}",
            "order": self.order(request),
            "amount_minor": amount_minor,
            "reason": "七天无理由",
            "notify_url": "",
            "created_at": self.clock.now(),
        } | changed
        return Refund(**fields)

    def payout(self, **changed: Any) -> Payout:
        payee = {"identity": "2088101117955611", "identity_type": "ALIPAY_USER_ID", "name": "张三"}
        fields: dict[str, Any] = {
            "payout_no": f"pyo_{uuid4().hex[:26]}",
            "amount_minor": 100,
            "currency": "CNY",
            "payee": payee,
            "remark": "佣金",
            "notify_url": "",
            "created_at": self.clock.now(),
        } | changed
        return Payout(**fields)

    async def paid(self, amount_minor: int = 8800, **changed: Any) -> PayRequest:
        """An order that was placed and paid."""
        request = self.request(amount_minor=amount_minor, **changed)
        await self.channel().pay(request, now=self.clock.now())
        await self.control("pay", order_no=request.attempt_no)
        return request

    async def control(self, path: str, **fields: Any) -> Any:
        async with self.session.post(f"{self.url}/control/alipay/{path}", json=fields) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()


@asynccontextmanager
async def alipay_world(folder: Path, http: Http) -> AsyncIterator[AlipayWorld]:
    clock = ManualClock(START)
    notifier = Notifier(AlipaySimulator.schedule_s, AlipaySimulator.accepted, speed=1000)
    simulator = AlipaySimulator(folder, Book("alipay", clock), notifier)
    app = web.Application()
    app.add_routes([*simulator.routes(), *control.routes({"alipay": simulator})])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        try:
            yield AlipayWorld(simulator, clock, url, http, session)
        finally:
            await notifier.close()
            await runner.cleanup()
