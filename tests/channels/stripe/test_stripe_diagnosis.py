"""What is wrong with a Stripe account is named exactly."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hutong.channels import Codes, Http
from hutong.channels.codes.codes import load_codes
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.credentials import StripeCredentials
from hutong.sandbox.stripe.keys import StripeSandboxKeys


def account(url: str, http: Http, key: str = "sk_test_" + "k" * 24) -> Stripe:
    raw = {"secret_key": key, "webhook_secrets": ["whsec_" + "w" * 24], "base_url": url}
    credentials = StripeCredentials.model_validate(raw, context={"sandbox": True})
    return Stripe(credentials, http, Codes(load_codes(Stripe.code_map)))


async def faults(stripe: Stripe, now: datetime) -> dict[str, str | None]:
    return {finding.check: finding.fault for finding in await stripe.diagnose(now=now)}


@pytest.fixture
def good(sandbox_url: str, sandbox_folder: Path, http: Http) -> Stripe:
    raw = StripeSandboxKeys.load(sandbox_folder / "stripe").credentials(sandbox_url)
    credentials = StripeCredentials.model_validate(raw, context={"sandbox": True})
    return Stripe(credentials, http, Codes(load_codes(Stripe.code_map)))


async def test_an_account_in_order_has_no_fault(good: Stripe, now: datetime) -> None:
    found = await faults(good, now)
    assert found == dict.fromkeys(["host", "secret_key", "mode", "disputes", "webhook_endpoint", "webhook_secrets"])


async def test_a_wrong_key_is_named(sandbox_url: str, http: Http, now: datetime) -> None:
    assert (await faults(account(sandbox_url, http), now))["secret_key"] == "wrong_secret_key"


async def test_an_unreachable_host_is_named(http: Http, now: datetime) -> None:
    assert await faults(account("http://127.0.0.1:1", http), now) == {"host": "unreachable_host"}


BALANCE: Any = (200, {"object": "balance", "livemode": False})
NO_DISPUTES: Any = (403, {"error": {"type": "invalid_request_error"}})
ENDPOINT: Any = {"status": "enabled", "enabled_events": ["*"]}


@pytest.mark.parametrize(
    ("balance", "endpoints", "check", "fault"),
    [
        ((401, {"error": {"code": "api_key_expired"}}), None, "secret_key", "secret_key_expired"),
        ((401, {"error": {"code": "secret_key_required"}}), None, "secret_key", "publishable_key"),
        ((403, {"error": {"type": "invalid_request_error"}}), None, "secret_key", "not_permitted"),
        ((500, {"error": {"type": "api_error"}}), None, "secret_key", "no_answer"),
        ((200, {"object": "balance", "livemode": True}), (200, {"data": [ENDPOINT]}), "mode", "mode_mismatch"),
        (BALANCE, (200, {"data": []}), "webhook_endpoint", "no_webhook_endpoint"),
        (BALANCE, (200, {"data": [ENDPOINT | {"status": "disabled"}]}), "webhook_endpoint", "no_webhook_endpoint"),
        (
            BALANCE,
            (200, {"data": [ENDPOINT | {"enabled_events": ["charge.succeeded"]}]}),
            "webhook_endpoint",
            "events_not_enabled",
        ),
        (
            BALANCE,
            (200, {"data": [ENDPOINT | {"enabled_events": ["payment_intent.*", "refund.*"]}]}),
            "webhook_endpoint",
            "events_not_enabled",
        ),
        (BALANCE, (200, {"data": [ENDPOINT]}), "disputes", "not_permitted"),
        (BALANCE, (500, {}), "webhook_endpoint", "no_answer"),
        (BALANCE, (403, {}), "webhook_endpoint", None),
    ],
)
async def test_each_fault_is_named(
    http: Http, now: datetime, balance: Any, endpoints: Any, check: str, fault: str | None
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/v1/disputes":
            status, fields = NO_DISPUTES if check == "disputes" else (200, {"data": []})
        else:
            status, fields = balance if request.path == "/v1/balance" else endpoints
        return web.json_response(fields, status=status)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    app = web.Application()
    app.router.add_get("/v1/balance", answer)
    app.router.add_get("/v1/disputes", answer)
    app.router.add_get("/v1/webhook_endpoints", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        stripe = account(f"http://127.0.0.1:{runner.addresses[0][1]}", http)
        found = await faults(stripe, now)
        advice = " ".join(finding.advice for finding in await stripe.diagnose(now=now))
    finally:
        await runner.cleanup()
    assert found[check] == fault
    assert [value for name, value in found.items() if name != check and value] == []
    assert not re.search(r"sk_test_k|whsec_", advice)


async def test_something_else_at_the_address_is_named(http: Http, now: datetime) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/v1/balance", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        assert await faults(account(url, http), now) == {"host": "not_stripe"}
    finally:
        await runner.cleanup()
