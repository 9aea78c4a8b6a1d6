"""Stripe beyond the contract: tokens, its own page, manual capture, refunds, and what is never sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hutong.channels import ActionKind, ChannelState, Codes, Http, OrderReference
from hutong.channels.codes.codes import load_codes
from hutong.channels.registry import read_credentials
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.credentials import StripeCredentials
from hutong.channels.stripe.requests import AMOUNT_MINOR_MIN
from hutong.errors import InvalidParameter
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from support.channel_rigs import Control, number
from support.stripe_world import World


async def test_a_token_pays_at_once(world: World) -> None:
    order, answer = await world.pay()
    assert (answer.state, answer.amount_minor, answer.currency) == (ChannelState.SUCCEEDED, 8800, "USD")
    assert answer.channel_order_no.startswith("pi_")
    assert await world.again(order) == answer
    assert await world.stripe.query(order, now=world.now) == answer
    assert await world.stripe.query(replace(order, channel_order_no=None), now=world.now) == answer
    assert await world.truth(order) == ["placed", "paid"]


async def test_yen_are_counted_in_yen(world: World) -> None:
    _, answer = await world.pay(amount_minor=50, currency="JPY")
    assert (answer.state, answer.amount_minor, answer.currency) == (ChannelState.SUCCEEDED, 50, "JPY")


@pytest.mark.parametrize(
    ("token", "code", "unified"),
    [
        ("pm_card_chargeDeclined", "card_declined/generic_decline", "card_declined"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined/insufficient_funds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined/lost_card", "risk_refused"),
    ],
)
async def test_a_declined_card_has_failed_once_its_intent_is_canceled(
    world: World, token: str, code: str, unified: str
) -> None:
    order, answer = await world.pay(token)
    assert (answer.state, answer.channel_code, answer.code) == (ChannelState.FAILED, code, unified)
    assert await world.truth(order) == ["placed", "declined", "closed"]
    for asked in (order, replace(order, channel_order_no=None)):
        found = await world.stripe.query(asked, now=world.now)
        assert (found.state, found.channel_code) == (ChannelState.FAILED, code)
    assert (await world.again(order, token)).state is ChannelState.FAILED


@pytest.mark.parametrize("kind", ["dropped", "reply_lost", "malformed"])
async def test_a_declined_card_whose_intent_may_still_stand_is_unknown(world: World, kind: str) -> None:
    attempt_no = number("att")
    await world.control.post("next", interface="close", kind=kind, match=attempt_no, times=2)
    order, answer = await world.pay("pm_card_chargeDeclined", attempt_no=attempt_no)
    assert (answer.state, answer.channel_order_no[:3]) == (ChannelState.UNKNOWN, "pi_")
    await world.control.post("reset")
    assert (await world.stripe.query(order, now=world.now)).state is ChannelState.FAILED


@pytest.mark.parametrize("kind", ["dropped", "reply_lost", "malformed", "too_long"])
async def test_a_lost_confirmation_is_unknown_but_its_intent_is_known(world: World, kind: str) -> None:
    attempt_no = number("att")
    await world.control.post("next", interface="confirm", kind=kind, match=attempt_no, times=2)
    order, answer = await world.pay(attempt_no=attempt_no)
    assert (answer.state, answer.channel_order_no[:3]) == (ChannelState.UNKNOWN, "pi_")
    await world.control.post("reset")
    found = await world.stripe.query(order, now=world.now)
    # Not confirmed, it waits for us to send it again; no money has moved.
    assert found.state is (ChannelState.PENDING if kind == "dropped" else ChannelState.SUCCEEDED)
    assert (await world.again(order)).state is ChannelState.SUCCEEDED
    assert await world.truth(order) == ["placed", "paid"]


async def test_a_server_error_at_the_confirmation_decides_nothing(world: World) -> None:
    attempt_no = number("att")
    for status, code in ((500, "card_declined"), (409, "card_declined"), (429, "rate_limit")):
        await world.control.post("next", interface="confirm", kind="error", match=attempt_no, status=status, code=code)
        order, answer = await world.pay(attempt_no=attempt_no)
        assert answer.state is ChannelState.UNKNOWN
    assert await world.truth(order) == ["placed"]


async def test_3d_secure_sends_payers_to_their_bank_or_back_to_the_application(world: World) -> None:
    _, answer = await world.pay("pm_card_threeDSecure2Required")
    assert (answer.state, answer.action.kind) == (ChannelState.PENDING, ActionKind.REDIRECT)
    _, answer = await world.pay("pm_card_threeDSecure2Required", return_url=None)
    assert answer.action.kind is ActionKind.SDK
    assert "client_secret" in answer.action.content


async def test_3d_secure_that_fails_ends_the_attempt(world: World) -> None:
    order, _ = await world.pay("pm_card_threeDSecure2Required")
    await world.control.post("decline", order_no=order.attempt_no)
    found = await world.stripe.query(order, now=world.now)
    assert (found.state, found.code) == (ChannelState.FAILED, "payer_action_required")
    assert (await world.truth(order))[-1] == "closed"


async def test_authorized_money_is_captured_in_part_once(world: World) -> None:
    order, answer = await world.pay(capture=False)
    assert (answer.state, answer.amount_minor) == (ChannelState.AUTHORIZED, 8800)
    taken = await world.stripe.capture(order, 5000, now=world.now)
    assert (taken.state, taken.amount_minor) == (ChannelState.SUCCEEDED, 5000)
    assert await world.stripe.capture(order, 5000, now=world.now) == taken
    other = await world.stripe.capture(order, 6000, now=world.now)
    assert (other.state, other.amount_minor) == (ChannelState.SUCCEEDED, 5000)
    assert await world.stripe.query(order, now=world.now) == taken
    assert await world.truth(order) == ["placed", "authorized", "captured"]


async def test_after_a_part_was_captured_no_more_than_the_part_is_given_back(world: World) -> None:
    order, _ = await world.pay(capture=False)
    await world.stripe.capture(order, 5000, now=world.now)
    captured = replace(order, amount_minor=5000)
    for amount_minor in (5001, 8800):
        with pytest.raises(InvalidParameter):
            await world.stripe.refund(world.refund(captured, amount_minor), now=world.now)
    assert (await world.stripe.refund(world.refund(captured, 3000), now=world.now)).state is ChannelState.PENDING
    assert (await world.stripe.refund(world.refund(captured, 2001), now=world.now)).is_given_back
    assert (await world.stripe.refund(world.refund(captured, 2000), now=world.now)).state is ChannelState.PENDING
    assert (await world.truth(order)).count("refund_accepted") == 2


async def test_more_than_was_authorized_is_not_asked_for(world: World) -> None:
    order, _ = await world.pay(capture=False)
    for amount_minor in (0, -1, 8801):
        with pytest.raises(InvalidParameter):
            await world.stripe.capture(order, amount_minor, now=world.now)


async def test_a_capture_after_the_void_tells_that_it_is_closed(world: World) -> None:
    order, _ = await world.pay(capture=False)
    assert (await world.stripe.close(order, now=world.now)).state is ChannelState.CLOSED
    assert (await world.stripe.capture(order, 8800, now=world.now)).state is ChannelState.CLOSED


async def test_a_lost_capture_is_unknown_and_found(world: World) -> None:
    order, _ = await world.pay(capture=False)
    await world.control.post("next", interface="capture", kind="reply_lost", match=order.attempt_no, times=2)
    assert (await world.stripe.capture(order, 8800, now=world.now)).state is ChannelState.UNKNOWN
    assert (await world.stripe.query(order, now=world.now)).state is ChannelState.SUCCEEDED


async def page(world: World, **changed: Any) -> tuple[OrderReference, Any]:
    return await world.pay(method="card_page", payer={}, **changed)


async def test_a_page_is_opened_paid_and_found(world: World) -> None:
    order, answer = await page(world)
    assert (answer.state, answer.action.kind) == (ChannelState.PENDING, ActionKind.REDIRECT)
    assert answer.channel_order_no.startswith("cs_")
    assert (await world.stripe.query(order, now=world.now)).state is ChannelState.PENDING
    again = await world.again(order, payer={})
    assert (again.state, again.action) == (ChannelState.PENDING, answer.action)
    await world.control.post("pay", order_no=order.attempt_no)
    for asked in (order, replace(order, channel_order_no=None)):
        found = await world.stripe.query(asked, now=world.now)
        assert (found.state, found.amount_minor) == (ChannelState.SUCCEEDED, 8800)
        assert found.channel_order_no.startswith("pi_")
    assert (await world.again(order, payer={})).state is ChannelState.SUCCEEDED
    assert (await world.stripe.close(order, now=world.now)).state is ChannelState.SUCCEEDED


async def test_a_card_declined_on_the_page_may_be_followed_by_another(world: World) -> None:
    order, _ = await page(world)
    await world.control.post("decline", order_no=order.attempt_no)
    assert (await world.stripe.query(order, now=world.now)).state is ChannelState.PENDING
    await world.control.post("pay", order_no=order.attempt_no)
    assert (await world.stripe.query(order, now=world.now)).state is ChannelState.SUCCEEDED


async def test_a_page_is_closed_and_stays_closed(world: World) -> None:
    order, _ = await page(world)
    for _ in range(2):
        assert (await world.stripe.close(order, now=world.now)).state is ChannelState.CLOSED
    later = world.now + timedelta(minutes=2)  # another key, and Stripe refuses to expire what has expired
    assert (await world.stripe.close(order, now=later)).state is ChannelState.CLOSED
    assert (await world.stripe.query(order, now=world.now)).state is ChannelState.CLOSED


async def test_an_authorization_on_the_page_is_captured_and_refunded(world: World) -> None:
    order, _ = await page(world, capture=False)
    await world.control.post("pay", order_no=order.attempt_no)
    assert (await world.stripe.query(order, now=world.now)).state is ChannelState.AUTHORIZED
    assert (await world.stripe.capture(order, 8800, now=world.now)).state is ChannelState.SUCCEEDED
    assert (await world.stripe.refund(world.refund(order), now=world.now)).state is ChannelState.PENDING


async def test_refunds_go_up_to_what_was_paid_and_no_further(world: World) -> None:
    order, _ = await world.pay()
    first = world.refund(order, 5000)
    answer = await world.stripe.refund(first, now=world.now)
    assert (answer.state, answer.amount_minor) == (ChannelState.PENDING, 5000)
    found = await world.stripe.query_refund(first, now=world.now)
    assert (found.state, found.channel_order_no) == (ChannelState.SUCCEEDED, answer.channel_order_no)
    known = replace(first, channel_refund_no=answer.channel_order_no)
    assert await world.stripe.query_refund(known, now=world.now) == found
    for amount_minor in (3801, 8800):
        assert (await world.stripe.refund(world.refund(order, amount_minor), now=world.now)).is_given_back
    for amount_minor in (8801, 0, -1):
        with pytest.raises(InvalidParameter):
            await world.stripe.refund(world.refund(order, amount_minor), now=world.now)
    assert (await world.stripe.refund(world.refund(order, 3800), now=world.now)).state is ChannelState.PENDING
    assert (await world.truth(order)).count("refund_accepted") == 2


async def test_a_refund_sent_again_is_the_same_even_when_its_key_is_forgotten(world: World) -> None:
    order, _ = await world.pay()
    refund = world.refund(order, 100)
    first = await world.stripe.refund(refund, now=world.now)
    for days in (0, 1, 30):
        again = await world.stripe.refund(refund, now=world.now + timedelta(days=days))
        assert again.channel_order_no == first.channel_order_no
    assert (await world.truth(order)).count("refund_accepted") == 1


async def test_a_refund_under_the_same_number_of_another_amount_tells_what_has_gone_back(world: World) -> None:
    order, _ = await world.pay()
    refund = world.refund(order, 100)
    await world.stripe.refund(refund, now=world.now)
    answer = await world.stripe.refund(replace(refund, amount_minor=200), now=world.now)
    assert (answer.state, answer.amount_minor) == (ChannelState.SUCCEEDED, 100)


async def test_a_refund_that_fails_after_it_was_accepted_has_failed(world: World) -> None:
    order, _ = await world.pay()
    refund = world.refund(order)
    await world.control.post("next", interface="refund", kind="refund_fails_after_accept", match=refund.refund_no)
    await world.stripe.refund(refund, now=world.now)
    found = await world.stripe.query_refund(refund, now=world.now)
    assert (found.state, found.channel_code, found.code) == (
        ChannelState.FAILED,
        "expired_or_canceled_card",
        "refund_failed",
    )
    assert (await world.stripe.refund(world.refund(order), now=world.now)).state is ChannelState.PENDING


@pytest.mark.parametrize("kind", ["dropped", "reply_lost", "malformed"])
async def test_a_lost_refund_is_unknown_and_is_not_made_twice(world: World, kind: str) -> None:
    order, _ = await world.pay()
    refund = world.refund(order)
    await world.control.post("next", interface="refund", kind=kind, match=refund.refund_no, times=2)
    assert (await world.stripe.refund(refund, now=world.now)).state is ChannelState.UNKNOWN
    await world.control.post("reset")
    known = ChannelState.NOT_FOUND if kind == "dropped" else ChannelState.SUCCEEDED
    assert (await world.stripe.query_refund(refund, now=world.now)).state is known
    again = await world.stripe.refund(refund, now=world.now)
    assert again.state in (ChannelState.PENDING, ChannelState.SUCCEEDED)
    assert (await world.truth(order)).count("refund_accepted") == 1


async def test_a_refused_refund_has_failed_only_if_the_list_does_not_hold_it(world: World) -> None:
    order, _ = await world.pay()
    refund = world.refund(order)
    await world.control.post(
        "next", interface="refund", kind="error", match=refund.refund_no, status=400, code="charge_disputed"
    )
    answer = await world.stripe.refund(refund, now=world.now)
    assert (answer.state, answer.code) == (ChannelState.FAILED, "refund_not_allowed")
    for status, code in ((400, "NEVER_SEEN"), (500, "charge_disputed")):
        await world.control.post(
            "next", interface="refund", kind="error", match=refund.refund_no, status=status, code=code
        )
        assert (await world.stripe.refund(refund, now=world.now)).state is ChannelState.UNKNOWN


async def test_a_refund_after_the_window_is_not_sent(world: World) -> None:
    order, _ = await world.pay()
    late = replace(world.refund(order), created_at=world.now + timedelta(days=181))
    with pytest.raises(InvalidParameter):
        await world.stripe.refund(late, now=late.created_at)
    assert "refund_accepted" not in await world.truth(order)


async def test_an_order_that_stripe_does_not_know_has_no_refund(world: World) -> None:
    unseen = OrderReference(number("att"), "card", 8800, "USD", world.now)
    assert (await world.stripe.refund(world.refund(unseen), now=world.now)).state is ChannelState.NOT_FOUND
    assert (await world.stripe.query_refund(world.refund(unseen), now=world.now)).state is ChannelState.NOT_FOUND


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"payer": {}}, "token"),
        ({"payer": {"token": "4242424242424242"}}, "token"),
        ({"payer": {"token": "tok_visa"}}, "token"),
        ({"currency": "MGA"}, "currency"),
        ({"currency": "KWD", "amount_minor": 8801}, "amount_minor"),
        ({"currency": "ISK", "amount_minor": 1_000_000}, "amount_minor"),
        ({"amount_minor": 49}, "amount_minor"),
        ({"amount_minor": 100_000_000}, "amount_minor"),
        ({"method": "card_page", "return_url": None}, "return_url"),
        ({"attempt_no": "a'b"}, "attempt_no"),
    ],
)
async def test_what_stripe_cannot_take_is_not_sent(world: World, changed: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await world.pay(**changed)
    assert caught.value.param == param
    assert "4242" not in str(caught.value)


@pytest.mark.parametrize("currency", sorted(AMOUNT_MINOR_MIN))
async def test_the_least_amount_of_each_currency_is_taken(world: World, currency: str) -> None:
    _, answer = await world.pay(amount_minor=AMOUNT_MINOR_MIN[currency], currency=currency)
    assert answer.state is ChannelState.SUCCEEDED


async def test_the_version_is_pinned_and_every_change_has_a_key_of_its_number(
    sandbox_folder: Path, http: Http, now: datetime
) -> None:
    seen: list[web.Request] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"error": {"type": "api_error"}}, status=500)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        keys = StripeSandboxKeys.load(sandbox_folder / "stripe")
        raw = keys.credentials(url)
        credentials = StripeCredentials.model_validate(raw, context={"sandbox": True})
        stripe = Stripe(credentials, http, Codes(load_codes(Stripe.code_map)))
        async with aiohttp.ClientSession() as session:
            world = World(stripe, Control(url, session, "stripe"), now, keys)
            order, answer = await world.pay()
            known = replace(order, channel_order_no="pi_1")
            # A refused end is kept under its key for a day, so a later minute has a key of its own.
            later = now + timedelta(minutes=1)
            answers = [answer, await stripe.capture(known, 1, now=now)]
            answers += [await stripe.close(known, now=at) for at in (now, later)]
    finally:
        await runner.cleanup()
    assert {answer.state for answer in answers} == {ChannelState.UNKNOWN}
    assert {request.headers["Stripe-Version"] for request in seen} == {"2025-03-31.basil"}
    keys = [request.headers.get("Idempotency-Key", "") for request in seen if request.method == "POST"]
    assert len(set(keys)) == len(keys) == 4
    assert all(key.startswith(order.attempt_no) for key in keys)


SECRET = "S3CRET-S3CRET-S3CRET-S3CRET"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("secret_key", SECRET),
        ("secret_key", "pk_test_" + "k" * 24),
        ("secret_key", None),
        ("webhook_secrets", []),
        ("webhook_secrets", [SECRET]),
        ("webhook_secrets", SECRET),
        ("base_url", "ftp://" + SECRET),
        ("base_url", "https://host/" + SECRET),
        ("unheard_of", SECRET),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(sandbox_folder: Path, field: str, value: Any) -> None:
    raw = StripeSandboxKeys.load(sandbox_folder / "stripe").credentials("http://127.0.0.1:1")
    with pytest.raises(InvalidParameter) as caught:
        read_credentials("stripe", raw | {field: value}, sandbox=True)
    assert (caught.value.param or "").startswith(f"credentials.{field}")
    assert "S3CRET" not in f"{caught.value!r} {caught.value}"


def test_a_real_account_is_called_over_tls_only(sandbox_folder: Path) -> None:
    raw = StripeSandboxKeys.load(sandbox_folder / "stripe").credentials("http://127.0.0.1:1")
    with pytest.raises(InvalidParameter) as caught:
        read_credentials("stripe", raw, sandbox=False)
    assert caught.value.param == "credentials.base_url"
    del raw["base_url"]
    assert read_credentials("stripe", raw, sandbox=False).base_url == "https://api.stripe.com"  # type: ignore[attr-defined]


async def test_no_secret_is_shown(world: World, sandbox_folder: Path, http: Http) -> None:
    keys = StripeSandboxKeys.load(sandbox_folder / "stripe")
    raw = keys.credentials("http://127.0.0.1:1")
    stripe = Stripe(StripeCredentials.model_validate(raw, context={"sandbox": True}), http, Codes({}))
    answer = await stripe.query(OrderReference(number("att"), "card", 1, "USD", datetime.now(UTC)), now=world.now)
    shown = [stripe, vars(stripe), vars(stripe._keys), vars(stripe._client), answer]
    shown.append(StripeCredentials.model_validate(raw, context={"sandbox": True}).model_dump_json())
    text = "".join(f"{thing!r}{thing}" for thing in shown)
    assert keys.secret_key not in text
    assert keys.webhook_secret not in text


@pytest.mark.parametrize(
    ("amount_minor", "currency", "takes"),
    [(399, "CNY", False), (400, "CNY", True), (49, "USD", False), (30, "GBP", True), (99_999_999, "JPY", True),
     (100_000_000, "JPY", False), (1000, "XTS", False)],
)  # fmt: skip
def test_cards_are_offered_for_what_stripe_takes(amount_minor: int, currency: str, takes: bool) -> None:
    assert Stripe.capabilities.takes(amount_minor, currency) is takes
