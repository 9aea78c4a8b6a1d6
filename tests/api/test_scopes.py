"""An API key opens the operations of its scopes alone, until it expires, and none while its merchant is disabled."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import replace
from datetime import timedelta

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from hutong import merchants
from hutong.api.dependencies import caller
from hutong.api.scopes import SCOPES
from hutong.ids import decode, encode
from hutong.merchants import KeyLimits, Scope
from hutong.payments import PaymentStatus
from support.guides import guide
from support.running_platform import PlatformApi, Shop


async def key(platform_api: PlatformApi, shop: Shop, limits: KeyLimits) -> Shop:
    """The shop with another key."""
    async with platform_api.database.transaction() as tx:
        made = await merchants.create_api_key(
            tx,
            shop.merchant_id,
            key_id=platform_api.ids.new(),
            random=secrets.token_urlsafe(32),
            now=platform_api.clock.now(),
            limits=limits,
        )
    return replace(shop, key=made.secret)


def asks_for_a_merchant(dependant: Dependant) -> bool:
    return dependant.call is caller or any(map(asks_for_a_merchant, dependant.dependencies))


def routes_of_merchants(platform_api: PlatformApi) -> dict[tuple[str, str], APIRoute]:
    routes = [route for route in platform_api.app.state.routes if isinstance(route, APIRoute)]
    return {(m, route.path): route for route in routes if asks_for_a_merchant(route.dependant) for m in route.methods}


def test_every_operation_of_merchants_has_a_scope(platform_api: PlatformApi) -> None:
    assert routes_of_merchants(platform_api).keys() == SCOPES.keys()


async def test_a_key_opens_the_operations_of_its_scope_and_no_other(platform_api: PlatformApi, shop: Shop) -> None:
    payment_id = encode("pay", platform_api.ids.new())
    with_body = {at for at, route in routes_of_merchants(platform_api).items() if route.body_field is not None}
    for scope in Scope:
        holder = await key(platform_api, shop, KeyLimits(frozenset({scope})))
        for (method, path), needed in SCOPES.items():
            target = path.format(
                payment_id=payment_id, refund_id="x", dispute_id="x", endpoint_id="x", customer_id="x", event_id="x"
            )
            body = {"nothing": "known"} if (method, path) in with_body else None
            answer = await platform_api.call(method, target, shop=holder, json=body)
            if scope is needed:
                known = answer.status in (200, 404, 422) or answer.json["code"] == "sandbox_only"
                assert known, (method, path, answer.json)
            else:
                refused = (answer.status, answer.json["code"], answer.json["detail"])
                assert refused == (403, "scope_missing", f"the API key lacks the scope `{needed}`"), (method, path)


async def test_a_key_without_scopes_opens_everything_until_it_expires(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order()
    assert (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).status == 201
    end = platform_api.clock.now() + timedelta(seconds=0.5)
    short = await key(platform_api, shop, KeyLimits(expires_at=end))
    statuses = set()
    while platform_api.clock.now() < end + timedelta(seconds=0.05):
        answer = await platform_api.call("GET", "/v1/payments", shop=short)
        statuses.add(answer.status)
    assert statuses == {200, 401}  # at its instant, whatever is kept in memory
    assert (answer.json["code"], answer.json["param"]) == ("api_key_expired", "Authorization")


async def test_a_disabled_merchant_is_refused_and_its_payments_go_on(platform_api: PlatformApi, shop: Shop) -> None:
    created = await platform_api.create(shop)
    now = platform_api.clock.now()
    async with platform_api.database.transaction() as tx:
        await merchants.update_merchant(
            tx, shop.merchant_id, lambda merchant: replace(merchant, disabled_at=now), reason="test", now=now
        )
    fresh = await key(platform_api, shop, KeyLimits())  # this key is not in memory yet
    for method, path, body in (("POST", "/v1/payments", platform_api.order()), ("GET", "/v1/payments", None)):
        answer = await platform_api.call(method, path, shop=fresh, json=body)
        assert (answer.status, answer.json["code"]) == (403, "merchant_disabled")
    await platform_api.control("pay", code_url=created["attempts"][0]["action"]["content"])
    for _ in range(500):
        payment = await platform_api.lifecycle.find(decode("pay", created["id"]))
        assert payment is not None
        if payment.status is PaymentStatus.SUCCEEDED:
            break
        await asyncio.sleep(0.02)
    assert payment.status is PaymentStatus.SUCCEEDED
    page = await platform_api.call("GET", created["checkout_url"].removeprefix(platform_api.url))
    assert page.status == 200


def test_the_guide_lists_the_scopes() -> None:
    listed = re.findall(r"^\| `([a-z]+:[a-z]+)` \|", guide("merchants.md"), re.MULTILINE)
    assert listed == [*Scope]
