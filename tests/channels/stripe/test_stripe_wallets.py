"""Stripe's form in the merchant's page, and Alipay and WeChat Pay through Stripe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from hutong.channels import ActionKind, ChannelState, Http, OrderReference
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.credentials import StripeCredentials
from hutong.channels.stripe.requests import METHODS
from hutong.errors import InvalidParameter
from support.stripe_world import World, open_world

KEYS: dict[str, Any] = {"secret_key": "sk_test_" + "k" * 24, "webhook_secrets": ["whsec_" + "w" * 24]}


@pytest.fixture
async def wallets(sandbox_url: str, sandbox_folder: Path, http: Http, now: datetime) -> AsyncIterator[World]:
    """An account whose settings offer every method."""
    async with open_world(sandbox_url, sandbox_folder, http, now, methods=list(METHODS)) as opened:
        yield opened


async def browser(world: World, secret: str, *, token: str = "pm_card_visa", **changed: str) -> tuple[int, Any]:
    """Confirm as Stripe's form in the payer's browser does, with what the action holds."""
    intent_id = secret.partition("_secret_")[0]
    fields = {"client_secret": secret, "payment_method": token, "return_url": "https://shop.example/back"} | changed
    async with world.control.session.post(
        f"{world.control.url}/v1/payment_intents/{intent_id}/confirm",
        data=fields,
        headers={"Authorization": f"Bearer {world.keys.publishable_key}"},
    ) as answer:
        return answer.status, await answer.json()


async def element(world: World, **changed: Any) -> tuple[OrderReference, str]:
    order, answer = await world.pay(method="stripe_element", payer={}, **changed)
    assert (answer.state, answer.action.kind) == (ChannelState.PENDING, ActionKind.SDK)
    content = orjson.loads(answer.action.content)
    assert content.keys() == {"client_secret", "publishable_key"}
    assert content["publishable_key"] == world.keys.publishable_key
    return order, content["client_secret"]


async def query(world: World, order: OrderReference) -> Any:
    return await world.stripe.query(order, now=world.now)


# The account's settings.


def test_an_account_offers_what_its_settings_choose() -> None:
    def offered(**changed: Any) -> set[str]:
        credentials = StripeCredentials.model_validate(KEYS | changed)
        return set(Stripe(credentials, None, None).capabilities.methods)  # type: ignore[arg-type]

    assert offered() == {"card", "card_page"}
    assert offered(methods=["stripe_alipay"]) == {"stripe_alipay"}
    assert offered(methods=list(METHODS), publishable_key="pk_test_" + "p" * 24) == set(METHODS)
    assert set(Stripe.capabilities.methods) == set(METHODS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"methods": []}, "at least 1"),
        ({"methods": ["card", "card"]}, "each once"),
        ({"methods": ["apple_pay"]}, "must be of"),
        ({"methods": ["stripe_element"]}, "needs a publishable_key"),
        ({"publishable_key": "sk_test_" + "k" * 24}, "publishable key"),
        ({"publishable_key": "pk_live_" + "p" * 24}, "the secret key's mode"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changed: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        StripeCredentials.model_validate(KEYS | changed)
    assert "k" * 24 not in str(refused.value)


async def test_a_method_that_the_account_does_not_offer_is_not_sent(world: World) -> None:
    for method in ("stripe_element", "stripe_alipay", "stripe_wechat"):
        with pytest.raises(InvalidParameter) as refused:
            await world.pay(method=method, payer={})
        assert refused.value.param == "method"


# Stripe's form in the merchant's page.


async def test_the_form_gets_a_secret_with_which_the_payers_browser_pays(wallets: World) -> None:
    order, secret = await element(wallets)
    assert (await query(wallets, order)).state is ChannelState.PENDING
    status, intent = await browser(wallets, secret)
    assert (status, intent["status"]) == (200, "succeeded")
    paid = await query(wallets, order)
    assert (paid.state, paid.amount_minor, paid.currency) == (ChannelState.SUCCEEDED, 8800, "USD")


async def test_sent_again_the_form_gets_the_same_secret_until_it_has_paid(wallets: World) -> None:
    order, secret = await element(wallets)
    again = await wallets.again(order, payer={})
    assert orjson.loads(again.action.content)["client_secret"] == secret
    await browser(wallets, secret)
    paid = await wallets.again(order, payer={})
    assert (paid.state, paid.action) == (ChannelState.SUCCEEDED, None)
    assert await wallets.truth(order) == ["placed", "paid"]


async def test_a_browser_without_the_secret_can_do_nothing(wallets: World) -> None:
    order, secret = await element(wallets)
    intent_id = secret.partition("_secret_")[0]
    status, _ = await browser(wallets, secret, client_secret=f"{intent_id}_secret_guessed")
    assert status == 400
    headers = {"Authorization": f"Bearer {wallets.keys.publishable_key}"}
    for path in (f"{intent_id}/cancel", f"{intent_id}/capture", ""):
        async with wallets.control.session.post(
            f"{wallets.control.url}/v1/payment_intents/{path}".rstrip("/"), data={}, headers=headers
        ) as answer:
            assert answer.status == 403
    assert (await query(wallets, order)).state is ChannelState.PENDING


async def test_in_the_form_a_declined_payer_takes_another_card(wallets: World) -> None:
    order, secret = await element(wallets)
    assert (await browser(wallets, secret, token="pm_card_chargeDeclined"))[0] == 402
    declined = await query(wallets, order)
    assert (declined.state, declined.channel_code) == (ChannelState.PENDING, "card_declined/generic_decline")
    assert (await browser(wallets, secret))[0] == 200
    assert (await query(wallets, order)).state is ChannelState.SUCCEEDED


async def test_a_form_that_ends_unpaid_is_closed_and_after_a_decline_failed(wallets: World) -> None:
    order, secret = await element(wallets)
    assert (await wallets.stripe.close(order, now=wallets.now)).state is ChannelState.CLOSED
    assert (await browser(wallets, secret))[0] == 400
    order, secret = await element(wallets)
    await browser(wallets, secret, token="pm_card_visa_chargeDeclinedLostCard")
    closed = await wallets.stripe.close(order, now=wallets.now)
    assert (closed.state, closed.code) == (ChannelState.FAILED, "risk_refused")


async def test_a_form_reserves_money_that_is_captured_later(wallets: World) -> None:
    order, secret = await element(wallets, capture=False)
    await browser(wallets, secret)
    assert (await query(wallets, order)).state is ChannelState.AUTHORIZED
    taken = await wallets.stripe.capture(order, 5000, now=wallets.now)
    assert (taken.state, taken.amount_minor) == (ChannelState.SUCCEEDED, 5000)


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_delayed_method_is_decided_days_later(wallets: World, receiver: Any, succeeds: bool) -> None:
    order, secret = await element(wallets, notify_url=receiver.url)
    assert (await browser(wallets, secret, token="pm_usBankAccount_success"))[1]["status"] == "processing"
    headers, body = await receiver.taken.get()
    notice = wallets.stripe.parse_notification(headers, body, now=wallets.now)
    assert (notice.answer.state, notice.answer.channel_code) == (ChannelState.PENDING, "processing")
    # Stripe does not cancel what is under way, so that nothing is closed which may still succeed.
    assert (await wallets.stripe.close(order, now=wallets.now)).state is ChannelState.UNKNOWN
    await wallets.control.post("pay" if succeeds else "decline", order_no=order.attempt_no)
    headers, body = await receiver.taken.get()
    later = wallets.stripe.parse_notification(headers, body, now=wallets.now).answer
    if succeeds:
        assert (later.state, later.amount_minor) == (ChannelState.SUCCEEDED, 8800)
    else:
        assert (later.state, later.channel_code) == (ChannelState.PENDING, "payment_intent_payment_attempt_failed")
        minute_later = wallets.now + timedelta(minutes=1)
        assert (await wallets.stripe.close(order, now=minute_later)).state is ChannelState.FAILED


async def test_a_step_in_the_form_is_the_forms_own(wallets: World) -> None:
    order, secret = await element(wallets)
    _, intent = await browser(wallets, secret, token="pm_card_threeDSecure2Required")
    assert (intent["status"], intent["next_action"]["type"]) == ("requires_action", "redirect_to_url")
    asked = await query(wallets, order)
    assert (asked.state, asked.code, asked.action) == (ChannelState.PENDING, "payer_action_required", None)


# Alipay and WeChat Pay.


@pytest.mark.parametrize(
    ("method", "kind", "starts"),
    [
        ("stripe_alipay", ActionKind.REDIRECT, "http://"),
        ("stripe_wechat", ActionKind.QR_CODE, "weixin://wxpay/"),
    ],
)
async def test_a_wallet_is_paid_by_its_page_or_code(wallets: World, method: str, kind: ActionKind, starts: str) -> None:
    order, answer = await wallets.pay(method=method, payer={}, currency="CNY")
    assert (answer.state, answer.action.kind) == (ChannelState.PENDING, kind)
    assert answer.action.content.startswith(starts)
    assert (await wallets.again(order, payer={}, currency="CNY")).action == answer.action
    await wallets.control.post("pay", code_url=answer.action.content)
    paid = await query(wallets, order)
    assert (paid.state, paid.amount_minor, paid.currency) == (ChannelState.SUCCEEDED, 8800, "CNY")
    refund = wallets.refund(order, 300)
    assert (await wallets.stripe.refund(refund, now=wallets.now)).state is ChannelState.PENDING
    done = await wallets.stripe.query_refund(refund, now=wallets.now)
    assert (done.state, done.channel_order_no[:4]) == (ChannelState.SUCCEEDED, "pyr_")


@pytest.mark.parametrize("method", ["stripe_alipay", "stripe_wechat"])
async def test_a_wallet_that_declines_has_failed_once_its_intent_is_canceled(wallets: World, method: str) -> None:
    order, _ = await wallets.pay(method=method, payer={}, currency="HKD")
    await wallets.control.post("decline", order_no=order.attempt_no)
    failed = await query(wallets, order)
    assert (failed.state, failed.channel_code) == (ChannelState.FAILED, "payment_intent_authentication_failure")
    assert await wallets.truth(order) == ["placed", "declined", "closed"]


@pytest.mark.parametrize("method", ["stripe_alipay", "stripe_wechat"])
@pytest.mark.parametrize("kind", ["dropped", "reply_lost", "malformed"])
async def test_a_wallets_lost_confirmation_is_sent_again(wallets: World, method: str, kind: str) -> None:
    await wallets.control.post("next", interface="confirm", kind=kind, times=1)
    order, answer = await wallets.pay(method=method, payer={}, currency="EUR")
    assert (answer.state, answer.action) == (ChannelState.UNKNOWN, None)
    again = await wallets.again(order, payer={}, currency="EUR")
    assert again.state is ChannelState.PENDING
    assert again.action is not None
    assert await wallets.truth(order) == ["placed"]


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"method": "stripe_alipay", "currency": "CHF"}, "currency"),
        ({"method": "stripe_wechat", "currency": "NZD"}, "currency"),
        ({"method": "stripe_alipay", "return_url": None}, "return_url"),
        ({"method": "stripe_alipay", "amount_minor": 49}, "amount_minor"),
    ],
)
async def test_what_a_wallet_cannot_take_is_not_sent(wallets: World, changed: Any, param: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await wallets.pay(payer={}, **changed)
    assert refused.value.param == param


async def test_alipay_gives_back_for_90_days_and_wechat_for_180(wallets: World) -> None:
    for method, days in (("stripe_alipay", 90), ("stripe_wechat", 180)):
        order, answer = await wallets.pay(method=method, payer={}, currency="CNY")
        await wallets.control.post("pay", code_url=answer.action.content)
        old = replace(order, placed_at=wallets.now - timedelta(days=days, seconds=1))
        with pytest.raises(InvalidParameter) as refused:
            await wallets.stripe.refund(wallets.refund(old, 100), now=wallets.now)
        assert refused.value.param == "refund"
        edge = replace(order, placed_at=wallets.now - timedelta(days=days))
        refund = await wallets.stripe.refund(wallets.refund(edge, 100), now=wallets.now)
        assert refund.state is ChannelState.PENDING


async def test_many_browsers_with_one_secret_pay_once(wallets: World) -> None:
    order, secret = await element(wallets)
    answers = await asyncio.gather(*(browser(wallets, secret) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 7
    assert await wallets.truth(order) == ["placed", "paid"]
