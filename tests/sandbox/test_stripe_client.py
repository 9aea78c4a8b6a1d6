"""The Stripe simulator is honest: Stripe's own client uses it and accepts its answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import stripe

from hutong.sandbox.stripe.keys import StripeSandboxKeys


@pytest.fixture
def stripe_keys(folder: Path) -> StripeSandboxKeys:
    return StripeSandboxKeys.load(folder / "stripe")


@pytest.fixture
def client(stripe_keys: StripeSandboxKeys, url: str) -> stripe.StripeClient:
    return stripe.StripeClient(stripe_keys.secret_key, base_addresses={"api": url}, max_network_retries=0)


async def do(verb: Any, *args: Any, **options: Any) -> Any:
    return await asyncio.to_thread(verb, *args, **options)


async def intent(client: stripe.StripeClient, **fields: Any) -> Any:
    asked = {"amount": 8800, "currency": "usd", "payment_method_types": ["card"]} | fields
    asked = {name: value for name, value in asked.items() if value is not None}
    return await do(client.v1.payment_intents.create, params=asked)


async def test_the_client_creates_confirms_and_retrieves_an_intent(client: stripe.StripeClient) -> None:
    made = await intent(client, payment_method="pm_card_visa", metadata={"attempt_no": "att_1", "other": "x"})
    assert (made.status, made.amount, made.currency, made.metadata["other"]) == (
        "requires_confirmation",
        8800,
        "usd",
        "x",
    )
    paid = await do(client.v1.payment_intents.confirm, made.id, params={"expand": ["latest_charge"]})
    assert (paid.status, paid.amount_received, paid.latest_charge.paid) == ("succeeded", 8800, True)
    found = await do(client.v1.payment_intents.retrieve, made.id)
    assert (found.status, found.latest_charge) == ("succeeded", paid.latest_charge.id)
    searched = await do(client.v1.payment_intents.search, params={"query": "metadata['attempt_no']:'att_1'"})
    assert [thing.id for thing in searched.data] == [made.id]


async def test_the_client_authorizes_captures_a_part_and_cannot_cancel_then(client: stripe.StripeClient) -> None:
    held = await intent(client, payment_method="pm_card_visa", capture_method="manual", confirm=True)
    assert (held.status, held.amount_capturable) == ("requires_capture", 8800)
    taken = await do(client.v1.payment_intents.capture, held.id, params={"amount_to_capture": 5000})
    assert (taken.status, taken.amount_received) == ("succeeded", 5000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await do(client.v1.payment_intents.cancel, held.id)
    assert (refused.value.http_status, refused.value.code) == (400, "payment_intent_unexpected_state")


async def test_the_client_cancels_what_waits_for_3d_secure(client: stripe.StripeClient) -> None:
    back = {"return_url": "https://shop.example/back", "confirm": True}
    waiting = await intent(client, payment_method="pm_card_threeDSecure2Required", **back)
    assert waiting.status == "requires_action"
    assert waiting.next_action.redirect_to_url.return_url == "https://shop.example/back"
    assert (await do(client.v1.payment_intents.cancel, waiting.id)).status == "canceled"


async def test_the_client_gets_a_declined_card(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await intent(client, payment_method="pm_card_visa_chargeDeclinedInsufficientFunds", confirm=True)
    error = declined.value
    assert (error.http_status, error.code) == (402, "card_declined")
    assert error.error is not None
    assert error.error.decline_code == "insufficient_funds"
    assert error.error.payment_intent is not None
    assert error.error.payment_intent.status == "requires_payment_method"


async def test_the_client_refunds_in_parts_and_not_above(client: stripe.StripeClient, url: str) -> None:
    paid = await intent(client, payment_method="pm_card_visa", confirm=True)
    metadata = {"refund_no": f"ref_{uuid4().hex[:26]}"}
    part = await do(client.v1.refunds.create, params={"payment_intent": paid.id, "amount": 3000, "metadata": metadata})
    assert (part.status, part.amount) == ("pending", 3000)
    await asyncio.sleep(0.05)
    assert (await do(client.v1.refunds.retrieve, part.id)).status == "succeeded"
    for amount in (5801, 8800):
        with pytest.raises(stripe.InvalidRequestError):
            await do(client.v1.refunds.create, params={"payment_intent": paid.id, "amount": amount})
    rest = await do(client.v1.refunds.create, params={"payment_intent": paid.id})
    assert rest.amount == 5800
    listed = await do(client.v1.refunds.list, params={"payment_intent": paid.id})
    assert [thing.id for thing in listed.data] == [rest.id, part.id]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await do(client.v1.refunds.create, params={"payment_intent": paid.id})
    assert refused.value.code == "charge_already_refunded"


async def test_a_key_gives_the_first_answer_again_and_takes_no_other_fields(client: stripe.StripeClient) -> None:
    fields = {"amount": 100, "currency": "usd"}
    options: Any = {"idempotency_key": uuid4().hex}
    first = await do(client.v1.payment_intents.create, params=fields, options=options)
    again = await do(client.v1.payment_intents.create, params=fields, options=options)
    assert again.id == first.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        await do(client.v1.payment_intents.create, params=fields | {"amount": 101}, options=options)


async def test_the_client_believes_the_message(
    client: stripe.StripeClient, stripe_keys: StripeSandboxKeys, notices
) -> None:
    notify_url, taken = notices
    await intent(client, payment_method="pm_card_visa", confirm=True, metadata={"notify_url": notify_url})
    headers, body = await taken.get()
    event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], stripe_keys.webhook_secret)
    assert event.type == "payment_intent.succeeded"
    assert event.data.object["amount_received"] == 8800
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body + b" ", headers["Stripe-Signature"], stripe_keys.webhook_secret)


async def test_the_client_believes_a_thin_event_and_fetches_what_it_names(
    client: stripe.StripeClient, stripe_keys: StripeSandboxKeys, url: str, notices
) -> None:
    notify_url, taken = notices
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/control/stripe/faults", json={"notify": {"named_only": True}})
        paid = await intent(client, payment_method="pm_card_visa", confirm=True, metadata={"notify_url": notify_url})
        await session.post(f"{url}/control/stripe/reset")
    headers, body = await taken.get()
    event: Any = client.parse_event_notification(body, headers["Stripe-Signature"], stripe_keys.webhook_secret)
    assert (event.type, event.livemode, event.context) == ("v1.payment_intent.succeeded", False, None)
    related = event.related_object
    assert (related.id, related.type, related.url) == (paid.id, "payment_intent", f"/v1/payment_intents/{paid.id}")
    with pytest.raises(stripe.SignatureVerificationError):
        client.parse_event_notification(body + b" ", headers["Stripe-Signature"], stripe_keys.webhook_secret)


async def test_the_client_believes_the_message_while_the_secret_is_rolled(
    client: stripe.StripeClient, stripe_keys: StripeSandboxKeys, url: str, notices
) -> None:
    notify_url, taken = notices
    believed = {"old": stripe_keys.webhook_secret, "new": stripe_keys.next_webhook_secret}
    for good in ({"old"}, {"old", "new"}, {"new"}):
        await intent(client, payment_method="pm_card_visa", confirm=True, metadata={"notify_url": notify_url})
        headers, body = await taken.get()
        for name, secret in believed.items():
            if name in good:
                stripe.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
            else:
                with pytest.raises(stripe.SignatureVerificationError):
                    stripe.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
        async with aiohttp.ClientSession() as session:
            await session.post(f"{url}/control/stripe/rotate")


async def test_the_client_pages_through_the_balance(client: stripe.StripeClient) -> None:
    paid = [await intent(client, payment_method="pm_card_visa", confirm=True, amount=1000 + n) for n in range(7)]
    wanted: Any = {"limit": 3, "expand": ["data.source"], "created": {"gte": paid[0].created}}
    listed = await do(client.v1.balance_transactions.list, params=wanted)
    rows = await do(lambda: list(listed.auto_paging_iter()))
    assert [row.amount for row in rows] == [1006 - n for n in range(7)]
    assert all(row.amount - row.fee == row.net for row in rows)
    assert {row.source.payment_intent for row in rows} == {thing.id for thing in paid}


async def test_the_client_makes_a_page_and_expires_it(client: stripe.StripeClient) -> None:
    price = {"currency": "jpy", "unit_amount": 500, "product_data": {"name": "Tea"}}
    asked: Any = {
        "mode": "payment",
        "line_items": [{"quantity": 1, "price_data": price}],
        "success_url": "https://shop.example/thanks",
        "cancel_url": "https://shop.example/cart",
    }
    page = await do(client.v1.checkout.sessions.create, params=asked)
    assert (page.status, page.amount_total, page.currency, page.payment_intent) == ("open", 500, "jpy", None)
    assert (await do(client.v1.checkout.sessions.expire, page.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        await do(client.v1.checkout.sessions.expire, page.id)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount": 0}, "parameter_invalid_integer"),
        ({"amount": 49}, "amount_too_small"),
        ({"amount": 100_000_000}, "amount_too_large"),
        ({"currency": "xts"}, None),
        ({"payment_method": "pm_card_nobodys"}, "resource_missing"),
        ({"colour": "red"}, "parameter_unknown"),
    ],
)
async def test_the_client_gets_the_reason_of_a_refusal(
    client: stripe.StripeClient, changed: Any, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await intent(client, **changed)
    assert (refused.value.http_status, refused.value.code) == (400, code)


async def test_another_key_is_refused(url: str) -> None:
    stranger = stripe.StripeClient("sk_test_" + "0" * 48, base_addresses={"api": url}, max_network_retries=0)
    with pytest.raises(stripe.AuthenticationError):
        await intent(stranger)
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/balance") as response:
        assert response.status == 401


async def test_the_client_reads_answers_and_closes_disputes(client: stripe.StripeClient) -> None:
    for token, first, last, movements in (
        ("pm_card_createDispute", "needs_response", "won", [-8800, 8800]),
        ("pm_card_createDisputeInquiry", "warning_needs_response", "warning_closed", []),
    ):
        paid = await intent(client, payment_method=token, confirm=True)
        (dispute,) = (await do(client.v1.disputes.list, params={"payment_intent": paid.id})).data
        assert (dispute.status, dispute.amount, dispute.charge) == (first, 8800, paid.latest_charge)
        staged = {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": False}
        shown = await do(client.v1.disputes.update, dispute.id, params=staged)
        assert (shown.status, shown.evidence_details.submission_count) == (first, 0)
        sent = await do(client.v1.disputes.update, dispute.id, params={"submit": True})
        assert (sent.status.removeprefix("warning_"), sent.evidence_details.submission_count) == ("under_review", 1)
        await asyncio.sleep(0.1)
        over = await do(client.v1.disputes.retrieve, dispute.id)
        assert (over.status, [row.amount for row in over.balance_transactions]) == (last, movements)
    paid = await intent(client, payment_method="pm_card_createDispute", confirm=True)
    (dispute,) = (await do(client.v1.disputes.list, params={"payment_intent": paid.id})).data
    assert (await do(client.v1.disputes.close, dispute.id)).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        await do(client.v1.disputes.close, dispute.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await do(client.v1.refunds.create, params={"payment_intent": paid.id})
    assert refused.value.code == "charge_disputed"


async def test_the_client_confirms_with_the_publishable_key_and_the_secret_alone(
    client: stripe.StripeClient, stripe_keys: StripeSandboxKeys, url: str
) -> None:
    made = await intent(client, payment_method_types=None, automatic_payment_methods={"enabled": True})
    assert (made.status, made.automatic_payment_methods.enabled) == ("requires_payment_method", True)
    browser = stripe.StripeClient(stripe_keys.publishable_key, base_addresses={"api": url}, max_network_retries=0)
    with pytest.raises(stripe.InvalidRequestError):
        await do(browser.v1.payment_intents.confirm, made.id, params={"payment_method": "pm_card_visa"})
    known = {"payment_method": "pm_card_visa", "client_secret": made.client_secret}
    assert (await do(browser.v1.payment_intents.confirm, made.id, params=known)).status == "succeeded"
    with pytest.raises(stripe.PermissionError):
        await do(browser.v1.refunds.create, params={"payment_intent": made.id})


async def test_the_client_gets_alipays_page_and_wechats_code(client: stripe.StripeClient) -> None:
    fields: dict[str, Any] = {"currency": "cny", "confirm": True, "return_url": "https://shop.example/back"}
    alipay = await intent(client, payment_method_types=["alipay"], payment_method_data={"type": "alipay"}, **fields)
    assert (alipay.status, alipay.next_action.type) == ("requires_action", "alipay_handle_redirect")
    assert alipay.next_action.alipay_handle_redirect.url.startswith("http")
    wallet: dict[str, Any] = {"payment_method_types": ["wechat_pay"], "payment_method_data": {"type": "wechat_pay"}}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await intent(client, **wallet, **fields)
    assert refused.value.param == "payment_method_options[wechat_pay][client]"
    shown = await intent(client, **wallet, **fields, payment_method_options={"wechat_pay": {"client": "web"}})
    assert shown.next_action.wechat_pay_display_qr_code.data.startswith("weixin://")
    for changed in ({"currency": "brl"}, {"capture_method": "manual"}):
        with pytest.raises(stripe.InvalidRequestError):
            await intent(client, **wallet, **fields | changed)


async def test_the_client_is_refused_parts_that_a_currency_does_not_have(client: stripe.StripeClient) -> None:
    for currency, good, bad in (("isk", 50_000, 50_050), ("ugx", 500_000, 500_001), ("kwd", 5_120, 5_124)):
        assert (await intent(client, currency=currency, amount=good)).amount == good
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await intent(client, currency=currency, amount=bad)
        assert refused.value.param == "amount"
    assert (await intent(client, currency="idr", amount=999_999_999_999)).amount == 999_999_999_999
    with pytest.raises(stripe.InvalidRequestError):
        await intent(client, currency="usd", amount=100_000_000)
