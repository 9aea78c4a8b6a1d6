"""Many at once over HTTP: the platform decides once, and tells everybody else why not."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from support.running_platform import Answer, PlatformApi, Shop

T = TypeVar("T")
AT_ONCE = 200
CAPTURED = 10_000


async def all_at_once(works: Sequence[Callable[[], Awaitable[T]]], width: int = AT_ONCE) -> list[T]:
    """Run them together, `width` at any time."""
    free = asyncio.Semaphore(width)

    async def one(work: Callable[[], Awaitable[T]]) -> T:
        async with free:
            return await work()

    return list(await asyncio.gather(*(one(work) for work in works)))


async def paid(platform_api: PlatformApi, shop: Shop) -> str:
    payment = await platform_api.create(shop, amount_minor=CAPTURED)
    await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    await platform_api.until(shop, payment["id"], "succeeded")
    return str(payment["id"])


async def test_ten_thousand_refunds_of_a_hundred_payments_give_back_no_more_than_was_taken(
    platform_api: PlatformApi, rng: random.Random
) -> None:
    shop = await platform_api.shop(fee_ppm=0)
    payments = await all_at_once([lambda: paid(platform_api, shop)] * 100, width=20)

    def make_request(payment_id: str, number: int) -> Callable[[], Awaitable[Answer]]:
        amount = rng.randrange(1, 4_000)
        body = {"merchant_refund_no": f"{payment_id[-12:]}-{number}", "amount_minor": amount, "reason": "damaged"}
        return partial(ask, platform_api, shop, payment_id, "refunds", body)

    requests = [make_request(payment_id, number) for payment_id in payments for number in range(100)]
    rng.shuffle(requests)
    answers = await all_at_once(requests)
    counts = Counter((answer.status, answer.json.get("code"), answer.json.get("detail")) for answer in answers)
    assert {key[:2] for key in counts} == {(201, None), (409, "refund_exceeds_available")}, counts
    assert counts[201, None, None] >= len(payments)
    for _ in range(5):
        platform_api.clock.advance(timedelta(minutes=2))
        while await platform_api.lifecycle.refunds.sweep():
            pass
    gave = Counter[str]()
    async with platform_api.session.get(f"{platform_api.sandbox_url}/control/wechat/truth") as response:
        for line in (await response.json())["truth"]:
            if line["event"] == "refunded":
                gave[line["order_no"]] += line["amount_minor"]
    for payment_id in payments:
        listed = await platform_api.call("GET", f"/v1/payments/{payment_id}/refunds", shop=shop)
        refunds = listed.json["data"]
        assert {refund["state"] for refund in refunds} == {"succeeded"}
        back = sum(refund["amount_minor"] for refund in refunds)
        assert 0 < back <= CAPTURED
        payment = await platform_api.get(shop, payment_id)
        assert (payment["amount_refunded_minor"], gave[payment["attempts"][0]["id"]]) == (back, back)


async def authorized(platform_api: PlatformApi, shop: Shop) -> str:
    order = platform_api.order(method="card", capture_method="manual", payer={"token": "pm_card_visa"}, currency="USD")
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (answer.status, answer.json["status"]) == (201, "requires_capture"), answer.body
    return str(answer.json["id"])


async def ask(platform_api: PlatformApi, shop: Shop, payment_id: str, verb: str, body: Any) -> Answer:
    return await platform_api.call("POST", f"/v1/payments/{payment_id}/{verb}", shop=shop, json=body)


async def test_of_two_hundred_captures_and_cancellations_of_one_authorization_one_wins(
    platform_api: PlatformApi, rng: random.Random
) -> None:
    shop = await platform_api.shop(fee_ppm=0)
    ends = Counter[str]()
    for _ in range(5):
        payment_id = await authorized(platform_api, shop)
        requests: list[tuple[str, Any]] = [("capture", {"amount_minor": amount}) for amount in (1999, 500, 700) * 33]
        requests += [("cancel", None)] * (AT_ONCE - len(requests))
        rng.shuffle(requests)
        answers = await all_at_once(
            [partial(ask, platform_api, shop, payment_id, verb, body) for verb, body in requests]
        )
        assert {answer.status for answer in answers} <= {200, 202, 409}, Counter(a.status for a in answers)
        for _ in range(3):
            platform_api.clock.advance(timedelta(seconds=30))
            await platform_api.lifecycle.expire()
            await platform_api.lifecycle.sweep()
        payment = await platform_api.get(shop, payment_id)
        captured = payment["amount_captured_minor"]
        assert (payment["status"], captured > 0) in (("succeeded", True), ("closed", False))
        booked = [t["amount"] for t in await platform_api.transfers_of(payment_id) if t["code"] == 1]
        assert booked == ([captured] if captured else [])
        for (verb, body), answer in zip(requests, answers, strict=True):
            won = body["amount_minor"] == captured if verb == "capture" else payment["status"] == "closed"
            assert won or answer.status == 409, (verb, body, answer.status)
        ends[payment["status"]] += 1
    assert sum(ends.values()) == 5


async def test_one_key_sent_a_hundred_times_has_one_effect_and_one_answer(platform_api: PlatformApi) -> None:
    shop = await platform_api.shop()
    order = platform_api.order(method="wechat_native")
    headers = {"Idempotency-Key": order["merchant_order_no"]}

    async def place() -> Answer:
        return await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)

    answers = await all_at_once([place] * 100)
    counts = Counter((answer.status, answer.json.get("code")) for answer in answers)
    assert set(counts) <= {(201, None), (409, "idempotency_key_in_flight")}, counts
    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    assert (await place()).body == next(answer.body for answer in answers if answer.status == 201)
    query = f"/v1/payments?merchant_order_no={order['merchant_order_no']}"
    listed = await platform_api.call("GET", query, shop=shop)
    assert [len(payment["attempts"]) for payment in listed.json["data"]] == [1]
