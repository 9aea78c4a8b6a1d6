"""The drill by the commands of the guides: back up, go on, restore to a time, catch up, and compare every log.

HUTONG_TEST_DRILL_ORDERS says how many orders are placed in the time that is lost, and HUTONG_TEST_DRILLS how often;
`make drill-restore` takes many and writes a report of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from hutong.bench.rabbitmq import RabbitMQ
from hutong.db import EmbeddedServer
from support import create_database
from support.drilled_installation import Listener, World, until

ORDERS = int(os.environ.get("HUTONG_TEST_DRILL_ORDERS", "6"))
DRILLS = int(os.environ.get("HUTONG_TEST_DRILLS", "1"))
REPORTS = Path(__file__).parents[2] / "docs" / "_build" / "campaigns"
AMOUNT, PART = 1999, 1200
_AT_ONCE = 8


class Merchant:
    """The merchant's requests, each under its own number, so that each can be repeated."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def order(self, number: str) -> Any:
        return await self.world.ask("/v1/payments", wechat_order(number))

    async def authorize(self, number: str) -> Any:
        card = {"method": "card", "payer": {"token": "pm_card_visa"}, "capture_method": "manual"}
        return await self.world.ask("/v1/payments", wechat_order(number) | card)

    async def capture(self, payment: Any) -> Any:
        return await self.world.ask(f"/v1/payments/{payment['id']}/capture", {"amount_minor": PART})

    async def refund(self, payment: Any, number: str, amount_minor: int) -> Any:
        body = {"merchant_refund_no": number, "amount_minor": amount_minor, "reason": "returned"}
        return await self.world.ask(f"/v1/payments/{payment['id']}/refunds", body)

    async def find(self, number: str) -> Any:
        (payment,) = (await self.world.ask(f"/v1/payments?merchant_order_no={number}"))["data"]
        return payment

    async def until(self, number: str, status: str) -> Any:
        async def reached() -> bool:
            return bool((await self.find(number))["status"] == status)

        await until(reached)
        return await self.find(number)


def wechat_order(number: str) -> dict[str, Any]:
    fields = {"merchant_order_no": number, "amount_minor": AMOUNT, "currency": "CNY", "subject": "Jasmine tea"}
    return fields | {"method": "wechat_native"}


class Lost:
    """The business of the time that will be lost, and its repetition."""

    def __init__(self, merchant: Merchant, turn: int) -> None:
        self.merchant = merchant
        self.attempts: dict[str, str] = {}
        self.refunds: dict[str, str] = {}
        numbers = range(ORDERS)
        self.unpaid = [f"lost-{n}" for n in numbers if n % 3 == 0]
        self.paid = [f"lost-{n}" for n in numbers if n % 3]
        self.returned = self.paid[::2]
        self.cards = [f"card-{n}" for n in numbers if n % 3 == 0]
        self.kept = [f"kept-{n}" for n in range(1 + turn * ORDERS // DRILLS)]

    async def happen_before(self) -> None:
        """What is archived before the time that is lost: the more, the later the restored instant."""
        await each(self.kept, self._order_and_pay)

    async def happen(self) -> None:
        await each(self.unpaid, self._order)
        await each(self.paid, self._order_and_pay)
        await each(self.cards, self._authorize_and_capture)
        await each(self.returned, self._refund)

    async def happen_again(self) -> None:
        """The merchant repeats everything, also the order that was adopted meanwhile."""
        await each([*self.unpaid, *self.paid], self._order)
        await each(self.cards, self._authorize_and_capture)
        await each(self.returned, self._refund)

    async def _order(self, number: str) -> Any:
        payment = await self.merchant.order(number)
        attempt = payment["attempts"][-1]["id"]
        assert self.attempts.setdefault(number, attempt) == attempt
        return payment

    async def _order_and_pay(self, number: str) -> None:
        await self._order(number)
        await self.merchant.world.control("wechat", "pay", order_no=self.attempts[number])
        await self.merchant.until(number, "succeeded")

    async def _authorize_and_capture(self, number: str) -> None:
        payment = await self.merchant.authorize(number)
        attempt = payment["attempts"][-1]["id"]
        assert self.attempts.setdefault(number, attempt) == attempt
        await self.merchant.capture(payment)
        await self.merchant.until(number, "succeeded")

    async def _refund(self, number: str) -> None:
        payment = await self.merchant.until(number, "succeeded")
        refund = await self.merchant.refund(payment, f"back-{number}", 500)
        assert self.refunds.setdefault(number, refund["id"]) == refund["id"]


async def each(numbers: Iterable[str], work: Callable[[str], Awaitable[Any]]) -> None:
    """Do the work for all numbers, some at once."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(number: str) -> None:
        async with room:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(one(number))


@pytest.fixture
async def world(short_folder: Path, rabbitmq: RabbitMQ) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as session:
        world = World(short_folder, rabbitmq.url, session)
        async with world.channels():
            yield world
        EmbeddedServer(world.home, archive=world.backup).stop(unless_used=False)


async def prepare(world: World, hooks: str) -> None:
    """Create the merchant with its key and its endpoint, and an operator who watches the catch-up."""
    printed, operator = await asyncio.gather(
        world.command("merchant", "create", "Example Store", "--fee-ppm", "6000", "--json"),
        world.command("operator", "add", "on duty", "--role", "viewer", "--reason", "the drill", "--json"),
    )
    created = json.loads(printed)
    world.key, world.merchant_id = created["api_key"], created["merchant_id"]
    world.operator_key = json.loads(operator)["key"]
    endpoint = await world.ask("/v1/webhook-endpoints", {"url": f"{hooks}/hooks/shop"})
    world.receiver.trust("shop", endpoint["secret"])


async def do_business_before(merchant: Merchant) -> None:
    """What the backup has: an order that is paid, one that is open, an authorization, and captures that are open."""
    world = merchant.world
    for number in ("paid", "open"):
        await merchant.order(number)
    await world.control("wechat", "pay", order_no=(await merchant.find("paid"))["attempts"][-1]["id"])
    await merchant.until("paid", "succeeded")
    for number in ("held", "captured-later", "captured-never"):
        await merchant.authorize(number)
        await merchant.until(number, "requires_capture")
    for number in ("captured-later", "captured-never"):
        payment = await merchant.find(number)
        fault = {"interface": "capture", "kind": "dropped", "match": payment["attempts"][-1]["id"], "times": 10_000}
        await world.control("stripe", "next", **fault)
        assert (await merchant.capture(payment))["capturing"]


async def lose_time(merchant: Merchant, lost: Lost, listener: Listener) -> None:
    """The time that will be lost; at its end everybody was told everything."""
    world = merchant.world
    never = (await merchant.find("captured-never"))["attempts"][-1]["id"]
    fault = {"interface": "capture", "kind": "dropped", "match": never, "times": 10_000}
    await world.control("stripe", "faults", calls=[fault])
    await lost.happen()
    await world.control("wechat", "pay", order_no=(await merchant.find("open"))["attempts"][-1]["id"])
    await merchant.capture(await merchant.find("held"))
    await merchant.refund(await merchant.find("paid"), "back-paid", 700)
    for number in ("open", "held", "captured-later"):
        await merchant.until(number, "succeeded")
    await all_events_arrive(merchant, listener, [*lost.paid, *lost.cards, "open", "held", "captured-later"])


async def all_events_arrive(merchant: Merchant, listener: Listener, numbers: list[str]) -> None:
    wanted = {(await merchant.find(number))["id"] for number in numbers}

    async def reached() -> bool:
        streamed, hooked = (
            {event["data"]["id"] for event in events if event["type"] == "payment.succeeded"}
            for events in (listener.arrived, merchant.world.receiver.events.values())
        )
        return wanted <= streamed & hooked

    await until(reached)


@pytest.mark.parametrize("turn", range(DRILLS))
async def test_the_documented_restore_executes_and_tells_nothing_twice_and_misses_nothing(
    world: World, server_url: str, turn: int
) -> None:
    merchant = Merchant(world)
    lost = Lost(merchant, turn)
    await world.command("prepare", "--sandbox-url", world.sandbox_url)
    async with contextlib.AsyncExitStack() as stack:
        hooks = await stack.enter_async_context(world.receiver.serve())
        async with world.serving() as mode:
            listener = await stack.enter_async_context(world.listening(create_database(server_url)))
            assert mode == "normal"
            await prepare(world, hooks)
            await do_business_before(merchant)
            await world.command("backup", "create")
            await lost.happen_before()
            to = datetime.now(UTC)
            await asyncio.sleep(0.1)
            await lose_time(merchant, lost, listener)
        received, promised, died_at = set(world.receiver.events), list(world.promises), time.monotonic()
        await world.command("db", "stop")
        await world.command("backup", "restore", str(world.backup), "--replace", "--to", to.isoformat())
        await world.control("stripe", "faults", calls=[])
        done_before = len(world.calls)
        async with world.serving() as mode:
            assert mode == "catch_up"
            served_at = time.monotonic()
            await catch_up(world, merchant, lost, done_before)
            await world.command("restore", "finish", "--reason", "all numbers adopted", "--by", "the drill")
            everything = ["paid", "open", "held", "captured-later", "captured-never"]
            everything += [*lost.unpaid, *lost.paid, *lost.cards]
            for number in everything:
                await merchant.until(number, "succeeded")
            await all_events_arrive(merchant, listener, everything)
            await until(partial(works_normally, world))
            finished_at = time.monotonic()
            assert received <= world.receiver.events.keys()
            verified, _, url = await asyncio.gather(
                world.command("ledger", "verify"), world.command("ledger", "check"), world.command("db", "url")
            )
            assert verified.startswith("the books hold")
            await check_promises(world, promised)
            await check_channels(world, lost)
            owed = await check_books(world, url.strip())
        check_events(world, listener)
    if "HUTONG_TEST_DRILL_ORDERS" in os.environ:
        waits = sorted(world.seconds)
        report = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), "orders_lost": ORDERS,
            "orders_since_backup": len(lost.kept), "promises": len(promised), "minor_units": owed,
            "p99_ms": round(waits[len(waits) * 99 // 100] * 1000),
            "serves_after_s": round(served_at - died_at, 1), "normal_after_s": round(finished_at - died_at, 1),
            "load": os.getloadavg()[0],
        }  # fmt: skip
        REPORTS.mkdir(parents=True, exist_ok=True)
        with (REPORTS / "restore.jsonl").open("a") as file:
            file.write(json.dumps(report) + "\n")


async def works_normally(world: World) -> bool:
    """Tell whether the API has noticed that the catch-up is over; it looks every few seconds."""
    return bool((await world.ask("/readyz"))["mode"] == "normal")


async def catch_up(world: World, merchant: Merchant, lost: Lost, done_before: int) -> None:
    """Everything open is only asked about; what only the channels know is listed, and adopted."""

    async def asked() -> bool:
        shown = await world.catch_up()
        return bool(shown["attempts_unasked"] == shown["refunds_unasked"] == 0)

    await until(asked)
    for number in ("open", "captured-later"):
        await merchant.until(number, "succeeded")
    assert (await merchant.find("captured-never"))["capturing"]
    for number in lost.unpaid:  # the payers have the codes of orders that the database has lost
        await world.control("wechat", "pay", order_no=lost.attempts[number])

    async def listed() -> set[str]:
        return {unknown["number"] for unknown in (await world.catch_up())["unknown_numbers"]}

    wanted = {lost.attempts[number] for number in lost.unpaid}

    async def all_are_listed() -> bool:
        return await listed() == wanted

    await until(all_are_listed)
    one = lost.unpaid[0]
    printed, status = await asyncio.gather(
        world.command(
            "restore", "adopt", lost.attempts[one], "--merchant", world.merchant_id, "--order-no", one,
            "--method", "wechat_native",
        ),
        world.command("restore", "status", "--json"),
    )  # fmt: skip
    assert json.loads(status)["mode"] == "catch_up"
    assert world.calls[done_before:] == [], "something from before was sent blindly"
    assert printed.endswith("is succeeded\n")
    assert await listed() == wanted - {lost.attempts[one]}
    await lost.happen_again()
    await merchant.capture(await merchant.find("held"))
    await merchant.refund(await merchant.find("paid"), "back-paid", 700)
    await world.command("restore", "adopt")
    assert await listed() == set()
    sent = [call.path for call in world.calls[done_before:] if call.path.endswith(("/capture", "refunds"))]
    assert sent == [], "a capture or a refund of the lost time was sent again"


async def check_channels(world: World, lost: Lost) -> None:
    """The channels' own logs: every order, capture and refund once."""
    wechat, stripe = await world.truth("wechat"), await world.truth("stripe")
    paid = Counter(row["order_no"] for row in wechat if row["event"] == "paid")
    assert (len(paid), set(paid.values())) == (ORDERS + len(lost.kept) + 2, {1}), "an order was taken twice"
    refunds = Counter((row["number"], row["amount_minor"]) for row in wechat if row["event"] == "refund_accepted")
    assert sorted(amount for _, amount in refunds.elements()) == [500] * len(lost.returned) + [700]
    authorized = Counter(row["description"] for row in (await world.control("stripe", "orders"))["orders"])
    assert authorized.total() == len(lost.cards) + 3, "an authorization was made twice"
    captured = Counter((row["order_no"], row["amount_minor"]) for row in stripe if row["event"] == "captured")
    assert len(captured) == len(lost.cards) + 3
    assert {amount for _, amount in captured} == {PART}
    assert set(captured.values()) == {1}, "a capture was made twice"


async def check_promises(world: World, promised: list[dict[str, Any]]) -> None:
    """What was answered before the end is there under its number; also what the database had lost."""
    orders = {d["id"]: d for d in promised if d["object"] == "payment"}
    for document in promised:
        if document["object"] not in ("payment", "refund"):
            continue
        order = orders[document.get("payment_id", document["id"])]
        (payment,) = (await world.ask(f"/v1/payments?merchant_order_no={order['merchant_order_no']}"))["data"]
        assert (payment["amount_minor"], payment["currency"]) == (order["amount_minor"], order["currency"])
        if document["object"] == "refund":
            found = (await world.ask(f"/v1/payments/{payment['id']}/refunds"))["data"]
            same = [refund for refund in found if refund["id"] == document["id"]]
            assert [r["amount_minor"] for r in same] == [document["amount_minor"]]


async def check_books(world: World, url: str) -> int:
    """What the channels owe by the books is what they took less what they gave back; return it."""
    owed = 0
    for channel in ("wechat", "stripe"):
        for row in await world.truth(channel):
            owed += row["amount_minor"] if row["event"] in ("paid", "captured") else 0
            owed -= row["amount_minor"] if row["event"] == "refunded" else 0
    with psycopg.connect(url) as connection:
        booked = connection.execute(
            "SELECT sum(debits_posted - credits_posted) FROM ledger.account WHERE code = 1101"
        ).fetchone()
    assert booked == (owed,)
    return owed


def check_events(world: World, listener: Listener) -> None:
    """One event has one id, everywhere; no number of a stream has two events; nothing was handled twice."""
    ids: dict[tuple[str, int, str], set[str]] = {}
    numbers: dict[tuple[str, int], set[str]] = {}
    for message in listener.arrived:
        if message["type"] == "stream.digest":
            continue
        ids.setdefault((message["data"]["id"], message["object_seq"], message["type"]), set()).add(message["id"])
        numbers.setdefault((message["stream"], message["no"]), set()).add(message["id"])
    for name, event in world.receiver.events.items():
        ids.setdefault((event["data"]["id"], event["object_seq"], event["type"]), set()).add(name)
    assert {len(found) for found in ids.values()} == {1}, "an event was published under two ids"
    assert {len(found) for found in numbers.values()} == {1}, "a number of a stream was used twice"
    assert {stream.endswith("-2") for stream, _ in numbers} == {False, True}, "no new streams have begun"
    assert set(world.handled.values()) == {1}, "the consumer has handled an event twice"
    assert world.receiver.refused == 0
