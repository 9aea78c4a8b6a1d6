"""A merchant's server: takes webhooks, verifies each with the Standard Webhooks library, keeps what it learnt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


class Receiver:
    """Takes webhooks for several merchants, each under a path and secret of its own.

    Attributes:
        events: Verified events by their id, however often each came.
        deliveries: How many verified calls there were.
        refused: How many calls did not verify.
    """

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.deliveries = 0
        self.refused = 0
        self.address = ""
        self._secrets: dict[str, Webhook] = {}
        self._arrivals: dict[tuple[str, str], asyncio.Future[None]] = {}

    def trust(self, name: str, secret: str) -> None:
        """Verify calls to `/hooks/{name}` with this secret."""
        self._secrets[name] = Webhook(secret)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen on a free port until the block ends; returns the address."""
        app = web.Application()
        app.router.add_post("/hooks/{name}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.address
        finally:
            await runner.cleanup()

    def seen(self, kind: str) -> set[str]:
        """The ids of the objects that events of this type were about."""
        return {event["data"]["id"] for event in self.events.values() if event["type"] == kind}

    async def arrival(self, object_id: str, kind: str, *, within_s: float) -> None:
        """Wait for the event of this type about this object; raises TimeoutError if it does not come."""
        waiting = self._arrivals.setdefault((object_id, kind), asyncio.get_running_loop().create_future())
        async with asyncio.timeout(within_s):
            await waiting

    async def _take(self, request: web.Request) -> web.Response:
        secret = self._secrets.get(request.match_info["name"])
        body = await request.text()
        try:
            if secret is None:
                raise WebhookVerificationError("no secret is known for this address")
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
