"""The worker on an open platform: its jobs run, and broken books are noticed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from hutong import app
from hutong.app.worker import check_books, make_worker, work
from hutong.config import Settings
from hutong.db import WORKER_ROLE
from hutong.ledger.accounts import open_accounts


@pytest.fixture
def settings(fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path))
    return Settings(log_level="error")


async def test_it_tidies_from_the_start_on(settings: Settings) -> None:
    async with app.open_platform(settings, role=WORKER_ROLE) as platform:
        long_ago = platform.clock.now() - timedelta(hours=1)
        async with platform.database.transaction() as tx:
            await tx.execute("INSERT INTO payments.notice VALUES ($1, $2, $3)", platform.ids.new(), b"taken", long_ago)
        stop = asyncio.Event()
        working = asyncio.create_task(work(platform, stop))
        try:
            async with asyncio.timeout(120):
                while await _notices(platform):  # noqa: ASYNC110 - the database can only be asked
                    await asyncio.sleep(0.05)
        finally:
            stop.set()
            await working
        worker = make_worker(platform)
        for job in app.JOBS:
            await job.run_limited(worker)  # with the rights of the worker alone


async def _notices(platform: app.Platform) -> int:
    async with platform.database.transaction() as tx:
        return int(await tx.fetchval("SELECT count(*) FROM payments.notice"))


@pytest.mark.parametrize("table", ["ledger.transfer", "events.outbox"])
async def test_it_makes_partitions(settings: Settings, table: str) -> None:
    """Migrations leave the journals without partitions by time; the worker is the one who makes them."""
    async with app.open_platform(settings, role=WORKER_ROLE) as platform:
        before = await _partitions(platform, table)
        stop = asyncio.Event()
        working = asyncio.create_task(work(platform, stop))
        try:
            async with asyncio.timeout(120):
                while await _partitions(platform, table) == before:  # noqa: ASYNC110 - the database can only be asked
                    await asyncio.sleep(0.05)
        finally:
            stop.set()
            await working


async def test_broken_books_are_logged_at_the_highest_level(
    settings: Settings, fresh_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with app.open_platform(settings, role=WORKER_ROLE) as platform:
        async with platform.database.transaction() as tx:
            wanted = [(1101, platform.ids.new(), "CNY")]
            await open_accounts(tx, wanted, now=platform.clock.now())
        with psycopg.connect(fresh_database_url, autocommit=True) as superuser:
            superuser.execute("UPDATE ledger.account SET debits_posted = 1")
        await check_books(platform)
    assert "books_broken" in capsys.readouterr().err


async def _partitions(platform: app.Platform, table: str) -> int:
    async with platform.database.transaction() as tx:
        return int(await tx.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent::regclass::text = $1", table))
