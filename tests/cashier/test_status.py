"""The requests of the page's script: the state, and the start of an attempt."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from hutong.cashier.model import IdentityAnswer
from hutong.cashier.rate_limit import BURST, LINKS_MAX, PER_SECOND, RateLimit
from hutong.cashier.routes import TOKEN_HEADER
from hutong.channels import ActionKind, Device, PayerAction
from hutong.clock import ManualClock, instant
from hutong.errors import Conflict, InvariantBroken, Unavailable
from hutong.ids import Ids
from hutong.payments.errors import AttemptInProgress
from support.fakes.checkout import Link, MemoryCheckout

TOO_LONG = b'{"method":"wechat_native","padding":"' + b"x" * 5_000 + b'"}'


async def status(http: ClientSession, link: Link, etag: str = "") -> tuple[int, str, dict[str, Any]]:
    headers = {TOKEN_HEADER: link.token, "if-none-match": etag}
    async with http.get(f"{link.path}/status", headers=headers) as answer:
        body = await answer.read()
        return answer.status, answer.headers["etag"], orjson.loads(body) if body else {}


async def pay(http: ClientSession, link: Link, method: object, **headers: str) -> tuple[int, dict[str, Any]]:
    sent = {TOKEN_HEADER: link.token, **headers}
    async with http.post(f"{link.path}/attempts", json={"method": method}, headers=sent) as answer:
        return answer.status, orjson.loads(await answer.read())


async def test_status_follows_the_payment(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = checkout.create()
    assert (await status(http, link))[2] == {
        "phase": "choose",
        "final": False,
        "method": None,
        "qr": None,
        "next_action": None,
        "bridge": None,
        "failure": None,
        "declined": False,
        "closed": None,
        "receipt": None,
        "return_url": "https://shop.example/orders/1001",
        "cancel_url": "https://shop.example/cart",
        "sandbox_payer_url": None,
    }
    await pay(http, link, "wechat_native")
    scanning = (await status(http, link))[2]
    assert (scanning["phase"], scanning["method"]) == ("scan", "wechat_native")
    assert scanning["qr"].startswith("data:image/svg+xml")
    checkout.decline(link, "Balance\u202e too low")
    declined = (await status(http, link))[2]
    assert (declined["phase"], declined["failure"], declined["qr"]) == ("choose", r"Balance\u202e too low", None)
    async with http.get(
        f"{link.path}/status", headers={TOKEN_HEADER: link.token, "accept-language": "zh-Hans"}
    ) as answer:
        assert orjson.loads(await answer.read())["failure"] == r"中文 Balance\u202e too low"
    checkout.succeed(link)
    paid = (await status(http, link))[2]
    assert (paid["phase"], paid["final"], paid["failure"]) == ("succeeded", True, None)
    assert paid["receipt"] == {"at": instant(checkout.clock.now()), "method": "WeChat Pay"}


async def test_unchanged_status_is_304_as_time_passes_and_changed_is_not(
    http: ClientSession, checkout: MemoryCheckout, clock: ManualClock
) -> None:
    link = checkout.create()
    _, first, _ = await status(http, link)
    clock.advance(timedelta(minutes=1))
    assert await status(http, link, first) == (304, first, {})
    await pay(http, link, "wechat_native")
    code, second, _ = await status(http, link, first)
    assert (code, second != first) == (200, True)
    clock.advance(timedelta(minutes=14))
    code, third, body = await status(http, link, second)
    assert (code, third != second, body["phase"], body["final"]) == (200, True, "closed", True)


async def test_page_and_attempt_carry_the_etag_of_the_status(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = checkout.create()
    async with http.get(link.page()) as answer:
        html = await answer.text()
    assert f'data-etag="{(await status(http, link))[1]}"'.replace('""', '"') in html.replace("&#34;", "")
    sent = {TOKEN_HEADER: link.token}
    async with http.post(f"{link.path}/attempts", json={"method": "wechat_native"}, headers=sent) as answer:
        assert answer.headers["etag"] == (await status(http, link))[1]


async def test_ten_clicks_at_once_are_one_attempt(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = checkout.create()
    given = await asyncio.gather(*(pay(http, link, "wechat_native") for _ in range(10)))
    assert [code for code, _ in given] == [200] * 10
    assert len({orjson.dumps(body) for _, body in given}) == 1
    assert checkout.attempts == [(link.payment_id, "wechat_native", "127.0.0.1")]


async def test_token_may_come_in_the_body(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = checkout.create()
    body = {"method": "wechat_native", "token": link.token}
    async with http.post(f"{link.path}/attempts", json=body) as answer:
        assert answer.status == 200


async def test_method_not_offered_is_refused(http: ClientSession, checkout: MemoryCheckout) -> None:
    code, problem = await pay(http, checkout.create(), "bitcoin")
    assert (code, problem["code"], problem["param"]) == (422, "invalid_parameter", "method")
    assert checkout.attempts == []


@pytest.mark.parametrize("method", ["", "x" * 65, "wechat native", "<b>", "a\x00", 7, None, ["wechat_native"], {}])
async def test_a_malformed_method_is_refused(http: ClientSession, checkout: MemoryCheckout, method: object) -> None:
    code, problem = await pay(http, checkout.create(), method)
    assert (code, problem["code"], problem["param"]) == (422, "invalid_parameter", "method")
    assert checkout.views == 0


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"7", b"{", b"\xff\xfe", b"[" * 4000, b'{"method":"' + b"x" * 10_000_000, TOO_LONG]
)
async def test_broken_body_is_refused(http: ClientSession, checkout: MemoryCheckout, body: bytes) -> None:
    link = checkout.create()
    headers = {TOKEN_HEADER: link.token, "content-type": "application/json"}
    async with http.post(f"{link.path}/attempts", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"
    assert checkout.attempts == []


async def test_wrong_token_and_absent_payment_are_the_same_to_a_script(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    link, other = checkout.create(), checkout.create()
    wrong = Link(link.payment_id, other.token)
    absent = Link(Ids(checkout.clock).new(), link.token)
    seen = set()
    for tried in (wrong, absent, Link(link.payment_id, "\u00fc")):
        async with http.get(f"{tried.path}/status", headers={TOKEN_HEADER: tried.token}) as answer:
            seen.add((answer.status, await answer.text()))
        seen.add((404, orjson.dumps((await pay(http, tried, "wechat_native"))[1]).decode()))
    assert len(seen) == 1
    assert checkout.attempts == []


TROUBLE: list[tuple[Exception, tuple[int, str, str | None]]] = [
    (Conflict("moved on"), (409, "conflict", None)),
    (Unavailable("later", retry_after_s=3), (503, "unavailable", "3")),
    (InvariantBroken("secret detail"), (500, "invariant_broken", None)),
    (RuntimeError("secret detail"), (500, "internal_error", None)),
]


@pytest.mark.parametrize(("error", "expected"), TROUBLE, ids=lambda value: type(value).__name__)
async def test_an_error_behind_the_page_is_reported_without_its_details(
    http: ClientSession, checkout: MemoryCheckout, error: Exception, expected: tuple[int, str, str | None]
) -> None:
    link = checkout.create()
    checkout.broken = error
    async with http.get(f"{link.path}/status", headers={TOKEN_HEADER: link.token}) as answer:
        body = await answer.text()
        assert (answer.status, orjson.loads(body)["code"], answer.headers.get("retry-after")) == expected
    assert "secret" not in body


async def test_asking_without_pause_is_refused_before_it_costs_anything(
    http: ClientSession, checkout: MemoryCheckout, clock: ManualClock
) -> None:
    link, other = checkout.create(), checkout.create()
    for _ in range(BURST):
        assert (await status(http, link))[0] == 200
    looked = checkout.views
    async with http.get(f"{link.path}/status", headers={TOKEN_HEADER: link.token}) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert (await answer.json(content_type=None))["code"] == "too_many_requests"
    assert checkout.views == looked
    assert (await status(http, other))[0] == 200
    clock.advance(timedelta(seconds=1))
    assert [(await status(http, link))[0] for _ in range(PER_SECOND)] == [200] * PER_SECOND


def test_memory_of_the_rate_limit_is_bounded(clock: ManualClock, ids: Ids) -> None:
    limit = RateLimit(clock)
    payment_id = ids.new()
    for number in range(LINKS_MAX + 10):
        limit.count(payment_id, str(number))
    assert len(limit._buckets) == LINKS_MAX


async def test_an_order_that_stands_in_the_way_is_named_with_its_wallet_and_the_time(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    link = checkout.create()
    checkout.refusal = AttemptInProgress("x", method="alipay_qr", wallet="alipay", wait_s=301)
    async with http.post(
        f"{link.path}/attempts", json={"method": "wechat_native"}, headers={TOKEN_HEADER: link.token}
    ) as answer:
        problem = orjson.loads(await answer.read())
        assert (answer.status, answer.headers["retry-after"], problem["code"]) == (409, "301", "attempt_in_progress")
    assert problem["running"] == {"method": "alipay_qr", "wallet": "alipay", "wait_s": 301}
    assert "Alipay" in problem["text"]
    assert "6 min" in problem["text"]
    checkout.refusal = AttemptInProgress("x", method="alipay_qr", wallet="alipay")
    async with http.post(f"{link.path}/attempts", data={"token": link.token, "method": "x", "lang": "zh"}) as answer:
        assert answer.status == 409
        assert "Alipay" in await answer.text()  # without a script, as a page


async def test_a_code_whose_time_is_over_is_renewed_and_not_shown(
    http: ClientSession, checkout: MemoryCheckout, clock: ManualClock
) -> None:
    link = checkout.create()
    await pay(http, link, "alipay_qr")
    checkout.change(link, action_expires_at=clock.now() + timedelta(minutes=8))
    assert (await status(http, link))[2]["phase"] == "scan"
    clock.advance(timedelta(minutes=8))
    expired = (await status(http, link))[2]
    assert (expired["phase"], expired["method"], expired["qr"]) == ("renew", "alipay_qr", None)
    async with http.get(link.page(lang="zh")) as answer:
        html = await answer.text()
    assert '<input type="hidden" name="method" value="alipay_qr">' in html
    clock.advance(timedelta(minutes=7))  # and with the payment everything is over
    assert (await status(http, link))[2]["phase"] != "renew"


async def test_the_page_is_made_for_the_device_that_the_browser_states(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    link = checkout.create(open_in_browser=True)
    agents = {"MicroMessenger/8.0 Mobile": Device.WECHAT, "Mobile Safari": Device.PHONE, "Firefox": Device.DESKTOP}
    for agent, device in agents.items():
        async with http.get(link.page(), headers={"user-agent": agent}) as answer:
            assert "open this page in the browser" in " ".join((await answer.text()).split())
        assert checkout.devices[-1] is device
    checkout.change(link, methods=())
    async with http.get(link.page()) as answer:
        assert "Open this page in your browser" in await answer.text()


async def test_a_payer_whom_the_channel_has_to_identify_goes_there_first_and_comes_back(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    link = checkout.create(methods=("wechat_jsapi",))
    checkout.identity_urls["wechat_jsapi"] = "https://open.example/authorize"
    assert await pay(http, link, "wechat_jsapi") == (200, {"redirect": "https://open.example/authorize"})
    assert checkout.attempts == []
    parameters = {"appId": "wx1", "package": "prepay_id=wx2"}
    checkout.actions["wechat_jsapi"] = PayerAction(ActionKind.SDK, orjson.dumps(parameters).decode())
    back = f"{link.path}/identified?token={link.token}&method=wechat_jsapi&account=acc_1&code=c1&state=s1"
    async with http.get(back, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, link.page())
    assert checkout.identified == [IdentityAnswer("wechat_jsapi", "acc_1", "c1", "s1")]
    checkout.change(link, bridge=parameters)
    shown = (await status(http, link))[2]
    assert (shown["phase"], shown["bridge"]) == ("in_app", parameters)
    async with http.get(back.replace(link.token, "another"), allow_redirects=False) as answer:
        assert answer.status == 404
