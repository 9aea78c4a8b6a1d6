"""The UnionPay simulator refuses what UnionPay refuses, and what it signs holds under another program's eyes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.clock import ManualClock
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.unionpay.authorizations import UnionPayAuthorizationSimulator
from hutong.sandbox.unionpay.keys import MER_ID, Issued, UnionPaySandboxKeys
from hutong.sandbox.unionpay.orders import UnionPayOrders
from hutong.sandbox.unionpay.simulator import UnionPaySimulator
from hutong.sandbox.unionpay.validation import UnionPayRefusal

ORDER_NO = "att01kas0000000000000000000zz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unionpay-sandbox")


@pytest.fixture(scope="module")
def own(folder: Path) -> UnionPaySandboxKeys:
    return UnionPaySandboxKeys.load(folder / "unionpay")


@pytest.fixture
async def url(folder: Path, own) -> AsyncIterator[str]:
    async with serve(SandboxSettings(folder, speed=1000)) as address:
        yield address


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def request(own: UnionPaySandboxKeys, **changed: str | None) -> dict[str, str]:
    fields: dict[str, str | None] = {
        "version": "5.1.0",
        "encoding": "UTF-8",
        "signMethod": "01",
        "certId": str(own.merchant.certificate.serial_number),
        "txnType": "01",
        "txnSubType": "07",
        "bizType": "000000",
        "channelType": "08",
        "accessType": "0",
        "merId": MER_ID,
        "orderId": ORDER_NO,
        "txnTime": "20260101080000",
        "txnAmt": "8800",
        "currencyCode": "156",
        "backUrl": "http://127.0.0.1:1/notify",
    } | changed
    return {name: value for name, value in fields.items() if value is not None}


def sign(signer: Issued, fields: dict[str, str]) -> dict[str, str]:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
    digest = hashlib.sha256(text.encode()).hexdigest().encode()
    return fields | {"signature": base64.b64encode(signer.key.sign(digest, PKCS1v15(), SHA256())).decode()}


async def post(session: aiohttp.ClientSession, url: str, fields: dict[str, str], path: str = "backTransReq") -> Any:
    async with session.post(f"{url}/gateway/api/{path}.do", data=fields) as response:
        assert response.status == 200
        text = await response.text()
    return dict(part.split("=", 1) for part in text.split("&"))


async def test_a_good_request_is_taken_and_repeats_what_it_was_asked(url: str, session, own) -> None:
    answer = await post(session, url, sign(own.merchant, request(own)))
    assert (answer["respCode"], answer["respMsg"]) == ("00", "成功[0000000]")
    assert answer["qrCode"].startswith("https://qr.95516.com/")
    asked = request(own)
    assert all(answer[name] == asked[name] for name in ("merId", "orderId", "txnTime", "txnType", "txnSubType"))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"version": "5.0.0"}, "10"),
        ({"encoding": "GBK"}, "10"),
        ({"signMethod": "11"}, "10"),
        ({"merId": "777290058110097"}, "10"),
        ({"orderId": "att_01kas"}, "10"),
        ({"orderId": "a" * 7}, "10"),
        ({"orderId": "a" * 41}, "10"),
        ({"txnTime": "20261301080000"}, "10"),
        ({"txnAmt": "0"}, "10"),
        ({"txnAmt": "088"}, "10"),
        ({"txnAmt": "88.00"}, "10"),
        ({"currencyCode": "840"}, "10"),
        ({"bizType": "000201"}, "10"),
        ({"txnType": "02"}, "10"),
        ({"orderDesc": "a&b"}, "10"),
        ({"orderDesc": "x" * 33}, "10"),
        ({"payTimeout": "20260101075959"}, "10"),
        ({"backUrl": "ftp://x"}, "10"),
        ({"unheardOf": "1"}, "10"),
        ({"txnAmt": None}, "13"),
        ({"backUrl": None}, "13"),
        ({"txnTime": None}, "13"),
        ({"certId": "1"}, "11"),
    ],
)
async def test_what_unionpay_would_refuse_is_refused(url: str, session, own, changed, code: str) -> None:
    answer = await post(session, url, sign(own.merchant, request(own, **changed)))
    assert answer["respCode"] == code
    assert "qrCode" not in answer


async def test_a_wrong_signature_is_refused(url: str, session, own) -> None:
    good = sign(own.merchant, request(own))
    for bad in (good | {"txnAmt": "1"}, good | {"signature": "AAAA"}, sign(own.signer, request(own))):
        assert (await post(session, url, bad))["respCode"] == "11"
    del good["signature"]
    assert (await post(session, url, good))["respCode"] == "11"


async def test_an_interface_takes_its_own_transactions_only(url: str, session, own) -> None:
    assert (await post(session, url, sign(own.merchant, request(own)), "queryTrans"))["respCode"] == "10"


async def test_the_same_number_for_another_order_is_refused(url: str, session, own) -> None:
    first = await post(session, url, sign(own.merchant, request(own)))
    again = await post(session, url, sign(own.merchant, request(own)))
    assert again["qrCode"] == first["qrCode"]
    for changed in ({"txnAmt": "1"}, {"txnTime": "20260101080001"}):
        assert (await post(session, url, sign(own.merchant, request(own, **changed))))["respCode"] == "12"


async def test_an_answer_is_proven_by_openssl(url: str, session, own, tmp_path: Path) -> None:
    answer = await post(session, url, sign(own.merchant, request(own)))
    _openssl_believes(own, answer, tmp_path)


async def test_a_notification_is_proven_by_openssl_and_repeated_until_it_is_taken(
    url: str, session, own, tmp_path: Path
) -> None:
    taken: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(got: web.Request) -> web.Response:
        await taken.put(await got.read())
        return web.Response(status=answers.pop(0))

    answers = [500, 404, 200]
    app = web.Application()
    app.router.add_post("/notify", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    back_url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    try:
        await post(session, url, sign(own.merchant, request(own, backUrl=back_url)))
        async with session.post(f"{url}/control/unionpay/pay", json={"order_no": ORDER_NO}) as response:
            assert response.status == 200
        seen = [await asyncio.wait_for(taken.get(), 5) for _ in range(3)]
    finally:
        await runner.cleanup()
    assert len(set(seen)) == 1
    fields = dict(parse_qsl(seen[0].decode(), strict_parsing=True))
    assert (fields["respCode"], fields["txnAmt"], fields["orderId"]) == ("00", "8800", ORDER_NO)
    _openssl_believes(own, fields, tmp_path)


def reserved(clock: ManualClock) -> tuple[UnionPayAuthorizationSimulator, dict[str, str], SandboxOrder]:
    """Money that is reserved, with the fields of what may follow."""
    store = Store("unionpay", clock)
    orders = UnionPayOrders(store)
    fields = {"orderId": ORDER_NO, "txnTime": "20260101080000", "txnAmt": "8800", "backUrl": "", "channelType": "08"}
    fields |= {"txnType": "02", "txnSubType": "01", "bizType": "000201", "accessType": "0"}
    orders.place(fields)
    order = store.orders[ORDER_NO]
    store.pay(order)
    order.data["authorized_at"] = order.changed_at
    following = fields | {
        "txnType": "03",
        "txnSubType": "00",
        "orderId": "follow00001",
        "origQryId": order.channel_order_no,
    }
    return UnionPayAuthorizationSimulator(store, lambda _: None), following, order


@pytest.mark.parametrize(
    ("after", "changed", "code"),
    [
        (timedelta(days=30), {"txnAmt": "10120"}, None),  # 115 percent
        (timedelta(days=30), {"txnAmt": "10121"}, "36"),
        (timedelta(days=30, seconds=1), {}, "35"),
        (timedelta(0), {"origQryId": "1" * 21}, "35"),
        (timedelta(0), {"orderId": ORDER_NO}, "12"),
        (timedelta(hours=6, minutes=59), {"txnType": "32"}, None),
        (timedelta(hours=7), {"txnType": "32"}, "36"),  # 23:00 in Beijing
        (timedelta(0), {"txnType": "32", "txnAmt": "8799"}, "36"),
    ],
)
def test_reserved_money_is_completed_and_released_by_unionpays_rules(after, changed, code) -> None:
    clock = ManualClock(datetime(2026, 1, 1, 8, tzinfo=UTC))
    simulator, fields, order = reserved(clock)
    clock.advance(after)
    fields |= changed
    follow = simulator.release if fields["txnType"] == "32" else simulator.complete
    if code is None:
        assert follow(dict(fields))["respCode"] == "00"
        assert order.state is (OrderState.CLOSED if fields["txnType"] == "32" else OrderState.PAID)
        with pytest.raises(UnionPayRefusal) as again:
            follow(fields | {"orderId": "follow00002"})
        assert again.value.code == "35"  # once
        return
    with pytest.raises(UnionPayRefusal) as caught:
        follow(dict(fields))
    assert (caught.value.code, order.state) == (code, OrderState.AUTHORIZED)


@pytest.mark.parametrize(("path", "changed"), [("appTransReq", {"channelType": "07"}), ("backTransReq", {})])
async def test_an_order_for_an_application_is_taken_at_its_own_address(url, session, own, path, changed) -> None:
    fields = request(own, txnSubType="01", bizType="000201", orderId=f"{ORDER_NO[:-1]}a", **changed)
    assert (await post(session, url, sign(own.merchant, fields), path))["respCode"] == "10"
    good = sign(own.merchant, fields | {"channelType": "08"})
    assert len((await post(session, url, good, "appTransReq"))["tn"]) == 21


def test_the_waits_between_notifications_are_unionpays() -> None:
    assert UnionPaySimulator.schedule_s == (60, 120, 240, 300)
    assert UnionPaySimulator.accepted(200, b"anything")
    assert not UnionPaySimulator.accepted(302, b"ok")


def _openssl_believes(own: UnionPaySandboxKeys, fields: dict[str, str], folder: Path) -> None:
    """Put the message together as UnionPay's rules say, and let OpenSSL check certificate chain and signature."""
    signed = {name: value for name, value in fields.items() if name != "signature"}
    text = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
    (folder / "root.pem").write_text(own.root.certificate_pem)
    (folder / "middle.pem").write_text(own.middle.certificate_pem)
    (folder / "signer.pem").write_text(fields["signPubKeyCert"])
    (folder / "digest").write_text(hashlib.sha256(text.encode()).hexdigest())
    (folder / "signature").write_bytes(base64.b64decode(fields["signature"]))
    _run("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "middle.pem", "signer.pem", folder=folder)
    key = _run("openssl", "x509", "-in", "signer.pem", "-pubkey", "-noout", folder=folder)
    (folder / "key.pem").write_text(key)
    output = _run(
        "openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "digest", folder=folder
    )
    assert output.strip() == "Verified OK"


def _run(*command: str, folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
