"""The simulator is as strict as WeChat Pay, misbehaves on request, and records its actions in the truth log."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.wechat.keys import APPID, MCHID, PUBLIC_KEY_ID, WeChatSandboxKeys
from hutong.sandbox.wechat.simulator import SCHEDULE_S
from support.sandbox_merchant import PLACE, SPEED, Merchant


@pytest.fixture
async def platform() -> AsyncIterator[Any]:
    """Takes notifications and gives the configured answers."""

    class Platform:
        url = ""
        taken: asyncio.Queue[bytes] = asyncio.Queue()
        answers: list[int] = []  # noqa: RUF012

    async def take(request: web.Request) -> web.Response:
        Platform.taken.put_nowait(await request.read())
        return web.Response(status=Platform.answers.pop(0) if Platform.answers else 200)

    app = web.Application()
    app.router.add_post("/notify", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    Platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    yield Platform
    await runner.cleanup()


async def until_accepted(merchant: Merchant, order: dict[str, Any], notifications: int) -> dict[str, Any]:
    while True:
        shown = next(o for o in (await merchant.shown("orders"))["orders"] if o["order_no"] == order["out_trade_no"])
        if shown["accepted"] or shown["notified"] >= notifications:
            return shown
        await asyncio.sleep(0.005)


# Strictness.


@pytest.mark.parametrize(
    "changed",
    [
        {"mchid": "1900000110"},
        {"serial_no": "0" * 40},
        {"timestamp": "1"},
        {"timestamp": "soon"},
        {"serial_no": "", "extra": "x"},
    ],
    ids=str,
)
async def test_a_request_that_is_not_signed_as_it_should_be_is_refused(merchant: Merchant, changed) -> None:
    order = merchant.order()
    body = orjson.dumps(order)
    status, answer = await merchant.send(
        "POST", PLACE, body, Authorization=merchant.authorization("POST", PLACE, body, **changed)
    )
    assert (status, answer["code"]) == (401, "SIGN_ERROR")
    assert (await merchant.shown("orders"))["orders"] == []


async def test_a_request_signed_for_something_else_is_refused(merchant: Merchant) -> None:
    body = orjson.dumps(merchant.order())
    for authorization in (
        merchant.authorization("GET", PLACE, body),
        merchant.authorization("POST", PLACE + "?x=1", body),
        merchant.authorization("POST", PLACE, body + b" "),
        merchant.authorization("POST", PLACE, body, key=merchant.keys.platform.key),
        merchant.authorization("POST", PLACE, body).replace("RSA2048", "SM3"),
        "",
    ):
        status, answer = await merchant.send("POST", PLACE, body, Authorization=authorization)
        assert (status, answer["code"]) == (401, "SIGN_ERROR")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", ""),
        ("description", "x" * 128),
        ("description", None),
        ("out_trade_no", "short"),
        ("out_trade_no", "x" * 33),
        ("out_trade_no", "space not allowed"),
        ("notify_url", "ftp://host/"),
        ("notify_url", "http://host/?query=1"),
        ("amount", {"total": 0}),
        ("amount", {"total": -1}),
        ("amount", {"total": "100"}),
        ("amount", {"total": 1.5}),
        ("amount", {"total": True}),
        ("amount", {"total": 100, "currency": "USD"}),
        ("amount", None),
        ("time_expire", "tomorrow"),
        ("time_expire", "2026-01-01T08:00:00"),
        ("time_expire", 7),
    ],
)
async def test_a_wrong_parameter_is_refused(merchant: Merchant, field: str, value: Any) -> None:
    status, answer = await merchant.send("POST", PLACE, merchant.order(**{field: value}))
    assert (status, answer["code"]) == (400, "PARAM_ERROR")
    assert f"“/body/{field}" in answer["message"]
    assert answer["detail"]["location"] == "body"


async def test_characters_of_four_bytes_are_refused_wherever_they_stand(merchant: Merchant) -> None:
    for field in ("description", "attach"):
        status, answer = await merchant.send("POST", PLACE, merchant.order(**{field: "🎁"}))
        assert (status, answer["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b"[]", {}, "PARAM_ERROR"),
        (b"{", {}, "PARAM_ERROR"),
        (None, {"Content-Type": "text/plain"}, "PARAM_ERROR"),
        (None, {"appid": "other"}, "APPID_MCHID_NOT_MATCH"),
    ],
)
async def test_a_request_of_another_kind_is_refused(merchant: Merchant, content, headers, code: str) -> None:
    appid = headers.pop("appid", APPID)
    status, answer = await merchant.send("POST", PLACE, content or merchant.order(appid=appid), **headers)
    assert status >= 400
    assert answer["code"] == code


async def test_each_answer_is_signed_with_the_key_that_was_asked_for(merchant: Merchant) -> None:
    keys = merchant.keys
    for wanted, serial, key in (
        ({}, keys.platform.serial, keys.platform.key),
        ({"Wechatpay-Serial": PUBLIC_KEY_ID}, PUBLIC_KEY_ID, keys.public.key),
    ):
        body = orjson.dumps(merchant.order())
        headers = {"Authorization": merchant.authorization("POST", PLACE, body), "Accept": "*/*"}
        headers |= {"Content-Type": "application/json"} | wanted
        async with merchant.session.post(merchant.url + PLACE, data=body, headers=headers) as response:
            content = await response.read()
            got = response.headers
        assert got["Wechatpay-Serial"] == serial
        message = f"{got['Wechatpay-Timestamp']}\n{got['Wechatpay-Nonce']}\n".encode() + content + b"\n"
        key.public_key().verify(base64.b64decode(got["Wechatpay-Signature"]), message, PKCS1v15(), SHA256())


# Orders.


async def test_an_order_whose_time_has_passed_is_unpaid_until_it_is_closed(merchant: Merchant) -> None:
    end = merchant.clock.now() + timedelta(minutes=5)
    order = await merchant.place(time_expire=end.isoformat())
    merchant.clock.advance(timedelta(minutes=5))
    status, _ = await merchant.control("pay", code_url=order["code_url"])
    assert status == 409
    assert await merchant.state(order) == "NOTPAY"
    status, _ = await merchant.send(
        "POST", f"/v3/pay/transactions/out-trade-no/{order['out_trade_no']}/close", {"mchid": MCHID}
    )
    assert status == 204
    assert await merchant.state(order) == "CLOSED"


async def test_an_end_that_is_too_near_is_put_off_to_one_minute(merchant: Merchant) -> None:
    order = await merchant.place(time_expire=merchant.clock.now().isoformat())
    merchant.clock.advance(timedelta(seconds=59))
    assert (await merchant.control("pay", code_url=order["code_url"]))[0] == 200


async def test_an_order_is_paid_once(merchant: Merchant) -> None:
    order = await merchant.place()
    assert (await merchant.control("pay", code_url=order["code_url"]))[0] == 200
    for path in ("pay", "decline"):
        assert (await merchant.control(path, code_url=order["code_url"]))[0] == 409
    assert (await merchant.control("pay", order_no=order["out_trade_no"], force=True))[0] == 409


async def test_the_truth_log_tells_everything_in_order(merchant: Merchant) -> None:
    paid, declined, closed = [await merchant.place() for _ in range(3)]
    await merchant.control("pay", code_url=paid["code_url"])
    await merchant.control("decline", code_url=declined["code_url"])
    await merchant.send("POST", f"/v3/pay/transactions/out-trade-no/{closed['out_trade_no']}/close", {"mchid": MCHID})
    await merchant.control("pay", order_no=closed["out_trade_no"], force=True)
    truth = (await merchant.shown("truth"))["truth"]
    numbers = {paid["out_trade_no"]: "p", declined["out_trade_no"]: "d", closed["out_trade_no"]: "c"}
    assert [(numbers[entry["order_no"]], entry["event"]) for entry in truth] == [
        ("p", "placed"),
        ("d", "placed"),
        ("c", "placed"),
        ("p", "paid"),
        ("d", "declined"),
        ("c", "closed"),
        ("c", "paid"),
    ]
    assert [entry["seq"] for entry in truth] == list(range(1, 8))
    assert {(entry["amount_minor"], entry["currency"]) for entry in truth} == {(100, "CNY")}
    assert (await merchant.shown("truth?after=5"))["truth"] == truth[5:]


# Notifications.


async def test_a_notification_is_repeated_until_it_is_accepted(merchant: Merchant, platform) -> None:
    platform.answers = [500, 401, 302, 202]
    order = await merchant.place(notify_url=platform.url)
    await merchant.control("pay", code_url=order["code_url"])
    sent = [await platform.taken.get() for _ in range(5)]
    assert len(set(sent)) == 1  # the same notification, by its id and all
    assert (await until_accepted(merchant, order, 5))["notified"] == 5
    await asyncio.sleep(sum(SCHEDULE_S) / SPEED)  # all waits there could be
    assert (await until_accepted(merchant, order, 5))["notified"] == 5


async def test_a_platform_that_never_answers_is_notified_as_often_as_wechat_does(merchant: Merchant) -> None:
    assert sum(SCHEDULE_S) == (24 * 60 + 4) * 60  # 24h4m in all
    order = await merchant.place()
    await merchant.control("pay", code_url=order["code_url"])
    shown = await until_accepted(merchant, order, 16)
    assert (shown["notified"], shown["accepted"]) == (16, False)


async def test_lost_notifications_are_followed_by_one_that_arrives(merchant: Merchant, platform) -> None:
    order = await merchant.place(notify_url=platform.url)
    await merchant.control("pay", code_url=order["code_url"], notify={"lose": 2, "delay_ms": 1})
    await platform.taken.get()
    assert (await until_accepted(merchant, order, 9))["notified"] == 3


async def test_copies_are_sent_whatever_is_answered(merchant: Merchant, platform) -> None:
    await merchant.control("faults", notify={"copies": 4})
    order = await merchant.place(notify_url=platform.url)
    await merchant.control("pay", code_url=order["code_url"])
    for _ in range(4):
        await platform.taken.get()
    assert platform.taken.empty()


async def test_an_eager_payer_pays_unasked(merchant: Merchant, platform) -> None:
    await merchant.control("faults", auto_pay_ms=1)
    order = await merchant.place(notify_url=platform.url)
    await platform.taken.get()
    assert await merchant.state(order) == "SUCCESS"


# Control.


async def test_a_fault_meets_only_the_calls_that_match(merchant: Merchant) -> None:
    await merchant.control("next", interface="place", kind="error", match="coffee", times=2, status=403, code="NO_AUTH")
    assert await merchant.place()
    for _ in range(2):
        status, answer = await merchant.send("POST", PLACE, merchant.order(description="black coffee"))
        assert (status, answer["code"]) == (403, "NO_AUTH")
    assert await merchant.place(description="black coffee")
    assert (await merchant.shown("faults"))["calls"] == []


@pytest.mark.parametrize("kind", ["reply_lost", "paid_reply_lost", "dropped"])
async def test_a_broken_connection_leaves_what_it_says(merchant: Merchant, kind: str) -> None:
    await merchant.control("next", interface="place", kind=kind)
    order = merchant.order()
    with pytest.raises(aiohttp.ClientError):
        await merchant.send("POST", PLACE, order)
    events = [entry["event"] for entry in (await merchant.shown("truth"))["truth"]]
    assert events == {"reply_lost": ["placed"], "paid_reply_lost": ["placed", "paid"], "dropped": []}[kind]


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("pay", {"code_url": "weixin://nothing"}, 404),
        ("pay", {}, 404),
        ("pay", {"code": "x"}, 422),
        ("next", {"interface": "place", "kind": "sulk"}, 422),
        ("next", {"interface": "sing", "kind": "dropped"}, 422),
        ("faults", {"latency_ms": -1}, 422),
    ],
)
async def test_a_wrong_order_to_the_control_api_is_refused(merchant: Merchant, path, fields, status: int) -> None:
    assert (await merchant.control(path, **fields))[0] == status


async def test_reset_takes_all_faults_away(merchant: Merchant) -> None:
    clean = await merchant.shown("faults")
    await merchant.control("faults", latency_ms=1, notify={"lose": 1})
    await merchant.control("next", interface="place", kind="dropped")
    assert await merchant.shown("faults") != clean
    await merchant.control("reset")
    assert await merchant.shown("faults") == clean


async def test_the_sandbox_listens_on_a_socket_that_it_is_given(keys: WeChatSandboxKeys, folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        async with serve(SandboxSettings(folder), sock=given) as url, aiohttp.ClientSession() as session:
            assert url == f"http://127.0.0.1:{given.getsockname()[1]}"
            async with session.get(f"{url}/control/wechat/truth") as response:
                assert await response.json() == {"truth": []}


# The payer's page.


@pytest.mark.parametrize(
    ("language", "texts"), [("zh-CN,zh;q=0.9", ["付款", "拒绝", "等待"]), ("en", ["Pay", "Decline", "Waiting"])]
)
async def test_the_payers_page_shows_the_order_and_two_buttons(merchant: Merchant, language: str, texts) -> None:
    order = await merchant.place(description="<script>alert(1)</script>")
    async with merchant.session.get(
        f"{merchant.url}/payer", params={"code_url": order["code_url"]}, headers={"Accept-Language": language}
    ) as response:
        text = await response.text()
        assert response.status == 200
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert all(part in text for part in [*texts, "¥", "1", ".00", "CNY", "&lt;script&gt;"])
    assert ("Sandbox, no real money" if language == "en" else "沙箱，不涉及真实资金") in text
    assert "<script" not in text
    assert "http" not in text.lower()


@pytest.mark.parametrize(("do", "state"), [("pay", "SUCCESS"), ("decline", "PAYERROR"), ("dance", "NOTPAY")])
async def test_the_payers_buttons_decide(merchant: Merchant, do: str, state: str) -> None:
    order = await merchant.place()
    async with merchant.session.post(
        f"{merchant.url}/payer", data={"code_url": order["code_url"], "do": do}
    ) as response:
        text = await response.text()
    assert await merchant.state(order) == state
    assert ("<button" in text) is (do == "dance")


async def test_an_unknown_code_shows_that_there_is_none(merchant: Merchant) -> None:
    async with merchant.session.get(f"{merchant.url}/payer?code_url=x") as response:
        assert response.status == 404
        assert "<button" not in await response.text()
