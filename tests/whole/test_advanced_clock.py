"""The time of a running sandbox is moved by its API: what is due later happens now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from hutong import app, db
from hutong.config import Settings
from hutong.demo import Receiver, RunningPlatform
from hutong.demo.merchant import Client, Refused, register_merchant

DAYS_16 = 16 * 86_400
"""Longer than any payment stays payable by default."""


@pytest.fixture
def serving(home: str) -> Iterator[RunningPlatform]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HUTONG_DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
            patch.delenv(name, raising=False)
        patch.setenv("HUTONG_HOME", home)
        patch.setenv("HUTONG_SANDBOX", "true")
        running = RunningPlatform(Settings(), own=True)
        yield running
        running.stop()


async def _clock(client: Client, key: str, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await client.call("POST", f"{client.address}/v1/sandbox/clock", key=key, json=body)
    return answer


async def test_orders_expire_and_webhooks_verify_after_the_clock_has_moved(serving: RunningPlatform) -> None:
    receiver = Receiver()
    order = {"amount_minor": 12_800, "currency": "CNY", "subject": "tea", "method": "wechat_native"}
    with app.using_database(serving.settings) as url:
        async with receiver.serve() as hooks, db.Database.open(url, size=2) as database, aiohttp.ClientSession() as s:
            client = Client(s, serving.address, serving.sandbox_address)
            key = (await register_merchant(database, "Example Store", 0, zone=0)).secret
            receiver.trust("shop", await client.add_endpoint(key, f"{hooks}/hooks/shop"))
            before = await client.create_payment(key, order | {"merchant_order_no": "before"})

            moved = await _clock(client, key, advance_seconds=DAYS_16)
            assert moved["ahead_seconds"] == DAYS_16
            await receiver.arrival(before["id"], "payment.closed", within_s=30)

            after = await client.create_payment(key, order | {"merchant_order_no": "after"})
            created_at = datetime.fromisoformat(after["created_at"])
            assert created_at - datetime.now(UTC) > timedelta(days=15)
            await client.control("wechat", "pay", order_no=after["attempts"][0]["id"])
            await receiver.arrival(after["id"], "payment.succeeded", within_s=30)
            assert receiver.refused == 0

            with pytest.raises(Refused) as past:
                await _clock(client, key, now=datetime.now(UTC).isoformat())
            assert past.value.status == 422
            with pytest.raises(Refused) as both:
                await _clock(client, key, now="2099-01-01T00:00:00Z", advance_seconds=1)
            assert both.value.status == 422
