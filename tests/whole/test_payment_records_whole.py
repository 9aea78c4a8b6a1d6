"""The worker keeps bills in a database of their own; when that is away, payments go on, and bills catch up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import psycopg
import pytest

from hutong import app, ids, payments, search
from hutong.app.worker import work
from hutong.config import Settings
from hutong.search.model import RecordPage
from support import create_database
from support.fixtures.payments import answered


@pytest.fixture
def store_url(server_url: str) -> str:
    """An empty database; the worker makes it ready."""
    return create_database(server_url)


@pytest.fixture
def settings(fresh_database_url: str, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("HUTONG_QUERY_DATABASE_URL", store_url)
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path))
    return Settings(log_level="error")


async def closed(platform: app.Platform, merchant_id: UUID, number: int) -> UUID:
    """A payment that is placed and given up."""
    new = payments.NewPayment(
        platform.ids.new(), merchant_id, f"order-{number}", 1999, "CNY", "糖醋排骨",
        platform.clock.now() + timedelta(hours=1), "unguessable",
    )  # fmt: skip
    status, body = await answered(platform.lifecycle, payments.PlaceOrder(new))
    assert status == 201
    payment = await platform.lifecycle.find(ids.decode("pay", orjson.loads(body)["id"]))
    assert payment is not None
    ended = await platform.lifecycle.close(payment)
    assert ended.closed_at is not None
    return payment.payment_id


async def shown(platform: app.Platform, merchant_id: UUID, count: int) -> set[UUID]:
    """The bills of a merchant, once there are so many."""
    async with asyncio.timeout(120):
        while True:
            try:
                async with platform.records.transaction() as tx:
                    page = await search.search_records(tx, search.RecordQuery(merchant_id=merchant_id), limit=100)
            except Exception:  # noqa: BLE001 - not made ready yet, or away
                page = RecordPage([], None)
            if len(page.records) >= count:
                return {bill.payment_id for bill in page.records}
            await asyncio.sleep(0.1)


def allow(server_url: str, store_url: str, allowed: bool) -> None:
    """Let connections in to the bills' database, or throw out all that there are and let no more in."""
    name = urlsplit(store_url).path.lstrip("/")
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allowed}')  # type: ignore[call-overload]
        if not allowed:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


async def test_bills_follow_and_catch_up_after_their_database_was_away(
    settings: Settings, server_url: str, store_url: str
) -> None:
    async with app.open_platform(settings) as platform:
        merchant_id = platform.ids.new()
        stop = asyncio.Event()
        working = asyncio.create_task(work(platform, stop))
        try:
            expected = {await closed(platform, merchant_id, number) for number in range(3)}
            assert await shown(platform, merchant_id, 3) == expected
            await asyncio.to_thread(allow, server_url, store_url, False)
            expected |= {await closed(platform, merchant_id, number) for number in range(3, 6)}
            await asyncio.sleep(1)  # long enough for the worker to fail at it
            await asyncio.to_thread(allow, server_url, store_url, True)
            assert await shown(platform, merchant_id, 6) == expected
        finally:
            stop.set()
            await working
