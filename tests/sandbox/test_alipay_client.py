"""The Alipay simulator is honest: an independent client uses it and accepts its answers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import aiohttp
import pytest
from alipay import AliPay, DCAliPay
from alipay.exceptions import AliPayValidationError

from hutong.sandbox.alipay.keys import APP_ID, SELLER_ID, AlipaySandboxKeys


@pytest.fixture(scope="session")
def alipay_keys(folder: Path) -> AlipaySandboxKeys:
    return AlipaySandboxKeys.load(folder / "alipay")


@pytest.fixture(params=["public key", "certificate"])
def client(request: pytest.FixtureRequest, alipay_keys: AlipaySandboxKeys, url: str) -> AliPay:
    keys, common = alipay_keys, {"appid": APP_ID, "app_private_key_string": alipay_keys.application.key_pem}
    made = (
        AliPay(**common, alipay_public_key_string=keys.public.public_pem)
        if request.param == "public key"
        else DCAliPay(
            **common,
            app_public_key_cert_string=keys.application.certificate_pem,
            alipay_public_key_cert_string=keys.platform.certificate_pem,
            alipay_root_cert_string=keys.root.certificate_pem,
        )
    )
    # The client names Alipay's own address in its code; that is all that is changed of it.
    made._gateway = f"{url}/gateway.do"
    return made


async def place(client: AliPay, **fields: Any) -> tuple[str, dict[str, Any]]:
    asked = {"subject": "糖醋排骨", "out_trade_no": uuid4().hex, "total_amount": "88.00"} | fields
    return asked["out_trade_no"], await asyncio.to_thread(client.api_alipay_trade_precreate, **asked)


async def control(url: str, path: str, **fields: Any) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/control/alipay/{path}", json=fields) as reply:
        assert reply.status == 200, await reply.text()


async def test_the_client_places_queries_and_closes_an_order(client: AliPay, url: str) -> None:
    number, placed = await place(client)
    assert placed["code"] == "10000"
    assert placed["qr_code"].startswith("https://qr.alipay.com/")

    absent = await asyncio.to_thread(client.api_alipay_trade_query, out_trade_no=number)
    assert (absent["code"], absent["sub_code"]) == ("40004", "ACQ.TRADE_NOT_EXIST")  # nobody has scanned the code yet
    await control(url, "scan", code_url=placed["qr_code"])
    open_ = await asyncio.to_thread(client.api_alipay_trade_query, out_trade_no=number)
    assert (open_["trade_status"], open_["total_amount"]) == ("WAIT_BUYER_PAY", "88.00")

    closed = await asyncio.to_thread(client.api_alipay_trade_close, out_trade_no=number)
    assert (closed["code"], closed["out_trade_no"]) == ("10000", number)
    after = await asyncio.to_thread(client.api_alipay_trade_query, out_trade_no=number)
    assert after["trade_status"] == "TRADE_CLOSED"


async def test_the_client_proves_the_notification_and_refunds(client: AliPay, url: str, notices) -> None:
    notify_url, taken = notices
    number, placed = await place(client, notify_url=notify_url)
    await control(url, "pay", code_url=placed["qr_code"])
    fields = dict(parse_qsl((await taken.get())[1].decode(), strict_parsing=True))
    signature = fields.pop("sign")
    assert client.verify(dict(fields), signature)
    assert not client.verify(fields | {"total_amount": "88.01"}, signature)
    assert (fields["out_trade_no"], fields["trade_status"], fields["total_amount"]) == (
        number,
        "TRADE_SUCCESS",
        "88.00",
    )
    assert (fields["app_id"], fields["seller_id"]) == (APP_ID, SELLER_ID)

    first = {"out_trade_no": number, "refund_amount": "8.00", "out_request_no": f"{number}_1"}
    given = await asyncio.to_thread(client.api_alipay_trade_refund, **first)
    assert (given["fund_change"], given["refund_fee"]) == ("Y", "8.00")
    again = await asyncio.to_thread(client.api_alipay_trade_refund, **first)
    assert (again["fund_change"], again["refund_fee"]) == ("N", "8.00")
    found = await asyncio.to_thread(
        client.api_alipay_trade_fastpay_refund_query, out_request_no=f"{number}_1", out_trade_no=number
    )
    assert (found["refund_status"], found["refund_amount"]) == ("REFUND_SUCCESS", "8.00")
    over = first | {"refund_amount": "80.01", "out_request_no": f"{number}_2"}
    refused = await asyncio.to_thread(client.api_alipay_trade_refund, **over)
    assert refused["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"


async def test_the_client_takes_money_by_the_payers_code_and_cancels(client: AliPay) -> None:
    asked = {"scene": "bar_code", "subject": "咖啡", "total_amount": "12.50", "out_trade_no": uuid4().hex}
    paid = await asyncio.to_thread(client.api_alipay_trade_pay, auth_code="28763443825664394", **asked)
    assert (paid["code"], paid["total_amount"]) == ("10000", "12.50")
    cancelled = await asyncio.to_thread(client.api_alipay_trade_cancel, out_trade_no=asked["out_trade_no"])
    assert (cancelled["code"], cancelled["action"]) == ("10000", "refund")
    other = asked | {"out_trade_no": uuid4().hex}
    poor = await asyncio.to_thread(client.api_alipay_trade_pay, auth_code="28763443825664391", **other)
    assert poor["sub_code"] == "ACQ.BUYER_BALANCE_NOT_ENOUGH"


@pytest.mark.parametrize("way", ["page", "wap", "app"])
async def test_the_page_that_the_client_signs_opens_the_order(client: AliPay, url: str, way: str) -> None:
    asked = {"subject": "糖醋排骨", "out_trade_no": uuid4().hex, "total_amount": "88.00"}
    order_string = getattr(client, f"api_alipay_trade_{way}_pay")(**asked)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{client._gateway}?{order_string}") as page:
            assert page.status == 200
            assert "¥88.00 CNY" in re.sub("<[^>]*>", "", await page.text())
        async with session.get(f"{client._gateway}?{order_string.replace('88.00', '88.01')}") as page:
            assert "isv.invalid-signature" in await page.text()
    found = await asyncio.to_thread(client.api_alipay_trade_query, out_trade_no=asked["out_trade_no"])
    assert found["trade_status"] == "WAIT_BUYER_PAY"


async def test_the_client_gets_the_reason_of_a_refusal(
    client: AliPay, url: str, alipay_keys: AlipaySandboxKeys
) -> None:
    number, placed = await place(client)
    await control(url, "scan", code_url=placed["qr_code"])
    _, answer = await place(client, out_trade_no=number, total_amount="0.01")
    assert answer["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"
    for wrong in ("0", "-1", "1.001", "1e3", "100000000.01"):
        _, answer = await place(client, total_amount=wrong)
        assert answer["code"] == "40004"
    await control(url, "next", interface="query", kind="bad_signature")
    with pytest.raises(AliPayValidationError):
        await asyncio.to_thread(client.api_alipay_trade_query, out_trade_no=number)
    client._appid = "2021000000000000"
    # The refusal comes in GBK, which this client cannot read; it cannot at the real Alipay either.
    with pytest.raises(UnicodeDecodeError) as unread:
        await asyncio.to_thread(client.api_alipay_trade_query, out_trade_no=number)
    refusal = json.loads(unread.value.object.decode("gbk"))["alipay_trade_query_response"]
    assert (refusal["sub_code"], refusal["sub_msg"]) == ("isv.invalid-app-id", "无效的AppID参数")


async def test_the_client_sends_money_and_learns_a_certificate(
    client: AliPay, url: str, alipay_keys: AlipaySandboxKeys
) -> None:
    if not isinstance(client, DCAliPay):
        return  # Alipay sends money in certificate mode only, and so does this client
    asked = {"identity_type": "ALIPAY_USER_ID", "identity": "2088101117955611", "trans_amount": "1.00"}
    sent = await asyncio.to_thread(
        client.api_alipay_fund_trans_uni_transfer, out_biz_no=uuid4().hex, order_title="佣金", name="张三", **asked
    )
    assert (sent["code"], sent["status"]) == ("10000", "SUCCESS")
    wanted = client.get_cert_sn(alipay_keys.successor.certificate_pem)
    order_string = client.api_alipay_open_app_alipaycert_download(wanted)
    async with aiohttp.ClientSession() as session, session.get(f"{client._gateway}?{order_string}") as reply:
        answer = json.loads(await reply.text())
    assert answer["alipay_open_app_alipaycert_download_response"]["code"] == "10000"
    assert client.get_cert_sn(client._app_public_key_cert_string) == alipay_keys.application.serial
