"""Bills over HTTP: searched, turned over, exported, nobody else's; and gone without harm to payments."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import orjson
import pytest

from hutong import api, events, ids, operators, search
from hutong.db import Database
from support.fixtures.webhooks import recorded_events
from support.running_platform import METHOD, PlatformApi, Shop

FORMULA = '=HYPERLINK("http://evil.example","两行")'
DOWN = "postgresql://nobody@127.0.0.1:9/none"


async def paid(platform_api: PlatformApi, shop: Shop, **changed: Any) -> Any:
    payment = await platform_api.create(shop, **changed)
    await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    return await platform_api.until(shop, payment["id"], "succeeded")


async def followed(platform_api: PlatformApi) -> None:
    """What the worker does meanwhile."""
    await events.sequence(platform_api.database)
    await search.project_events(platform_api.database, platform_api.database, now=platform_api.clock.now())


async def bills(platform_api: PlatformApi, shop: Shop, asked: str = "") -> Any:
    answer = await platform_api.call("GET", f"/v1/bills{asked}", shop=shop)
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_payment_becomes_a_bill_and_its_refund_is_added(platform_api: PlatformApi, shop: Shop) -> None:
    customer = {"id": "u/1", "name": "张三", "avatar": "a1"}
    payment = await paid(platform_api, shop, customer=customer, subject="糖醋排骨")
    await followed(platform_api)
    (bill,) = (await bills(platform_api, shop))["data"]
    assert (bill["id"], bill["status"], bill["method"], bill["subject"]) == (
        payment["id"],
        "succeeded",
        METHOD,
        "糖醋排骨",
    )
    merchant = ids.encode("mer", shop.merchant_id)
    assert bill["counterparty"] == {
        "id": "u/1",
        "name": "张三",
        "avatar_url": f"https://cdn.example/{merchant}/u%2F1?v=a1",
    }
    refund = {"merchant_refund_no": "r-1", "amount_minor": 500, "reason": "退货"}
    await platform_api.call("POST", f"/v1/payments/{payment['id']}/refunds", shop=shop, json=refund)
    for _ in range(200):
        await followed(platform_api)
        answer = await platform_api.call("GET", f"/v1/bills/{payment['id']}", shop=shop)
        if answer.json["amount_refunded_minor"]:
            break
        await asyncio.sleep(0.02)
        await platform_api.lifecycle.refunds.sweep()
    assert (answer.json["amount_refunded_minor"], answer.json["refunds"][0]["reason"]) == (500, "退货")


async def test_bills_are_found_by_what_is_asked(platform_api: PlatformApi, shop: Shop) -> None:
    first = await paid(platform_api, shop, subject="红烧排骨", amount_minor=100)
    second = await paid(platform_api, shop, subject="糖醋里脊", amount_minor=200, customer={"id": "u2", "name": "李四"})
    await followed(platform_api)

    async def found(asked: str) -> list[str]:
        return [bill["id"] for bill in (await bills(platform_api, shop, asked))["data"]]

    assert await found(f"?q={quote('排骨')}") == [first["id"]]
    assert await found(f"?counterparty={quote('李四')}") == [second["id"]]
    assert await found("?customer=u2") == [second["id"]]
    assert await found("?amount_min=101&amount_max=200") == [second["id"]]
    assert await found(f"?merchant_order_no={first['merchant_order_no']}") == [first["id"]]
    assert await found("?status=closed") == []
    assert await found(f"?from={first['created_at']}&to={second['created_at']}") == [first["id"]]
    page = await bills(platform_api, shop, "?limit=1")
    assert (page["has_more"], [bill["id"] for bill in page["data"]]) == (True, [second["id"]])
    rest = await bills(platform_api, shop, f"?limit=1&cursor={page['next_cursor']}")
    assert (rest["has_more"], [bill["id"] for bill in rest["data"]]) == (False, [first["id"]])


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ("from=yesterday", "from"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("status=processing", "status"),
        ("amount_min=-1", "amount_min"),
        ("amount_min=1.5", "amount_min"),
        ("amount_max=9999999999999999", "amount_max"),
        ("amount_min=2&amount_max=1", "amount_max"),
        ("currency=cny", "currency"),
        ("merchant_order_no=%E4%B8%A4", "merchant_order_no"),
        ("customer=", "customer"),
        ("counterparty=%20", "counterparty"),
        ("q=", "q"),
        ("q=%00", "q"),
        ("limit=0", "limit"),
        ("cursor=abc", "cursor"),
        ("merchant=mer_01h455vb4pex5vsknk084sn02q", "merchant"),
        ("sort=amount", "sort"),
        ("q=a&q=b", "q"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_its_name(
    platform_api: PlatformApi, shop: Shop, asked: str, param: str
) -> None:
    for path in ("/v1/bills", "/v1/bills/export"):
        if path.endswith("export") and param in ("limit", "cursor"):
            continue
        answer = await platform_api.call("GET", f"{path}?{asked}", shop=shop)
        assert (answer.status, answer.json["param"]) == (422, param)


async def test_an_export_is_csv_without_formulas(platform_api: PlatformApi, shop: Shop) -> None:
    await paid(
        platform_api, shop, subject='=HYPERLINK("http://evil.example","两行")', customer={"id": "@u", "name": "+1"}
    )
    await paid(platform_api, shop, subject="plain")
    await followed(platform_api)
    answer = await platform_api.call("GET", "/v1/bills/export", shop=shop)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [row["subject"] for row in rows] == ["plain", f"'{FORMULA}"]
    assert (rows[1]["customer_id"], rows[1]["customer_name"]) == ("'@u", "'+1")
    assert (rows[1]["amount"], rows[1]["amount_minor"]) == ("19.99", "1999")
    assert (await platform_api.call("GET", "/v1/bills/export")).status == 401
    empty = await platform_api.call("GET", "/v1/bills/export?status=closed", shop=shop)
    assert empty.body.decode().splitlines() == [answer.body.decode().splitlines()[0]]


async def test_operators_see_all_bills_also_by_payer(platform_api: PlatformApi, shop: Shop) -> None:
    _, headers = await platform_api.person(operators.Role.OPERATOR)
    other = await platform_api.shop()
    payer = {"id": f"payer-{ids.encode('mer', other.merchant_id)}"}
    first = await paid(platform_api, shop, customer=payer)
    second = await paid(platform_api, other, customer=payer)
    await followed(platform_api)

    async def seen(asked: str) -> Any:
        answer = await platform_api.call("GET", f"/v1/operator/{asked}", headers=headers)
        assert answer.status == 200, answer.body
        return answer.json

    both = (await seen(f"bills?customer={payer['id']}"))["data"]
    assert [bill["id"] for bill in both] == [second["id"], first["id"]]
    assert both[0]["merchant"] == {"id": ids.encode("mer", other.merchant_id), "name": "Example Store"}
    own = await seen(f"bills?customer={payer['id']}&merchant={ids.encode('mer', shop.merchant_id)}")
    assert [bill["id"] for bill in own["data"]] == [first["id"]]
    assert (await seen(f"bills/{first['id']}"))["id"] == first["id"]
    sources = (await seen("bill-sources"))["data"]
    # Another test may have ended a catch-up, after which the streams are new ones: hutong.payment.0-2.
    assert {one["source"].partition("-")[0] for one in sources if one["lag"] == 0} >= {"hutong.payment.0"}
    exported = await platform_api.call("GET", f"/v1/operator/bills/export?customer={payer['id']}", headers=headers)
    assert exported.body.decode().count(payer["id"]) == 2


async def test_without_the_bills_database_payments_go_on(
    platform_api: PlatformApi, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = platform_api.app.state.services
    async with Database.open(DOWN, size=1, eager=False) as down:
        object.__setattr__(services, "records", down)
        try:
            answer = await platform_api.call("GET", "/v1/bills", shop=shop)
            assert (answer.status, answer.json["code"]) == (503, "unavailable")
            payment = await paid(platform_api, shop)
        finally:
            object.__setattr__(services, "records", platform_api.database)
    await followed(platform_api)
    assert [bill["id"] for bill in (await bills(platform_api, shop))["data"]] == [payment["id"]]


async def test_a_customer_s_new_picture_is_shown_on_old_bills(platform_api: PlatformApi, shop: Shop) -> None:
    await paid(platform_api, shop, customer={"id": "u1", "name": "旧名", "avatar": "v1"})
    customer = {"id": "u1", "name": "新名", "avatar": "v2"}
    first = await platform_api.call("POST", "/v1/customers", shop=shop, json=customer)
    assert (first.status, {name: first.json[name] for name in customer}) == (200, customer)
    again = await platform_api.call("POST", "/v1/customers", shop=shop, json=customer)
    assert again.json == first.json
    other = await platform_api.shop()
    await platform_api.call("POST", "/v1/customers", shop=other, json=customer | {"name": "别人"})
    await followed(platform_api)
    (bill,) = (await bills(platform_api, shop))["data"]
    assert bill["counterparty"]["name"] == "新名"
    assert bill["counterparty"]["avatar_url"].endswith("/u1?v=v2")
    async with platform_api.database.transaction() as tx:
        recorded = [e for e in await recorded_events(tx, shop.merchant_id) if e.type == "customer.updated"]
    assert [event.object_seq for event in recorded] == [1]
    schema = api.json_schemas()["customer.updated.v1.json"]["$defs"]["CustomerProfileObject"]
    assert jsonschema_rs.is_valid(schema, orjson.loads(recorded[0].data))
    bad = await platform_api.call("POST", "/v1/customers", shop=shop, json={"name": "x"})
    assert (bad.status, bad.json["param"]) == (422, "id")
