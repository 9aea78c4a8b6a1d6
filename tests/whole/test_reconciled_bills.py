"""The bills of all four channels are fetched and reconciled, and the planted differences are found and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from test_restore_bills import AMOUNT, LOST, Lost, Shop

from hutong import app, reconciliation
from hutong.app.worker import JOBS, Worker
from hutong.ids import encode
from hutong.payments import NewPayment, Payment, PlaceOrder, RouteRequest
from hutong.reconciliation import files, runs
from hutong.sandbox import SandboxSettings, serve
from support.running_platform import ShiftedClock

ORDERS = 6
PLANTED = {"missing": 1, "extra": 1, "duplicate": 1, "amount": 1}
FOUND = Counter({"missing": 1, "unexpected": 1, "duplicate": 1, "mismatch": 1})
ONE = timedelta(days=1)


class BilledShop(Shop):
    """A merchant with several orders at each channel, all at noon in Beijing."""

    async def pay(self, platform: app.Platform, channel: str, lost: Lost, number: int) -> Payment:
        order_no = f"{channel}-{number}"
        route = RouteRequest(
            lost.method, AMOUNT, lost.currency, payer=lost.payer, merchant_id=self.merchant_id,
            merchant_order_no=order_no,
        )  # fmt: skip
        new = NewPayment(
            payment_id=platform.ids.new(),
            merchant_id=self.merchant_id,
            merchant_order_no=order_no,
            amount_minor=AMOUNT,
            currency=lost.currency,
            subject="Jasmine tea",
            expires_at=self.clock.now() + timedelta(hours=1),
            checkout_token=f"unguessable-{order_no}",
            fee_ppm=6_000,
        )
        chosen = replace(new, first_attempt=await platform.lifecycle.route_selector.choose(route))
        payment = (await platform.lifecycle.place(PlaceOrder(chosen))).payment
        assert payment is not None
        sent = encode("att", payment.attempts[0].attempt_id)
        for verb in lost.payer_does:
            await self.control(channel, verb, order_no=sent.replace("_", "") if channel == "unionpay" else sent)
        return await self.until(platform, payment, lambda p: p.status == "succeeded")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[BilledShop]:
    clock = ShiftedClock()
    noon = datetime.combine(clock.now().date() + ONE, datetime.min.time(), UTC) + timedelta(hours=4)
    clock.advance(noon - clock.now())
    async with (
        serve(SandboxSettings(tmp_path, speed=1000, clock=clock)) as sandbox_url,
        aiohttp.ClientSession() as session,
    ):
        yield BilledShop(tmp_path, clock, session, sandbox_url)


async def cases(platform: app.Platform) -> dict[str, list[tuple[str, str, str, str]]]:
    async with platform.database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT a.channel, d.class, d.state, d.key, d.layer FROM reconciliation.difference AS d "
            "JOIN channels.account AS a ON a.id = d.account_id ORDER BY 1, 2"
        )
    found: dict[str, list[tuple[str, str, str, str]]] = {channel: [] for channel in LOST}
    for row in rows:
        found[row["channel"]].append((row["class"], row["state"], row["key"], row["layer"]))
    return found


async def reconcile(shop: BilledShop, platform: app.Platform) -> None:
    """Do what the worker does once the bills of yesterday are made."""
    shop.clock.advance(ONE)
    jobs, worker = {job.name: job for job in JOBS}, cast("Worker", SimpleNamespace(platform=platform))
    for _ in range(5):  # what a busy machine has not done in time is fetched again after a pause
        await jobs["fetch"].run_limited(worker)
        async with platform.database.transaction() as tx:
            if not await files.list_fetches(tx, open_only=True, limit=100):
                break
        shop.clock.advance(timedelta(minutes=5))
    await jobs["reconcile"].run_limited(worker)
    async with platform.database.transaction() as tx:
        left = await reconciliation.list_requests(tx, open_only=True, limit=100)
    assert [request.error for request in left] == []


async def test_the_bills_of_all_channels_are_reconciled_and_what_was_planted_is_found(
    shop: BilledShop, fresh_database_url: str
) -> None:
    async with shop.running(fresh_database_url) as platform:
        await shop.prepare(platform)
        day: date = shop.clock.now().date()
        key: dict[str, list[dict[str, Any]]] = {}
        for channel, lost in LOST.items():
            for number in range(ORDERS):
                await shop.pay(platform, channel, lost, number)
            planted = await shop.control(channel, "bill", day=day.isoformat(), seed=7, differences=PLANTED)
            key[channel] = planted["key"]
        await reconcile(shop, platform)
        assert {(state, layer) for found in (await cases(platform)).values() for _, state, _, layer in found} == {
            ("rolled", "payment_bill"),
            ("open", "payment_bill"),
        }
        await reconcile(shop, platform)
        for channel, found in (await cases(platform)).items():
            assert Counter(klass for klass, *_ in found) == FOUND, (channel, found)
            assert {state for _, state, *_ in found} == {"open"}, channel
            planted_numbers = {entry["number"].replace("_", "") for entry in key[channel]}
            assert {number.replace("_", "") for *_, number, _ in found} == planted_numbers, channel
        async with platform.database.transaction() as tx:
            made = await runs.list_runs(tx, day=day, limit=10)
        assert len(made) == len(LOST)
