"""A merchant and its payers over HTTP, with the patience that real ones need."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson

from hutong import db, merchants
from hutong.clock import SystemClock
from hutong.ids import Ids

_PATIENCE_S = 60.0
_BUSY = (429, 502, 503)


class Refused(Exception):
    """An error answer that a repetition would not change."""

    def __init__(self, status: int, body: dict[str, Any] | list[Any]) -> None:
        """The sandbox's control answers a wrong request with a list of what is wrong."""
        problem = body if isinstance(body, dict) else {"detail": body}
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.code = problem.get("code")


@dataclass(slots=True)
class Client:
    """A client of the platform and the sandbox, which repeats a call that was cut off or answered with "busy".

    Repetition is safe for every call here: each carries an order number or names an object.
    """

    session: aiohttp.ClientSession
    address: str
    sandbox_address: str
    repeated: int = field(default=0)

    async def call(
        self, method: str, url: str, *, key: str | None = None, json: Any = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Make a call and return the JSON object of the answer."""
        sent_headers = dict(headers or {})
        if key is not None:
            sent_headers["Authorization"] = f"Bearer {key}"
        status, text = await self._request_until_answered(method, url, json=json, headers=sent_headers)
        body: dict[str, Any] = orjson.loads(text) if text else {}
        if status >= 400:
            raise Refused(status, body)
        return body

    async def _request_until_answered(self, method: str, url: str, **request: Any) -> tuple[int, bytes]:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.request(method, url, **request) as response:
                    text = await response.read()
                    if response.status not in _BUSY:
                        return response.status, text
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{method} {urlsplit(url).path} was not answered")
            self.repeated += 1
            await asyncio.sleep(0.1)

    async def visit(self, method: str, url: str, **request: Any) -> None:
        """Request a page of another server, as a browser would."""
        await self._request_until_answered(method, url, **request)

    async def add_endpoint(self, key: str, url: str) -> str:
        """Register a webhook endpoint; return the secret that verifies its webhooks."""
        endpoint = await self.call("POST", f"{self.address}/v1/webhook-endpoints", key=key, json={"url": url})
        return str(endpoint["secret"])

    async def create_payment(self, key: str, order: dict[str, Any]) -> dict[str, Any]:
        """Place an order; the order number makes repeating it safe."""
        return await self.call("POST", f"{self.address}/v1/payments", key=key, json=order)

    async def payment(self, key: str, payment_id: str) -> dict[str, Any]:
        """Return the current payment."""
        return await self.call("GET", f"{self.address}/v1/payments/{payment_id}", key=key)

    async def open_cashier(self, checkout_url: str) -> str:
        """Open the cashier's page as a browser would, and return the token of its link."""
        await self._request_until_answered("GET", checkout_url)
        return parse_qs(urlsplit(checkout_url).query)["token"][0]

    async def choose_method(self, payment_id: str, token: str, method: str) -> str | None:
        """Choose a method in the cashier and wait for the code.

        Returns:
            The text of the QR code; None if the payment ended before there was one.
        """
        address, headers = f"{self.address}/pay/{payment_id}", {"X-Checkout-Token": token}
        try:
            state = await self.call("POST", f"{address}/attempts", json={"method": method}, headers=headers)
        except Refused as refused:
            if refused.status != 409:
                raise
            return None  # the payer has paid while the answer to an earlier click was lost
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while not state["sandbox_payer_url"]:
            if state["final"]:
                return None
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{payment_id} got no code to scan")
            await asyncio.sleep(0.5)
            state = await self.call("GET", f"{address}/status", headers=headers)
        address = str(state["sandbox_payer_url"])
        return parse_qs(urlsplit(address).query)["code_url"][0]

    async def control(self, channel: str, what: str, **arguments: Any) -> dict[str, Any]:
        """Control a simulated channel."""
        return await self.call("POST", f"{self.sandbox_address}/control/{channel}/{what}", json=arguments)


async def register_merchant(database: db.Database, name: str, fee_ppm: int, *, zone: int = 0) -> merchants.ApiKey:
    """Register a merchant, as an operator would; return its first API key.

    Its payments can be paid for a long time, so that the cashier's address that is printed still offers methods.
    """
    clock = SystemClock()
    ids = Ids(clock, zone=zone)
    new = merchants.NewMerchant(ids.new(), name, fee_ppm, payment_validity=timedelta(days=15))
    async with database.transaction() as tx:
        await merchants.create_merchant(tx, new, now=clock.now())
        return await merchants.create_api_key(
            tx, new.merchant_id, key_id=ids.new(), random=secrets.token_urlsafe(32), now=clock.now()
        )
