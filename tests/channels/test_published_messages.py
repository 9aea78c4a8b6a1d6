"""Adapters read messages that others have recorded from the real channels.

`tests/vectors/published.json` has what the messages say, field by field, with the public source of each. Numbers that
name a merchant or an order are ours here, and so are the signatures: nobody else's keys are needed to prove the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from hutong.channels import About, Channel, ChannelAnswer, Codes, OrderReference, RefundRequest, make_channel
from hutong.channels.alipay.adapter import Alipay
from hutong.channels.alipay.responses import AlipayResponses
from hutong.channels.codes.codes import load_codes
from hutong.channels.wechat.credentials import WeChatCredentials, WeChatKeys
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.responses import WeChatResponses
from hutong.sandbox.alipay.keys import AlipaySandboxKeys
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys
from hutong.sandbox.wechat.keys import APPID, MCHID, PUBLIC_KEY_ID, WeChatSandboxKeys
from support.fakes import alipay_messages, unionpay_messages, wechat_messages

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "published.json").read_text())
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPT_NO, REFUND_NO = "att_01kas0000000000000000000zz", "ref_01kas0000000000000000000zz"


def check(name: str, answer: ChannelAnswer) -> None:
    found = {field: getattr(answer, field) for field in VECTORS[name]["expected"]}
    if answer.happened_at is not None and "happened_at" in found:
        found["happened_at"] = answer.happened_at.isoformat()
    assert found == VECTORS[name]["expected"]


def make(name: str, credentials: Any, http: Any) -> Channel:
    return make_channel(name, credentials, http, sandbox=True)


def refund_of(amount_minor: int) -> RefundRequest:
    order = OrderReference(ATTEMPT_NO, "alipay_qr", amount_minor, "CNY", NOW)
    return RefundRequest(REFUND_NO, order, amount_minor, "refund", "https://pay.example/n", NOW)


@pytest.fixture(scope="module")
def alipay_keys(sandbox_folder: Path) -> AlipaySandboxKeys:
    return AlipaySandboxKeys.load(sandbox_folder / "alipay")


def test_each_message_has_a_public_source() -> None:
    assert len(VECTORS) >= 10
    assert {name for name, vector in VECTORS.items() if not vector["source"].startswith("https://github.com/")} == set()


def test_wechats_payment_is_read_from_a_notification(keys: WeChatSandboxKeys, http: Any) -> None:
    fields = VECTORS["wechat_payment"]["fields"]
    transaction = {"appid": APPID, "mchid": MCHID, "out_trade_no": ATTEMPT_NO} | fields
    body = wechat_messages.envelope(keys, transaction)
    headers = wechat_messages.sign(keys.public.key, PUBLIC_KEY_ID, body, now=NOW)
    channel = make("wechat", keys.credentials("http://127.0.0.1:1"), http)
    check("wechat_payment", channel.parse_notification(headers, body, now=NOW).answer)


def test_wechats_refund_is_read_from_an_answer() -> None:
    responses = WeChatResponses(
        WeChatMerchant(MCHID, APPID, None, None, {}), Codes(load_codes(Alipay.code_map.parent / "wechat.csv"))
    )
    fields = VECTORS["wechat_refund"]["fields"] | {"out_refund_no": REFUND_NO, "out_trade_no": ATTEMPT_NO}
    check("wechat_refund", responses.refund(fields, REFUND_NO))


def test_a_text_that_wechats_own_client_sealed_is_opened(keys: WeChatSandboxKeys) -> None:
    sealed = dict(VECTORS["wechat_sealed"]["fields"])
    raw = keys.credentials("http://127.0.0.1:1") | {"api_v3_key": sealed.pop("api_v3_key")}
    opened = WeChatKeys(WeChatCredentials.model_validate(raw, context={"sandbox": True}))
    plain = opened.decrypt(sealed | {"algorithm": "AEAD_AES_256_GCM"})
    assert plain.decode() == VECTORS["wechat_sealed"]["expected"]["plain"]


def test_wechats_notification_of_another_kind_is_genuine_and_about_nothing(keys: WeChatSandboxKeys, http: Any) -> None:
    fields = VECTORS["wechat_other_kind"]["fields"]
    resource = wechat_messages.seal(keys, b'{"state":"USER_PAID"}', associated=fields["associated_data"].encode())
    body = wechat_messages.envelope(keys, {}, event_type="PAYSCORE.USER_PAID", resource=resource | fields)
    headers = wechat_messages.sign(keys.public.key, PUBLIC_KEY_ID, body, now=NOW)
    channel = make("wechat", keys.credentials("http://127.0.0.1:1"), http)
    assert channel.parse_notification(headers, body, now=NOW).about is About.NOTHING


def alipay_responses() -> AlipayResponses:
    return AlipayResponses(Codes(load_codes(Alipay.code_map)))


def test_alipays_payment_is_read_from_a_query() -> None:
    fields = VECTORS["alipay_payment"]["fields"] | {"out_trade_no": ATTEMPT_NO}
    check("alipay_payment", alipay_responses().trade(fields, ATTEMPT_NO, paid_at=fields["send_pay_date"]))


def test_alipays_refund_is_read_from_its_answer() -> None:
    responses, node = alipay_responses(), VECTORS["alipay_refund"]["fields"]
    answer = responses.status("fund_change", node["fund_change"], shown=f"fund_change={node['fund_change']}")
    check("alipay_refund", responses.refunded(answer, node, refund_of(1)))


def test_alipays_refund_without_a_status_is_not_taken_for_a_success() -> None:
    fields = VECTORS["alipay_refund_queried"]["fields"] | {"out_trade_no": ATTEMPT_NO, "out_request_no": REFUND_NO}
    check("alipay_refund_queried", alipay_responses().refund(fields, refund_of(1), REFUND_NO))


def test_alipays_notification_in_gbk_is_read(alipay_keys: AlipaySandboxKeys, http: Any) -> None:
    fields = alipay_messages.notice(**VECTORS["alipay_gbk"]["fields"])
    body = alipay_messages.signed(alipay_keys.public.key, fields, codec="gbk")
    channel = make("alipay", alipay_keys.credentials("http://127.0.0.1:1"), http)
    check("alipay_gbk", channel.parse_notification({}, body, now=NOW).answer)


def test_unionpays_payment_is_read_from_a_notification(sandbox_folder: Path, http: Any) -> None:
    keys = UnionPaySandboxKeys.load(sandbox_folder / "unionpay")
    fields = unionpay_messages.payment(**VECTORS["unionpay_payment"]["fields"])
    body = unionpay_messages.form(unionpay_messages.sign(keys.signer, fields))
    channel = make("unionpay", keys.credentials("http://127.0.0.1:1"), http)
    paid_at = datetime.fromisoformat(VECTORS["unionpay_payment"]["expected"]["happened_at"])
    notification = channel.parse_notification({}, body, now=paid_at + timedelta(minutes=1))
    check("unionpay_payment", notification.answer)


def test_stripes_payment_is_read_from_an_event(sandbox_folder: Path, http: Any) -> None:
    credentials = StripeSandboxKeys.load(sandbox_folder / "stripe").credentials("http://127.0.0.1:1")
    event = dict(VECTORS["stripe_payment"]["fields"])
    intent = event.pop("object") | {"metadata": {"attempt_no": ATTEMPT_NO}}
    body = orjson.dumps(event | {"id": "evt_1", "object": "event", "data": {"object": intent}})
    secret = credentials["webhook_secrets"][0]  # type: ignore[index]
    digest = hmac.new(str(secret).encode(), f"{event['created']}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"stripe-signature": f"t={event['created']},v1={digest}"}
    arrived_at = datetime.fromtimestamp(event["created"] + 5, UTC)
    channel = make("stripe", credentials, http)
    check("stripe_payment", channel.parse_notification(headers, body, now=arrived_at).answer)
