"""Each documented code of WeChat Pay, and what it amounts to at each interface."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hutong.channels import ChannelState, Codes, OrderReference, PayRequest
from hutong.channels.codes.codes import load_codes
from hutong.channels.wechat.adapter import WeChatPay
from hutong.channels.wechat.credentials import WeChatCredentials
from hutong.clock import ManualClock
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support.fakes.wechat_messages import ATTEMPT_NO, Wire, transaction

FAILED, CLOSED, UNKNOWN = ChannelState.FAILED, ChannelState.CLOSED, ChannelState.UNKNOWN
PENDING, SUCCEEDED, NOT_FOUND = ChannelState.PENDING, ChannelState.SUCCEEDED, ChannelState.NOT_FOUND
ORDER = OrderReference(ATTEMPT_NO, "wechat_native", 8800, "CNY", datetime(2026, 1, 1, tzinfo=UTC))
ABSENT = (404, {"code": "ORDER_NOT_EXIST", "message": "订单不存在"})

DOCUMENTED = [
    # status, code, at pay, at query, at close
    (202, "USERPAYING", UNKNOWN, UNKNOWN, UNKNOWN),
    (202, "USER_PAYING", UNKNOWN, UNKNOWN, UNKNOWN),
    (400, "APPID_MCHID_NOT_MATCH", FAILED, UNKNOWN, UNKNOWN),
    (400, "INVALID_REQUEST", FAILED, UNKNOWN, UNKNOWN),
    (400, "MCH_NOT_EXISTS", FAILED, UNKNOWN, UNKNOWN),
    (400, "ORDER_CLOSED", CLOSED, CLOSED, CLOSED),
    (400, "PARAM_ERROR", FAILED, UNKNOWN, UNKNOWN),
    (401, "SIGN_ERROR", UNKNOWN, UNKNOWN, UNKNOWN),
    (403, "ACCOUNT_ERROR", FAILED, UNKNOWN, UNKNOWN),
    (403, "NOT_ENOUGH", FAILED, UNKNOWN, UNKNOWN),
    (403, "NO_AUTH", FAILED, UNKNOWN, UNKNOWN),
    (403, "OUT_TRADE_NO_USED", UNKNOWN, UNKNOWN, UNKNOWN),
    (403, "RULE_LIMIT", FAILED, UNKNOWN, UNKNOWN),
    (403, "TRADE_ERROR", FAILED, UNKNOWN, UNKNOWN),
    (404, "ORDER_NOT_EXIST", UNKNOWN, NOT_FOUND, NOT_FOUND),
    (404, "ORDERNOTEXIST", UNKNOWN, NOT_FOUND, NOT_FOUND),
    (404, "RESOURCE_NOT_EXISTS", UNKNOWN, NOT_FOUND, NOT_FOUND),
    (429, "FREQUENCY_LIMITED", UNKNOWN, UNKNOWN, UNKNOWN),
    (500, "BANK_ERROR", UNKNOWN, UNKNOWN, UNKNOWN),
    (500, "INVALID_TRANSACTIONID", UNKNOWN, UNKNOWN, UNKNOWN),
    (500, "OPENID_MISMATCH", FAILED, UNKNOWN, UNKNOWN),
    (500, "SYSTEM_ERROR", UNKNOWN, UNKNOWN, UNKNOWN),
]


@pytest.fixture
def wire(keys: WeChatSandboxKeys, clock: ManualClock) -> Wire:
    return Wire(keys, clock)


@pytest.fixture
def channel(keys: WeChatSandboxKeys, wire: Wire) -> WeChatPay:
    raw = keys.credentials("http://127.0.0.1:1")
    credentials = WeChatCredentials.model_validate(raw, context={"sandbox": True, "stored": True})
    return WeChatPay(credentials, wire, Codes(load_codes(WeChatPay.code_map)))  # type: ignore[arg-type]


def request(clock: ManualClock) -> PayRequest:
    return PayRequest(ATTEMPT_NO, "wechat_native", 8800, "CNY", "tea", clock.now(), "http://127.0.0.1:1/notify")


@pytest.mark.parametrize(("status", "code", "at_pay", "at_query", "at_close"), DOCUMENTED)
async def test_each_documented_code(channel, wire, clock, status, code, at_pay, at_query, at_close) -> None:
    refusal = (status, {"code": code, "message": "as WeChat says it"})
    wire.answers = [refusal, ABSENT]
    paid = await channel.pay(request(clock), now=clock.now())
    assert (paid.state, paid.channel_code, paid.channel_message) == (at_pay, code, "as WeChat says it")
    for verb, expected in ((channel.query, at_query), (channel.close, at_close)):
        wire.answers = [refusal, ABSENT]
        answer = await verb(ORDER, now=clock.now())
        assert (answer.state, answer.channel_code) == (expected, code)


async def test_a_payer_who_still_enters_a_password_is_no_refusal(channel, wire, clock) -> None:
    """WeChat says so with status 202, which is no refusal."""
    wire.answers = [(202, {"code": "USERPAYING", "message": "需要用户输入支付密码"})]
    answer = await channel.pay(request(clock), now=clock.now())
    assert (answer.state, answer.code) == (UNKNOWN, "payer_action_required")
    wire.answers = [(202, {"code": "PARAM_ERROR", "message": ""})]
    assert (await channel.pay(request(clock), now=clock.now())).code is None


@pytest.mark.parametrize("code", ["ORDERPAID", "ORDER_PAID"])
@pytest.mark.parametrize(
    ("found", "state"),
    [
        ((200, transaction()), SUCCEEDED),
        ((200, transaction(trade_state="NOTPAY")), UNKNOWN),
        (ABSENT, UNKNOWN),
        ((500, {"code": "SYSTEM_ERROR", "message": ""}), UNKNOWN),
    ],
    ids=["paid", "unpaid", "absent", "error"],
)
async def test_that_an_order_is_paid_is_believed_once_the_query_tells(channel, wire, clock, code, found, state) -> None:
    wire.answers = [(400, {"code": code, "message": ""}), found]
    assert (await channel.close(ORDER, now=clock.now())).state is state
    assert wire.calls[1].startswith("GET ")
    wire.answers = [(400, {"code": code, "message": ""}), found]
    assert (await channel.pay(request(clock), now=clock.now())).state is state


@pytest.mark.parametrize(
    ("trade_state", "state"),
    [
        ("SUCCESS", SUCCEEDED),
        ("REFUND", SUCCEEDED),
        ("NOTPAY", PENDING),
        ("USERPAYING", PENDING),
        ("ACCEPT", PENDING),
        ("CLOSED", CLOSED),
        ("REVOKED", CLOSED),
        ("PAYERROR", FAILED),
        ("SOMETHING_NEW", UNKNOWN),
    ],
)
async def test_each_documented_trade_state(channel, wire, clock, trade_state: str, state: ChannelState) -> None:
    wire.answers = [(200, transaction(trade_state=trade_state))]
    answer = await channel.query(ORDER, now=clock.now())
    assert (answer.state, answer.channel_code) == (state, trade_state)


@pytest.mark.parametrize("fields", [{}, {"code_url": ""}, {"code_url": None}, {"code_url": 7}, {"code_url": "x" * 513}])
async def test_an_order_placed_without_a_code_to_scan_is_unknown(channel, wire, clock, fields) -> None:
    wire.answers = [(200, fields)]
    assert (await channel.pay(request(clock), now=clock.now())).state is UNKNOWN


async def test_long_texts_of_the_channel_are_cut(channel, wire, clock) -> None:
    wire.answers = [(500, {"code": "C" * 500, "message": "m" * 5000})]
    answer = await channel.query(ORDER, now=clock.now())
    assert (answer.channel_code, answer.channel_message) == ("C" * 64, "m" * 256)
