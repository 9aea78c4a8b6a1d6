"""The WeChat Pay simulator is honest: an independent client uses it and accepts its answers."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.core import Core

from hutong.sandbox.wechat.keys import APPID, MCHID, PUBLIC_KEY_ID, WeChatSandboxKeys


@pytest.fixture(params=["certificate", "public key"])
async def client(request: pytest.FixtureRequest, keys: WeChatSandboxKeys, url: str, monkeypatch) -> WeChatPay:
    # The client names WeChat's own address in its code; that is all that is changed of it.
    monkeypatch.setattr(Core, "_gate_way", property(lambda _: url, lambda _, value: None), raising=False)
    public = {"public_key": keys.public.public_pem, "public_key_id": PUBLIC_KEY_ID}
    return await asyncio.to_thread(
        WeChatPay,
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=MCHID,
        private_key=keys.merchant.key_pem,
        cert_serial_no=keys.merchant.serial,
        appid=APPID,
        apiv3_key=keys.api_v3_key,
        notify_url="http://127.0.0.1:1/notify",
        logger=logging.getLogger("wechatpayv3"),
        timeout=(5, 5),
        **(public if request.param == "public key" else {}),
    )


async def place(client: WeChatPay, **fields: Any) -> tuple[str, int, dict[str, Any]]:
    number = uuid4().hex
    asked = {"description": "糖醋排骨", "out_trade_no": number, "amount": {"total": 8800, "currency": "CNY"}} | fields
    status, text = await asyncio.to_thread(client.pay, **asked)
    return asked["out_trade_no"], status, json.loads(text)


async def test_the_client_places_queries_and_closes_an_order(client: WeChatPay) -> None:
    number, status, placed = await place(client)
    assert status == 200
    assert placed["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")

    status, text = await asyncio.to_thread(client.query, out_trade_no=number)
    assert (status, json.loads(text)["trade_state"]) == (200, "NOTPAY")

    status, text = await asyncio.to_thread(client.close, out_trade_no=number)
    assert (status, text) == (204, b"")
    status, text = await asyncio.to_thread(client.query, out_trade_no=number)
    assert (status, json.loads(text)["trade_state"]) == (200, "CLOSED")


async def test_the_client_accepts_the_notification(client: WeChatPay, url: str, notices) -> None:
    notify_url, taken = notices
    number, _, placed = await place(client, notify_url=notify_url)
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/control/wechat/pay", json={"code_url": placed["code_url"]})
    headers, body = await taken.get()

    notice = await asyncio.to_thread(client.callback, headers, body)
    assert notice["event_type"] == "TRANSACTION.SUCCESS"
    paid = notice["resource"]
    assert (paid["out_trade_no"], paid["trade_state"], paid["amount"]["total"]) == (number, "SUCCESS", 8800)
    assert (paid["mchid"], paid["appid"]) == (MCHID, APPID)
    _, text = await asyncio.to_thread(client.query, out_trade_no=number)
    assert json.loads(text) == paid

    assert await asyncio.to_thread(client.callback, headers, body.replace(b"TRANSACTION", b"transaction")) is None


async def test_the_client_gets_the_reason_of_a_refusal(client: WeChatPay) -> None:
    status, text = await asyncio.to_thread(client.query, out_trade_no=uuid4().hex)
    assert (status, json.loads(text)["code"]) == (404, "ORDER_NOT_EXIST")
    _, status, answer = await place(client, amount={"total": 0, "currency": "CNY"})
    assert (status, answer["code"]) == (400, "PARAM_ERROR")
    number, *_ = await place(client)
    _, status, answer = await place(client, out_trade_no=number, amount={"total": 1, "currency": "CNY"})
    assert (status, answer["code"]) == (403, "OUT_TRADE_NO_USED")


async def test_the_client_refunds_queries_and_is_notified(client: WeChatPay, url: str, notices) -> None:
    notify_url, taken = notices
    number, _, _ = await place(client, notify_url=notify_url)
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/control/wechat/pay", json={"order_no": number})
        await taken.get()
        status, text = await asyncio.to_thread(
            client.refund,
            out_refund_no=f"r{number[:20]}",
            out_trade_no=number,
            amount={"refund": 888, "total": 8800, "currency": "CNY"},
            notify_url=notify_url,
        )
        assert (status, json.loads(text)["status"]) == (200, "PROCESSING")
    headers, body = await asyncio.wait_for(taken.get(), 10)
    notice = await asyncio.to_thread(client.callback, headers, body)
    assert notice["event_type"] == "REFUND.SUCCESS"
    assert (notice["resource"]["refund_status"], notice["resource"]["amount"]["refund"]) == ("SUCCESS", 888)
    status, text = await asyncio.to_thread(client.query_refund, out_refund_no=f"r{number[:20]}")
    assert (status, json.loads(text)["status"]) == (200, "SUCCESS")
    _, text = await asyncio.to_thread(client.query, out_trade_no=number)
    assert json.loads(text)["trade_state"] == "REFUND"


async def test_the_client_fetches_the_bill(client: WeChatPay, url: str) -> None:
    number, _, _ = await place(client)
    day = (datetime.now(UTC) + timedelta(hours=8)).date().isoformat()
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/control/wechat/pay", json={"order_no": number})
        await session.post(f"{url}/control/wechat/bill", json={"day": day})
    status, text = await asyncio.to_thread(client.trade_bill, bill_date=day)
    content = json.loads(text)
    assert (status, content["hash_type"]) == (200, "SHA1")
    _, bill = await asyncio.to_thread(client.download_bill, content["download_url"])
    body = gzip.decompress(bill)
    assert hashlib.sha1(body, usedforsecurity=False).hexdigest() == content["hash_value"]
    assert f"`{number},".encode() in body


async def test_the_client_sends_a_transfer_and_asks(client: WeChatPay, url: str) -> None:
    number = f"t{uuid4().hex[:30]}"
    status, text = await asyncio.to_thread(
        client.mch_transfer_bills,
        out_bill_no=number,
        transfer_scene_id="1000",
        openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
        transfer_amount=100,
        transfer_remark="prize",
        transfer_scene_report_infos=[{"info_type": "活动名称", "info_content": "新会员有礼"}],
    )
    content = json.loads(text)
    assert (status, content["state"], content["out_bill_no"]) == (200, "WAIT_USER_CONFIRM", number)
    status, text = await asyncio.to_thread(client.mch_transfer_bills_query, out_bill_no=number)
    assert (status, json.loads(text)["transfer_amount"]) == (200, 100)
