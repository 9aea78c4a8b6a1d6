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
from wechatpayv3.type import RequestType

from hutong.sandbox.wechat.keys import (
    APPID,
    MCHID,
    OPENIDS,
    PUBLIC_KEY_ID,
    SP_APPID,
    SP_MCHID,
    SUB_APPID,
    SUB_MCHID,
    WeChatSandboxKeys,
)


@pytest.fixture
def gateway(url: str, monkeypatch) -> None:
    # The client names WeChat's own address in its code; that is all that is changed of it.
    monkeypatch.setattr(Core, "_gate_way", property(lambda _: url, lambda _, value: None), raising=False)


@pytest.fixture
async def provider(keys: WeChatSandboxKeys, gateway: None) -> WeChatPay:
    """The client in its mode for service providers."""
    return await asyncio.to_thread(
        WeChatPay,
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=SP_MCHID,
        private_key=keys.provider.key_pem,
        cert_serial_no=keys.provider.serial,
        appid=SP_APPID,
        apiv3_key=keys.provider_api_v3_key,
        notify_url="http://127.0.0.1:1/notify",
        logger=logging.getLogger("wechatpayv3"),
        partner_mode=True,
        timeout=(5, 5),
    )


@pytest.fixture(params=["certificate", "public key"])
async def client(request: pytest.FixtureRequest, keys: WeChatSandboxKeys, gateway: None) -> WeChatPay:
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


@pytest.mark.parametrize(("amount", "taken"), [(29, None), (30, "张三"), (200_000, "张三")])
async def test_the_client_names_the_payee_for_wechat_alone(client: WeChatPay, url: str, amount: int, taken) -> None:
    number = f"t{uuid4().hex[:30]}"
    infos = [{"info_type": "活动名称", "info_content": "新会员有礼"}]
    status, text = await asyncio.to_thread(
        client.mch_transfer_bills, number, "1000", OPENIDS[APPID], amount, "prize", user_name="张三",
        transfer_scene_report_infos=infos,
    )  # fmt: skip
    assert status == 200, text
    async with aiohttp.ClientSession() as session, session.get(f"{url}/control/wechat/payouts") as response:
        (payout,) = (await response.json())["payouts"]
    assert payout["payee"].get("name") == taken


async def test_a_transfer_with_a_name_that_does_not_fit_its_amount_is_refused(client: WeChatPay) -> None:
    for amount, name in ((29, "张三"), (200_000, None), (100, 7)):
        transfer = {
            "appid": APPID,
            "out_bill_no": f"t{uuid4().hex[:30]}",
            "transfer_scene_id": "1000",
            "openid": OPENIDS[APPID],
            "transfer_amount": amount,
            "transfer_remark": "prize",
            "transfer_scene_report_infos": [{"info_type": "活动名称", "info_content": "新会员有礼"}],
        }
        if name is not None:
            transfer["user_name"] = client._core.encrypt(name) if isinstance(name, str) else name
        status, text = await asyncio.to_thread(
            client._core.request,
            "/v3/fund-app/mch-transfer/transfer-bills",
            RequestType.POST,
            transfer,
            cipher_data=True,
        )
        assert (status, json.loads(text)["code"]) == (400, "PARAM_ERROR")
        assert "收款用户姓名" in json.loads(text)["message"]


async def test_the_client_of_a_service_provider_is_paid_refunds_and_fetches_the_bill(
    provider: WeChatPay, url: str, notices
) -> None:
    notify_url, taken = notices
    number, status, placed = await place(provider, sub_mchid=SUB_MCHID, sub_appid=SUB_APPID, notify_url=notify_url)
    assert status == 200
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/control/wechat/pay", json={"code_url": placed["code_url"]})
    paid = (await asyncio.to_thread(provider.callback, *await taken.get()))["resource"]
    names = {"sp_mchid": SP_MCHID, "sp_appid": SP_APPID, "sub_mchid": SUB_MCHID, "sub_appid": SUB_APPID}
    assert {name: paid[name] for name in names} == names
    assert set(paid["payer"]) == {"sp_openid", "sub_openid"}
    _, text = await asyncio.to_thread(provider.query, out_trade_no=number, sub_mchid=SUB_MCHID)
    assert json.loads(text) == paid
    refund = {"out_refund_no": f"r{number[:20]}", "sub_mchid": SUB_MCHID}
    amount = {"refund": 888, "total": 8800, "currency": "CNY"}
    status, text = await asyncio.to_thread(
        provider.refund, out_trade_no=number, amount=amount, notify_url=notify_url, **refund
    )
    assert status == 200, text
    returned = (await asyncio.to_thread(provider.callback, *await asyncio.wait_for(taken.get(), 10)))["resource"]
    assert (returned["sp_mchid"], returned["sub_mchid"], returned["refund_status"]) == (SP_MCHID, SUB_MCHID, "SUCCESS")
    status, text = await asyncio.to_thread(provider.query_refund, **refund)
    assert (status, json.loads(text)["status"]) == (200, "SUCCESS")
    day = (datetime.now(UTC) + timedelta(hours=8)).date().isoformat()
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/control/wechat/bill", json={"day": day, "kind": "partner_trade"})
    status, text = await asyncio.to_thread(provider.trade_bill, bill_date=day, sub_mchid=SUB_MCHID)
    _, bill = await asyncio.to_thread(provider.download_bill, json.loads(text)["download_url"])
    assert f"`{SP_APPID},`{SP_MCHID},`{SUB_MCHID},".encode() in gzip.decompress(bill)


async def test_the_client_closes_an_order_of_a_merchant_under_it(provider: WeChatPay) -> None:
    number, *_ = await place(provider, sub_mchid=SUB_MCHID)
    status, text = await asyncio.to_thread(provider.close, out_trade_no=number, sub_mchid=SUB_MCHID)
    assert (status, text) == (204, b"")
    status, text = await asyncio.to_thread(provider.query, out_trade_no=number, sub_mchid=SUB_MCHID)
    assert (status, json.loads(text)["trade_state"]) == (200, "CLOSED")


async def test_a_service_provider_and_a_merchant_on_its_own_have_interfaces_of_their_own(
    provider: WeChatPay, client: WeChatPay
) -> None:
    number, *_ = await place(client)
    theirs, *_ = await place(provider, sub_mchid=SUB_MCHID)
    for caller, other in ((provider, theirs), (client, number)):
        caller._partner_mode = not caller._partner_mode
        _, status, answer = await place(caller, sub_mchid=SUB_MCHID)
        assert (status, answer["code"]) == (400, "PARAM_ERROR")
        status, text = await asyncio.to_thread(caller.query, out_trade_no=other, sub_mchid=SUB_MCHID)
        assert (status, json.loads(text)["code"]) == (400, "PARAM_ERROR")
        caller._partner_mode = not caller._partner_mode
    status, text = await asyncio.to_thread(client.query, out_trade_no=theirs)
    assert (status, json.loads(text)["code"]) == (404, "ORDER_NOT_EXIST")
    status, text = await asyncio.to_thread(provider.query, out_trade_no=number, sub_mchid=SUB_MCHID)
    assert (status, json.loads(text)["code"]) == (404, "ORDER_NOT_EXIST")
    _, status, answer = await place(provider, sub_mchid="1900000999")
    assert (status, answer["code"]) == (403, "NO_AUTH")
    _, status, answer = await place(provider, sub_mchid=SUB_MCHID, sub_appid=APPID)
    assert (status, answer["code"]) == (400, "APPID_MCHID_NOT_MATCH")
    amount = {"refund": 1, "total": 8800, "currency": "CNY"}
    client._partner_mode = True  # so that it names a merchant under it, which it has not
    for caller, sub_mchid in ((client, SUB_MCHID), (provider, "1900000999")):
        status, text = await asyncio.to_thread(
            caller.refund, out_refund_no="refund_1", out_trade_no=number, amount=amount, sub_mchid=sub_mchid
        )
        assert (status, json.loads(text)["code"]) == (400, "PARAM_ERROR")


async def test_the_client_answers_a_complaint(client: WeChatPay, url: str, notices) -> None:
    notify_url, taken = notices
    number, *_ = await place(client)
    status, text = await asyncio.to_thread(client.complaint_notification_create, notify_url)
    assert (status, json.loads(text)["url"]) == (200, notify_url)
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/control/wechat/pay", json={"order_no": number})
        await session.post(f"{url}/control/wechat/dispute", json={"order_no": number, "statement": "没有收到"})
    notice = await asyncio.to_thread(client.callback, *await taken.get())
    assert (notice["event_type"], notice["resource"]["action_type"]) == ("COMPLAINT.CREATE", "CREATE_COMPLAINT")
    complaint = notice["resource"]["complaint_id"]

    day = (datetime.now(UTC) + timedelta(hours=8)).date().isoformat()
    status, text = await asyncio.to_thread(client.complaint_list_query, day, complainted_mchid=MCHID)
    listed = json.loads(text)
    assert (status, listed["total_count"], listed["data"][0]["complaint_id"]) == (200, 1, complaint)
    status, text = await asyncio.to_thread(client.complaint_detail_query, complaint)
    found = json.loads(text)
    assert (found["complaint_state"], found["complaint_detail"]) == ("PENDING", "没有收到")
    assert found["complaint_order_info"][0]["out_trade_no"] == number

    for verb, expected, action in (
        (lambda: client.complaint_response(complaint, "马上处理"), "PROCESSING", "MERCHANT_RESPONSE"),
        (lambda: client.complaint_complete(complaint), "PROCESSED", "MERCHANT_CONFIRM_COMPLETE"),
    ):
        assert (await asyncio.to_thread(verb))[0] == 204
        notice = await asyncio.to_thread(client.callback, *await taken.get())
        assert (notice["event_type"], notice["resource"]["action_type"]) == ("COMPLAINT.STATE_CHANGE", action)
        _, text = await asyncio.to_thread(client.complaint_detail_query, complaint)
        assert json.loads(text)["complaint_state"] == expected
    status, text = await asyncio.to_thread(client.complaint_complete, complaint)
    assert (status, json.loads(text)["code"]) == (400, "INVALID_REQUEST")
    _, text = await asyncio.to_thread(client.complaint_history_query, complaint)
    assert [entry["operate_type"] for entry in json.loads(text)["data"]] == [
        "USER_CREATE_COMPLAINT", "MERCHANT_RESPONSE", "MERCHANT_CONFIRM_COMPLETE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("begin_date=2026-01-01&end_date=2026-02-02", "30天"),
        ("begin_date=2026-01-02&end_date=2026-01-01", "30天"),
        ("begin_date=x&end_date=2026-01-01", "begin_date"),
        ("begin_date=2026-01-01&end_date=2026-01-01&limit=51", "limit"),
        ("begin_date=2026-01-01&end_date=2026-01-01&limit=0", "limit"),
        ("begin_date=2026-01-01&end_date=2026-01-01&offset=-1", "offset"),
    ],
)
async def test_a_list_of_complaints_is_refused_by_its_field(provider: WeChatPay, query: str, reason: str) -> None:
    status, text = await asyncio.to_thread(provider._core.request, f"/v3/merchant-service/complaints-v2?{query}")
    assert (status, json.loads(text)["code"]) == (400, "PARAM_ERROR")
    assert reason in text
