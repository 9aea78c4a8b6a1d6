"""After a storm a merchant who listens to webhooks alone knows exactly what the API would answer."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg
import pytest

from hutong.db import EmbeddedServer
from hutong.demo import RunningPlatform
from hutong.demo.merchant import Client, Refused
from support import SEED
from support.storm_merchant import MOODS, StormyServer, differences

PAYMENTS = 60
KILLS = 4
CNY = {"currency": "CNY", "subject": "茶, Example Store", "method": "wechat_native"}
CARD = {"currency": "USD", "subject": "Jasmine tea", "method": "card", "payer": {"token": "pm_card_visa"}}


@dataclass
class Storm:
    """A merchant, its server, and the platform it buys from."""

    client: Client
    key: str
    server: StormyServer
    rng: random.Random
    endpoint: str = ""

    async def get(self, path: str) -> dict[str, Any]:
        return await self.client.call("GET", f"{self.client.address}{path}", key=self.key)

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        return await self.client.call("POST", f"{self.client.address}{path}", key=self.key, json=body or None)

    async def until(self, payment_id: str, *statuses: str) -> dict[str, Any]:
        async with asyncio.timeout(120):
            while (found := await self.get(f"/v1/payments/{payment_id}"))["status"] not in statuses:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return found


@pytest.fixture
def key(platform: RunningPlatform, environment: dict[str, str]) -> str:
    created = subprocess.run(
        [sys.executable, "-m", "hutong", "merchant", "create", "Example Store", "--json"],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return str(json.loads(created.stdout)["api_key"])


@pytest.fixture
async def storm(platform: RunningPlatform, key: str) -> AsyncIterator[Storm]:
    rng = random.Random(SEED)
    server = StormyServer()
    await server.up()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        made = Storm(Client(session, platform.address, platform.sandbox_address), key, server, rng)
        endpoint = await made.post("/v1/webhook-endpoints", url=server.url)
        server.trust(endpoint["secret"])
        made.endpoint = endpoint["id"]
        yield made
    await server.down()


async def live(storm: Storm, number: int) -> str:
    """One payment's life; returns its id."""
    order = {"merchant_order_no": f"storm-{SEED}-{number}", "amount_minor": 1_000 + number}
    kind = number % 6
    if kind == 0:
        payment = await storm.post("/v1/payments", **CARD, **order, capture_method="manual")
        await storm.until(payment["id"], "requires_capture")
        await storm.post(f"/v1/payments/{payment['id']}/capture", amount_minor=600)
    elif kind == 1:
        payment = await storm.post("/v1/payments", **CARD, **order)
    else:
        payment = await storm.post("/v1/payments", **CNY, **order)
        await paid(storm, payment, late=kind == 2)
    ended = await storm.until(payment["id"], "succeeded", "closed")
    if ended["status"] == "succeeded":
        await refunded(storm, payment["id"], times=number % 4, fails=kind == 3)
    return str(payment["id"])


async def paid(storm: Storm, payment: dict[str, Any], *, late: bool) -> None:
    """The payer pays; some only after the order was closed, as a channel should not let him."""
    found = await storm.get(f"/v1/payments/{payment['id']}")
    attempt = found["attempts"][-1]["id"]
    if late:
        await storm.post(f"/v1/payments/{payment['id']}/close")
        await storm.until(payment["id"], "closed", "succeeded")
    with suppress(Refused):  # paid by a call whose answer was cut off
        notify = {"copies": storm.rng.randint(1, 3), "lose": storm.rng.randint(0, 1)}
        await storm.client.control("wechat", "pay", order_no=attempt, force=late, notify=notify)


async def refunded(storm: Storm, payment_id: str, *, times: int, fails: bool) -> None:
    for index in range(times):
        if fails:
            await storm.client.control("wechat", "next", interface="refund", kind="refund_fails_after_accept")
        body = {"merchant_refund_no": f"{payment_id}-{index}", "amount_minor": 100 + index}
        await storm.post(f"/v1/payments/{payment_id}/refunds", **body)
        await asyncio.sleep(storm.rng.uniform(0, 0.3))


async def havoc(storm: Storm, platform: RunningPlatform) -> None:
    """Kill the worker again and again, and take the merchant's server away for a while."""
    for number in range(KILLS):
        await asyncio.sleep(storm.rng.uniform(0.5, 1.5))
        for pid in platform.processes().get("worker", []):
            os.kill(pid, signal.SIGKILL)
        if number == KILLS // 2:
            await storm.server.down()
            await asyncio.sleep(1.5)
            await storm.server.up()
        with suppress(Refused):
            await storm.post(f"/v1/webhook-endpoints/{storm.endpoint}/replay", begin="2020-01-01T00:00:00Z")


async def calm(storm: Storm, platform: RunningPlatform) -> None:
    """Until every refund has ended and nothing is pending; what waits for its next try need not wait any longer."""
    storm.server.storm = False
    server = EmbeddedServer(platform.settings.home)
    url = server.start()
    server.leave()  # the platform keeps it running
    left: tuple[Any, ...] | None = None
    async with asyncio.timeout(120), await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        while left != (0, 0):
            await owner.execute("UPDATE events.delivery SET next_at = now() WHERE next_at > now()")
            await asyncio.sleep(0.2)
            cursor = await owner.execute(
                "SELECT (SELECT count(*) FROM events.delivery WHERE state <> 'delivered'), "
                "(SELECT count(*) FROM payments.refund WHERE state NOT IN ('succeeded', 'failed', 'manual'))"
            )
            left = await cursor.fetchone()


async def test_after_a_storm_the_view_from_webhooks_is_what_the_api_answers(
    storm: Storm, platform: RunningPlatform
) -> None:
    await storm.client.control("wechat", "faults", percent=5, latency_ms=5)
    raging = asyncio.create_task(havoc(storm, platform))
    payments = await asyncio.gather(*(live(storm, number) for number in range(PAYMENTS)))
    await raging
    await storm.client.control("wechat", "faults", percent=0)
    await calm(storm, platform)

    view, server = storm.server.view, storm.server
    assert set(server.mishaps) == set(MOODS)
    assert max(view.taken.values()) > 1
    assert server.refused == 0
    assert set(view.of("payment")) == set(payments)
    differing = [
        difference
        for name in payments
        for difference in differences(name, view.payment(name), await storm.get(f"/v1/payments/{name}"))
    ]
    assert differing == []
    listed = [one for name in payments for one in (await storm.get(f"/v1/payments/{name}/refunds"))["data"]]
    asked_for = {one["id"]: one for one in listed if one["kind"] == "refund"}
    assert asked_for == view.of("refund")
    late = {one["payment_id"] for one in listed if one["kind"] == "surplus"}
    assert late, "nobody paid late"
    assert late == view.about["payment.surplus_refunded"]
    for name, numbers in view.numbers.items():
        assert numbers == list(range(1, len(numbers) + 1)), name
