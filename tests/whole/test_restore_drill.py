"""A copy of the database in the same server takes its place, while channels, merchants and a consumer go on."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import uvicorn
from pydantic import SecretStr

from hutong import api, app, channels, db, events, ledger, merchants
from hutong.app import web
from hutong.app.worker import work
from hutong.clock import SystemClock
from hutong.config import Settings
from hutong.consumer import Consumer, Message, Policy
from hutong.consumer import install as install_consumer
from hutong.db import Database
from hutong.demo.receiver import Receiver
from hutong.events.streams.messages import event_item
from hutong.events.streams.streams import read_stream
from hutong.ledger.accounting.chart import account_id
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox import accounts as sandbox_accounts
from support import create_database
from support.running_platform import _Server

ORDERS = 6
METHOD = "wechat_native"
AMOUNT = 1999
CLOCK = SystemClock()


class Drill:
    """One installation with its channel, a merchant with an endpoint, and a consumer; all but the database go on."""

    def __init__(self, settings: Settings, port: int, session: aiohttp.ClientSession, sandbox_url: str) -> None:
        self.settings, self.port, self.session, self.sandbox_url = settings, port, session, sandbox_url
        self.receiver = Receiver()
        self.key = ""
        self.merchant_id = UUID(int=0)
        self.published: list[tuple[str, int, str]] = []
        self.handled: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def running(self, url: str) -> AsyncIterator[app.Platform]:
        """The platform with its API and its worker, on one database."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        settings = self.settings.model_copy(update={"database_url": SecretStr(url)})
        async with app.open_platform(settings, answers=api.JsonAnswers) as platform:
            config = uvicorn.Config(web.build(settings, opened=platform), access_log=False, log_config=None, ws="none")
            server, stop = _Server(config), asyncio.Event()
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            working = asyncio.create_task(work(platform, stop))
            for _ in range(1_000):
                if server.started:
                    break
                await asyncio.sleep(0.01)
            try:
                yield platform
            finally:
                stop.set()
                await working
                server.should_exit = True
                await serving

    async def call(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.session.request(
            method, f"http://127.0.0.1:{self.port}{path}", json=json, headers=headers
        ) as response:
            return response.status, await response.json()

    async def control(self, method: str, verb: str, **fields: Any) -> Any:
        url = f"{self.sandbox_url}/control/wechat/{verb}"
        async with self.session.request(method, url, json=fields or None) as response:
            return await response.json()

    async def order(self, number: str) -> Any:
        order = {"merchant_order_no": number, "amount_minor": AMOUNT, "currency": "CNY", "subject": "x"}
        status, payment = await self.call("POST", "/v1/payments", order | {"method": METHOD})
        assert status in (200, 201, 202), payment
        return payment

    async def pay(self, payment: Any) -> None:
        await self.control("POST", "pay", order_no=payment["attempts"][-1]["id"])

    async def refund(self, payment_id: str, number: str, amount_minor: int) -> Any:
        body = {"merchant_refund_no": number, "amount_minor": amount_minor, "reason": "x"}
        status, refund = await self.call("POST", f"/v1/payments/{payment_id}/refunds", body)
        assert status in (200, 201, 202), refund
        return refund

    async def until(self, payment_id: str, status: str) -> Any:
        for _ in range(600):
            _, payment = await self.call("GET", f"/v1/payments/{payment_id}")
            if payment["status"] == status:
                return payment
            await asyncio.sleep(0.05)
        raise AssertionError(f"the payment does not become {status}: {payment}")

    async def listen(self, platform: app.Platform) -> None:
        """Have the consumer take what the streams have by now, as a broker would bring it."""
        await events.sequence(platform.database)
        async with platform.database.transaction() as tx:
            streams = await events.list_streams(tx)
            entries = [e for s in streams for e in await read_stream(tx, s.stream, 1, max(s.last_no, 1))]
        self.published += [(e.stream, e.no, e.event.name) for e in entries]
        await self.consumer.take([event_item(entry).body for entry in entries])

    async def handle(self, _tx: db.Tx, message: Message) -> None:
        self.handled[message.event_id] += 1


@pytest.fixture
async def drill(server_url: str, tmp_path: Path) -> AsyncIterator[Drill]:
    async with contextlib.AsyncExitStack() as stack:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        sandbox_url = await stack.enter_async_context(serve(SandboxSettings(tmp_path, speed=100)))
        settings = Settings(
            home=tmp_path,
            secret_key=SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()),
            public_url=f"http://127.0.0.1:{port}",
            sandbox=True,
            query_cadence="1,2,5",
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        drill = Drill(settings, port, session, sandbox_url)
        listener = create_database(server_url)
        database = await stack.enter_async_context(Database.open(listener, size=2, role=None))
        await database.run(install_consumer)
        drill.consumer = Consumer("warehouse", drill.handle, database, policy=Policy(), clock=CLOCK)
        yield drill


async def prepare(drill: Drill, platform: app.Platform, hooks: str) -> None:
    """Register the channel account, the merchant and its endpoint."""
    credentials = sandbox_accounts(drill.settings.home, drill.sandbox_url)["wechat"]
    async with platform.database.transaction() as tx:
        await channels.accounts.ensure_account(
            tx, platform.vault, account_id=platform.ids.new(), channel="wechat", name="sandbox", sandbox=True,
            credentials=credentials, now=CLOCK.now(),
        )  # fmt: skip
        new = merchants.NewMerchant(platform.ids.new(), "Example Store", 6_000)
        await merchants.create_merchant(tx, new, now=CLOCK.now())
        key = await merchants.create_api_key(
            tx, new.merchant_id, key_id=platform.ids.new(), random=secrets.token_urlsafe(32), now=CLOCK.now()
        )
    drill.key, drill.merchant_id = key.secret, new.merchant_id
    await platform.accounts.refresh()
    _, endpoint = await drill.call("POST", "/v1/webhook-endpoints", {"url": f"{hooks}/hooks/shop"})
    drill.receiver.trust("shop", endpoint["secret"])


async def test_a_restore_executes_and_tells_nothing_twice_and_misses_nothing(
    drill: Drill, server_url: str, fresh_database_url: str
) -> None:
    async with drill.receiver.serve() as hooks:
        async with drill.running(fresh_database_url) as platform:
            await prepare(drill, platform, hooks)
            before = [await drill.order(f"before-{n}") for n in range(2)]
            await drill.pay(before[0])
            await drill.until(before[0]["id"], "succeeded")
            await drill.listen(platform)
        backup = create_database(server_url, fresh_database_url)
        # The time that will be lost.
        async with drill.running(fresh_database_url) as platform:
            lost = [await drill.order(f"lost-{n}") for n in range(ORDERS)]
            unpaid, paid = lost[0::3], [payment for n, payment in enumerate(lost) if n % 3]
            for payment in [*paid, before[1]]:
                await drill.pay(payment)
                await drill.until(payment["id"], "succeeded")
            refunds = [await drill.refund(payment["id"], f"back-{n}", 500) for n, payment in enumerate(paid[0::2])]
            refunds.append(await drill.refund(before[0]["id"], "back-before", 700))
            await asyncio.sleep(1)
            await drill.listen(platform)
        told_before = dict(drill.receiver.events)
        # The restored database: noticed, and caught up with.
        async with drill.running(backup) as platform:
            assert platform.database.catching_up_since is not None
            assert await _mode(drill) == "catch_up"
            await drill.until(before[1]["id"], "succeeded")  # asked about
            for payment in unpaid:  # the payers have the codes of orders that the database has lost
                await drill.pay(payment)
            for n, refund in enumerate(refunds[:-1]):  # the merchant repeats everything it has no answer for
                again = await drill.order(f"lost-{[p for p in range(ORDERS) if p % 3][0::2][n]}")
                await drill.until(again["id"], "succeeded")
                repeated = await drill.refund(again["id"], f"back-{n}", 500)
                assert (repeated["id"], repeated["state"]) == (refund["id"], "succeeded")
            assert (await drill.refund(before[0]["id"], "back-before", 700))["id"] == refunds[-1]["id"]
            for n in range(ORDERS):
                await drill.order(f"lost-{n}")
            await _until_nothing_waits(platform)
            async with platform.database.transaction() as tx:
                assert await db.finish_catch_up(tx, by="ops", reason="drill", now=CLOCK.now())
            for n in range(ORDERS):
                _, page = await drill.call("GET", f"/v1/payments?merchant_order_no=lost-{n}")
                await drill.until(page["data"][0]["id"], "succeeded")
            await asyncio.sleep(2)
            await drill.listen(platform)
            await _check(drill, platform, told_before)


async def _until_nothing_waits(platform: app.Platform) -> None:
    from hutong import payments

    for _ in range(300):
        async with platform.database.transaction() as tx:
            shown = await payments.restored.catch_up_document(tx)
        if not shown["unknown_numbers"] and shown["attempts_unasked"] == shown["refunds_unasked"] == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not caught up with: {shown}")


async def _check(drill: Drill, platform: app.Platform, told_before: dict[str, Any]) -> None:
    truth = (await drill.control("GET", "truth"))["truth"]
    paid = Counter(row["order_no"] for row in truth if row["event"] == "paid")
    assert sum(paid.values()) == ORDERS + 2
    assert set(paid.values()) == {1}, "an order was taken twice"
    refunds = (await drill.control("GET", "refunds"))["refunds"]
    returned = sum(refund["amount_minor"] for refund in refunds)
    assert returned == 500 * (len(refunds) - 1) + 700, "a refund was made twice"
    async with platform.database.transaction() as tx:
        (account,) = [a.account_id for a in await channels.accounts.list_accounts(tx)]
        books = ledger.Ledger(tx, clock=CLOCK.now_ns)
        (receivable,) = await books.lookup_accounts([account_id(1101, account, "CNY")])
        findings = await ledger.check_invariants(tx, now=CLOCK.now())
    assert receivable.debits_posted - receivable.credits_posted == AMOUNT * (ORDERS + 2) - returned
    assert findings.problems == []
    # What receivers got: one event, one id; no number of a stream for two events; nothing handled twice.
    objects = Counter((e["data"]["id"], e["object_seq"], e["type"]) for e in drill.receiver.events.values())
    assert set(objects.values()) == {1}, "an event was published under two ids"
    assert told_before.keys() <= drill.receiver.events.keys()
    numbers: dict[tuple[str, int], set[str]] = {}
    for stream, no, name in drill.published:
        numbers.setdefault((stream, no), set()).add(name)
    assert {len(names) for names in numbers.values()} == {1}, "a number of a stream was used twice"
    assert set(drill.handled.values()) == {1}, "the consumer has handled an event twice"


async def _mode(drill: Drill) -> str:
    """The mode in which the platform is ready, once it is."""
    async with asyncio.timeout(120):
        while (answer := await drill.call("GET", "/readyz"))[0] != 200:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.2)
    return str(answer[1]["mode"])
