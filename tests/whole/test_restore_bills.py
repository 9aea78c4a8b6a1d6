"""What the database has lost is found in the bills of all four channels, as they write them, and adopted."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from pydantic import SecretStr

from hutong import api, app, channels, ledger, merchants, payments
from hutong.app.worker import fetch_bills, make_worker
from hutong.config import Settings
from hutong.db import migrate
from hutong.ids import encode
from hutong.ledger.accounting.chart import account_id
from hutong.payments import NewPayment, Payment, PlaceOrder, RouteRequest
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.restored import LostOrder, finish_when_complete
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox import accounts as sandbox_accounts
from support import create_database
from support.running_platform import ShiftedClock

AMOUNT, BACK = 1999, 700


@dataclass(frozen=True)
class Lost:
    """An order at one channel: how it is placed, and how its payer pays."""

    method: str
    currency: str = "CNY"
    payer: dict[str, str] | None = None
    payer_does: tuple[str, ...] = ("pay",)


LOST = {
    "wechat": Lost("wechat_native"),
    "alipay": Lost("alipay_qr", payer_does=("scan", "pay")),
    "unionpay": Lost("unionpay_qr"),
    "stripe": Lost("card", "USD", {"token": "pm_card_visa"}, ()),
}


class Shop:
    """A merchant and the four channels, which go on while the database is restored. Nobody receives notifications."""

    def __init__(self, folder: Path, clock: ShiftedClock, session: aiohttp.ClientSession, sandbox_url: str) -> None:
        self.clock, self.session, self.sandbox_url = clock, session, sandbox_url
        self.settings = Settings(
            home=folder,
            secret_key=SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()),
            public_url="http://127.0.0.1:1",
            sandbox=True,
            query_cadence="1",
        )
        self.merchant_id = UUID(int=0)

    @contextlib.asynccontextmanager
    async def running(self, url: str) -> AsyncIterator[app.Platform]:
        settings = self.settings.model_copy(update={"database_url": SecretStr(url)})
        async with app.open_platform(settings, clock=self.clock, answers=api.JsonAnswers) as platform:
            yield platform

    async def prepare(self, platform: app.Platform) -> None:
        new = merchants.NewMerchant(platform.ids.new(), "Example Store", 6_000)
        self.merchant_id = new.merchant_id
        async with platform.database.transaction() as tx:
            await merchants.create_merchant(tx, new, now=self.clock.now())
            for channel, credentials in sandbox_accounts(self.settings.home, self.sandbox_url).items():
                await channels.accounts.ensure_account(
                    tx, platform.vault, account_id=platform.ids.new(), channel=channel, name="sandbox", sandbox=True,
                    credentials=credentials, now=self.clock.now(),
                )  # fmt: skip
        await platform.accounts.refresh()

    async def control(self, channel: str, verb: str, **fields: Any) -> Any:
        async with self.session.post(f"{self.sandbox_url}/control/{channel}/{verb}", json=fields) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def order(self, platform: app.Platform, lost: Lost) -> Payment:
        """Place the order as the merchant does, or again."""
        number = f"order-{lost.method}"
        route = RouteRequest(
            lost.method, AMOUNT, lost.currency, payer=lost.payer, merchant_id=self.merchant_id, merchant_order_no=number
        )
        new = NewPayment(
            payment_id=platform.ids.new(),
            merchant_id=self.merchant_id,
            merchant_order_no=number,
            amount_minor=AMOUNT,
            currency=lost.currency,
            subject="Jasmine tea",
            expires_at=self.clock.now() + timedelta(hours=1),
            checkout_token="unguessable",
            fee_ppm=6_000,
            metadata={"cart": "7"},
        )
        chosen = replace(new, first_attempt=await platform.lifecycle.route_selector.choose(route))
        payment = (await platform.lifecycle.place(PlaceOrder(chosen))).payment
        assert payment is not None
        return payment

    async def until(self, platform: app.Platform, payment: Payment, reached: Callable[[Payment], bool]) -> Payment:
        for _ in range(100):
            await platform.lifecycle.sweep()
            await platform.lifecycle.refunds.sweep()
            found = await platform.lifecycle.find(payment.payment_id)
            assert found is not None
            if reached(found):
                return found
            self.clock.advance(timedelta(seconds=2))
        raise AssertionError(f"not reached: {found}")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    clock = ShiftedClock()
    async with (
        serve(SandboxSettings(tmp_path, speed=1000, clock=clock)) as sandbox_url,
        aiohttp.ClientSession() as session,
    ):
        yield Shop(tmp_path, clock, session, sandbox_url)


async def lose(shop: Shop, platform: app.Platform, channel: str, lost: Lost) -> tuple[str, str]:
    """Have an order paid and refunded in part; returns our numbers at the channel."""
    payment = await shop.order(platform, lost)
    number = encode("att", payment.attempts[0].attempt_id)
    for verb in lost.payer_does:
        await shop.control(channel, verb, order_no=number.replace("_", "") if channel == "unionpay" else number)
    payment = await shop.until(platform, payment, lambda p: p.status == "succeeded")
    placed = await platform.lifecycle.refunds.place(payment, RefundOrder(f"back-{channel}", BACK, "too small"))
    assert placed.refund is not None, placed
    await shop.until(platform, payment, lambda p: p.amount_refunded_minor == BACK)
    return number, placed.refund.number


async def test_what_the_database_has_lost_is_found_in_the_bills_of_all_channels_and_adopted(
    shop: Shop, server_url: str, fresh_database_url: str
) -> None:
    migrate(fresh_database_url)
    async with shop.running(fresh_database_url) as platform:
        await shop.prepare(platform)
    backup = create_database(server_url, fresh_database_url)
    async with shop.running(fresh_database_url) as platform:
        numbers = {channel: await lose(shop, platform, channel, lost) for channel, lost in LOST.items()}
    async with shop.running(backup) as platform:
        assert platform.database.catching_up_since is not None, "noticed by the mark outside"
        shown = await status(platform)
        assert ({bill["channel"] for bill in shown["bills_unread"]}, shown["unknown_numbers"]) == (set(LOST), [])
        shop.clock.advance(timedelta(days=3))
        await fetch_bills(make_worker(platform))
        shown = await status(platform)
        assert shown["bills_unread"] == []
        found = {(one["number"], one["about"], one["amount_minor"], one["source"]) for one in shown["unknown_numbers"]}
        assert found == {
            entry
            for order, refund in numbers.values()
            for entry in ((order, "payment", AMOUNT, "bill"), (refund, "refund", BACK, "bill"))
        }
        for channel, lost in LOST.items():
            await adopt(shop, platform, channel, lost, numbers[channel])
        assert (await status(platform))["unknown_numbers"] == []
        assert await finish_when_complete(platform.database, now=shop.clock.now()), "nothing is open any more"
        await check_books(platform)


async def adopt(shop: Shop, platform: app.Platform, channel: str, lost: Lost, numbers: tuple[str, str]) -> None:
    """Adopt an order and its refund by the query that proves them; the merchant's repetition gets them."""
    order = LostOrder(shop.merchant_id, f"order-{lost.method}", lost.method, 6_000)
    payment = await platform.adoption.adopt_order(numbers[0], order)
    assert (payment.status, payment.amount_captured_minor, payment.currency) == ("succeeded", AMOUNT, lost.currency)
    assert (await shop.order(platform, lost)).payment_id == payment.payment_id
    await platform.adoption.adopt_refund(numbers[1], payment, f"back-{channel}", returns_fee=True)
    placed = await platform.lifecycle.refunds.place(payment, RefundOrder(f"back-{channel}", BACK, "too small"))
    assert placed.refund is not None, placed
    assert (placed.refund.number, placed.refund.state) == (numbers[1], "succeeded")


async def status(platform: app.Platform) -> dict[str, Any]:
    async with platform.database.transaction() as tx:
        return await payments.restored.catch_up_document(tx)


async def check_books(platform: app.Platform) -> None:
    async with platform.database.transaction() as tx:
        books = ledger.Ledger(tx, clock=platform.clock.now_ns)
        for account in await channels.accounts.list_accounts(tx):
            receivable = account_id(1101, account.account_id, LOST[account.channel].currency)
            (row,) = await books.lookup_accounts([receivable])
            assert row.debits_posted - row.credits_posted == AMOUNT - BACK, account.channel
        assert (await ledger.check_invariants(tx, now=platform.clock.now())).problems == []
