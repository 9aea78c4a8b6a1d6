"""A merchant's server that receives webhooks, verified with the Standard Webhooks library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


class Receiver:
    """A receiver of webhooks for several merchants, each with its own path and secret.

    Attributes:
        events: Verified events by id, each once.
        deliveries: The number of verified calls.
        refused: The number of calls that did not verify.
    """

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.deliveries = 0
        self.refused = 0
        self.address = ""
        self._secrets: dict[str, Webhook] = {}
        self._arrivals: dict[tuple[str, str], asyncio.Future[None]] = {}

    def trust(self, name: str, secret: str) -> None:
        """Register the secret that verifies calls to `/hooks/{name}`."""
        self._secrets[name] = Webhook(secret)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen on a free port for the length of a block, which gets the address."""
        app = web.Application()
        app.router.add_post("/hooks/{name}", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.address
        finally:
            await runner.cleanup()

    async def arrival(self, object_id: str, kind: str, *, within_s: float) -> None:
        """Wait for an event of this type about this object; raise TimeoutError if it does not arrive."""
        waiting = self._arrivals.setdefault((object_id, kind), asyncio.get_running_loop().create_future())
        async with asyncio.timeout(within_s):
            await waiting

    async def _receive(self, request: web.Request) -> web.Response:
        secret = self._secrets.get(request.match_info["name"])
        body = await request.text()
        try:
            if secret is None:
                raise WebhookVerificationError("no secret is registered for this path")
            event: dict[str, Any] = secret.verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.refused += 1
            return web.Response(status=400)
        self.deliveries += 1
        self.events.setdefault(request.headers["webhook-id"], event)
        loop = asyncio.get_running_loop()
        waiting = self._arrivals.setdefault((event["data"]["id"], event["type"]), loop.create_future())
        if not waiting.done():
            waiting.set_result(None)
        return web.Response(status=204)
