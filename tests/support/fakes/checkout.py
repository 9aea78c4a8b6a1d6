"""An implementation of the cashier's protocol in memory, and a real server for both."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import uvicorn
from fastapi import FastAPI

from hutong import ids
from hutong.cashier import create_router
from hutong.cashier.model import CheckoutStatus, CheckoutView, IdentityAnswer
from hutong.channels import ActionKind, Device, PayerAction
from hutong.clock import Clock, SystemClock
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.ids import Ids


@dataclass
class MemoryCheckout:
    """Payments in a dictionary, changed by the test while a page is open.

    Attributes:
        attempts: One entry per attempt that was really started: the payment, the method, the payer's address.
        views: The number of views of payments.
        devices: The devices that the views were for.
        identity_urls: Where a payer is sent to be identified, by method; `identified` has those who came back.
        refusal: Raised by every attempt, if set.
        broken: Raised by every call, if set.
        actions: The payer's action, by method; by default a code to scan.
        new_id: Makes the ids of payments; by default from the clock.
        closes_by_itself: Whether an expired payment is closed at once; a real one is closed a little later.
    """

    clock: Clock = field(default_factory=SystemClock)
    attempts: list[tuple[UUID, str, str | None]] = field(default_factory=list)
    views: int = 0
    devices: list[Device] = field(default_factory=list)
    refusal: Exception | None = None
    identity_urls: dict[str, str] = field(default_factory=dict)
    identified: list[IdentityAnswer] = field(default_factory=list)
    broken: Exception | None = None
    closes_by_itself: bool = True
    new_id: Callable[[], UUID] | None = None
    actions: dict[str, PayerAction] = field(default_factory=dict)
    _payments: dict[UUID, tuple[str, CheckoutView]] = field(default_factory=dict)

    def create(self, *, lasts: timedelta = timedelta(minutes=15), **fields: object) -> Link:
        """Create a payment and the link to it."""
        payment_id = (self.new_id or Ids(self.clock).new)()
        view = CheckoutView(
            payment_id=payment_id,
            merchant_name="Example Store",
            subject="Jasmine Silver Needle, 100 g",
            amount_minor=12_800,
            currency="CNY",
            status=CheckoutStatus.REQUIRES_PAYMENT,
            expires_at=self.clock.now() + lasts,
            methods=("wechat_native", "alipay_qr"),
            server_time=self.clock.now(),
            merchant_order_no="2026-001001",
            return_url="https://shop.example/orders/1001",
            cancel_url="https://shop.example/cart",
        )
        token = secrets.token_urlsafe(24)
        self._payments[payment_id] = token, replace(view, **fields)  # type: ignore[arg-type]
        return Link(payment_id, token)

    def change(self, link: Link, **fields: object) -> None:
        token, view = self._payments[link.payment_id]
        self._payments[link.payment_id] = token, replace(view, **fields)  # type: ignore[arg-type]

    def succeed(self, link: Link) -> None:
        method = self._payments[link.payment_id][1].method or "wechat_native"
        self.change(
            link,
            status=CheckoutStatus.SUCCEEDED,
            action=None,
            finished_at=self.clock.now(),
            finished_method=method,
        )

    def decline(self, link: Link, message: str) -> None:
        self.change(
            link,
            status=CheckoutStatus.REQUIRES_PAYMENT,
            method=None,
            action=None,
            failure={"en": message, "zh": f"中文 {message}"},
            declined=True,
        )

    async def view(self, payment_id: UUID, token: str, *, device: Device) -> CheckoutView:
        self.views += 1
        self.devices.append(device)
        if self.broken:
            raise self.broken
        kept, view = self._payments.get(payment_id, ("", None))
        if view is None or not hmac.compare_digest(kept, token):
            raise NotFound("wrong token" if view else "no such payment")
        now = self.clock.now()
        if self.closes_by_itself and now >= view.expires_at and view.status is not CheckoutStatus.SUCCEEDED:
            ended = {"finished_at": view.expires_at, "close_reason": "expired"}
            view = replace(view, status=CheckoutStatus.CLOSED, action=None, **ended)  # type: ignore[arg-type]
        return replace(view, server_time=now)

    async def identify_url(self, payment_id: UUID, token: str, method: str) -> str | None:
        await self.view(payment_id, token, device=Device.WECHAT)
        return self.identity_urls.get(method)

    async def pay_identified(
        self, payment_id: UUID, token: str, answer: IdentityAnswer, *, payer_ip: str | None
    ) -> None:
        self.identified.append(answer)
        await self.pay(payment_id, token, answer.method, payer_ip=payer_ip, device=Device.WECHAT)

    async def pay(
        self, payment_id: UUID, token: str, method: str, *, payer_ip: str | None, device: Device
    ) -> CheckoutView:
        view = await self.view(payment_id, token, device=device)
        if self.refusal:
            raise self.refusal
        if method not in view.methods:
            raise InvalidParameter("not offered", param="method")
        if view.status in {CheckoutStatus.SUCCEEDED, CheckoutStatus.CLOSED}:
            raise Conflict("this payment can no longer be paid")
        if view.method != method:
            content = f"weixin://wxpay/bizpayurl?pr={len(self.attempts):09}"
            self.attempts.append((payment_id, method, payer_ip))
            self.change(
                Link(payment_id, token),
                status=CheckoutStatus.PROCESSING,
                method=method,
                action=self.actions.get(method, PayerAction(ActionKind.QR_CODE, content)),
                failure=None,
            )
            await asyncio.sleep(0)  # like the real one, it yields to others before it answers
        return await self.view(payment_id, token, device=device)


@dataclass(frozen=True)
class Link:
    """The link that a merchant gives to a payer."""

    payment_id: UUID
    token: str

    @property
    def path(self) -> str:
        return f"/pay/{ids.encode('pay', self.payment_id)}"

    def page(self, **query: str) -> str:
        return f"{self.path}?token={self.token}" + "".join(f"&{name}={value}" for name, value in query.items())


def cashier_app(checkout: MemoryCheckout, *, sandbox: bool = False) -> FastAPI:
    app = FastAPI()
    app.include_router(create_router(checkout, checkout.clock, sandbox=sandbox))
    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port, in a thread; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, access_log=False, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
