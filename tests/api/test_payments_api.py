"""A merchant's payments over HTTP, from creation to their end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import orjson
import pytest

from hutong import channels, db, operators
from support.running_platform import METHOD, PlatformApi, Shop


async def test_a_payment_is_created_paid_and_booked(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    assert payment["status"] == "processing"
    (attempt,) = payment["attempts"]
    await platform_api.control("pay", code_url=attempt["action"]["content"])
    paid = await platform_api.until(shop, payment["id"], "succeeded")
    assert paid["attempts"][0]["state"] == "succeeded"
    assert [(t["amount"], t["code"]) for t in await platform_api.transfers_of(payment["id"])] == [(1999, 1), (12, 2)]


async def test_without_a_method_nothing_is_asked_of_a_channel(platform_api: PlatformApi, shop: Shop) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())
    assert (answer.status, answer.json["status"], answer.json["attempts"]) == (201, "requires_payment", [])
    assert answer.json == await platform_api.get(shop, answer.json["id"])


async def test_a_repeated_order_is_the_same_payment_and_another_content_is_refused(
    platform_api: PlatformApi, shop: Shop
) -> None:
    order = platform_api.order(method=METHOD, metadata={"b": "2", "a": "1"})
    first = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    other = await platform_api.call("POST", "/v1/payments", shop=shop, json=order | {"amount_minor": 2000})
    assert (other.status, other.json["code"], other.json["param"]) == (409, "order_no_reused", "merchant_order_no")


@pytest.mark.parametrize("method", [METHOD, None])
async def test_the_same_key_and_body_get_the_first_answer_byte_for_byte(
    platform_api: PlatformApi, shop: Shop, method: str | None
) -> None:
    order = platform_api.order(method=method)
    headers = {"Idempotency-Key": "key-1"}
    first = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    assert first.status == 201
    await platform_api.call("POST", f"/v1/payments/{first.json['id']}/close", shop=shop)
    # Spelled differently, it says the same.
    spelled = orjson.dumps(dict(reversed(order.items())), option=orjson.OPT_INDENT_2)
    again = await platform_api.call("POST", "/v1/payments", shop=shop, body=spelled, headers=headers)
    assert (again.status, again.body) == (first.status, first.body)


async def test_the_same_key_with_another_body_is_refused(platform_api: PlatformApi, shop: Shop) -> None:
    headers = {"Idempotency-Key": "key-2"}
    order = platform_api.order()
    await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    before = await platform_api.fingerprint()
    for other in (order | {"amount_minor": 1}, platform_api.order(), order | {"metadata": {"a": "b"}}):
        answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=other, headers=headers)
        assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")
        assert answer.json["param"] == "Idempotency-Key"
    assert await platform_api.fingerprint() == before


async def test_a_refusal_is_a_keys_answer_as_well(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order()
    await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    headers = {"Idempotency-Key": "key-3"}
    for _ in range(3):
        answer = await platform_api.call(
            "POST", "/v1/payments", shop=shop, json=order | {"amount_minor": 1}, headers=headers
        )
        assert (answer.status, answer.json["code"]) == (409, "order_no_reused")
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(), headers=headers)
    assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")


async def test_another_merchants_same_key_is_another_key(platform_api: PlatformApi, shop: Shop) -> None:
    other = await platform_api.shop()
    order, headers = platform_api.order(), {"Idempotency-Key": "key-4"}
    answers = [
        await platform_api.call("POST", "/v1/payments", shop=s, json=order, headers=headers) for s in (shop, other)
    ]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json["id"] != answers[1].json["id"]


@pytest.mark.parametrize("method", [METHOD, None])
async def test_a_hundred_at_once_under_one_key_make_one_payment(
    platform_api: PlatformApi, shop: Shop, method: str | None
) -> None:
    order, headers = platform_api.order(method=method), {"Idempotency-Key": "key-5"}
    answers = await asyncio.gather(
        *(platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers) for _ in range(100))
    )
    created = {answer.body for answer in answers if answer.status == 201}
    assert len(created) == 1
    assert {(a.status, a.json.get("code")) for a in answers} <= {(201, None), (409, "idempotency_key_in_flight")}
    again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    assert {again.body} == created
    listed = await platform_api.call("GET", "/v1/payments", shop=shop)
    assert len(listed.json["data"]) == 1
    truth = await platform_api.session.get(f"{platform_api.sandbox_url}/control/wechat/truth")
    numbers = [attempt["id"] for attempt in listed.json["data"][0]["attempts"]]
    placed = [e for e in (await truth.json())["truth"] if e["event"] == "placed" and e["order_no"] in numbers]
    assert len(placed) == (1 if method else 0)


async def test_a_key_left_behind_by_a_crash_is_in_flight_then_answered_from_the_order(
    platform_api: PlatformApi, shop: Shop
) -> None:
    order, headers = platform_api.order(), {"Idempotency-Key": "key-6"}
    first = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    async with platform_api.admin.transaction() as tx:  # the process dies before the answer is stored
        await tx.execute("UPDATE idempotency.key SET status = NULL, body = NULL WHERE owner_id = $1", shop.merchant_id)
    again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    assert (again.status, again.json["code"]) == (409, "idempotency_key_in_flight")
    platform_api.clock.advance(timedelta(seconds=61))
    again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    assert (again.status, again.json["id"]) == (200, first.json["id"])
    last = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    assert (last.status, last.body) == (again.status, again.body)


@pytest.mark.parametrize("key", [None, "key-7"])
async def test_a_late_repetition_gets_the_first_answer_although_it_could_not_be_placed_any_more(
    platform_api: PlatformApi, shop: Shop, key: str | None
) -> None:
    expires_at = (platform_api.clock.now() + timedelta(minutes=2)).isoformat()
    order = platform_api.order(expires_at=expires_at, return_url="https://shop.example/thanks")
    headers = {"Idempotency-Key": key} if key else {}
    first = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    assert first.status == 201
    platform_api.clock.advance(timedelta(minutes=5))
    again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
    assert (again.status, again.json["id"]) == (201 if key else 200, first.json["id"])
    other = order | {"amount_minor": 1}
    refused = await platform_api.call("POST", "/v1/payments", shop=shop, json=other, headers=headers)
    assert refused.json["code"] == ("idempotency_key_reused" if key else "order_no_reused")
    fresh = platform_api.order(expires_at=expires_at)
    refused = await platform_api.call("POST", "/v1/payments", shop=shop, json=fresh)
    assert (refused.status, refused.json["param"]) == (422, "expires_at")


async def test_an_unpaid_payment_is_closed(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    for _ in range(2):
        answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
        assert (answer.status, answer.json["status"], answer.json["close_reason"]) == (200, "closed", "merchant")
    orders = await platform_api.session.get(f"{platform_api.sandbox_url}/control/wechat/orders")
    state = {order["order_no"]: order["state"] for order in (await orders.json())["orders"]}
    assert state[payment["attempts"][0]["id"]] == "closed"


async def test_a_close_of_what_was_paid_meanwhile_is_refused(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    payment = await platform_api.create(shop)
    code_url = payment["attempts"][0]["action"]["content"]
    await platform_api.control("pay", code_url=code_url, notify={"lose": 1_000})
    for _ in range(2):
        answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
        assert (answer.status, answer.json["code"]) == (409, "payment_already_succeeded")
    assert (await platform_api.get(shop, payment["id"]))["status"] == "succeeded"


async def test_a_close_at_an_unreachable_channel_is_accepted_and_done_later(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    payment = await platform_api.create(shop)
    number = payment["attempts"][0]["id"]
    await platform_api.control("next", interface="query", kind="dropped", match=number, times=2)
    answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
    assert (answer.status, answer.json["status"], answer.json["closing"]) == (202, "processing", True)
    await platform_api.control("reset")
    platform_api.clock.advance(timedelta(seconds=61))
    await platform_api.lifecycle.expire()
    await platform_api.lifecycle.sweep()
    assert (await platform_api.get(shop, payment["id"]))["status"] == "closed"


async def test_pages_are_complete_and_stable_while_new_payments_arrive(platform_api: PlatformApi, shop: Shop) -> None:
    made = []
    for _ in range(23):
        answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())
        made.append(answer.json["id"])
    seen, cursor = [], ""
    while True:
        page = (await platform_api.call("GET", f"/v1/payments?limit=5{cursor}", shop=shop)).json
        seen += [payment["id"] for payment in page["data"]]
        await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        assert len(page["data"]) == 5
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == set(made)
    assert len(seen) == 23


async def test_the_list_is_filtered_by_state_and_order_number(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order()
    await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())
    wanted = (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).json
    closed = (await platform_api.call("POST", f"/v1/payments/{wanted['id']}/close", shop=shop)).json
    for query in ("status=closed", f"merchant_order_no={order['merchant_order_no']}"):
        page = (await platform_api.call("GET", f"/v1/payments?{query}", shop=shop)).json
        assert page == {"object": "list", "has_more": False, "next_cursor": None, "data": [closed]}
    for query in (
        f"merchant_order_no={order['merchant_order_no']}&status=processing",
        f"merchant_order_no={order['merchant_order_no']}&cursor={wanted['id']}",
        "status=succeeded",
        "merchant_order_no=absent",
    ):
        assert (await platform_api.call("GET", f"/v1/payments?{query}", shop=shop)).json["data"] == []


BAD_QUERIES = [
    ("limit=0", "limit"), ("limit=101", "limit"), ("limit=-1", "limit"), ("limit=1.0", "limit"), ("limit=1_0", "limit"),
    ("limit=+5", "limit"), ("limit=%205", "limit"), ("limit=abc", "limit"), ("limit=", "limit"), ("limit=1e1", "limit"),
    ("limit=%D9%A1", "limit"), ("limit=99999999999999999999", "limit"), ("limit=1&limit=2", "limit"),
    ("status=paid", "status"), ("status=", "status"), ("status=CLOSED", "status"), ("status=closed%00", "status"),
    ("cursor=x", "cursor"), ("cursor=", "cursor"), ("cursor=att_01h455vb4pex5vsknk084sn02q", "cursor"),
    ("cursor=%FF%FE", "cursor"), ("cursor=" + "a" * 65, "cursor"), ("cursor=%00", "cursor"),
    ("merchant_order_no=", "merchant_order_no"), ("merchant_order_no=" + "a" * 65, "merchant_order_no"),
    ("merchant_order_no=%00", "merchant_order_no"), ("merchant_order_no=%FF", "merchant_order_no"),
    ("merchant_order_no=a%20b", "merchant_order_no"), ("merchant_order_no=%E4%B8%AD", "merchant_order_no"),
    ("unknown=1", "unknown"), ("LIMIT=1", "LIMIT"), ("%FF=1", "\ufffd"), ("limit[]=1", "limit[]"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "param"), BAD_QUERIES, ids=[query[:40] for query, _ in BAD_QUERIES])
async def test_a_query_that_is_not_understood_is_refused(
    platform_api: PlatformApi, shop: Shop, query: str, param: str
) -> None:
    answer = await platform_api.call("GET", f"/v1/payments?{query}", shop=shop)
    assert (answer.status, answer.json["param"]) == (422, param)


async def test_a_full_queue_answers_503_and_when_to_come_back(
    platform_api: PlatformApi, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: db.Coalescer = platform_api.lifecycle._places
    monkeypatch.setattr(places, "_queue_limit", 0)
    before = await platform_api.fingerprint()
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())
    assert (answer.status, answer.json["code"]) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    assert await platform_api.fingerprint() == before


async def test_a_disabled_account_takes_no_new_payments_but_its_notifications(
    platform_api: PlatformApi, shop: Shop
) -> None:
    from hutong import channels

    payment = await platform_api.create(shop)

    async def switch(enabled: bool) -> None:
        async with platform_api.database.transaction() as tx:
            now = platform_api.clock.now()
            await channels.accounts.set_enabled(tx, account_id=platform_api.account_id, enabled=enabled, now=now)
        await platform_api.accounts.refresh()

    await switch(False)
    try:
        order = platform_api.order(method=METHOD)
        refused = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
        assert (refused.status, refused.json["code"], refused.json["param"]) == (422, "no_route", "method")
        await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
        assert (await platform_api.until(shop, payment["id"], "succeeded"))["amount_minor"] == 1999
    finally:
        await switch(True)


RETURN_URLS = [
    "https://evil.example/", "http://shop.example/", "https://shop.example.evil.example/", "https://shop.example:444/",
    "https://shop.example@evil.example/", "https://user@shop.example/", "https://shop.example\\@evil.example/",
    "https://shop.example\\.evil.example/", "https://SHOP.example/", "//shop.example/", "javascript:alert(1)",
    "https://[", "https://shop.example:x/", "https://shop.example;evil.example/", "https:///shop.example/",
    "https://shop.example%2eevil.example/", "https://shop.example\n.evil.example", "https:shop.example", "",
]  # fmt: skip


@pytest.mark.parametrize("url", RETURN_URLS)
async def test_a_payer_is_sent_back_to_registered_origins_only(platform_api: PlatformApi, shop: Shop, url: str) -> None:
    for param in ("return_url", "cancel_url"):
        answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(**{param: url}))
        assert (answer.status, answer.json["param"]) == (422, param)


@pytest.mark.parametrize("bank", ["", "ICBC CN", "工商银行", "-", "x" * 33])
async def test_a_bank_is_named_by_a_code(platform_api: PlatformApi, shop: Shop, bank: str) -> None:
    order = platform_api.order(method=METHOD, payer={"institution": bank})
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (answer.status, answer.json["param"].partition(".")[0]) == (422, "payer")


async def test_the_bank_is_part_of_the_decision(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop, payer={"institution": "ICBC"})
    decision = payment["attempts"][0]["id"].replace("att_", "rtd_")
    _, headers = await platform_api.person(operators.Role.VIEWER)
    answer = await platform_api.call("GET", f"/v1/routing/decisions/{decision}", headers=headers)
    assert (answer.status, answer.json["institution"]) == (200, "ICBC")


@pytest.mark.parametrize("url", ["https://shop.example", "https://shop.example/", "https://shop.example/a?b=c#d"])
async def test_a_registered_origin_is_taken_with_any_path(platform_api: PlatformApi, shop: Shop, url: str) -> None:
    order = platform_api.order(return_url=url, cancel_url=f"{url}?left=1")
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (answer.status, answer.json["return_url"], answer.json["cancel_url"]) == (201, url, f"{url}?left=1")


async def test_a_refused_attempt_has_the_channels_code_ours_and_a_text_for_the_payer(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    await platform_api.accounts.refresh()
    await platform_api.control("next", interface="place", kind="error", status=400, code="PARAM_ERROR")
    payment = await platform_api.create(shop)
    (attempt,) = payment["attempts"]
    assert attempt["state"] == "failed"
    assert attempt["channel_code"] == "PARAM_ERROR"
    assert attempt["channel_message"]
    assert platform_api.accounts.text("wechat", "pay/PARAM_ERROR", failed=True) == (
        attempt["text"]["en"],
        attempt["text"]["zh"],
    )
    assert attempt["retryable"] is False


async def test_a_code_without_a_meaning_leaves_the_attempt_unknown(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    await platform_api.accounts.refresh()
    await platform_api.control("next", interface="place", kind="error", status=400, code="NEVER_SEEN")
    (attempt,) = (await platform_api.create(shop))["attempts"]
    assert (attempt["state"], attempt["channel_code"], attempt["code"]) == ("unknown", "NEVER_SEEN", "unmapped")
    assert attempt["text"]["en"]
    await platform_api.accounts.unmapped.flush(platform_api.database)
    async with platform_api.database.transaction() as tx:
        assert "NEVER_SEEN" in [one.code for one in await channels.codes.open_unmapped(tx)]


async def test_an_end_does_not_keep_the_code_of_the_doubt_before_it(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    await platform_api.control("next", interface="place", kind="reply_lost")
    payment = await platform_api.create(shop)
    number = payment["attempts"][0]["id"]
    await platform_api.control("next", interface="query", kind="error", status=500, code="STRANGE", match=number)
    platform_api.clock.advance(timedelta(seconds=10))
    await platform_api.lifecycle.expire()
    await platform_api.lifecycle.sweep()
    assert (await platform_api.get(shop, payment["id"]))["attempts"][0]["code"] == "unmapped"
    await platform_api.control("pay", order_no=number)
    paid = await platform_api.until(shop, payment["id"], "succeeded")
    assert paid["attempts"][0]["code"] in (None, "paid")


async def test_a_customer_is_kept_with_the_order_and_sent_with_its_events(
    platform_api: PlatformApi, shop: Shop
) -> None:
    order = platform_api.order(customer={"id": "u-1", "name": "张三", "avatar": "a1b2"})
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert answer.json["customer"] == {"id": "u-1", "name": "张三", "avatar": "a1b2"}
    assert (await platform_api.get(shop, answer.json["id"]))["customer"] == answer.json["customer"]
    again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (again.status, again.json["id"]) == (200, answer.json["id"])
    other = await platform_api.call("POST", "/v1/payments", shop=shop, json=order | {"customer": {"id": "u-2"}})
    assert (other.status, other.json["code"]) == (409, "order_no_reused")


@pytest.mark.parametrize(
    ("customer", "param"),
    [
        ({"name": "张三"}, "customer.id"),
        ({"id": "两"}, "customer.id"),
        ({"id": "u", "name": " "}, "customer.name"),
        ({"id": "u", "avatar": "https://elsewhere.example/a.png"}, "customer.avatar"),
        ({"id": "u", "phone": "1"}, "customer.phone"),
    ],
)
async def test_a_customer_that_is_not_one_is_refused(
    platform_api: PlatformApi, shop: Shop, customer: dict[str, str], param: str
) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(customer=customer))
    assert (answer.status, answer.json["param"]) == (422, param)
