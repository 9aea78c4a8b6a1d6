"""A merchant and its payers, over HTTP only, as patient as real ones have to be."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson

_PATIENCE_S = 60.0
_BUSY = (429, 502, 503)


class Refused(Exception):
    """An answer that repeating would not change."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body.get('code')}: {body.get('detail')}")
        self.status = status
        self.code = body.get("code")


@dataclass(slots=True)
class Client:
    """Calls the platform and the sandbox; repeats what was cut off or was answered with "busy".

    That is safe for every call here: each carries an order number or names an object.
    """

    session: aiohttp.ClientSession
    address: str
    sandbox_address: str
    repeated: int = field(default=0)

    async def call(
        self, method: str, url: str, *, key: str | None = None, json: Any = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """One call; returns the JSON object that is answered."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        status, text = await self._patiently(method, url, json=json, headers=sent)
        body: dict[str, Any] = orjson.loads(text) if text else {}
        if status >= 400:
            raise Refused(status, body)
        return body

    async def _patiently(self, method: str, url: str, **request: Any) -> tuple[int, bytes]:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.request(method, url, **request) as response:
                    text = await response.read()
                    if response.status not in _BUSY:
                        return response.status, text
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{method} {urlsplit(url).path} is not answered")
            self.repeated += 1
            await asyncio.sleep(0.1)

    async def visit(self, method: str, url: str, **request: Any) -> None:
        """Go to a page of somebody else's, as a browser would."""
        await self._patiently(method, url, **request)

    async def create_payment(self, key: str, order: dict[str, Any]) -> dict[str, Any]:
        """Place an order; the order number makes repeating it safe."""
        return await self.call("POST", f"{self.address}/v1/payments", key=key, json=order)

    async def payment(self, key: str, payment_id: str) -> dict[str, Any]:
        """A payment as it stands."""
        return await self.call("GET", f"{self.address}/v1/payments/{payment_id}", key=key)

    async def open_cashier(self, checkout_url: str) -> str:
        """Open the page as a browser would; returns the token in its link."""
        await self._patiently("GET", checkout_url)
        return parse_qs(urlsplit(checkout_url).query)["token"][0]

    async def choose_method(self, payment_id: str, token: str, method: str) -> str | None:
        """Choose a method in the cashier, and wait for the code.

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
                raise TimeoutError(f"{payment_id} gets no code to scan")
            await asyncio.sleep(0.5)
            state = await self.call("GET", f"{address}/status", headers=headers)
        address = str(state["sandbox_payer_url"])
        return parse_qs(urlsplit(address).query)["code_url"][0]

    async def control(self, channel: str, what: str, **arguments: Any) -> dict[str, Any]:
        """Tell a simulated channel what to do."""
        return await self.call("POST", f"{self.sandbox_address}/control/{channel}/{what}", json=arguments)
