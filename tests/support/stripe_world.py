"""One Stripe account at the simulator, for the tests of its adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from hutong.channels import Codes, Http, OrderReference, PayRequest, RefundRequest
from hutong.channels.codes.codes import load_codes
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.credentials import StripeCredentials
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from support.channel_rigs import Control, number


@dataclass
class World:
    """One account at the simulator, called for real."""

    stripe: Stripe
    control: Control
    now: datetime
    keys: StripeSandboxKeys

    async def pay(self, token: str = "pm_card_visa", **changed: Any) -> tuple[OrderReference, Any]:
        fields: dict[str, Any] = {
            "attempt_no": number("att"),
            "method": "card",
            "amount_minor": 8800,
            "currency": "USD",
            "subject": "Tea",
            "expires_at": self.now + timedelta(minutes=5),
            "notify_url": "http://127.0.0.1:1/notify",
            "return_url": "https://shop.example/back",
            "payer": {"token": token},
        } | changed
        request = PayRequest(**fields)
        answer = await self.stripe.pay(request, now=self.now)
        order = OrderReference(
            request.attempt_no,
            request.method,
            request.amount_minor,
            request.currency,
            self.now,
            answer.channel_order_no,
        )
        return order, answer

    async def again(self, order: OrderReference, token: str = "pm_card_visa", **changed: Any) -> Any:
        return (await self.pay(token, attempt_no=order.attempt_no, method=order.method, **changed))[1]

    def refund(self, order: OrderReference, amount_minor: int = 8800, **changed: Any) -> RefundRequest:
        return RefundRequest(
            number("ref"), order, amount_minor, "changed my mind", "http://127.0.0.1:1/notify", self.now, **changed
        )

    async def truth(self, order: OrderReference) -> list[str]:
        rows = (await self.control.get("truth"))["truth"]
        return [row["event"] for row in rows if row["order_no"] == order.attempt_no]


@asynccontextmanager
async def open_world(
    sandbox_url: str, sandbox_folder: Path, http: Http, now: datetime, **changed: object
) -> AsyncIterator[World]:
    """Open the account; `changed` replaces credentials."""
    keys = StripeSandboxKeys.load(sandbox_folder / "stripe")
    raw = keys.credentials(sandbox_url) | changed
    credentials = StripeCredentials.model_validate(raw, context={"sandbox": True})
    async with aiohttp.ClientSession() as session:
        control = Control(sandbox_url, session, "stripe")
        yield World(Stripe(credentials, http, Codes(load_codes(Stripe.code_map))), control, now, keys)
        await control.post("reset")
