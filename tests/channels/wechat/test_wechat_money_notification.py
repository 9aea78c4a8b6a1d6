"""What WeChat Pay tells of refunds and transfers is believed like what it tells of payments: signed, whole and ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from hutong.channels import About, ChannelState, NotificationRefused
from hutong.sandbox.wechat.keys import APPID, MCHID, PUBLIC_KEY_ID
from support.fakes.wechat_messages import ATTEMPT_NO, envelope, seal, sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNED = ("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature")
REFUND: dict[str, Any] = {
    "mchid": MCHID,
    "transaction_id": "4200001234202601010000000001",
    "out_trade_no": ATTEMPT_NO,
    "refund_id": "50000000382026010100000000001",
    "out_refund_no": "ref_01h2xcejqtf2nbrexx3vqjhp41",
    "refund_status": "SUCCESS",
    "success_time": "2026-01-01T08:00:00+08:00",
    "user_received_account": "支付用户零钱",
    "amount": {"total": 8800, "refund": 800, "payer_total": 8800, "payer_refund": 800},
}
TRANSFER: dict[str, Any] = {
    "mch_id": MCHID,
    "out_bill_no": "pyo01h2xcejqtf2nbrexx3vqjhp41",
    "transfer_bill_no": "1330000071100999991182020050700019480001",
    "state": "SUCCESS",
    "transfer_amount": 1234,
    "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    "create_time": "2026-01-01T07:59:59+08:00",
    "update_time": "2026-01-01T08:00:00+08:00",
}
KINDS = {"refund": ("REFUND.SUCCESS", REFUND), "mch_payment": ("MCHTRANSFER.BILL.FINISHED", TRANSFER)}


def notice(keys, kind: str, **changed: Any) -> tuple[dict[str, str], bytes]:
    event, fields = KINDS[kind]
    resource = seal(keys, orjson.dumps(fields | changed), original_type=kind)
    body = envelope(keys, {}, event_type=event, resource=resource)
    return sign(keys.public.key, PUBLIC_KEY_ID, body, now=NOW), body


def refused(channel, headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(NotificationRefused):
        channel.parse_notification(headers, body, now=NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_the_body_or_of_a_signed_header_may_change(channel, keys, kind: str) -> None:
    headers, body = notice(keys, kind)
    for position in range(len(body)):
        for change in (0x01, 0x20, 0x80):
            tampered = bytearray(body)
            tampered[position] ^= change
            refused(channel, headers, bytes(tampered))
    for name in SIGNED:
        value = headers[name]
        for position, old in enumerate(value):
            refused(channel, headers | {name: value[:position] + chr(ord(old) ^ 1) + value[position + 1 :]}, body)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("SUCCESS", ChannelState.SUCCEEDED),
        ("CLOSED", ChannelState.FAILED),
        ("ABNORMAL", ChannelState.FAILED),
        ("PROCESSING", ChannelState.PENDING),
        ("GONE", ChannelState.UNKNOWN),
    ],
)
def test_a_refund_ends_as_its_status_says(channel, keys, status: str, state: ChannelState) -> None:
    found = channel.parse_notification(*notice(keys, "refund", refund_status=status), now=NOW)
    assert (found.about, found.number) == (About.REFUND, REFUND["out_refund_no"])
    assert (found.answer.state, found.answer.channel_code, found.answer.amount_minor) == (state, status, 800)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("SUCCESS", ChannelState.SUCCEEDED),
        ("FAIL", ChannelState.FAILED),
        ("CANCELLED", ChannelState.FAILED),
        ("TRANSFERING", ChannelState.PENDING),
        ("GONE", ChannelState.UNKNOWN),
    ],
)
def test_a_transfer_ends_as_its_status_says(channel, keys, status: str, state: ChannelState) -> None:
    found = channel.parse_notification(*notice(keys, "mch_payment", state=status), now=NOW)
    assert (found.about, found.number) == (About.PAYOUT, "pyo_01h2xcejqtf2nbrexx3vqjhp41")
    assert (found.answer.state, found.answer.channel_code, found.answer.amount_minor) == (state, status, 1234)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("refund", {"mchid": "1900000110"}),
        ("refund", {"out_refund_no": None}),
        ("refund", {"amount": None}),
        ("refund", {"amount": {"refund": "800"}}),
        ("refund", {"refund_id": None}),
        ("mch_payment", {"mch_id": "1900000110"}),
        ("mch_payment", {"appid": APPID + "x"}),
        ("mch_payment", {"out_bill_no": 7}),
        ("mch_payment", {"transfer_amount": 12.34}),
        ("mch_payment", {"transfer_bill_no": None}),
    ],
    ids=str,
)
def test_a_success_that_is_not_whole_or_not_ours_is_refused(channel, keys, kind: str, changed: dict[str, Any]) -> None:
    refused(channel, *notice(keys, kind, **changed))
