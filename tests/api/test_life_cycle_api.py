"""What may be done with a payment over HTTP, and what it is answered when it may not."""

from __future__ import annotations

import asyncio
import html
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from hutong import payments
from hutong.channels import ChannelAnswer, ChannelState
from hutong.ids import decode
from hutong.payments import CaptureMethod, ChannelReport, RecordReport, Source
from hutong.payments.attempts import StartAttempt, start_attempts
from hutong.payments.capture import RequestCapture, request_capture
from hutong.payments.store import find
from support.running_platform import METHOD, PlatformApi, Shop


async def reserved(platform_api: PlatformApi, shop: Shop) -> str:
    """A payment that the payer has authorized, recorded by hand: WeChat Native reserves no money."""
    answer = await platform_api.call(
        "POST", "/v1/payments", shop=shop, json=platform_api.order(capture_method="manual")
    )
    payment_id = decode("pay", answer.json["id"])
    attempt_id = platform_api.ids.new()
    new = payments.NewAttempt(attempt_id, platform_api.account_id, "wechat", METHOD)
    now = platform_api.clock.now()
    await platform_api.database.run(lambda tx: start_attempts(tx, [StartAttempt(payment_id, new)], now=now))
    report = ChannelReport(attempt_id, platform_api.account_id, ChannelAnswer(ChannelState.AUTHORIZED), Source.QUERY)
    await platform_api.lifecycle._transactions.reports.record([RecordReport(report)])
    return str(answer.json["id"])


async def refused(platform_api: PlatformApi, shop: Shop, path: str, json: object = None) -> tuple[int, str, str | None]:
    """The refusal of a request; it must have written nothing."""
    before = await platform_api.fingerprint()
    answer = await platform_api.call("POST", path, shop=shop, json=json)
    assert await platform_api.fingerprint() == before
    return answer.status, answer.json["code"], answer.json["param"]


async def test_an_authorized_payment_says_what_can_be_captured_and_until_when(
    platform_api: PlatformApi, shop: Shop
) -> None:
    payment = await platform_api.get(shop, await reserved(platform_api, shop))
    assert (payment["status"], payment["capture_method"]) == ("requires_capture", "manual")
    assert (payment["amount_captured_minor"], payment["capturing"]) == (0, False)
    assert payment["authorized_at"] is not None
    assert payment["attempts"][0]["state"] == "authorized"


async def test_more_than_was_authorized_is_refused(platform_api: PlatformApi, shop: Shop) -> None:
    payment_id = await reserved(platform_api, shop)
    for amount_minor, code in ((2000, "capture_exceeds_authorized"), (1, "partial_capture_not_offered")):
        path = f"/v1/payments/{payment_id}/capture"
        answer = await refused(platform_api, shop, path, {"amount_minor": amount_minor})
        assert answer == (422, code, "amount_minor")
    for wrong in (0, -1, "1", 1.5):
        answer = await refused(platform_api, shop, f"/v1/payments/{payment_id}/capture", {"amount_minor": wrong})
        assert answer == (422, "invalid_parameter", "amount_minor")


async def test_a_capture_after_the_end_was_asked_for_and_an_end_after_a_capture_are_refused(
    platform_api: PlatformApi, shop: Shop
) -> None:
    cancelled = await reserved(platform_api, shop)
    answer = await platform_api.call("POST", f"/v1/payments/{cancelled}/cancel", shop=shop)
    assert answer.status == 202  # the channel knows nothing of it, so it confirms nothing
    assert await refused(platform_api, shop, f"/v1/payments/{cancelled}/capture", {}) == (
        409, "payment_not_capturable", None
    )  # fmt: skip
    capturing = await reserved(platform_api, shop)
    intent = RequestCapture(decode("pay", capturing))
    await platform_api.database.run(lambda tx: request_capture(tx, [intent], now=platform_api.clock.now()))
    for path in ("cancel", "close"):
        assert await refused(platform_api, shop, f"/v1/payments/{capturing}/{path}") == (
            409, "capture_in_progress", None
        )  # fmt: skip
    again = await platform_api.call("POST", f"/v1/payments/{capturing}/capture", shop=shop, json={})
    assert (again.status, again.json["capturing"]) == (202, True)


async def test_what_is_not_authorized_cannot_be_captured(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    path = f"/v1/payments/{payment['id']}/capture"
    assert await refused(platform_api, shop, path, {}) == (409, "payment_not_capturable", None)


async def test_a_method_that_takes_the_money_at_once_is_not_used_to_reserve_it(
    platform_api: PlatformApi, shop: Shop
) -> None:
    order = platform_api.order(method=METHOD, capture_method="manual")
    assert await refused(platform_api, shop, "/v1/payments", order) == (
        422, "manual_capture_not_offered", "capture_method"
    )  # fmt: skip


async def test_details_of_a_payer_without_a_method_are_refused(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order(payer={"openid": "o"})
    assert await refused(platform_api, shop, "/v1/payments", order) == (422, "invalid_parameter", "payer")
    order = platform_api.order(method=METHOD, payer={"Open ID": "o"})
    assert (await refused(platform_api, shop, "/v1/payments", order))[:2] == (422, "invalid_parameter")


async def test_an_attempt_is_started_by_the_merchant_and_again_only_when_it_has_ended(
    platform_api: PlatformApi, shop: Shop
) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())
    path = f"/v1/payments/{answer.json['id']}/attempts"
    first = await platform_api.call("POST", path, shop=shop, json={"method": METHOD})
    again = await platform_api.call("POST", path, shop=shop, json={"method": METHOD})
    assert (first.status, again.status) == (201, 201)
    assert first.json["attempts"] == again.json["attempts"]
    assert first.json["attempts"][0]["action"]["kind"] == "qr_code"
    other = {"method": METHOD, "return_url": "https://elsewhere.example/"}
    assert await refused(platform_api, shop, path, other) == (422, "invalid_parameter", "return_url")
    assert await refused(platform_api, shop, path, {"method": "unheard_of"}) == (422, "method_unknown", "method")
    await platform_api.call("POST", f"/v1/payments/{answer.json['id']}/close", shop=shop)
    assert await refused(platform_api, shop, path, {"method": METHOD}) == (409, "payment_not_payable", None)


async def test_the_timeline_shows_the_events_with_their_sources(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    await platform_api.until(shop, payment["id"], "succeeded")
    answer = await platform_api.call("GET", f"/v1/payments/{payment['id']}/timeline", shop=shop)
    assert answer.status == 200
    assert [(one["what"], one["source"]) for one in answer.json["data"]] == [
        ("payment.created", None), ("attempt.created", None), ("attempt.submitted", "submission"),
        ("attempt.succeeded", "notification"), ("payment.succeeded", None),
    ]  # fmt: skip
    assert answer.json["data"][3]["amount_minor"] == 1999
    assert [one["at"] for one in answer.json["data"]] == sorted(one["at"] for one in answer.json["data"])
    assert {one["attempt_id"] for one in answer.json["data"]} == {None, payment["attempts"][0]["id"]}


@pytest.mark.parametrize(("method", "minutes"), [(None, 30), (METHOD, 15 * 24 * 60)])
async def test_an_order_whose_method_the_payer_chooses_lasts_half_an_hour_by_default(
    platform_api: PlatformApi, shop: Shop, method: str | None, minutes: int
) -> None:
    order = platform_api.order() | ({"method": method} if method else {})
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    ends, begins = (datetime.fromisoformat(answer.json[name]) for name in ("expires_at", "created_at"))
    assert (ends - begins).total_seconds() == pytest.approx(60 * minutes, abs=1)


@pytest.mark.parametrize("minutes", [1, 60 * 24 * 30])
async def test_without_an_end_a_payment_has_the_merchants_validity_within_the_platforms(
    platform_api: PlatformApi, shop: Shop, minutes: int
) -> None:
    async with platform_api.admin.transaction() as tx:
        await tx.execute(
            "UPDATE merchants.merchant SET payment_validity = $2 * INTERVAL '1 min' WHERE id = $1",
            shop.merchant_id,
            minutes,
        )
    order = platform_api.order()
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    payment_id = decode("pay", answer.json["id"])
    async with platform_api.database.transaction() as tx:
        payment = (await find(tx, [payment_id]))[payment_id]
    assert (payment.expires_at - payment.created_at).total_seconds() == pytest.approx(
        60 * min(minutes, 15 * 24 * 60), abs=1
    )
    assert payment.capture_method is CaptureMethod.AUTOMATIC


async def card(platform_api: PlatformApi, shop: Shop, **changed: object) -> dict[str, object]:
    """A card payment that Stripe has authorized at once."""
    order = platform_api.order(
        method="card", currency="USD", capture_method="manual", payer={"token": "pm_card_visa"}, **changed
    )
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (answer.status, answer.json["status"]) == (201, "requires_capture"), answer.body
    return answer.json


async def test_a_card_is_authorized_and_captured_in_part(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await card(platform_api, shop)
    assert payment["capture_before"] is not None
    path = f"/v1/payments/{payment['id']}/capture"
    answer = await platform_api.call("POST", path, shop=shop, json={"amount_minor": 1500})
    assert (answer.status, answer.json["status"]) == (200, "succeeded"), answer.body
    assert (answer.json["amount_minor"], answer.json["amount_captured_minor"]) == (1999, 1500)
    assert [t["amount"] for t in await platform_api.transfers_of(str(payment["id"]))] == [1500, 9]
    assert await refused(platform_api, shop, f"/v1/payments/{payment['id']}/cancel") == (
        409, "payment_already_succeeded", None
    )  # fmt: skip


async def test_a_cancelled_card_authorization_cannot_be_captured(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await card(platform_api, shop)
    answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/cancel", shop=shop)
    assert (answer.status, answer.json["status"]) == (200, "closed"), answer.body
    path = f"/v1/payments/{payment['id']}/capture"
    assert await refused(platform_api, shop, path, {}) == (409, "payment_not_capturable", None)


async def test_a_card_without_its_token_is_refused_by_name(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order(method="card", currency="USD")
    assert await refused(platform_api, shop, "/v1/payments", order) == (422, "missing_parameter", "payer.token")


async def test_captures_and_cancels_of_one_card_at_once_have_one_winner(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await card(platform_api, shop)

    async def one(n: int) -> int:
        path, body = ("capture", {"amount_minor": 1000 + n}) if n % 2 else ("cancel", None)
        answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/{path}", shop=shop, json=body)
        return answer.status

    statuses = await asyncio.gather(*(one(n) for n in range(60)))
    assert set(statuses) <= {200, 202, 409}
    after = await platform_api.get(shop, str(payment["id"]))
    booked = [t["amount"] for t in await platform_api.transfers_of(str(payment["id"]))]
    assert after["status"] in ("succeeded", "closed")
    if after["status"] == "succeeded":
        assert (statuses.count(200) + statuses.count(202), booked[0]) == (1, after["amount_captured_minor"])
    else:
        assert booked == []


async def test_the_payer_comes_back_with_hints_and_the_document_keeps_the_merchants_address(
    platform_api: PlatformApi, shop: Shop
) -> None:
    own, leave = "https://shop.example/back?order=1#end", "https://shop.example/cart"
    order = platform_api.order(return_url=own, cancel_url=leave)
    payment = (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).json
    assert (payment["return_url"], payment["cancel_url"]) == (own, leave)
    hints = f"payment_id={payment['id']}&status="
    page = payment["checkout_url"].removeprefix(platform_api.url)
    shown = html.unescape((await platform_api.call("GET", page)).body.decode())
    assert f"{leave}?{hints}requires_payment" in shown
    closed = (await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)).json
    assert closed["return_url"] == own
    shown = html.unescape((await platform_api.call("GET", page)).body.decode())
    assert f"{leave}?{hints}closed" in shown
    direct = await platform_api.create(shop, method="alipay_page", return_url=own)
    address = parse_qs(urlsplit(direct["attempts"][0]["action"]["content"]).query)["return_url"]
    assert address == [f"https://shop.example/back?order=1&payment_id={direct['id']}#end"]
    other = platform_api.order()
    placed = (await platform_api.call("POST", "/v1/payments", shop=shop, json=other)).json
    started = await platform_api.call(
        "POST", f"/v1/payments/{placed['id']}/attempts", shop=shop, json={"method": "alipay_page", "return_url": own}
    )
    address = parse_qs(urlsplit(started.json["attempts"][0]["action"]["content"]).query)["return_url"]
    assert address == [f"https://shop.example/back?order=1&payment_id={placed['id']}#end"]
