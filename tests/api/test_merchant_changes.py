"""What merchants change of what is theirs: metadata of payments, webhook endpoints; and the header of a replay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_merchant_lists import matching, page, paid, walked

from hutong import ids
from support.running_platform import METHOD, PlatformApi, Shop


async def test_metadata_are_merged_and_found_and_the_order_can_still_be_repeated(
    platform_api: PlatformApi, shop: Shop
) -> None:
    order = platform_api.order(metadata={"shop": "12", "table": "3"})
    payment = (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).json
    path = f"/v1/payments/{payment['id']}"

    async def change(metadata: Any) -> Any:
        return await platform_api.call("PATCH", path, shop=shop, json={"metadata": metadata})

    changed = await change({"table": None, "waiter": "李四", "note": ""})
    assert (changed.status, changed.json["metadata"]) == (200, {"shop": "12", "waiter": "李四", "note": ""})
    before = await platform_api.fingerprint()
    assert (await change({"table": None, "note": ""})).json == changed.json
    assert await platform_api.fingerprint() == before
    assert await platform_api.get(shop, payment["id"]) == changed.json
    again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (again.status, again.json) == (200, changed.json)
    for wanted, expected in (({"table": "3"}, []), ({"waiter": "李四", "shop": "12"}, [payment["id"]])):
        assert await walked(platform_api, shop, f"/v1/payments?metadata={matching(wanted)}", 9) == expected
    (event,) = (await page(platform_api, shop, f"/v1/events?object_id={payment['id']}"))["data"]
    assert (event["type"], event["data"]) == ("payment.updated", changed.json)
    timeline = (await page(platform_api, shop, f"{path}/timeline"))["data"]
    assert [entry["what"] for entry in timeline] == ["payment.created", "payment.metadata_changed"]
    await change({"table": "3"})
    assert await walked(platform_api, shop, f"/v1/payments?metadata={matching({'table': '3'})}", 9) == [payment["id"]]


async def test_metadata_stay_bounded_and_what_is_refused_changes_nothing(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop, metadata={str(n): "x" for n in range(19)})
    before = await platform_api.fingerprint()
    for metadata, param in (
        ({"a": "x", "b": "x"}, "metadata"),
        ({"a": 1}, "metadata.a"),
        ({"a": "x" * 501}, "metadata.a"),
        ({"": "x"}, "metadata..[key]"),
        (None, "metadata"),
    ):
        answer = await platform_api.call(
            "PATCH", f"/v1/payments/{payment['id']}", shop=shop, json={"metadata": metadata}
        )
        assert (answer.status, answer.json["param"]) == (422, param)
    assert await platform_api.fingerprint() == before
    replaced = {"0": None, "a": "x", "b": "界" * 500}
    answer = await platform_api.call("PATCH", f"/v1/payments/{payment['id']}", shop=shop, json={"metadata": replaced})
    assert len(answer.json["metadata"]) == 20


async def test_changes_of_metadata_at_once_are_all_kept(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    answers = await asyncio.gather(
        *(
            platform_api.call("PATCH", f"/v1/payments/{payment['id']}", shop=shop, json={"metadata": {str(n): "x"}})
            for n in range(8)
        )
    )
    assert {answer.status for answer in answers} == {200}
    assert set((await platform_api.get(shop, payment["id"]))["metadata"]) == {str(n) for n in range(8)}
    listed = (await page(platform_api, shop, f"/v1/events?object_id={payment['id']}&type=payment.updated"))["data"]
    assert [event["object_seq"] for event in listed] == list(range(8, 0, -1))
    assert [len(event["data"]["metadata"]) for event in listed] == list(range(8, 0, -1))


async def test_an_endpoint_is_changed_in_place_and_keeps_its_secret(platform_api: PlatformApi, shop: Shop) -> None:
    new = {"url": "http://127.0.0.1:1/a", "types": ["payment.succeeded"], "description": "Till 1"}
    created = (await platform_api.call("POST", "/v1/webhook-endpoints", shop=shop, json=new)).json
    assert created.pop("secret").startswith("whsec_")
    path = f"/v1/webhook-endpoints/{created['id']}"
    assert (await platform_api.call("GET", path, shop=shop)).json == created
    sealed = await _secrets(platform_api, created["id"])

    async def change(**fields: Any) -> Any:
        answer = await platform_api.call("PATCH", path, shop=shop, json=fields)
        assert answer.status == 200, answer.body
        return answer.json

    moved = await change(url="http://127.0.0.1:1/b", types=["refund.succeeded", "payment.closed"])
    assert moved == created | {"url": "http://127.0.0.1:1/b", "types": ["payment.closed", "refund.succeeded"]}
    assert await change() == moved
    assert (await change(types=[], description=""))["types"] == []
    off = await change(enabled=False)
    assert (off["enabled"], off["disabled_reason"], off["description"]) == (False, "merchant", None)
    assert await change(enabled=False) == off
    assert (await change(enabled=True))["enabled"] is True
    assert await _secrets(platform_api, created["id"]) == sealed


async def _secrets(platform_api: PlatformApi, endpoint_id: str) -> Any:
    async with platform_api.admin.transaction() as tx:
        return await tx.fetchrow(
            "SELECT sealed_secret, sealed_previous FROM events.endpoint WHERE endpoint_id = $1",
            ids.decode("whe", endpoint_id),
        )


async def test_a_changed_address_gets_what_was_waiting(platform_api: PlatformApi, shop: Shop) -> None:
    created = await platform_api.call(
        "POST", "/v1/webhook-endpoints", shop=shop, json={"url": "http://127.0.0.1:1/a", "types": ["payment.updated"]}
    )
    payment = await platform_api.create(shop)
    await platform_api.call("PATCH", f"/v1/payments/{payment['id']}", shop=shop, json={"metadata": {"a": "b"}})
    path = f"/v1/webhook-endpoints/{created.json['id']}"
    async with platform_api.admin.transaction() as tx:
        await tx.execute(
            "UPDATE events.endpoint SET failing_since = now() WHERE endpoint_id = $1",
            ids.decode("whe", created.json["id"]),
        )
    same = await platform_api.call("PATCH", path, shop=shop, json={"url": "http://127.0.0.1:1/a"})
    assert same.json["failing_since"] is not None
    moved = await platform_api.call("PATCH", path, shop=shop, json={"url": "http://127.0.0.1:1/b"})
    assert moved.json["failing_since"] is None
    async with platform_api.admin.transaction() as tx:
        waiting = await tx.fetchval(
            "SELECT count(*) FROM events.delivery WHERE endpoint_id = $1 AND state = 'pending'",
            ids.decode("whe", created.json["id"]),
        )
    assert waiting == 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "https://user@shop.example/"}, "url"),
        ({"types": ["payment.paid"]}, "types"),
        ({"types": ["payment"]}, "types.0"),
        ({"description": "x" * 201}, "description"),
        ({"enabled": "yes"}, "enabled"),
        ({"secret": "whsec_x"}, "secret"),
    ],
)
async def test_a_wrong_change_of_an_endpoint_changes_nothing(
    platform_api: PlatformApi, shop: Shop, change: dict[str, Any], param: str
) -> None:
    created = await platform_api.call(
        "POST", "/v1/webhook-endpoints", shop=shop, json={"url": "http://127.0.0.1:1/hook"}
    )
    before = await platform_api.fingerprint()
    path = f"/v1/webhook-endpoints/{created.json['id']}"
    answer = await platform_api.call("PATCH", path, shop=shop, json={"description": "x"} | change)
    assert (answer.status, answer.json["param"]) == (422, param)
    assert await platform_api.fingerprint() == before


async def test_a_replay_says_that_it_is_one(platform_api: PlatformApi, shop: Shop) -> None:
    sale = await paid(platform_api, shop)
    path = f"/v1/payments/{sale['id']}/refunds"
    other = platform_api.order(merchant_order_no=sale["merchant_order_no"], amount_minor=5)
    too_much = {"merchant_refund_no": "r-2", "items": [{"id": "none"}]}
    requests = (
        ("/v1/payments", platform_api.order(method=METHOD), 201),
        ("/v1/payments", platform_api.order(), 201),
        ("/v1/payments", other, 409),
        (path, {"merchant_refund_no": "r-1", "amount_minor": 1}, 201),
        (path, too_much, 422),
    )
    for number, (url, body, status) in enumerate(requests):
        headers = {"Idempotency-Key": f"key-{number}"}
        first = await platform_api.call("POST", url, shop=shop, json=body, headers=headers)
        again = await platform_api.call("POST", url, shop=shop, json=body, headers=headers)
        assert (first.status, again.status) == (status, status)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        if status == 201:
            assert again.body == first.body
    unkeyed = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())
    assert "idempotent-replayed" not in unkeyed.headers
