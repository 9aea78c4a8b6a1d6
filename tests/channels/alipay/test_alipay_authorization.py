"""A third-party application acts for a merchant at Alipay, by the token that the merchant has given it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hutong.channels import BillState, ChannelState, Http, NotificationRefused
from hutong.channels.alipay.adapter import Alipay
from hutong.channels.registry import read_credentials
from hutong.errors import InvalidParameter
from hutong.sandbox.alipay.keys import APP_ID, AUTHORIZATION, ISV_APP_ID
from support.fixtures.alipay import AlipayWorld, alipay_world

ACTING = {"app_id": ISV_APP_ID, "auth_app_id": APP_ID, "app_auth_token": AUTHORIZATION}
SUCCEEDED, PENDING, UNKNOWN = ChannelState.SUCCEEDED, ChannelState.PENDING, ChannelState.UNKNOWN


@pytest.fixture
async def world(sandbox_folder: Path, http: Http) -> AsyncIterator[AlipayWorld]:
    async with alipay_world(sandbox_folder / "alipay", http) as made:
        yield made


def acting(world: AlipayWorld, **changed: Any) -> Alipay:
    return world.channel(**(ACTING | changed))


async def faults(world: AlipayWorld, channel: Alipay) -> dict[str, str | None]:
    return {finding.check: finding.fault for finding in await channel.diagnose(now=world.clock.now())}


@pytest.mark.parametrize("certificate_mode", [False, True])
async def test_an_application_takes_and_gives_back_money_for_a_merchant(
    world: AlipayWorld, certificate_mode: bool, receiver, tmp_path: Path
) -> None:
    channel, now = acting(world, certificate_mode=certificate_mode), world.clock.now()
    request = world.request(notify_url=receiver.url)
    assert (await channel.pay(request, now=now)).state is PENDING
    await world.control("pay", order_no=request.attempt_no)
    headers, body = await receiver.taken.get()
    notification = channel.parse_notification(headers, body, now=now)
    assert (notification.number, notification.answer.state) == (request.attempt_no, SUCCEEDED)
    assert await channel.query(world.order(request), now=now) == notification.answer
    assert (await channel.refund(world.refund(request, 800), now=now)).state is SUCCEEDED
    today = world.clock.advance(timedelta(days=1))
    bill = await channel.download_bill("trade", date(2026, 3, 10), tmp_path, now=today)
    assert bill.state is BillState.READY
    assert {row.original_no or row.our_no for row in channel.read_bill(bill)} == {request.attempt_no}


@pytest.mark.parametrize("method", ["alipay_page", "alipay_app"])
async def test_the_token_is_signed_beside_the_content(world: AlipayWorld, method: str) -> None:
    answer = await acting(world).pay(world.request(method), now=world.clock.now())
    assert answer.action is not None
    sent = parse_qs(urlsplit(answer.action.content).query or answer.action.content)
    assert sent["app_auth_token"] == [AUTHORIZATION]
    assert "app_auth_token" not in json.loads(sent["biz_content"][0])
    page = urlsplit(answer.action.content).query or answer.action.content
    for query, status in ((page, 302), (page.replace(AUTHORIZATION, AUTHORIZATION[::-1]), 200)):
        async with world.session.get(f"{world.url}/gateway.do?{query}", allow_redirects=False) as reply:
            assert reply.status == status
            assert status == 302 or "invalid-signature" in await reply.text()


async def test_a_mini_program_is_the_merchants(world: AlipayWorld) -> None:
    request = world.request("alipay_jsapi")
    assert (await acting(world).pay(request, now=world.clock.now())).state is PENDING
    assert world.simulator.store.orders[request.attempt_no].content["op_app_id"] == APP_ID


@pytest.mark.parametrize(
    ("token", "revoked", "days", "code", "fault"),
    [
        (None, False, 0, "isv.self-invoke-forbidden", "app_auth_token_missing"),
        (AUTHORIZATION[::-1], False, 0, "aop.invalid-app-auth-token", "app_auth_token_invalid"),
        (AUTHORIZATION, True, 0, "aop.invalid-app-auth-token", "app_auth_token_invalid"),
        (AUTHORIZATION, False, 366, "aop.app-auth-token-time-out", "app_auth_token_expired"),
    ],
)
async def test_without_a_valid_token_nothing_is_known_and_the_doctor_names_it(
    world: AlipayWorld, token: str | None, revoked: bool, days: int, code: str, fault: str
) -> None:
    assert world.simulator.authorization.ends_at
    world.simulator.authorization.is_revoked = revoked
    now = world.clock.advance(timedelta(days=days))
    channel = acting(world, **({"auth_app_id": None} if token is None else {}), app_auth_token=token)
    request = world.request(expires_at=now + timedelta(minutes=30))
    answer = await channel.query(world.order(request), now=now)
    assert (answer.state, answer.channel_code, answer.code) == (UNKNOWN, code, "merchant_not_permitted")
    answer = await channel.pay(request, now=now)
    assert answer.channel_code == code
    assert world.simulator.store.orders == {}
    found = await faults(world, channel)
    assert (found["app_auth_token"], "seller_id" in found) == (fault, False)


async def test_the_doctor_tells_whose_token_it_is(world: AlipayWorld) -> None:
    assert (await faults(world, acting(world)))["app_auth_token"] is None
    other = await faults(world, acting(world, seller_id="2088102146225136"))
    assert other["app_auth_token"] == "seller_id_wrong"
    other = await faults(world, acting(world, auth_app_id="2021000118640001"))
    assert other["app_auth_token"] == "auth_app_id_wrong"
    assert "app_auth_token" not in await faults(world, world.channel())
    own = await faults(world, world.channel(auth_app_id=APP_ID, app_auth_token=AUTHORIZATION))
    assert own["app_auth_token"] == "app_auth_token_not_supported"


async def test_a_notification_is_for_this_application_and_this_merchant_alone(world: AlipayWorld, receiver) -> None:
    now = world.clock.now()
    for channel, others in (
        (acting(world), (world.channel(), acting(world, auth_app_id="2021000118640001"))),
        (world.channel(), (acting(world), world.channel(app_id=ISV_APP_ID))),
    ):
        request = world.request(notify_url=receiver.url)
        await channel.pay(request, now=now)
        await world.control("pay", order_no=request.attempt_no)
        headers, body = await receiver.taken.get()
        assert channel.parse_notification(headers, body, now=now).number == request.attempt_no
        for other in others:
            with pytest.raises(NotificationRefused) as caught:
                other.parse_notification(headers, body, now=now)
            assert caught.value.reason == "not_ours"


async def test_a_complaint_about_the_merchant_reaches_the_application(world: AlipayWorld, receiver) -> None:
    channel, now, request = acting(world), world.clock.now(), world.request("alipay_jsapi", notify_url=receiver.url)
    await channel.pay(request, now=now)
    await world.control("pay", order_no=request.attempt_no)
    await receiver.taken.get()
    opened = await world.control("dispute", order_no=request.attempt_no)
    headers, body = await receiver.taken.get()
    assert b"auth_app_id" not in body
    assert channel.parse_notification(headers, body, now=now).number == opened["dispute_no"]
    assert await channel.query_dispute(opened["dispute_no"], now=now) is not None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"auth_app_id": None}, "app_auth_token"),
        ({"app_auth_token": None}, "app_auth_token"),
        ({"app_auth_token": "a b"}, "app_auth_token"),
        ({"app_auth_token": ""}, "app_auth_token"),
        ({"app_auth_token": "x" * 129}, "app_auth_token"),
        ({"auth_app_id": "x"}, "auth_app_id"),
    ],
)
def test_a_token_is_given_with_the_application_that_it_is_for(world: AlipayWorld, changed, reason: str) -> None:
    raw = world.simulator.keys.credentials("https://openapi.alipay.com") | ACTING | changed
    with pytest.raises(InvalidParameter) as caught:
        read_credentials("alipay", raw, sandbox=True)
    assert reason in f"{caught.value.param} {caught.value.detail}"
    assert AUTHORIZATION not in str(caught.value)
