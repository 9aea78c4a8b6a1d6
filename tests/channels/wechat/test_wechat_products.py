"""WeChat Pay's products: what each asks for, what the payer's side gets signed, how a code payment goes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from hutong.channels import ActionKind, ChannelState
from hutong.channels.wechat.requests import to_bill_no, to_payout_no
from hutong.errors import InvalidParameter
from hutong.sandbox.wechat.keys import APPID, MCHID, WeChatSandboxKeys
from support.channel_rigs import Rig, order_of
from support.fakes.wechat_messages import proves

pytestmark = pytest.mark.parametrize("rig", ["wechat"], indirect=True)
CODE = "130000000000000001"
POOR = "130000000000000002"
ADDRESS = {"client_ip": "203.0.113.7"}
ASKING = "130000000000000000"


async def test_a_page_gets_the_parameters_that_wechat_documents(rig: Rig, keys: WeChatSandboxKeys, now) -> None:
    request = rig.request(now, method="wechat_jsapi", payer={"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"})
    placed = await rig.channel.pay(request, now=now)
    assert placed.action is not None
    assert placed.action.kind is ActionKind.SDK
    fields: dict[str, str] = json.loads(placed.action.content)
    assert set(fields) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert (fields["appId"], fields["signType"], fields["timeStamp"]) == (APPID, "RSA", str(int(now.timestamp())))
    assert fields["package"].startswith("prepay_id=wx")
    proves(keys.merchant, fields["paySign"], APPID, fields["timeStamp"], fields["nonceStr"], fields["package"])


async def test_an_app_gets_the_parameters_that_wechat_documents(rig: Rig, keys: WeChatSandboxKeys, now) -> None:
    placed = await rig.channel.pay(rig.request(now, method="wechat_app"), now=now)
    assert placed.action is not None
    fields: dict[str, str] = json.loads(placed.action.content)
    assert set(fields) == {"appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"}
    assert (fields["appid"], fields["partnerid"], fields["package"]) == (APPID, MCHID, "Sign=WXPay")
    proves(keys.merchant, fields["sign"], APPID, fields["timestamp"], fields["noncestr"], fields["prepayid"])


async def test_a_telephones_browser_is_sent_to_an_address_and_back(rig: Rig, now) -> None:
    request = rig.request(now, method="wechat_h5", payer=ADDRESS, return_url="https://shop.example/a?b=c&d")
    placed = await rig.channel.pay(request, now=now)
    assert placed.action is not None
    assert placed.action.kind is ActionKind.REDIRECT
    assert placed.action.content.endswith("&redirect_url=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc%26d")


@pytest.mark.parametrize("method", ["wechat_jsapi", "wechat_h5", "wechat_app"])
async def test_each_product_is_paid_and_notified(rig: Rig, receiver, method: str, now) -> None:
    payer = ADDRESS | {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
    request = rig.request(now, method=method, payer=payer, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    notice = rig.channel.parse_notification(*(await receiver.taken.get()), now=now)
    assert (notice.number, notice.answer.state) == (request.attempt_no, ChannelState.SUCCEEDED)
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.SUCCEEDED


async def test_a_code_payment_is_decided_at_once(rig: Rig, now) -> None:
    request = rig.request(now, method="wechat_code", payer={"auth_code": CODE})
    paid = await rig.channel.pay(request, now=now)
    assert (paid.state, paid.amount_minor, paid.action) == (ChannelState.SUCCEEDED, 8800, None)
    assert await rig.channel.query(order_of(request), now=now) == paid
    again = await rig.channel.pay(request, now=now)
    assert (again.state, again.amount_minor) == (ChannelState.SUCCEEDED, 8800)


async def test_a_code_payment_whose_payer_enters_a_password_is_in_doubt_then_paid(rig: Rig, now) -> None:
    request = rig.request(now, method="wechat_code", payer={"auth_code": ASKING})
    asked = await rig.channel.pay(request, now=now)
    assert (asked.state, asked.channel_code) == (ChannelState.UNKNOWN, "USERPAYING")
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.PENDING
    await rig.pay(request)
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.SUCCEEDED


async def test_closing_a_code_payment_reverses_it_only_while_it_is_unpaid(rig: Rig, now) -> None:
    waiting = rig.request(now, method="wechat_code", payer={"auth_code": ASKING})
    await rig.channel.pay(waiting, now=now)
    soon, later = now + timedelta(seconds=14), now + timedelta(seconds=15)
    assert (await rig.channel.close(order_of(waiting), now=soon)).state is ChannelState.PENDING
    for _ in range(2):
        closed = await rig.channel.close(order_of(waiting), now=later)
        assert closed.state is ChannelState.CLOSED
    assert closed.channel_code == "REVOKED"
    paid = rig.request(now, method="wechat_code", payer={"auth_code": CODE})
    await rig.channel.pay(paid, now=now)
    assert (await rig.channel.close(order_of(paid), now=later)).state is ChannelState.SUCCEEDED
    truth = (await rig.control.get("truth"))["truth"]
    assert [e["event"] for e in truth if e["order_no"] == paid.attempt_no] == ["placed", "paid"]


async def test_a_code_payment_in_doubt_is_reversed_and_what_was_taken_goes_back(rig: Rig, now) -> None:
    request = rig.request(now, method="wechat_code", payer={"auth_code": CODE})
    await rig.channel.pay(request, now=now)
    await rig.next("query", "unsigned", match=request.attempt_no)
    closed = await rig.channel.close(order_of(request), now=now + timedelta(seconds=30))
    assert (closed.state, closed.channel_code) == (ChannelState.CLOSED, "REVOKED")


async def test_a_payer_without_money_is_declined_and_leaves_no_order(rig: Rig, now) -> None:
    request = rig.request(now, method="wechat_code", payer={"auth_code": POOR})
    declined = await rig.channel.pay(request, now=now)
    assert (declined.state, declined.code) == (ChannelState.FAILED, "insufficient_funds")
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.NOT_FOUND


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"method": "wechat_jsapi", "payer": {}}, "payer.openid"),
        ({"method": "wechat_jsapi", "payer": {"openid": "o" * 129}}, "payer.openid"),
        ({"method": "wechat_code", "payer": {}}, "payer.auth_code"),
        ({"method": "wechat_code", "payer": {"auth_code": "990000000000000001"}}, "payer.auth_code"),
        ({"method": "wechat_code", "payer": {"auth_code": "13000000000000000x"}}, "payer.auth_code"),
        ({"method": "wechat_h5", "payer": {}}, "payer.client_ip"),
        ({"method": "wechat_h5", "payer": {"client_ip": "here"}}, "payer.client_ip"),
        ({"capture": False}, "capture"),
    ],
)
async def test_what_a_product_needs_is_asked_for_before_anything_is_sent(
    rig: Rig, changed: dict[str, Any], param: str, now
) -> None:
    request = rig.request(now, **changed)
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.pay(request, now=now)
    assert caught.value.param == param
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.NOT_FOUND


def test_a_payouts_number_goes_there_and_back(rig: Rig) -> None:
    ours = "pyo_01kanf37x9e8sv0hqkq4m7tz5r"
    assert to_bill_no(ours) == "pyo01kanf37x9e8sv0hqkq4m7tz5r"
    assert to_payout_no(to_bill_no(ours)) == ours
    for wrong in ("pyo", "PYO_1", "pyo_" + "1" * 30, "pyo_1_2"):
        with pytest.raises(InvalidParameter):
            to_bill_no(wrong)


# Keys that change.


async def test_a_certificate_that_comes_into_use_is_taken_over(rig: Rig, keys: WeChatSandboxKeys, sandbox, now) -> None:
    channel = sandbox.channel(public_key_mode=False)
    request = rig.request(now)
    assert (await channel.pay(request, now=now)).state is ChannelState.PENDING
    await sandbox.post("rotate")
    assert (await channel.pay(request, now=now)).state is ChannelState.PENDING
    calls = len(sandbox.learned(channel))
    assert calls == 2  # the certificate that was configured, and the one that came


async def test_a_new_certificate_is_taken_over_seconds_after_a_failure(rig: Rig, sandbox, now) -> None:
    channel, request = sandbox.channel(public_key_mode=False), rig.request(now)
    await sandbox.post("rotate")
    await sandbox.post("next", interface="certificates", kind="dropped", times=2)
    assert (await channel.pay(request, now=now)).channel_code == "unknown_key"
    assert (await channel.pay(request, now=now + timedelta(seconds=1))).channel_code == "unknown_key"
    assert (await channel.pay(request, now=now + timedelta(seconds=2))).state is ChannelState.PENDING


async def test_a_certificate_under_another_api_v3_key_is_not_taken_over(rig: Rig, sandbox, now) -> None:
    channel = sandbox.channel(public_key_mode=False, api_v3_key="0" * 32)
    await sandbox.post("rotate")
    answer = await channel.pay(rig.request(now), now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "unknown_key")
    assert len(sandbox.learned(channel)) == 1


async def test_both_keys_of_the_merchant_are_good_during_a_change(rig: Rig, keys: WeChatSandboxKeys, now) -> None:
    request = rig.request(now)
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.PENDING
    other = rig.make(merchant_serial=keys.merchant_next.serial, merchant_private_key=keys.merchant_next.key_pem)
    assert (await other.pay(request, now=now)).state is ChannelState.PENDING


async def test_an_account_moves_from_certificates_to_the_public_key(rig: Rig, sandbox, now) -> None:
    request = rig.request(now)
    before, after = sandbox.channel(public_key_mode=False), sandbox.channel(public_key_mode=True)
    assert await before.pay(request, now=now) == await after.pay(request, now=now)


# What is wrong with an account.


async def faults(channel: Any, now: Any) -> dict[str, str]:
    return {finding.check: finding.fault for finding in await channel.diagnose(now=now) if finding.fault}


async def test_a_good_account_has_no_fault(rig: Rig, now) -> None:
    findings = await rig.channel.diagnose(now=now)
    assert {finding.fault for finding in findings} == {None}
    checks = {finding.check for finding in findings}
    assert {"host", "merchant_key", "platform_keys", "api_v3_key", "appid"} <= checks


async def test_each_fault_of_an_account_is_named(rig: Rig, keys: WeChatSandboxKeys, other_keys, now) -> None:
    certificate = {keys.platform.serial: keys.platform.certificate_pem}
    public = {"PUB_KEY_ID_0119000001092024101500000000000001": keys.public.public_pem}
    for changed, check, fault in (
        ({"merchant_private_key": other_keys.merchant.key_pem}, "merchant_key", "wrong_key_for_serial"),
        ({"merchant_serial": "1F" * 20}, "merchant_key", "merchant_serial_unknown"),
        ({"mchid": "1900000110"}, "merchant_key", "merchant_serial_unknown"),
        ({"api_v3_key": "0" * 32}, "api_v3_key", "wrong_api_v3_key"),
        ({"platform_keys": {"PUB_KEY_ID_1": keys.public.public_pem}}, "platform_keys", "public_key_id_wrong"),
        ({"platform_keys": {next(iter(public)): other_keys.public.public_pem}}, "platform_keys", "platform_key_wrong"),
        (
            {"platform_keys": {other_keys.platform.serial: other_keys.platform.certificate_pem}},
            "platform_keys",
            "platform_key_unknown",
        ),
        ({"appid": "wx00000000000000ff"}, "appid", "appid_not_bound"),
        ({"base_url": "http://127.0.0.1:1"}, "host", "unreachable"),
    ):
        found = await faults(rig.make(**changed), now)
        assert found == {check: fault}, (changed.keys(), found)
    assert await faults(rig.make(platform_keys=certificate), now) == {}


async def test_an_expired_certificate_is_named(rig: Rig, keys: WeChatSandboxKeys, now) -> None:
    late = keys.platform.not_after + timedelta(days=1)
    found = await faults(rig.channel, late)
    assert found[f"platform_keys.{keys.platform.serial}"] == "certificate_expired"
    early = keys.platform.not_before - timedelta(days=1)
    found = await faults(rig.channel, early)
    assert found[f"platform_keys.{keys.platform.serial}"] == "certificate_not_yet_valid"


async def test_a_diagnosis_tells_no_secret(rig: Rig, keys: WeChatSandboxKeys, now) -> None:
    results = repr(await rig.make(merchant_serial="1F" * 20).diagnose(now=now)) + repr(rig.channel)
    assert keys.api_v3_key not in results
    assert "PRIVATE" not in results


async def test_what_cannot_be_sent_to_the_first_host_goes_to_the_second(
    rig: Rig, now, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = "http://127.0.0.1:1"  # nobody listens there
    url = rig.control.url
    channel, seconds = rig.make(base_url=first, backup_url=url), 1_000.0
    monkeypatch.setattr("hutong.channels.wechat.client.monotonic", lambda: seconds)
    request = rig.request(now)
    assert (await channel.pay(request, now=now)).action is not None
    assert await channel.query(order_of(request), now=now) == await rig.channel.query(order_of(request), now=now)
    called: list[str] = []
    call = channel._client._http.call

    async def noted(method: str, address: str, **options: Any) -> Any:
        called.append(address.removesuffix(address.split("/v3")[1]).removesuffix("/v3"))
        return await call(method, address, **options)

    monkeypatch.setattr(channel._client._http, "call", noted)
    for later, hosts in ((0.0, [url]), (61.0, [first, url]), (0.0, [url])):
        seconds += later
        await channel.query(order_of(request), now=now)
        assert called == hosts
        called.clear()


async def test_what_may_have_been_sent_is_not_sent_to_the_second_host(rig: Rig, now) -> None:
    channel, request = rig.make(backup_url="http://127.0.0.1:1"), rig.request(now)
    await rig.control.post("next", interface="place", kind="dropped", times=1)
    assert (await channel.pay(request, now=now)).channel_code == "no_answer"


def test_only_wechats_own_host_has_a_second_one_by_default(rig: Rig) -> None:
    credentials = rig.channel._client._addresses
    assert len(credentials) == 1
    live = rig.make(base_url="https://api.mch.weixin.qq.com")
    assert live._client._addresses == ("https://api.mch.weixin.qq.com", "https://api2.wechatpay.cn")
    assert live._client.target_of("https://api2.wechatpay.cn/v3/billdownload/file?token=x") is not None
    assert live._client.target_of("https://api3.wechatpay.cn/v3/billdownload/file?token=x") is None
