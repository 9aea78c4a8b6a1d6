"""A merchant who knows only what webhooks tell, and whose server is as bad as servers get."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

MOODS = ["well", "fails_before", "well", "cut_after", "well", "fails_after", "well", "cut_before", "well", "hangs"]


@dataclass
class View:
    """What the merchant believes, built from events alone.

    Attributes:
        objects: Of each payment and refund the newest form, by its id.
        about: The ids that events of each type were about.
        numbers: Of each object the numbers of its events, in the order in which they were taken first.
        taken: How often each event was taken.
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    numbers: dict[str, list[int]] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)

    def take(self, event: dict[str, Any]) -> None:
        self.taken[event["id"]] += 1
        if self.taken[event["id"]] > 1:
            return
        self.about[event["type"]].add(event["data"]["id"])
        seen = self.numbers.setdefault(event["data"]["id"], [])
        if not seen or event["object_seq"] > max(seen):
            self.objects[event["data"]["id"]] = event["data"]
        seen.append(event["object_seq"])

    def payment(self, payment_id: str) -> dict[str, Any]:
        """A payment with what its refunds have changed since its last own event."""
        own = [r for r in self.of("refund").values() if r["payment_id"] == payment_id and r["kind"] != "surplus"]
        done = sum(one["amount_minor"] for one in own if one["state"] == "succeeded")
        left = sum(one["amount_minor"] for one in own if one["state"] not in ("succeeded", "failed"))
        return self.objects[payment_id] | {"amount_refunded_minor": done, "amount_refunding_minor": left}

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        return {name: data for name, data in self.objects.items() if data["object"] == kind}


class StormyServer:
    """The merchant's server. It verifies every call; then it may fail before or after the event is written down, hang
    until the platform gives up, or close the connection without a word; and it goes down and comes back.

    Attributes:
        storm: Whether it misbehaves at present.
        mishaps: What happened how often.
        refused: Calls that did not verify.
    """

    def __init__(self) -> None:
        self.view = View()
        self.storm = True
        self.mishaps: Counter[str] = Counter()
        self.refused = 0
        self._moods = cycle(MOODS)
        self._secret: Webhook | None = None
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    def trust(self, secret: str) -> None:
        self._secret = Webhook(secret)

    async def up(self) -> None:
        """Listen, at the port of before."""
        application = web.Application()
        application.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Close every connection and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        assert self._secret is not None
        try:
            event = self._secret.verify(await request.text(), dict(request.headers))
        except WebhookVerificationError:
            self.refused += 1
            return web.Response(status=400)
        mishap = next(self._moods) if self.storm else "well"
        self.mishaps[mishap] += 1
        if mishap == "hangs":
            await asyncio.sleep(60)
        if not mishap.endswith("_before"):
            self.view.take(event)
        if mishap.startswith("cut") and request.transport is not None:
            request.transport.abort()
        return web.Response(status=500 if mishap.startswith("fails") else 204)


def differences(path: str, believed: Any, actual: Any) -> list[str]:
    """List the places at which two documents differ."""
    if isinstance(believed, dict) and isinstance(actual, dict) and believed.keys() == actual.keys():
        return [place for name in actual for place in differences(f"{path}.{name}", believed[name], actual[name])]
    if isinstance(believed, list) and isinstance(actual, list) and len(believed) == len(actual):
        pairs = enumerate(zip(believed, actual, strict=True))
        return [place for at, (one, other) in pairs for place in differences(f"{path}[{at}]", one, other)]
    return [] if believed == actual else [f"{path}: {believed!r} is {actual!r}"]
