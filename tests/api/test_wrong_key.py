"""A process with another secret key than the one of the stored credentials refuses what needs them, without harm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from hutong.ids import decode, encode
from hutong.operators import Role
from hutong.vault import Vault
from support.running_platform import METHOD, PlatformApi, Shop

OTHER = Vault([b"o" * 32])


@asynccontextmanager
async def wrong_key(api: PlatformApi) -> AsyncIterator[None]:
    """Give the platform another key for a block, as a restart does."""
    own = {name: getattr(api.vault, name) for name in ("_keys", "_current", "_secrets")}
    try:
        for name in own:
            setattr(api.vault, name, getattr(OTHER, name))
        await reload(api)
        yield
    finally:
        for name, value in own.items():
            setattr(api.vault, name, value)
        await reload(api)


async def reload(api: PlatformApi) -> None:
    api.accounts._loaded.clear()
    await api.accounts.refresh()


async def paid(api: PlatformApi, shop: Shop) -> Any:
    payment = await api.create(shop)
    await api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    return await api.until(shop, payment["id"], "succeeded")


async def test_routes_that_need_credentials_refuse_and_write_nothing_until_the_key_is_back(
    platform_api: PlatformApi, shop: Shop
) -> None:
    succeeded, open_one = await paid(platform_api, shop), await platform_api.create(shop)
    unplaced = (await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order())).json
    _, operator = await platform_api.person(Role.OPERATOR)
    notified = encode("acc", platform_api.account_id)
    refund = {"merchant_refund_no": f"{succeeded['merchant_order_no']}-R1"}
    requests: list[tuple[str, Shop | None, dict[str, str], Any, int]] = [
        ("/v1/payments", shop, {}, platform_api.order(method=METHOD), 201),
        (f"/v1/payments/{unplaced['id']}/attempts", shop, {}, {"method": METHOD}, 201),
        (f"/v1/payments/{succeeded['id']}/refunds", shop, {}, refund, 201),
        (f"/v1/operator/payments/{open_one['id']}/query", None, operator, {"reason": "the payer called"}, 200),
        (f"/v1/operator/payments/{open_one['id']}/close", None, operator, {"reason": "a mistake"}, 200),
        (f"/channels/{notified}/notifications", None, {}, {}, 401),
    ]
    async with wrong_key(platform_api):
        before = await platform_api.fingerprint()
        for path, merchant, headers, body, _ in requests:
            answer = await platform_api.call("POST", path, shop=merchant, headers=headers, json=body)
            assert (path, answer.status, answer.json["code"]) == (path, 503, "credentials_unreadable")
            assert answer.headers["retry-after"] == "60"
        cancelled = await platform_api.call("POST", f"/v1/payments/{open_one['id']}/cancel", shop=shop)
        assert (cancelled.status, cancelled.json["code"]) == (503, "credentials_unreadable")
        page = await platform_api.call("GET", unplaced["checkout_url"].removeprefix(platform_api.url))
        assert (page.status, page.headers["retry-after"]) == (503, "60")
        ready = await platform_api.call("GET", "/readyz")
        assert (ready.status, ready.json["code"]) == (503, "credentials_unreadable")
        assert "another secret key" in ready.json["detail"]
        assert await platform_api.fingerprint() == before
    assert (await platform_api.call("GET", "/readyz")).status == 200
    for path, merchant, headers, body, status in requests:
        answer = await platform_api.call("POST", path, shop=merchant, headers=headers, json=body)
        assert (path, answer.status) == (path, status)


async def test_the_worker_waits_for_the_key_and_ends_nothing_meanwhile(
    platform_api: PlatformApi, shop: Shop, capfd: pytest.CaptureFixture[str], faultless: None
) -> None:
    await platform_api.control("faults", notify={"lose": 20})
    payments = [await platform_api.create(shop) for _ in range(2)]
    for payment in payments:
        await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    attempts = [decode("att", payment["attempts"][0]["id"]) for payment in payments]
    async with wrong_key(platform_api):
        for _ in range(5):
            await platform_api.admin.pool.execute(
                "UPDATE payments.attempt SET next_query_at = created_at WHERE id = ANY($1)", attempts
            )
            await platform_api.lifecycle.sweep()
        lines = [line for line in capfd.readouterr().err.splitlines() if "key" in line or "credentials" in line]
        assert len([line for line in lines if "resolve_waits_for_key" in line]) == 1
        assert not [line for line in lines if "resolve_failed" in line]
        for payment in payments:
            assert (await platform_api.get(shop, payment["id"]))["status"] == "processing"
    await platform_api.admin.pool.execute(
        "UPDATE payments.attempt SET next_query_at = created_at WHERE id = ANY($1)", attempts
    )
    await platform_api.lifecycle.sweep()
    for payment in payments:
        assert (await platform_api.get(shop, payment["id"]))["status"] == "succeeded"


async def test_a_line_of_the_log_names_the_accounts_once_a_minute(
    platform_api: PlatformApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = platform_api.accounts._unreadable_line
    monkeypatch.setattr(line, "_written_at", None)
    capfd.readouterr()
    async with wrong_key(platform_api):
        for _ in range(3):
            platform_api.clock.advance(timedelta(seconds=6))
            await platform_api.accounts.offers()
    lines = [line for line in capfd.readouterr().err.splitlines() if "credentials_unreadable" in line]
    assert len(lines) == 1
    assert encode("acc", platform_api.account_id) in lines[0]
