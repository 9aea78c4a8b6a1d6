"""Who an account at WeChat Pay is: a merchant with one app or several, or one under a service provider."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from hutong.channels import (
    ChannelState,
    NotificationRefused,
    NotOffered,
    PayoutRequest,
    RefundRequest,
)
from hutong.channels.accounts.accounts import read_credentials
from hutong.errors import InvalidParameter
from hutong.sandbox.wechat.keys import (
    APPID,
    MCHID,
    MINI_PROGRAM_APPID,
    OPENIDS,
    PUBLIC_KEY_ID,
    SP_APPID,
    SP_MCHID,
    SUB_APPID,
    SUB_MCHID,
    WeChatSandboxKeys,
)
from support.channel_rigs import Rig, number, order_of
from support.fakes.wechat_messages import ATTEMPT_NO, envelope, proves, seal, sign, transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
provided = pytest.mark.parametrize("rig", ["wechat-partner"], indirect=True)
alone = pytest.mark.parametrize("rig", ["wechat"], indirect=True)
APPS = {"wechat_jsapi": [APPID, MINI_PROGRAM_APPID], "wechat_app": [MINI_PROGRAM_APPID]}


async def action(rig: Rig, now: datetime, **changed: Any) -> dict[str, str]:
    placed = await rig.channel.pay(rig.request(now, **changed), now=now)
    assert placed.action is not None, placed
    fields: dict[str, str] = json.loads(placed.action.content)
    return fields


# Under a service provider.


@provided
@pytest.mark.parametrize("app", [SUB_APPID, ""])
async def test_a_page_signs_with_the_app_whose_payer_it_is(rig: Rig, keys: WeChatSandboxKeys, app: str, now) -> None:
    """Without an app of the merchant's, the payer is known by the service provider's."""
    rig.channel, signing = rig.make(sub_appid=app), app or SP_APPID
    request = rig.request(now, method="wechat_jsapi", payer={"openid": OPENIDS[signing]})
    placed = await rig.channel.pay(request, now=now)
    assert placed.action is not None
    fields = json.loads(placed.action.content)
    assert fields["appId"] == signing
    proves(keys.provider, fields["paySign"], signing, fields["timeStamp"], fields["nonceStr"], fields["package"])
    await rig.pay(request)
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.SUCCEEDED


@provided
async def test_an_openid_of_another_app_is_refused(rig: Rig, now) -> None:
    request = rig.request(now, method="wechat_jsapi", payer={"openid": OPENIDS[SP_APPID]})
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.FAILED, "PARAM_ERROR")
    assert answer.channel_message == "appid和openid不匹配"


@provided
async def test_an_app_names_the_service_provider_as_its_partner(rig: Rig, keys: WeChatSandboxKeys, now) -> None:
    fields = await action(rig, now, method="wechat_app")
    assert (fields["appid"], fields["partnerid"]) == (SUB_APPID, SP_MCHID)
    proves(keys.provider, fields["sign"], SUB_APPID, fields["timestamp"], fields["noncestr"], fields["prepayid"])


@provided
async def test_a_code_payment_is_reversed_until_it_is_paid(rig: Rig, now) -> None:
    waiting = rig.request(now, method="wechat_code", payer={"auth_code": "130000000000000000"})
    assert (await rig.channel.pay(waiting, now=now)).state is ChannelState.UNKNOWN
    assert (await rig.channel.close(order_of(waiting), now=now + timedelta(seconds=15))).state is ChannelState.CLOSED
    paid = rig.request(now, method="wechat_code", payer={"auth_code": "130000000000000001"})
    assert (await rig.channel.pay(paid, now=now)).state is ChannelState.SUCCEEDED
    assert (await rig.channel.close(order_of(paid), now=now)).state is ChannelState.SUCCEEDED


@provided
@pytest.mark.parametrize("method", ["wechat_h5", "wechat_native"])
async def test_each_product_is_paid_and_notified(rig: Rig, receiver, method: str, now) -> None:
    request = rig.request(now, method=method, payer={"client_ip": "203.0.113.7"}, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    notice = rig.channel.parse_notification(*(await receiver.taken.get()), now=now)
    assert (notice.number, notice.answer.state) == (request.attempt_no, ChannelState.SUCCEEDED)


ORDER = {"sp_mchid": SP_MCHID, "sp_appid": SP_APPID, "sub_mchid": SUB_MCHID, "sub_appid": SUB_APPID}
REFUND = {
    "transaction_id": "4200001234202601010000000001",
    "out_trade_no": ATTEMPT_NO,
    "refund_id": "50000000382026010100000000001",
    "out_refund_no": "ref_01h2xcejqtf2nbrexx3vqjhp41",
    "refund_status": "SUCCESS",
    "amount": {"total": 8800, "refund": 800, "payer_total": 8800, "payer_refund": 800},
}


def notice(keys: WeChatSandboxKeys, kind: str, names: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    """A notification to the service provider."""
    theirs = replace(keys, api_v3_key=keys.provider_api_v3_key)
    fields = transaction() if kind == "transaction" else REFUND
    fields = {name: value for name, value in fields.items() if name not in ("appid", "mchid")} | names
    resource = seal(theirs, orjson.dumps(fields), original_type=kind)
    body = envelope(theirs, {}, resource=resource)
    return sign(keys.platform.key, keys.platform.serial, body, now=NOW), body


@provided
@pytest.mark.parametrize("kind", ["transaction", "refund"])
def test_a_message_counts_for_the_merchant_that_it_names(rig: Rig, keys: WeChatSandboxKeys, kind: str) -> None:
    names = ORDER if kind == "transaction" else {"sp_mchid": SP_MCHID, "sub_mchid": SUB_MCHID}
    read = rig.channel.parse_notification(*notice(keys, kind, names), now=NOW)
    assert read.answer.state is ChannelState.SUCCEEDED
    if kind == "transaction":  # an order that was placed in the service provider's app names no other
        without = {name: value for name, value in names.items() if name != "sub_appid"}
        assert rig.channel.parse_notification(*notice(keys, kind, without), now=NOW) is not None
    for changed in (*({name: "1900000999"} for name in names), {"sub_mchid": None}, {"sp_mchid": SUB_MCHID}):
        with pytest.raises(NotificationRefused):
            rig.channel.parse_notification(*notice(keys, kind, names | changed), now=NOW)
    with pytest.raises(NotificationRefused):
        rig.channel.parse_notification(*notice(keys, kind, {"mchid": SUB_MCHID, "appid": SUB_APPID}), now=NOW)


@alone
def test_a_service_providers_message_is_not_for_a_merchant_on_its_own(rig: Rig, keys: WeChatSandboxKeys) -> None:
    body = envelope(keys, transaction() | ORDER | {"sub_mchid": MCHID, "mchid": None})
    with pytest.raises(NotificationRefused):
        rig.channel.parse_notification(sign(keys.public.key, PUBLIC_KEY_ID, body, now=NOW), body, now=NOW)


@provided
async def test_transfers_and_the_fund_flow_bill_are_not_offered(rig: Rig, tmp_path: Path, now) -> None:
    assert rig.channel.capabilities.payout_methods == frozenset()
    assert rig.channel.capabilities.bill is not None
    assert rig.channel.capabilities.bill.kinds == ("trade",)
    sent = PayoutRequest(number("pyo"), 100, "CNY", {"openid": "o"}, "prize", "http://127.0.0.1:1/notify")
    for verb in (rig.channel.payout, rig.channel.query_payout):
        with pytest.raises(NotOffered):
            await verb(sent, now=now)
    with pytest.raises(InvalidParameter):
        await rig.channel.download_bill("fund_flow", now.date(), tmp_path, now=now)


@provided
@pytest.mark.parametrize(
    ("changed", "check", "fault"),
    [
        ({}, None, None),
        ({"sub_appid": ""}, None, None),
        ({"sub_mchid": "1900000999"}, "appid", "sub_mchid_not_authorized"),
        ({"sub_appid": "wx00000000000000ff"}, "appid", "appid_not_bound"),
        ({"sp_appid": "wx00000000000000ff"}, "appid", "appid_not_bound"),
        ({"sp_mchid": MCHID}, "merchant_key", "merchant_serial_unknown"),
        ({"api_v3_key": "0" * 32}, "api_v3_key", "wrong_api_v3_key"),
    ],
)
async def test_each_fault_under_a_service_provider_is_named(rig: Rig, changed, check, fault, now) -> None:
    found = {one.check: one.fault for one in await rig.make(**changed).diagnose(now=now) if one.fault}
    assert found == ({} if check is None else {check: fault})


@pytest.mark.parametrize(
    ("changed", "left_out", "param"),
    [
        ({"mchid": MCHID}, None, "mchid"),
        ({"appid": APPID}, None, "appid"),
        ({}, "sub_mchid", "sub_mchid"),
        ({}, "sp_appid", "sp_appid"),
        ({}, "sp_mchid", "sp_appid"),
        ({"sub_mchid": "19x"}, None, "sub_mchid"),
        ({"appids": {"wechat_code": ["wx1", "wx2"]}}, None, ""),
        ({"appids": {"wechat_jsapi": []}}, None, "appids.wechat_jsapi"),
        ({"appids": {"wechat_balance": ["wx1"]}}, None, ""),
        ({"transfer_scene": {"id": "1000", "report": {}}}, None, ""),
    ],
)
def test_names_that_do_not_fit_together_are_refused(keys, changed: Any, left_out: str | None, param: str) -> None:
    raw = {name: value for name, value in keys.provider_credentials("http://127.0.0.1:1").items() if name != left_out}
    with pytest.raises(InvalidParameter) as caught:
        read_credentials("wechat", raw | changed, sandbox=True)
    assert caught.value.param == ".".join(filter(None, ("credentials", param)))


# Several apps of one merchant.


@alone
async def test_a_page_of_each_app_pays_with_that_apps_openid(rig: Rig, keys: WeChatSandboxKeys, receiver, now) -> None:
    rig.channel = rig.make(appids=APPS)
    for named, app in ((None, APPID), (APPID, APPID), (MINI_PROGRAM_APPID, MINI_PROGRAM_APPID)):
        payer = {"openid": OPENIDS[app]} | ({} if named is None else {"appid": named})
        request = rig.request(now, method="wechat_jsapi", payer=payer, notify_url=receiver.url)
        placed = await rig.channel.pay(request, now=now)
        assert placed.action is not None
        fields = json.loads(placed.action.content)
        assert fields["appId"] == app
        proves(keys.merchant, fields["paySign"], app, fields["timeStamp"], fields["nonceStr"], fields["package"])
        await rig.pay(request)
        notified = rig.channel.parse_notification(*(await receiver.taken.get()), now=now)
        assert (notified.number, notified.answer.state) == (request.attempt_no, ChannelState.SUCCEEDED)
        assert await rig.channel.query(order_of(request), now=now) == notified.answer


@alone
async def test_a_method_is_paid_in_its_own_app_and_others_in_the_accounts(rig: Rig, now) -> None:
    rig.channel = rig.make(appids=APPS)
    assert (await action(rig, now, method="wechat_app"))["appid"] == MINI_PROGRAM_APPID
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    assert rig.make(appids={})._merchant.known_apps == (APPID,)
    found = await rig.make(appids={}).query(order_of(request), now=now)  # it was placed in the account's own app
    assert found.state is ChannelState.PENDING


@alone
async def test_an_app_that_is_not_the_accounts_is_refused_before_it_is_sent(rig: Rig, now) -> None:
    rig.channel = rig.make(appids=APPS, **rig.no_base_url)
    for method, appid in (("wechat_jsapi", "wx1"), ("wechat_app", APPID), ("wechat_native", MINI_PROGRAM_APPID)):
        with pytest.raises(InvalidParameter) as caught:
            await rig.channel.pay(rig.request(now, method=method, payer={"openid": "o", "appid": appid}), now=now)
        assert caught.value.param == "payer.appid"
    sent = PayoutRequest(number("pyo"), 100, "CNY", {"openid": "o", "appid": "wx1"}, "prize", "http://127.0.0.1:1/n")
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.payout(sent, now=now)
    assert caught.value.param == "payee.appid"


@alone
async def test_a_transfer_goes_to_the_openid_of_its_app(rig: Rig, now) -> None:
    rig.channel = rig.make(appids={"wechat_balance": [MINI_PROGRAM_APPID, APPID]})
    for named, app in ((None, MINI_PROGRAM_APPID), (APPID, APPID)):
        payee = {"openid": OPENIDS[app]} | ({} if named is None else {"appid": named})
        sent = PayoutRequest(number("pyo"), 100, "CNY", payee, "prize", "http://127.0.0.1:1/notify")
        answer = await rig.channel.payout(sent, now=now)
        assert answer.action is not None
        assert json.loads(answer.action.content)["appId"] == app
        assert (await rig.channel.query_payout(sent, now=now)).state in (ChannelState.PENDING, ChannelState.SUCCEEDED)


@alone
async def test_each_app_is_diagnosed(rig: Rig, now) -> None:
    rig.channel = rig.make(appids={"wechat_app": [MINI_PROGRAM_APPID], "wechat_jsapi": ["wx00000000000000ff"]})
    found = {one.check: one.fault for one in await rig.channel.diagnose(now=now) if one.check.startswith("appid")}
    assert found == {
        "appid": None,
        f"appids.{MINI_PROGRAM_APPID}": None,
        "appids.wx00000000000000ff": "appid_not_bound",
    }


# The funds of refunds.


@pytest.mark.parametrize("rig", ["wechat", "wechat-partner"], indirect=True)
@pytest.mark.parametrize("funds", [None, "AVAILABLE"])
async def test_refunds_come_from_the_funds_that_the_account_names(rig: Rig, funds: str | None, now) -> None:
    rig.channel = rig.make(funds_account=funds)
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    refund = RefundRequest(number("ref"), order_of(request), 100, "sent back", "https://pay.example/n", now)
    assert (await rig.channel.refund(refund, now=now)).state in (ChannelState.PENDING, ChannelState.SUCCEEDED)
    sub = "" if rig.channel._merchant.sub_mchid is None else f"?sub_mchid={SUB_MCHID}"
    shown = await rig.channel._client.ask(f"/v3/refund/domestic/refunds/{refund.refund_no}{sub}", now)
    assert shown[0]["funds_account"] == (funds or "UNSETTLED")
    with pytest.raises(ValueError, match="AVAILABLE"):
        rig.make(funds_account="BASIC")
