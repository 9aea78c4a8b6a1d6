"""What merchants read back: refunds, events, balances, customers, and lists by time and metadata."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from hutong import events, ids, ledger, search
from support.running_platform import PlatformApi, Shop


async def paid(api: PlatformApi, shop: Shop, **order: Any) -> Any:
    payment = await api.create(shop, **order)
    await api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    return await api.until(shop, payment["id"], "succeeded")


async def refund(api: PlatformApi, shop: Shop, payment: Any, number: str, **body: Any) -> Any:
    sent = {"merchant_refund_no": number, "amount_minor": 100} | body
    answer = await api.call("POST", f"/v1/payments/{payment['id']}/refunds", shop=shop, json=sent)
    assert answer.status == 201, answer.body
    return answer.json


async def page(api: PlatformApi, shop: Shop, path: str) -> Any:
    answer = await api.call("GET", path, shop=shop)
    assert answer.status == 200, answer.body
    return answer.json


async def walked(api: PlatformApi, shop: Shop, path: str, limit: int) -> list[str]:
    """The ids of all pages of a list."""
    found: list[str] = []
    cursor = ""
    while True:
        answer = await page(api, shop, f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        assert len(answer["data"]) <= limit
        found += [entry["id"] for entry in answer["data"]]
        if not answer["has_more"]:
            assert answer["next_cursor"] is None
            return found
        cursor = f"&cursor={answer['next_cursor']}"


def matching(metadata: dict[str, str]) -> str:
    return quote(orjson.dumps(metadata))


@pytest.fixture(scope="module")
async def sold(platform_api: PlatformApi) -> tuple[Shop, list[Any], list[Any]]:
    """A shop with three payments and five refunds, first to last."""
    shop = await platform_api.shop()
    sales = [await paid(platform_api, shop, metadata={"shop": "12", "table": str(n)}) for n in range(3)]
    refunds = [await refund(platform_api, shop, sales[n % 2], f"r-{n}") for n in range(5)]
    return shop, sales, refunds


async def test_refunds_of_all_payments_are_listed_newest_first(
    platform_api: PlatformApi, sold: tuple[Shop, list[Any], list[Any]]
) -> None:
    shop, sales, refunds = sold
    numbers = [entry["id"] for entry in reversed(refunds)]
    for limit in (1, 2, 5, 100):
        assert await walked(platform_api, shop, "/v1/refunds", limit) == numbers
    of_first = [entry["id"] for entry in reversed(refunds) if entry["payment_id"] == sales[0]["id"]]
    assert len(of_first) == 3
    for limit in (1, 100):
        assert await walked(platform_api, shop, f"/v1/refunds?payment_id={sales[0]['id']}", limit) == of_first
    (only,) = (await page(platform_api, shop, "/v1/refunds?merchant_refund_no=r-2"))["data"]
    assert only == (await platform_api.call("GET", f"/v1/refunds/{refunds[2]['id']}", shop=shop)).json
    assert await walked(platform_api, shop, "/v1/refunds?state=manual", 10) == []
    begin, end = refunds[1]["created_at"], refunds[3]["created_at"]
    assert await walked(platform_api, shop, f"/v1/refunds?from={begin}&to={end}", 1) == numbers[2:4]
    assert await walked(platform_api, shop, f"/v1/refunds?payment_id={sales[0]['id']}&to={end}", 1) == of_first[1:]


async def test_payments_are_listed_by_time_and_metadata(
    platform_api: PlatformApi, sold: tuple[Shop, list[Any], list[Any]]
) -> None:
    shop, sales, _ = sold
    numbers = [sale["id"] for sale in reversed(sales)]
    begin, end = sales[1]["created_at"], sales[2]["created_at"]
    assert await walked(platform_api, shop, f"/v1/payments?from={begin}", 1) == numbers[:2]
    assert await walked(platform_api, shop, f"/v1/payments?from={begin}&to={end}", 1) == numbers[1:2]
    assert await walked(platform_api, shop, "/v1/payments?to=1970-01-01T00:00:00Z", 1) == []
    assert await walked(platform_api, shop, "/v1/payments?from=9998-12-30T00:00:00Z", 1) == []
    for wanted, expected in (
        ({"shop": "12"}, numbers),
        ({"shop": "12", "table": "1"}, numbers[1:2]),
        ({"table": "2", "shop": "12"}, numbers[:1]),
        ({"shop": "1"}, []),
        ({"shop": "12", "table": "9"}, []),
    ):
        assert await walked(platform_api, shop, f"/v1/payments?metadata={matching(wanted)}", 1) == expected
    asked = f"/v1/payments?metadata={matching({'shop': '12'})}&from={begin}&status=succeeded"
    assert await walked(platform_api, shop, asked, 1) == numbers[:2]
    assert await walked(platform_api, shop, f"{asked}&merchant_order_no={sales[1]['merchant_order_no']}", 1) == [
        sales[1]["id"]
    ]
    stranger = await platform_api.shop()
    assert await walked(platform_api, stranger, f"/v1/payments?metadata={matching({'shop': '12'})}", 10) == []


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ("payments?metadata=shop", "metadata"),
        ("payments?metadata=%5B%5D", "metadata"),
        ("payments?metadata=%7B%7D", "metadata"),
        ("payments?metadata=%7B%22shop%22%3A12%7D", "metadata"),
        ("payments?metadata=%7B%22shop%22%3Anull%7D", "metadata"),
        ("payments?metadata=%7B%22a%22%3A%221%22%2C%22a%22%3A%222%22%7D", "metadata"),
        ("payments?expand=attempts", "expand"),
        ("payments?from=yesterday", "from"),
        ("payments?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", "to"),
        ("refunds?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("refunds?payment_id=x", "payment_id"),
        ("refunds?state=paid", "state"),
        ("refunds?cursor=ref_01h455vb4pex5vsknk084sn02q", "cursor"),
        ("events?cursor=evt_01h455vb4pex5vsknk084sn02q", "cursor"),
        ("events?type=payment.paid", "type"),
        ("events?object_id=cus_01h455vb4pex5vsknk084sn02q", "object_id"),
        ("events?object_id=pay_8zzzzzzzzzzzzzzzzzzzzzzzzz", "object_id"),
    ],
)
async def test_what_cannot_be_listed_is_refused_by_its_name(
    platform_api: PlatformApi, shop: Shop, asked: str, param: str
) -> None:
    answer = await platform_api.call("GET", f"/v1/{asked}", shop=shop)
    assert (answer.status, answer.json["param"]) == (422, param)


async def test_payments_show_their_refunds_on_request(
    platform_api: PlatformApi, sold: tuple[Shop, list[Any], list[Any]]
) -> None:
    shop, sales, _ = sold
    listed = (await page(platform_api, shop, "/v1/payments?expand=refunds"))["data"]
    assert [len(payment["refunds"]) for payment in listed] == [0, 2, 3]
    one = await page(platform_api, shop, f"/v1/payments/{sales[0]['id']}?expand=refunds")
    assert one == listed[2]
    alone = await page(platform_api, shop, f"/v1/payments/{sales[0]['id']}/refunds")
    assert one.pop("refunds") == alone["data"]
    assert one == await platform_api.get(shop, sales[0]["id"])


async def test_events_are_those_of_the_webhooks_newest_first(platform_api: PlatformApi) -> None:
    shop = await platform_api.shop()
    sale = await paid(platform_api, shop)
    back = await refund(platform_api, shop, sale, "r")
    for _ in range(500):
        if (await page(platform_api, shop, f"/v1/refunds/{back['id']}"))["finished_at"]:
            break
        await asyncio.sleep(0.02)
    await platform_api.call("POST", "/v1/customers", shop=shop, json={"id": "u-1", "name": "张三"})
    async with platform_api.database.transaction() as tx:
        recorded = [
            events.RecordedEvent(**dict(row))
            for row in await tx.fetch(
                "SELECT event_id, type, version, merchant_id, object_id, object_seq, data, created_at, public_id "
                "FROM events.outbox WHERE merchant_id = $1 ORDER BY event_id DESC",
                shop.merchant_id,
            )
        ]
    assert {event.type for event in recorded} >= {"payment.succeeded", "customer.updated"}
    names = [event.name for event in recorded]
    for limit in (1, 100):
        assert await walked(platform_api, shop, "/v1/events", limit) == names
    whole = await platform_api.call("GET", "/v1/events", shop=shop)
    assert whole.json["kept_since"] is None
    for event, listed in zip(recorded, whole.json["data"], strict=True):
        one = await platform_api.call("GET", f"/v1/events/{event.name}", shop=shop)
        assert one.body == events.webhook_body(event.name, event)
        assert one.json == listed
    (succeeded,) = (await page(platform_api, shop, "/v1/events?type=payment.succeeded"))["data"]
    assert succeeded["data"]["id"] == sale["id"]
    of_sale = [event.name for event in recorded if event.object_id == ids.decode("pay", sale["id"])]
    assert await walked(platform_api, shop, f"/v1/events?object_id={sale['id']}", 1) == of_sale
    others = [event.name for event in recorded if event.object_id == ids.decode("ref", back["id"])]
    assert await walked(platform_api, shop, f"/v1/events?object_id={back['id']}", 1) == others
    at = recorded[0].created_at.isoformat().replace("+00:00", "Z")
    assert names[0] not in await walked(platform_api, shop, f"/v1/events?to={at}", 10)
    assert (await walked(platform_api, shop, f"/v1/events?from={at}", 10))[0] == names[0]


async def test_archived_events_are_absent_and_the_list_says_since_when(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    await platform_api.call("PATCH", f"/v1/payments/{payment['id']}", shop=shop, json={"metadata": {"a": "b"}})
    (event,) = (await page(platform_api, shop, "/v1/events"))["data"]
    async with platform_api.admin.transaction() as tx:
        await tx.execute(
            "INSERT INTO events.partition (name, parent, low_ms, high_ms, detached_at) "
            "VALUES ('x', 'outbox', 0, 1000, now())"
        )
    try:
        assert (await page(platform_api, shop, "/v1/events"))["kept_since"] == "1970-01-01T00:00:01.000Z"
        stranger = await platform_api.shop()
        for name in (event["id"], "evt_01h455vb4pex5vsknk084sn02q"):
            answer = await platform_api.call("GET", f"/v1/events/{name}", shop=stranger)
            assert (answer.status, answer.json["detail"]) == (
                404, "no event has this id; events from before 1970-01-01T00:00:01.000Z are in the archive"
            )  # fmt: skip
    finally:
        async with platform_api.admin.transaction() as tx:
            await tx.execute("DELETE FROM events.partition WHERE name = 'x'")


async def test_the_balance_is_that_of_the_merchants_accounts(platform_api: PlatformApi) -> None:
    shop = await platform_api.shop(fee_ppm=6_000)
    assert (await page(platform_api, shop, "/v1/balance"))["data"] == []
    sale = await paid(platform_api, shop, amount_minor=100_000)
    (balance,) = (await page(platform_api, shop, "/v1/balance"))["data"]
    empty = {"balance_minor": 0, "incoming_minor": 0, "outgoing_minor": 0}
    assert balance == {
        "object": "balance",
        "currency": "CNY",
        "pending": {"balance_minor": 99_400, "incoming_minor": 0, "outgoing_minor": 0},
        "available": empty,
        "payout_funds": empty,
        "disputed": empty,
        "overdraft_limit_minor": 0,
        "refundable_minor": 99_400,
    }
    async with platform_api.database.transaction() as tx:
        now = platform_api.clock.now()
        await ledger.agree_overdraft(tx, shop.merchant_id, "CNY", 500, by="test", reason="x", now=now)
        await ledger.agree_overdraft(tx, shop.merchant_id, "AUD", 700, by="test", reason="x", now=now)
    await refund(platform_api, shop, sale, "r", amount_minor=20_000)
    australian, chinese = (await page(platform_api, shop, "/v1/balance"))["data"]
    assert (australian["currency"], australian["refundable_minor"]) == ("AUD", 700)
    pending = chinese["pending"]
    assert pending["balance_minor"] - pending["outgoing_minor"] == 79_520
    assert (chinese["overdraft_limit_minor"], chinese["refundable_minor"]) == (500, 80_020)


async def test_a_customer_is_the_newest_of_order_and_profile(platform_api: PlatformApi, shop: Shop) -> None:
    async def get(customer_id: str) -> Any:
        return await platform_api.call("GET", f"/v1/customers/{quote(customer_id, safe='')}", shop=shop)

    assert (await get("u/1")).status == 404
    given = (await platform_api.call("POST", "/v1/customers", shop=shop, json={"id": "u/1", "name": "张三"})).json
    assert (await get("u/1")).json == given
    await paid(platform_api, shop, customer={"id": "u/1", "name": "张三丰", "avatar": "a2"})
    await paid(platform_api, shop, customer={"id": "u2"})
    await events.sequence(platform_api.database)
    await search.project_events(platform_api.database, platform_api.database, now=platform_api.clock.now())
    newest = (await get("u/1")).json
    assert (newest["name"], newest["avatar"]) == ("张三丰", "a2")
    assert newest["updated_at"] > given["updated_at"]
    assert (await get("u2")).json == {
        "id": "u2", "object": "customer", "name": None, "avatar": None, "updated_at": None
    }  # fmt: skip
    again = (await platform_api.call("POST", "/v1/customers", shop=shop, json={"id": "u/1", "name": "张"})).json
    assert (await get("u/1")).json == again
