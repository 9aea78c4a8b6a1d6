"""News about a number that nothing here has is kept, once, and answered as each channel expects."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from hutong.ids import encode
from hutong.operators import Role
from hutong.sandbox.alipay.keys import AlipaySandboxKeys
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys
from support.fakes import alipay_messages, unionpay_messages, wechat_messages
from support.running_platform import PlatformApi

Message = tuple[dict[str, str], bytes]


@dataclass(frozen=True)
class Teller:
    """How one channel reports the success of a payment or a refund under a number, and the answer that it expects."""

    make: Callable[[PlatformApi, str, str], Message]
    status: int
    body: bytes


def of_wechat(platform_api: PlatformApi, about: str, number: str) -> Message:
    keys = platform_api.keys
    resource: dict[str, Any] = wechat_messages.transaction(out_trade_no=number)
    kind, event = "transaction", "TRANSACTION.SUCCESS"
    if about == "refund":
        kind, event = "refund", "REFUND.SUCCESS"
        resource = {
            "mchid": wechat_messages.MCHID,
            "out_trade_no": "P1",
            "transaction_id": "4200001234202601010000000001",
            "refund_id": "50000000382026010100000000001",
            "out_refund_no": number,
            "refund_status": "SUCCESS",
            "success_time": "2026-01-01T08:00:00+08:00",
            "amount": {"total": 8800, "refund": 800, "payer_total": 8800, "payer_refund": 800},
        }
    sealed = wechat_messages.seal(keys, orjson.dumps(resource), original_type=kind)
    body = wechat_messages.envelope(keys, {}, event_type=event, resource=sealed)
    serial: str = next(iter(keys.credentials("")["platform_keys"]))  # type: ignore[call-overload]
    nonce = secrets.token_hex(16)  # WeChat signs each repetition separately
    headers = wechat_messages.sign(keys.public.key, serial, body, now=platform_api.clock.now(), nonce=nonce)
    return headers | {"Content-Type": "application/json"}, body


def of_alipay(platform_api: PlatformApi, about: str, number: str) -> Message:
    keys = AlipaySandboxKeys.load(platform_api.platform.settings.home / "alipay")
    refund = {"gmt_refund": "2026-01-01 09:00:00.123", "refund_fee": "8.00", "out_biz_no": number}
    fields = alipay_messages.notice(**refund if about == "refund" else {"out_trade_no": number})
    return FORM, alipay_messages.signed(keys.public.key, fields)


def of_unionpay(platform_api: PlatformApi, about: str, number: str) -> Message:
    keys = UnionPaySandboxKeys.load(platform_api.platform.settings.home / "unionpay")
    kind = {"txnType": "04", "txnSubType": "00"} if about == "refund" else {}
    return FORM, unionpay_messages.form(
        unionpay_messages.sign(keys.signer, unionpay_messages.payment(orderId=number.replace("_", ""), **kind))
    )


def of_stripe(platform_api: PlatformApi, about: str, number: str) -> Message:
    keys = StripeSandboxKeys.load(platform_api.platform.settings.home / "stripe")
    kind, name, prefix = (
        ("refund", "refund_no", "re_") if about == "refund" else ("payment_intent", "attempt_no", "pi_")
    )
    subject = {
        "id": prefix + number.replace("_", ""), "object": kind, "amount": 8800, "currency": "usd", "livemode": False,
        "status": "succeeded", "metadata": {name: number} if number.startswith(("att_", "ref_")) else {},
    }  # fmt: skip
    event = "refund.updated" if about == "refund" else "payment_intent.succeeded"
    body = orjson.dumps(
        {"id": "evt_1", "object": "event", "created": 1795262390, "type": event, "data": {"object": subject}}
    )
    timestamp = str(int(platform_api.clock.now().timestamp()))
    signature = hmac.new(keys.webhook_secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "stripe-signature": f"t={timestamp},v1={signature}"}, body


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TELLERS = {
    "wechat": Teller(of_wechat, 204, b""),
    "alipay": Teller(of_alipay, 200, b"success"),
    "unionpay": Teller(of_unionpay, 200, b"ok"),
    "stripe": Teller(of_stripe, 200, b""),
}


@pytest.mark.parametrize("channel", TELLERS)
@pytest.mark.parametrize("about", ["payment", "refund"])
@pytest.mark.parametrize("whose", ["portal", "earlier installation"])
async def test_news_about_an_unknown_number_is_kept_and_accepted(
    platform_api: PlatformApi, channel: str, about: str, whose: str
) -> None:
    teller = TELLERS[channel]
    prefix = "att" if about == "payment" else "ref"
    number = secrets.token_hex(10) if whose == "portal" else encode(prefix, platform_api.ids.new())
    account = encode("acc", platform_api.account_ids[channel])
    for _ in range(2):
        headers, body = teller.make(platform_api, about, number)
        answer = await platform_api.call("POST", f"/channels/{account}/notifications", body=body, headers=headers)
        assert (answer.status, answer.body) == (teller.status, teller.body)
    _, reader = await platform_api.person(Role.VIEWER)
    listed = await platform_api.call(
        "GET", "/v1/operator/exceptions?status=open&kind=unknown_number&limit=100", headers=reader
    )
    own = f"{'re' if about == 'refund' else 'pi'}_{number}" if channel == "stripe" and whose == "portal" else number
    (item,) = [item for item in listed.json["data"] if item["number"] == own]
    assert (item["about"], item["state"], item["seen"], item["account_id"]) == (about, "succeeded", 2, account)
    assert (item["payment_id"], item["refund_id"]) == (None, None)
