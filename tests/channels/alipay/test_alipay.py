"""Alipay beyond the contract: its six ways to pay, refunds, cancellation, transfers, and certificates that change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hutong.channels import About, ActionKind, ChannelState, Http, NotificationRefused
from hutong.channels.alipay.requests import order_content
from hutong.errors import InvalidParameter
from support.fixtures.alipay import AlipayWorld, alipay_world

SUCCEEDED, FAILED, PENDING = ChannelState.SUCCEEDED, ChannelState.FAILED, ChannelState.PENDING
CLOSED, UNKNOWN, NOT_FOUND = ChannelState.CLOSED, ChannelState.UNKNOWN, ChannelState.NOT_FOUND


@pytest.fixture
async def world(sandbox_folder: Path, http: Http) -> AsyncIterator[AlipayWorld]:
    async with alipay_world(sandbox_folder / "alipay", http) as made:
        yield made


# Ways to pay.


async def test_an_order_is_not_known_until_its_code_is_scanned(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request(), world.clock.now()
    placed = await channel.pay(request, now=now)
    assert placed.action is not None
    assert (await channel.query(world.order(request), now=now)).state is NOT_FOUND
    assert (await channel.close(world.order(request), now=now)).state is NOT_FOUND
    await world.control("scan", code_url=placed.action.content)
    found = await channel.query(world.order(request), now=now)
    assert (found.state, found.amount_minor, found.currency) == (PENDING, 8800, "CNY")


@pytest.mark.parametrize("method", ["alipay_page", "alipay_wap"])
async def test_a_page_is_signed_without_a_call_and_opens_the_order(world: AlipayWorld, method: str) -> None:
    channel, now = world.channel(), world.clock.now()
    request = world.request(method, return_url="https://shop.example/thanks?x=1&y=2")
    answer = await channel.pay(request, now=now)
    assert answer.state is PENDING
    assert answer.action is not None
    assert answer.action.kind is ActionKind.REDIRECT
    assert world.simulator.store.orders == {}
    sent = parse_qs(urlsplit(answer.action.content).query)
    assert sent["return_url"] == ["https://shop.example/thanks?x=1&y=2"]
    content = json.loads(sent["biz_content"][0])
    assert content.get("quit_url") == (sent["return_url"][0] if method == "alipay_wap" else None)
    assert (await channel.query(world.order(request), now=now)).state is NOT_FOUND

    async with world.session.get(answer.action.content, allow_redirects=False) as page:
        assert (page.status, page.headers["Location"][:17]) == (302, "/payer?code_url=h")
    assert (await channel.query(world.order(request), now=now)).state is PENDING
    tampered = answer.action.content.replace("88.00", "88.01")
    async with world.session.get(tampered, allow_redirects=False) as page:
        assert "isv.invalid-signature" in await page.text()


@pytest.mark.parametrize("product", ["QR_CODE_OFFLINE", "FACE_TO_FACE_PAYMENT"])
async def test_the_product_of_a_code_is_that_of_the_contract(world: AlipayWorld, product: str) -> None:
    channel, request = world.channel(qr_product=product), world.request("alipay_qr")
    assert order_content(request, qr_product=product, mini_app_id="1")["product_code"] == product
    assert (await channel.pay(request, now=world.clock.now())).state is PENDING
    assert world.channel()._credentials.qr_product == "QR_CODE_OFFLINE"


def test_a_way_back_that_alipay_does_not_take_is_left_out(world: AlipayWorld) -> None:
    request = world.request("alipay_wap", return_url="https://shop.example/" + "x" * 400)
    assert "quit_url" not in order_content(request, qr_product="QR_CODE_OFFLINE", mini_app_id="1")


async def test_an_application_gets_a_string_for_its_kit(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request("alipay_app"), world.clock.now()
    answer = await channel.pay(request, now=now)
    assert answer.action is not None
    assert answer.action.kind is ActionKind.SDK
    assert world.simulator.store.orders == {}
    async with world.session.get(f"{world.url}/gateway.do?{answer.action.content}", allow_redirects=False) as reply:
        assert reply.status == 302
    assert (await channel.query(world.order(request), now=now)).state is PENDING


@pytest.mark.parametrize("certificate_mode", [False, True])
async def test_a_mini_program_gets_the_number_of_a_trade_that_exists_at_once(
    world: AlipayWorld, certificate_mode: bool
) -> None:
    channel, request = world.channel(certificate_mode=certificate_mode), world.request("alipay_jsapi")
    now = world.clock.now()
    answer = await channel.pay(request, now=now)
    order = world.simulator.store.orders[request.attempt_no]
    assert answer.action is not None
    assert (answer.state, answer.action.kind) == (PENDING, ActionKind.SDK)
    assert json.loads(answer.action.content) == {"tradeNO": order.channel_order_no}
    assert (await channel.query(world.order(request), now=now)).state is PENDING
    assert await channel.pay(request, now=now) == answer
    await world.control("pay", order_no=request.attempt_no)
    found = await channel.query(world.order(request), now=now)
    assert (found.state, found.channel_order_no) == (SUCCEEDED, order.channel_order_no)
    assert (await channel.pay(request, now=now)).state is SUCCEEDED


async def test_an_unpaid_trade_of_a_mini_program_is_closed(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request("alipay_jsapi"), world.clock.now()
    await channel.pay(request, now=now)
    assert (await channel.close(world.order(request), now=now)).state is CLOSED


@pytest.mark.parametrize(
    ("number", "sent"),
    [
        ("2088101117955611", {"buyer_id": "2088101117955611"}),
        ("074a1CcTG1LelxKe4xQC0zgNdId0nx", {"buyer_open_id": "074a1CcTG1LelxKe4xQC0zgNdId0nx"}),
    ],
)  # fmt: skip
async def test_the_payer_of_a_mini_program_is_named_by_either_number(world: AlipayWorld, number: str, sent) -> None:
    channel = world.channel(mini_app_id="2021009999999999")
    request = world.request("alipay_jsapi", payer={"buyer_id": number})
    assert (await channel.pay(request, now=world.clock.now())).state is PENDING
    content = world.simulator.store.orders[request.attempt_no].content
    assert {name: content[name] for name in content if name.startswith("buyer")} == sent
    assert (content["op_app_id"], content["product_code"]) == ("2021009999999999", "JSAPI_PAY")


@pytest.mark.parametrize("number", ["", "a b", "x" * 129, "买家"])
async def test_what_names_no_payer_of_a_mini_program_is_not_sent(world: AlipayWorld, number: str) -> None:
    request = world.request("alipay_jsapi", payer={"buyer_id": number})
    with pytest.raises(InvalidParameter) as caught:
        await world.channel().pay(request, now=world.clock.now())
    assert caught.value.param == "payer.buyer_id"
    assert world.simulator.store.orders == {}


async def test_a_seller_cannot_pay_itself_in_a_mini_program(world: AlipayWorld) -> None:
    request = world.request("alipay_jsapi", payer={"buyer_id": "2088102146225135"})
    answer = await world.channel().pay(request, now=world.clock.now())
    assert (answer.state, answer.code) == (FAILED, "payer_not_permitted")


async def test_a_trade_of_a_mini_program_stays_its_first_payers(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request("alipay_jsapi"), world.clock.now()
    await channel.pay(request, now=now)
    answer = await channel.pay(replace(request, payer={"buyer_id": "2088101117955612"}), now=now)
    assert (answer.state, answer.channel_code) == (UNKNOWN, "ACQ.TRADE_BUYER_NOT_MATCH")


async def test_a_payment_code_takes_the_money_at_once_and_is_asked_for(world: AlipayWorld) -> None:
    channel, request = world.channel(), world.request("alipay_code")
    answer = await channel.pay(request, now=world.clock.now())
    assert (answer.state, answer.amount_minor, answer.code) == (SUCCEEDED, 8800, "paid")
    assert answer.channel_order_no
    assert await channel.pay(request, now=world.clock.now()) == answer


async def test_a_success_that_is_rolled_back_is_no_success(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request("alipay_code"), world.clock.now()
    await world.control("next", interface="query", kind="error", status=400, code="ACQ.TRADE_NOT_EXIST")
    assert (await channel.pay(request, now=now)).state is UNKNOWN


@pytest.mark.parametrize(
    ("auth_code", "state", "code"),
    [
        ("28763443825664391", FAILED, "insufficient_funds"),
        ("28763443825664392", FAILED, "auth_code_invalid"),
        ("28763443825664393", FAILED, "risk_refused"),
        ("28763443825664399", PENDING, "pending"),
    ],
)
async def test_what_becomes_of_a_payment_code(world: AlipayWorld, auth_code: str, state, code: str) -> None:
    channel, now = world.channel(), world.clock.now()
    request = world.request("alipay_code", payer={"auth_code": auth_code})
    answer = await channel.pay(request, now=now)
    assert answer.state is state
    if state is FAILED:
        assert answer.code == code
        assert (await channel.query(world.order(request), now=now)).state is NOT_FOUND
    else:
        assert (answer.code, answer.channel_code) == ("payer_action_required", "10003")
        await world.control("pay", order_no=request.attempt_no)
        assert (await channel.query(world.order(request), now=now)).state is SUCCEEDED


@pytest.mark.parametrize("auth_code", ["", "12345", "38763443825664394", "2876344382566439x"])
async def test_what_is_no_payment_code_is_not_sent(world: AlipayWorld, auth_code: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await world.channel().pay(world.request("alipay_code", payer={"auth_code": auth_code}), now=world.clock.now())
    assert caught.value.param == "payer.auth_code"
    assert world.simulator.store.orders == {}


@pytest.mark.parametrize("amount_minor", [0, -1, 10_000_000_001])
async def test_an_amount_that_alipay_does_not_take_is_not_sent(world: AlipayWorld, amount_minor: int) -> None:
    with pytest.raises(InvalidParameter):
        await world.channel().pay(world.request(amount_minor=amount_minor), now=world.clock.now())


async def test_an_order_whose_time_has_passed_is_closed_without_a_call(world: AlipayWorld) -> None:
    channel, request = world.channel(), world.request()
    await channel.pay(request, now=world.clock.now())
    await world.control("scan", order_no=request.attempt_no)
    now = world.clock.advance(timedelta(hours=1))
    assert (await channel.query(world.order(request), now=now)).state is CLOSED
    assert (await channel.pay(request, now=now)).state is CLOSED


# Closing a payment by code.


async def test_closing_a_paid_code_tells_of_the_money_and_keeps_it(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request("alipay_code"), world.clock.now()
    await channel.pay(request, now=now)
    answer = await channel.close(world.order(request), now=now)
    assert (answer.state, answer.amount_minor) == (SUCCEEDED, 8800)
    assert world.simulator.store.refunds == {}


async def test_alipays_own_end_of_a_payment_by_code_comes_after_ours(world: AlipayWorld) -> None:
    request = world.request("alipay_code", payer={"auth_code": "28763443825664399"})
    await world.channel().pay(request, now=world.clock.now())
    (order,) = world.simulator.store.orders.values()
    assert order.expires_at == request.expires_at + timedelta(minutes=1)


async def test_closing_a_code_that_waits_closes_it(world: AlipayWorld) -> None:
    channel, now = world.channel(), world.clock.now()
    request = world.request("alipay_code", payer={"auth_code": "28763443825664399"})
    await channel.pay(request, now=now)
    assert (await channel.close(world.order(request), now=now)).state is CLOSED


async def test_a_code_in_doubt_is_cancelled_and_what_was_taken_goes_back(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request("alipay_code"), world.clock.now()
    await channel.pay(request, now=now)
    await world.control("next", interface="query", kind="unsigned")
    answer = await channel.close(world.order(request), now=now)
    assert (answer.state, answer.channel_code) == (CLOSED, "action=refund")
    assert [refund.amount_minor for refund in world.simulator.store.refunds.values()] == [8800]


async def test_cancelling_what_alipay_does_not_know_is_not_found(world: AlipayWorld) -> None:
    request = world.request("alipay_code")
    assert (await world.channel().close(world.order(request), now=world.clock.now())).state is NOT_FOUND


# Refunds.


async def test_money_goes_back_in_parts_each_once(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    for amount_minor in (1, 799):
        refund = world.refund(request, amount_minor)
        first = await channel.refund(refund, now=now)
        assert (first.state, first.amount_minor, first.code) == (SUCCEEDED, amount_minor, "succeeded")
        again = await channel.refund(refund, now=now)
        assert (again.state, again.amount_minor) == (SUCCEEDED, amount_minor)
        found = await channel.query_refund(refund, now=now)
        assert (found.state, found.amount_minor, found.happened_at) == (SUCCEEDED, amount_minor, now)
    assert sum(refund.amount_minor for refund in world.simulator.store.refunds.values()) == 800
    paid = await channel.query(world.order(request), now=now)
    assert (paid.state, paid.amount_minor) == (SUCCEEDED, 8800)


async def test_an_order_that_is_refunded_whole_was_paid(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    await channel.refund(world.refund(request, 8800), now=now)
    answer = await channel.query(world.order(request), now=now)
    assert (answer.channel_code, answer.state, answer.code) == ("TRADE_CLOSED", SUCCEEDED, "paid")


async def test_more_than_was_paid_is_never_asked_for_and_never_given(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    for amount_minor in (8801, 0, -1):
        with pytest.raises(InvalidParameter):
            await channel.refund(world.refund(request, amount_minor), now=now)
    await channel.refund(world.refund(request, 8000), now=now)
    answer = await channel.refund(world.refund(request, 801), now=now)
    assert (answer.state, answer.code) == (FAILED, "refund_exceeds")
    assert answer.channel_code == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"


async def test_a_refund_after_a_year_is_not_sent(world: AlipayWorld) -> None:
    channel, request = world.channel(), await world.paid()
    order = world.order(request)
    late = world.clock.advance(timedelta(days=366))
    refund = world.refund(request, 1, order=order, created_at=late)
    with pytest.raises(InvalidParameter):
        await channel.refund(refund, now=late)
    begun = replace(refund, created_at=order.placed_at)
    assert (await channel.refund(begun, now=late)).code == "refund_window_passed"  # begun in time, so it is asked


async def test_a_refund_that_is_stated_without_a_status_is_in_doubt(world: AlipayWorld) -> None:
    channel, now, request = world.channel(), world.clock.now(), await world.paid()
    unknown = world.refund(request, 8800)
    world.simulator.outgoing.omits_status = True
    assert (await channel.query_refund(unknown, now=now)).state is NOT_FOUND  # nothing is stated of it at all
    refund = world.refund(request, 800)
    assert (await channel.refund(refund, now=now)).state is SUCCEEDED
    for answer in (await channel.query_refund(refund, now=now), await channel.refund(refund, now=now)):
        assert (answer.state, answer.channel_code) == (UNKNOWN, "refund_status=none")
    assert [entry["event"] for entry in world.simulator.store.truth][-2:] == ["refund_accepted", "refunded"]
    world.simulator.outgoing.omits_status = False
    assert (await channel.query_refund(refund, now=now)).state is SUCCEEDED


async def test_a_refund_may_fail_after_it_was_taken_on(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    refund = world.refund(request, 100)
    await world.control("next", interface="refund", kind="refund_fails_after_accept")
    assert (await channel.refund(refund, now=now)).state is PENDING
    await asyncio.sleep(0.01)
    answer = await channel.query_refund(refund, now=now)
    assert (answer.state, answer.code) == (FAILED, "refund_failed")
    unheard_of = await channel.query_refund(world.refund(request, 100), now=now)
    assert (unheard_of.state, unheard_of.code) == (NOT_FOUND, "refund_not_found")


async def test_a_refund_whose_answer_was_lost_is_found(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    refund = world.refund(request, 100)
    await world.control("next", interface="refund", kind="reply_lost")
    assert (await channel.refund(refund, now=now)).state is UNKNOWN
    assert (await channel.query_refund(refund, now=now)).state is SUCCEEDED
    assert (await channel.refund(refund, now=now)).state is SUCCEEDED


async def test_the_same_number_for_another_amount_is_doubt(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    refund = world.refund(request, 100)
    await channel.refund(refund, now=now)
    answer = await channel.refund(replace(refund, amount_minor=101), now=now)
    assert (answer.state, answer.code) == (UNKNOWN, "duplicate_number")
    # The query reports what has gone back, for the life cycle to keep as an exception.
    queried = await channel.query_refund(replace(refund, amount_minor=101), now=now)
    assert (queried.state, queried.amount_minor) == (SUCCEEDED, 100)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("ACQ.SYSTEM_ERROR", UNKNOWN),
        ("ACQ.SELLER_BALANCE_NOT_ENOUGH", UNKNOWN),
        ("ACQ.TRADE_NOT_ALLOW_REFUND", FAILED),
        ("NEVER_SEEN", UNKNOWN),
    ],
)
async def test_what_a_refused_refund_amounts_to(world: AlipayWorld, code: str, state: ChannelState) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    await world.control("next", interface="refund", kind="error", status=400, code=code)
    answer = await channel.refund(world.refund(request, 100), now=now)
    assert (answer.state, answer.channel_code) == (state, code)


async def test_a_refusal_is_not_believed_while_the_refund_is_known(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    refund = world.refund(request, 100)
    await channel.refund(refund, now=now)
    await world.control("next", interface="refund", kind="error", status=400, code="ACQ.TRADE_NOT_ALLOW_REFUND")
    assert (await channel.refund(refund, now=now)).state is SUCCEEDED
    await world.control("next", interface="refund", kind="error", status=400, code="ACQ.TRADE_NOT_ALLOW_REFUND")
    await world.control("next", interface="query_refund", kind="unsigned")
    assert (await channel.refund(refund, now=now)).state is UNKNOWN


async def test_a_payment_is_voided_whole_on_its_own_day(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    refund = world.refund(request, 8800)
    for _ in range(2):
        answer = await channel.void(refund, now=now)
        assert (answer.state, answer.amount_minor, answer.channel_code) == (SUCCEEDED, 8800, "action=refund")
    assert (await channel.query_refund(refund, now=now)).state is SUCCEEDED
    assert len(world.simulator.store.refunds) == 1
    with pytest.raises(InvalidParameter):
        await channel.void(world.refund(request, 8799), now=now)
    with pytest.raises(InvalidParameter):
        late = now + timedelta(hours=14)  # midnight in Beijing has passed
        await channel.void(replace(refund, created_at=late), now=late)


async def test_the_notification_of_a_cancellation_tells_of_a_payment_that_was_made(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), await world.paid(), world.clock.now()
    await channel.void(world.refund(request, 8800), now=now)
    (given_back,) = world.simulator.store.refunds.values()
    headers, body = world.simulator._notification(given_back.order, 0, given_back)
    results = channel.parse_notification(headers, body, now=now)
    assert (results.about, results.number) == (About.PAYMENT, request.attempt_no)
    assert (results.answer.channel_code, results.answer.state) == ("TRADE_CLOSED", SUCCEEDED)


async def test_voiding_what_nobody_paid_gives_nothing_back(world: AlipayWorld) -> None:
    channel, request, now = world.channel(), world.request(), world.clock.now()
    await channel.pay(request, now=now)
    await world.control("scan", order_no=request.attempt_no)
    assert (await channel.void(world.refund(request, 8800), now=now)).state is FAILED


# Transfers.


async def test_money_is_sent_out_once(world: AlipayWorld) -> None:
    channel, payout, now = world.channel(certificate_mode=True), world.payout(), world.clock.now()
    for _ in range(2):
        answer = await channel.payout(payout, now=now)
        assert (answer.state, answer.amount_minor) == (SUCCEEDED, 100)
    found = await channel.query_payout(payout, now=now)
    assert (found.state, found.channel_order_no) == (SUCCEEDED, answer.channel_order_no)
    assert len(world.simulator.store.payouts) == 1
    assert (await channel.query_payout(world.payout(), now=now)).state is NOT_FOUND


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_a_transfer_under_way_ends_as_the_bank_says(world: AlipayWorld, outcome: str) -> None:
    channel, payout, now = world.channel(), world.payout(), world.clock.now()
    await world.control("faults", money_out_ms=None)
    assert (await channel.payout(payout, now=now)).state is PENDING
    await world.control("payout", number=payout.payout_no, outcome=outcome)
    answer = await channel.query_payout(payout, now=now)
    assert answer.state is ChannelState(outcome)
    assert (answer.channel_code == "PAYEE_ACCOUNT_STATUS_ERROR") is (outcome == "failed")


async def test_what_alipay_will_not_send_has_failed(world: AlipayWorld) -> None:
    channel, now = world.channel(), world.clock.now()
    nobody = {"identity": "nobody@example.com", "identity_type": "ALIPAY_LOGON_ID", "name": "无"}
    answer = await channel.payout(world.payout(payee=nobody), now=now)
    assert (answer.state, answer.code, answer.channel_code) == (FAILED, "payee_invalid", "PAYEE_NOT_EXIST")
    payout = world.payout()
    await channel.payout(payout, now=now)
    other = await channel.payout(replace(payout, amount_minor=200), now=now)
    assert (other.state, other.code) == (UNKNOWN, "duplicate_number")


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"amount_minor": 9}, "amount_minor"),
        ({"currency": "USD"}, "currency"),
        ({"payee": {"identity": "x", "identity_type": "PHONE", "name": "y"}}, "payee.identity_type"),
        ({"payee": {"identity": "", "identity_type": "ALIPAY_USER_ID", "name": "y"}}, "payee.identity"),
        ({"payee": {"identity": "x", "identity_type": "ALIPAY_USER_ID"}}, "payee.name"),
        ({"payout_no": "pyo-1"}, "payout_no"),
    ],
)
async def test_a_transfer_that_alipay_cannot_take_is_not_sent(world: AlipayWorld, changed: dict, param: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await world.channel().payout(world.payout(**changed), now=world.clock.now())
    assert caught.value.param == param


# Certificates that change.


async def test_a_certificate_that_alipay_changes_to_is_fetched_once(world: AlipayWorld) -> None:
    channel, now = world.channel(certificate_mode=True), world.clock.now()
    world.simulator.signer = world.simulator.keys.successor
    assert (await channel.pay(world.request(), now=now)).state is PENDING
    await world.control("next", interface="certificates", kind="dropped", times=9)
    assert (await channel.pay(world.request(), now=now)).state is PENDING


async def test_a_notification_by_a_new_certificate_is_believed_once_an_answer_has_named_it(world: AlipayWorld) -> None:
    channel, now = world.channel(certificate_mode=True), world.clock.now()
    request = world.request()
    await channel.pay(request, now=now)
    world.simulator.signer = world.simulator.keys.successor
    order = world.simulator.store.orders[request.attempt_no]
    world.simulator.store.pay(order)
    headers, body = world.simulator._notification(order, 0)
    assert b"alipay_cert_sn" not in body
    with pytest.raises(Exception, match="bad_signature"):
        channel.parse_notification(headers, body, now=now)
    assert not await channel.fetch_named_key(headers, body, now=now)
    await channel.query(world.order(request), now=now)
    assert channel.parse_notification(headers, body, now=now).answer.state is SUCCEEDED


async def test_a_certificate_that_a_notification_names_is_fetched(world: AlipayWorld) -> None:
    channel, now = world.channel(certificate_mode=True), world.clock.now()
    request, successor = world.request(), world.simulator.keys.successor
    await channel.pay(request, now=now)
    world.simulator.signer = successor
    order = world.simulator.store.orders[request.attempt_no]
    world.simulator.store.pay(order)
    headers, body = world.simulator._notification(order, 0)
    body += b"&alipay_cert_sn=" + successor.serial.encode()
    with pytest.raises(NotificationRefused, match="unknown_key"):
        channel.parse_notification(headers, body, now=now)
    assert await channel.fetch_named_key(headers, body, now=now)
    assert channel.parse_notification(headers, body, now=now).answer.state is SUCCEEDED
    restarted = world.channel(certificate_mode=True)
    restarted.adopt_keys(channel.adopted_keys() | {"0" * 32: "no certificate"})
    assert restarted.parse_notification(headers, body, now=now).answer.state is SUCCEEDED
    assert restarted.adopted_keys() == channel.adopted_keys()


@pytest.mark.parametrize("certificate_mode", [False, True])
async def test_a_signed_answer_in_gbk_is_read(world: AlipayWorld, certificate_mode: bool) -> None:
    channel, request, now = world.channel(certificate_mode=certificate_mode), world.request(), world.clock.now()
    world.simulator.charset = "GBK"
    placed = await channel.pay(request, now=now)
    assert placed.state is PENDING
    answer = await channel.refund(world.refund(request, 100), now=now)
    assert answer.channel_code == "ACQ.TRADE_NOT_EXIST"
    assert answer.channel_message == "交易不存在"
    await world.control("next", interface="place", kind="bad_signature")
    assert (await channel.pay(world.request(), now=now)).channel_code == "bad_signature"


async def test_forged_notifications_delay_no_certificate_that_an_answer_names(world: AlipayWorld) -> None:
    channel, now = world.channel(certificate_mode=True), world.clock.now()
    body = f"charset=utf-8&alipay_cert_sn={'a' * 32}".encode()
    assert not await channel.fetch_named_key({}, body, now=now)
    world.simulator.signer = world.simulator.keys.successor
    assert (await channel.pay(world.request(), now=now)).state is PENDING


async def test_a_failed_fetch_of_a_certificate_is_repeated_after_seconds(world: AlipayWorld) -> None:
    channel, now = world.channel(certificate_mode=True), world.clock.now()
    world.simulator.signer = world.simulator.keys.successor
    await world.control("next", interface="certificates", kind="dropped", times=2)
    for _ in range(3):
        assert (await channel.pay(world.request(), now=now)).channel_code == "unknown_key"
    await world.control("reset")
    now = world.clock.advance(timedelta(seconds=1))
    assert (await channel.pay(world.request(), now=now)).channel_code == "unknown_key"
    now = world.clock.advance(timedelta(seconds=1))
    assert (await channel.pay(world.request(), now=now)).state is PENDING


async def test_a_merchants_certificate_is_never_adopted_as_alipays(world: AlipayWorld) -> None:
    channel, now = world.channel(certificate_mode=True), world.clock.now()
    keys = world.simulator.keys
    world.simulator.signer = keys.other_merchant
    world.simulator.keys = replace(keys, successor=keys.other_merchant)  # what Alipay would hand out
    assert (await channel.pay(world.request(), now=now)).channel_code == "unknown_key"
