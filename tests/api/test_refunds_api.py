"""Refunds over HTTP, from the order to the money back, through the simulated channel."""

from __future__ import annotations

from typing import Any

import pytest

from support.running_platform import PlatformApi, Shop

BASKET = {
    "amount_minor": 14_500,
    "items": [
        {"id": "gone", "name": "Out of stock", "quantity": 2, "amount_minor": 4_700},
        {"id": "rest", "name": "The rest", "amount_minor": 11_300},
    ],
    "discounts": [{"name": "15 off 69", "funder": "platform", "amount_minor": 1_500}],
}


async def paid(api: PlatformApi, shop: Shop, **order: Any) -> dict[str, Any]:
    payment = await api.create(shop, **order)
    await api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    return await api.until(shop, payment["id"], "succeeded")


async def test_items_go_back_by_name_and_all_parts_are_shown(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await paid(platform_api, shop, **BASKET)
    path = f"/v1/payments/{payment['id']}"
    body = {"merchant_refund_no": f"{payment['merchant_order_no']}-R1", "items": [{"id": "gone", "quantity": 2}]}
    headers = {"Idempotency-Key": "refund-1"}
    first = await platform_api.call("POST", f"{path}/refunds", shop=shop, json=body, headers=headers)
    assert (first.status, first.json["amount_minor"]) == (201, 4_259)
    assert first.json["items"] == [{"id": "gone", "quantity": 2, "amount_minor": 4_259}]
    again = await platform_api.call("POST", f"{path}/refunds", shop=shop, json=body, headers=headers)
    assert (again.status, again.body) == (first.status, first.body)
    items = (await platform_api.call("GET", f"{path}/items", shop=shop)).json["data"]
    assert [(item["quantity_refunded"], item["payer_minor"], item["platform_minor"]) for item in items] == [
        (2, 4_259, 441), (0, 10_241, 1_059),
    ]  # fmt: skip
    listed = (await platform_api.call("GET", f"{path}/refunds", shop=shop)).json["data"]
    alone = (await platform_api.call("GET", f"/v1/refunds/{first.json['id']}", shop=shop)).json
    assert listed == [alone]
    after = await platform_api.get(shop, payment["id"])
    assert after["amount_refunded_minor"] + after["amount_refunding_minor"] == 4_259


BAD = {
    "items_do_not_add_up": BASKET | {"amount_minor": 14_501},
    "discount_exceeds_item": BASKET
    | {"discounts": [{"name": "x", "funder": "merchant", "amount_minor": 5_000, "item": "gone"}]},
    "invalid_parameter": BASKET | {"items": [{"id": "gone", "name": "x", "quantity": -1, "amount_minor": 14_500}]},
}


@pytest.mark.parametrize("code", BAD)
async def test_a_basket_that_is_not_right_is_refused_and_nothing_is_written(
    platform_api: PlatformApi, shop: Shop, code: str
) -> None:
    before = await platform_api.fingerprint()
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(**BAD[code]))
    assert (answer.status, answer.json["code"]) == (422, code)
    assert await platform_api.fingerprint() == before


async def test_items_are_not_captured_in_parts(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order(**BASKET, capture_method="manual")
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (answer.status, answer.json["param"]) == (422, "items")


async def test_bad_refunds_are_refused_and_nothing_is_written(platform_api: PlatformApi, shop: Shop) -> None:
    unpaid = await platform_api.create(shop)
    payment = await paid(platform_api, shop)
    basket = await paid(platform_api, shop, **BASKET)
    before = await platform_api.fingerprint()
    for status, target, fields in (
        ((409, "payment_not_refundable"), unpaid, {}),
        ((409, "refund_exceeds_available"), payment, {"amount_minor": 2_000}),
        ((422, "invalid_parameter"), payment, {"amount_minor": 0}),
        ((422, "unknown_refund_item"), payment, {"items": [{"id": "gone"}]}),
        ((422, "unknown_refund_item"), basket, {"items": [{"id": "tea"}]}),
        ((422, "invalid_parameter"), basket, {"items": [{"id": "gone", "quantity": -1}]}),
        ((409, "refund_quantity_exceeded"), basket, {"items": [{"id": "gone", "quantity": 3}]}),
        ((422, "refund_by_item_only"), basket, {"amount_minor": 100}),
    ):
        body = {"merchant_refund_no": "bad-1"} | fields
        answer = await platform_api.call("POST", f"/v1/payments/{target['id']}/refunds", shop=shop, json=body)
        assert (answer.status, answer.json["code"]) == status
    assert await platform_api.fingerprint() == before


async def test_without_an_amount_everything_goes_back_and_our_fee_with_it(
    platform_api: PlatformApi, shop: Shop
) -> None:
    payment = await paid(platform_api, shop)
    body = {"merchant_refund_no": f"{payment['merchant_order_no']}-R1"}
    answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/refunds", shop=shop, json=body)
    assert (answer.status, answer.json["amount_minor"], answer.json["fee_returned_minor"]) == (201, 1_999, 12)


async def test_a_payments_refunds_are_listed_first_to_last_a_page_at_a_time(
    platform_api: PlatformApi, shop: Shop
) -> None:
    payment = await paid(platform_api, shop)
    url = f"/v1/payments/{payment['id']}/refunds"
    made = []
    for number in range(5):
        body = {"merchant_refund_no": f"{payment['merchant_order_no']}-R{number}", "amount_minor": 100}
        made.append((await platform_api.call("POST", url, shop=shop, json=body)).json["id"])
    seen, query = [], "?limit=2"
    for count in (2, 2, 1):
        page = (await platform_api.call("GET", url + query, shop=shop)).json
        assert (len(page["data"]), page["has_more"]) == (count, len(seen) + count < 5)
        seen += [refund["id"] for refund in page["data"]]
        query = f"?limit=2&cursor={page['next_cursor']}"
    assert seen == made
    assert page["next_cursor"] is None
    refused = await platform_api.call("GET", f"{url}?cursor=ref_7zzzzzzzzzzzzzzzzzzzzzzzz!", shop=shop)
    assert (refused.status, refused.json["code"]) == (422, "invalid_parameter")
