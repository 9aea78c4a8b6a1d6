"""Payments by the code that a payer shows, through the API and the simulated channels."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

import pytest

from hutong.ids import decode
from support.running_platform import PlatformApi, platform_api  # noqa: F401

PREFIXES = {"wechat_code": ("13", 18), "alipay_code": ("28", 18), "unionpay_code": ("62", 19)}
ENDS = {
    "wechat_code": ("0005", "0000", "0002"),
    "alipay_code": ("5", "9", "1"),
    "unionpay_code": ("0005", "0000", "0002"),
}
"""The ends of codes in the sandbox: paid at once, the payer is asked, declined."""
PAID, ASKING, POOR = range(3)

each_method = pytest.mark.parametrize("method", PREFIXES)


def code(method: str, end: int) -> dict[str, str]:
    """Return a payer with a code that nobody has shown before."""
    (prefix, length), tail = PREFIXES[method], ENDS[method][end]
    middle = "".join(secrets.choice("123456789") for _ in range(length - len(prefix) - len(tail)))
    return {"auth_code": f"{prefix}{middle}{tail}"}


@each_method
async def test_a_declined_code_is_followed_by_another_one_on_the_same_payment(
    platform_api: PlatformApi,  # noqa: F811
    method: str,
) -> None:
    shop = await platform_api.shop()
    payment = await platform_api.create(shop, method=method, payer=code(method, POOR))
    payment = await platform_api.until(shop, payment["id"], "requires_payment")
    attempt = payment["attempts"][0]
    assert (attempt["state"], attempt["code"]) == ("failed", "insufficient_funds")
    body = {"method": method, "payer": code(method, PAID)}
    answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/attempts", shop=shop, json=body)
    assert answer.status == 201, answer.body
    payment = await platform_api.until(shop, payment["id"], "succeeded")
    assert [attempt["state"] for attempt in payment["attempts"]] == ["failed", "succeeded"]
    again = await platform_api.call("POST", f"/v1/payments/{payment['id']}/attempts", shop=shop, json=body)
    assert (again.status, again.json["code"]) == (409, "payment_not_payable")


@each_method
async def test_a_payer_who_is_asked_confirms_and_has_paid(platform_api: PlatformApi, method: str) -> None:  # noqa: F811
    shop = await platform_api.shop()
    payment = await platform_api.create(shop, method=method, payer=code(method, ASKING))
    assert payment["status"] == "processing"
    channel = method.partition("_")[0]
    number = payment["attempts"][0]["id"]
    await platform_api.control(
        "pay", channel=channel, order_no=number.replace("_", "" if channel == "unionpay" else "_")
    )
    platform_api.clock.advance(timedelta(seconds=6))
    await platform_api.lifecycle.sweep()
    assert (await platform_api.get(shop, payment["id"]))["status"] == "succeeded"


@each_method
async def test_a_till_cancels_and_a_success_after_that_goes_back(
    platform_api: PlatformApi,  # noqa: F811
    method: str,
) -> None:
    shop, channel = await platform_api.shop(), method.partition("_")[0]
    payment = await platform_api.create(shop, method=method, payer=code(method, ASKING))
    number = payment["attempts"][0]["id"].replace("_", "" if channel == "unionpay" else "_")
    platform_api.clock.advance(timedelta(seconds=15))
    answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
    assert (answer.status, answer.json["status"]) == (200, "closed")
    late = await platform_api.control("pay", channel=channel, order_no=number, force=True)
    assert late["state"] == "paid"
    if channel == "wechat":  # which does not notify of payments by code
        found = await platform_api.lifecycle.find(decode("pay", payment["id"]))
        assert found is not None
        await platform_api.lifecycle._due.resolve(found.attempts[0])
    for _ in range(250):
        payment = await platform_api.get(shop, payment["id"])
        if payment["attempts"][0]["surplus"]:
            break
        await asyncio.sleep(0.02)
    assert (payment["status"], payment["attempts"][0]["surplus"]) == ("closed", True)
    refunds = await platform_api.call("GET", f"/v1/payments/{payment['id']}/refunds", shop=shop)
    assert [refund["amount_minor"] for refund in refunds.json["data"]] == [payment["amount_minor"]]


async def test_a_code_stands_nowhere_in_clear(platform_api: PlatformApi, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    shop, written = await platform_api.shop(), []
    for method in PREFIXES:
        for end in (ASKING, POOR, PAID):
            payer = code(method, end)
            written.append(payer["auth_code"])
            answer = await platform_api.create(shop, method=method, payer=payer)
            assert payer["auth_code"] not in str(answer)
    async with platform_api.admin.transaction() as tx:
        tables = await tx.fetch("SELECT schemaname || '.' || relname AS name FROM pg_stat_user_tables ORDER BY 1")
        for table in tables:
            found = await tx.fetchval(
                f"SELECT count(*) FROM {table['name']} AS t WHERE t::text LIKE ANY ($1)",
                [f"%{each}%" for each in written],
            )
            assert found == 0, table["name"]
        order = f"%{answer['merchant_order_no']}%"
        assert await tx.fetchval("SELECT count(*) FROM payments.payment AS t WHERE t::text LIKE $1", order) == 1
    output = capfd.readouterr()
    assert not any(each in output.out + output.err for each in written)
