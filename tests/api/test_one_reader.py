"""A request has one reading: at the API, at the cashier and at the sandbox's control."""

from __future__ import annotations

from types import SimpleNamespace

import aiohttp
import pytest
from prometheus_client import REGISTRY
from yarl import URL

from hutong.api.guesses import BURST, Guesses
from hutong.clock import ManualClock
from support.running_platform import PlatformApi, Shop


@pytest.mark.parametrize(
    "path", ["/healthz%0A", "/%68ealthz", "/v1%2Fpayments", "/v1/payments%0a", "/healthz%00", "/pay%2Fx"]
)
async def test_another_spelling_of_an_address_is_none(platform_api: PlatformApi, path: str) -> None:
    async with platform_api.session.get(URL(platform_api.url + path, encoded=True)) as answer:
        assert answer.status == 404


async def test_a_body_where_none_is_taken_is_refused(platform_api: PlatformApi, shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}
    address = f"{platform_api.url}/v1/payments/pay_01kas0000000000000000000aa/cancel"
    async with platform_api.session.post(address, headers=headers, json={"reason": "x"}) as answer:
        assert (answer.status, (await answer.json())["param"]) == (400, "body")
    async with platform_api.session.post(address, headers=headers) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
async def test_what_a_foreign_page_sends_is_refused(
    platform_api: PlatformApi, shop: Shop, headers: dict[str, str]
) -> None:
    pay = f"{platform_api.url}/pay/pay_01kas0000000000000000000aa/attempts"
    control = f"{platform_api.sandbox_url}/control/wechat/reset"
    keyed = headers | {"Authorization": f"Bearer {shop.key}"}
    for address, sent in ((pay, headers), (control, headers), (f"{platform_api.url}/v1/payments", keyed)):
        async with platform_api.session.post(address, headers=sent, json={}) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [
        ("application/json", '{"token": "a", "token": "b", "method": "wechat_qr"}', 400),
        ("application/x-www-form-urlencoded", "token=a&token=b&method=wechat_qr", 422),
        ("text/plain", '{"token": "a", "method": "wechat_qr"}', 415),
        ("application/x-www-form-urlencodedx", "token=a&method=wechat_qr", 415),
    ],
)
async def test_the_cashier_reads_as_strictly_as_the_api(
    platform_api: PlatformApi, media_type: str, body: str, status: int
) -> None:
    address = f"{platform_api.url}/pay/pay_01kas0000000000000000000aa/attempts"
    async with platform_api.session.post(address, data=body, headers={"Content-Type": media_type}) as answer:
        assert answer.status == status


DOUBLED = {"/v1/payments": "Authorization", "/pay/pay_01kas0000000000000000000aa/attempts": "X-Checkout-Token",
           "control": "Origin"}  # fmt: skip


@pytest.mark.parametrize("door", DOUBLED)
async def test_a_header_that_is_sent_twice_is_refused_at_every_door(
    platform_api: PlatformApi, shop: Shop, door: str
) -> None:
    address = f"{platform_api.sandbox_url}/control/wechat/reset" if door == "control" else platform_api.url + door
    for name in {DOUBLED[door], "Content-Type"}:
        sent = [("Authorization", f"Bearer {shop.key}"), ("Content-Type", "application/json"), (name, "x"), (name, "x")]
        async with platform_api.session.post(address, headers=sent, data=b"{}") as answer:
            assert answer.status == 400, (door, name)
            text = await answer.text()
            assert f"the header {name} is sent twice" in text or f"Duplicate '{name}' header" in text


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z"])
async def test_an_instant_at_the_edges_is_refused(platform_api: PlatformApi, shop: Shop, instant: str) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}
    body = {"merchant_order_no": "e1", "amount_minor": 1, "currency": "CNY", "subject": "x", "expires_at": instant}
    async with platform_api.session.post(f"{platform_api.url}/v1/payments", json=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["param"]) == (422, "expires_at")


async def test_a_subscription_names_types_that_exist(platform_api: PlatformApi, shop: Shop) -> None:
    headers, body = {"Authorization": f"Bearer {shop.key}"}, {"url": "https://shop.example/x"}
    address = f"{platform_api.url}/v1/webhook-endpoints"
    async with platform_api.session.post(address, json=body | {"types": ["payment.paid"]}, headers=headers) as answer:
        assert (answer.status, (await answer.json())["param"]) == (422, "types")
    async with platform_api.session.post(address, json=body | {"types": ["payment.closed"]}, headers=headers) as answer:
        assert answer.status == 201
        assert answer.headers["Cache-Control"] == "no-store"  # it holds the secret


async def test_wrong_keys_wait_and_right_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("hutong.api.guesses.asyncio", SimpleNamespace(sleep=wait))
    monkeypatch.setattr("hutong.api.guesses.DELAY_S", 0.5)
    guesses = Guesses(ManualClock())
    for _ in range(BURST):
        await guesses.slow("192.0.2.1")
    assert waits == []
    for _ in range(5):
        await guesses.slow("192.0.2.1")
    assert waits == [0.5] * 5
    await guesses.slow("192.0.2.2")
    assert waits == [0.5] * 5


async def test_wrong_keys_and_links_are_slowed_by_address(
    platform_api: PlatformApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hutong.api.guesses.DELAY_S", 0.01)

    def slowed() -> float:
        return REGISTRY.get_sample_value("hutong_guesses_slowed_total") or 0.0

    for address, path in (("127.0.0.8", "/v1/payments"), ("127.0.0.9", "/pay/pay_01m8knh2nde07byjmt7v5221pp")):
        connector, before = aiohttp.TCPConnector(local_addr=(address, 0)), slowed()
        async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer sk_x"}) as guesser:
            for _ in range(BURST + 20):
                async with guesser.get(f"{platform_api.url}{path}") as answer:
                    assert answer.status in (401, 404)
        assert slowed() > before
