"""No notification is believed that WeChat did not sign, now, for this account, and nothing makes the parser crash."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import About, ChannelState, Codes, Notification, NotificationRefused
from hutong.channels.codes.codes import load_codes
from hutong.channels.wechat.adapter import WeChatPay
from hutong.sandbox.wechat.keys import PUBLIC_KEY_ID, WeChatSandboxKeys
from support.fakes.wechat_messages import ATTEMPT_NO, envelope, seal, sign, transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNED = ("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature")


@pytest.fixture(scope="module")
def channel(keys: WeChatSandboxKeys, sandbox_url: str, http) -> WeChatPay:
    raw = keys.credentials(sandbox_url)
    return WeChatPay(
        WeChatPay.Credentials.model_validate(raw, context={"sandbox": True}),
        http,
        Codes(load_codes(WeChatPay.code_map)),
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def genuine(keys: WeChatSandboxKeys) -> tuple[dict[str, str], bytes]:
    body = envelope(keys, transaction())
    return sign(keys.public.key, PUBLIC_KEY_ID, body, now=NOW), body


def refused(channel: WeChatPay, headers: Mapping[str, str], body: bytes, *, now: datetime = NOW) -> str:
    with pytest.raises(NotificationRefused) as caught:
        channel.parse_notification(headers, body, now=now)
    return caught.value.detail.rpartition(": ")[2]


def signed(keys: WeChatSandboxKeys, body: bytes) -> tuple[dict[str, str], bytes]:
    return sign(keys.public.key, PUBLIC_KEY_ID, body, now=NOW), body


def test_a_genuine_notification_is_read(channel, genuine) -> None:
    notification = channel.parse_notification(*genuine, now=NOW)
    assert notification.number == ATTEMPT_NO
    assert notification.answer.state is ChannelState.SUCCEEDED
    assert notification.answer.amount_minor == 8800
    assert notification.answer.currency == "CNY"
    assert notification.answer.channel_order_no == "4200001234202601010000000001"
    assert notification.answer.channel_code == "SUCCESS"
    assert notification.answer.happened_at == NOW


def test_a_notification_signed_with_the_certificate_is_read(channel, keys, genuine) -> None:
    headers = sign(keys.platform.key, keys.platform.serial, genuine[1], now=NOW)
    assert channel.parse_notification(headers, genuine[1], now=NOW).number == ATTEMPT_NO


def test_no_byte_of_the_body_may_change(channel, genuine) -> None:
    headers, body = genuine
    for position in range(len(body)):
        for change in (0x01, 0x20, 0x80):
            tampered = bytearray(body)
            tampered[position] ^= change
            assert refused(channel, headers, bytes(tampered)) == "bad_signature"


def test_no_byte_may_be_cut_or_added(channel, genuine) -> None:
    headers, body = genuine
    for tampered in (body[:-1], body[1:], body + b" ", body + b"\n", b" " + body, b"", b"\xef\xbb\xbf" + body):
        assert refused(channel, headers, tampered) == "bad_signature"


@pytest.mark.parametrize("name", SIGNED)
def test_no_character_of_a_header_may_change(channel, genuine, name: str) -> None:
    headers, body = genuine
    value = headers[name]
    for position in range(len(value)):
        for change in (0x01, 0x02, 0x20):
            other = chr(ord(value[position]) ^ change)
            tampered = value[:position] + other + value[position + 1 :]
            refused(channel, headers | {name: tampered}, body)
    for tampered in ("", value[:-1], value + "0", value + "=", " " + value, value + " ", value.lower() + "x", "\ud800"):
        refused(channel, headers | {name: tampered}, body)


def test_the_border_between_nonce_and_body_does_not_move(channel, keys) -> None:
    fields = transaction(trade_state_desc="x")
    body = b"{}\n" + envelope(keys, fields)
    headers = sign(keys.public.key, PUBLIC_KEY_ID, body, now=NOW, nonce="n")
    assert refused(channel, headers | {"wechatpay-nonce": "n\n{}"}, body.removeprefix(b"{}\n")) == "bad_signature"


@pytest.mark.parametrize("name", SIGNED)
def test_no_header_may_be_missing(channel, genuine, name: str) -> None:
    headers, body = genuine
    assert refused(channel, {key: value for key, value in headers.items() if key != name}, body) == "unsigned"


def test_another_algorithm_is_refused(channel, genuine) -> None:
    headers, body = genuine
    refused(channel, headers | {"wechatpay-signature-type": "WECHATPAY2-SM2-WITH-SM3"}, body)


@pytest.mark.parametrize(("age_s", "reason"), [(301, "stale"), (-301, "stale"), (10**6, "stale")])
def test_only_five_minutes_either_way_are_allowed(channel, genuine, age_s: int, reason: str) -> None:
    assert refused(channel, *genuine, now=NOW + timedelta(seconds=age_s)) == reason


@pytest.mark.parametrize("age_s", [300, -300])
def test_five_minutes_either_way_are_allowed(channel, genuine, age_s: int) -> None:
    assert channel.parse_notification(*genuine, now=NOW + timedelta(seconds=age_s))


def test_a_probe_with_a_bad_signature_is_refused_like_any_other(channel, genuine) -> None:
    headers, body = genuine
    probe = "WECHATPAY/SIGNTEST/" + headers["wechatpay-signature"][19:]
    forged = headers["wechatpay-signature"][:19].swapcase() + headers["wechatpay-signature"][19:]
    assert refused(channel, headers | {"wechatpay-signature": probe}, body) == "bad_signature"
    assert refused(channel, headers | {"wechatpay-signature": forged}, body) == "bad_signature"


def test_a_signature_of_another_merchants_platform_is_refused(channel, other_keys, genuine) -> None:
    body = genuine[1]
    assert refused(channel, sign(other_keys.platform.key, other_keys.platform.serial, body, now=NOW), body) == (
        "unknown_key"
    )
    assert refused(channel, sign(other_keys.public.key, PUBLIC_KEY_ID, body, now=NOW), body) == "bad_signature"


def test_the_merchants_own_key_proves_nothing(channel, keys, genuine) -> None:
    body = genuine[1]
    assert refused(channel, sign(keys.merchant.key, PUBLIC_KEY_ID, body, now=NOW), body) == "bad_signature"
    assert refused(channel, sign(keys.merchant.key, keys.merchant.serial, body, now=NOW), body) == "unknown_key"


def test_a_certificate_that_is_not_valid_now_proves_nothing(channel, keys, genuine) -> None:
    then = keys.platform.not_after + timedelta(days=1)
    headers = sign(keys.platform.key, keys.platform.serial, genuine[1], now=then)
    assert refused(channel, headers, genuine[1], now=then) == "unknown_key"


@pytest.mark.parametrize(
    "changed",
    [
        {"mchid": "1900000110"},
        {"appid": "wxother"},
        {"mchid": None},
        {"appid": None},
        {"out_trade_no": None},
        {"out_trade_no": 7},
        {"transaction_id": None},
        {"amount": None},
        {"amount": {"total": "8800", "currency": "CNY"}},
        {"amount": {"total": 88.0, "currency": "CNY"}},
        {"amount": {"total": True, "currency": "CNY"}},
        {"amount": {"total": -1, "currency": "CNY"}},
        {"amount": {"total": 0, "currency": "CNY"}},
        {"amount": {"total": 2**63, "currency": "CNY"}},
        {"amount": {"total": 8800, "currency": ""}},
        {"amount": {"total": 8800, "currency": "RMB!"}},
        {"out_trade_no": "att_\0" + "0" * 10},
        {"out_trade_no": "a" * 33},
        {"transaction_id": "\0"},
    ],
    ids=str,
)
def test_a_success_that_is_not_whole_or_not_ours_is_refused(channel, keys, changed: dict[str, Any]) -> None:
    refused(channel, *signed(keys, envelope(keys, transaction(**changed))))


@pytest.mark.parametrize("amount", [{"total": 8800}, {"total": 8800, "currency": None}])
def test_an_amount_that_names_no_currency_is_in_yuan(channel, keys, amount: dict[str, Any]) -> None:
    answer = channel.parse_notification(*signed(keys, envelope(keys, transaction(amount=amount))), now=NOW).answer
    assert (answer.state, answer.amount_minor, answer.currency) == (ChannelState.SUCCEEDED, 8800, "CNY")


@pytest.mark.parametrize("kind", ["complaint", "coupon", "violation", "", None])
def test_a_message_of_another_kind_is_accepted_and_says_nothing(channel, keys, kind: str | None) -> None:
    content = orjson.dumps({"complaint_id": "200000020250101000000000001", "out_trade_no": ATTEMPT_NO})
    resource = seal(keys, content, original_type=kind)
    notice = channel.parse_notification(*signed(keys, envelope(keys, {}, resource=resource)), now=NOW)
    assert (notice.about, notice.number, notice.answer.state) == (About.NOTHING, "", ChannelState.UNKNOWN)


def test_a_combined_order_is_none_of_ours(channel, keys) -> None:
    fields = transaction() | {"combine_out_trade_no": "shop-0001"}
    notice = channel.parse_notification(*signed(keys, envelope(keys, fields)), now=NOW)
    assert notice.about is About.NOTHING


@pytest.mark.parametrize("changed", [{}, {"associated_data": ""}])
def test_null_stands_for_absent_associated_data(channel, keys, changed: dict[str, Any]) -> None:
    resource = seal(keys, orjson.dumps(transaction()), associated=b"", **({"associated_data": None} | changed))
    notice = channel.parse_notification(*signed(keys, envelope(keys, {}, resource=resource)), now=NOW)
    assert notice.number == ATTEMPT_NO


@pytest.mark.parametrize("when", [None, 1, "", "yesterday", "2026-01-01T08:00:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_cannot_be_read_is_left_out(channel, keys, when: Any) -> None:
    headers, body = signed(keys, envelope(keys, transaction(success_time=when, trade_state_desc="a\0b" * 200)))
    answer = channel.parse_notification(headers, body, now=NOW).answer
    assert answer.happened_at is None
    assert answer.channel_message == ("ab" * 200)[:256]


@pytest.mark.parametrize("trade_state", ["PAID", "success", "", None, 1, ["SUCCESS"]])
def test_a_state_that_we_do_not_know_is_unknown(channel, keys, trade_state: Any) -> None:
    headers, body = signed(keys, envelope(keys, transaction(trade_state=trade_state)))
    assert channel.parse_notification(headers, body, now=NOW).answer.state is ChannelState.UNKNOWN


@pytest.mark.parametrize(
    "changed",
    [
        {"algorithm": "NONE"},
        {"algorithm": None},
        {"nonce": "0123456789ac"},
        {"nonce": ""},
        {"nonce": None},
        {"nonce": "0" * 200},
        {"associated_data": "certificate"},
        {"associated_data": None},
        {"ciphertext": ""},
        {"ciphertext": "AAAA"},
        {"ciphertext": "not base64!"},
        {"ciphertext": None},
    ],
    ids=str,
)
def test_a_resource_that_does_not_decrypt_is_refused(channel, keys, changed: dict[str, Any]) -> None:
    resource = seal(keys, orjson.dumps(transaction()), **changed)
    refused(channel, *signed(keys, envelope(keys, {}, resource=resource)))


def test_no_byte_of_the_sealed_resource_may_change(channel, keys) -> None:
    resource = seal(keys, orjson.dumps(transaction()))
    sealed = base64.b64decode(resource["ciphertext"])
    for position in range(0, len(sealed), 16):
        tampered = bytearray(sealed)
        tampered[position] ^= 1
        changed = resource | {"ciphertext": base64.b64encode(bytes(tampered)).decode()}
        assert refused(channel, *signed(keys, envelope(keys, {}, resource=changed))) == "undecryptable"


def test_a_resource_sealed_with_another_api_v3_key_is_refused(channel, keys, other_keys) -> None:
    assert refused(channel, *signed(keys, envelope(other_keys, transaction()))) == "undecryptable"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff", b"{}", b'{"id":1,"resource":{}}'])
def test_a_signed_body_that_is_no_notification_is_refused(channel, keys, body: bytes) -> None:
    assert refused(channel, *signed(keys, body)) == "unreadable"


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=8,
)
texts = st.text(max_size=40) | st.sampled_from(["", "1767225600", PUBLIC_KEY_ID, "AAAA", "0" * 400])


@settings(max_examples=300, deadline=None)
@given(headers=st.dictionaries(st.sampled_from(SIGNED) | texts, texts), body=st.binary(max_size=200) | json.map(repr))
def test_what_is_not_signed_never_crashes_and_is_never_accepted(channel, headers, body) -> None:
    refused(channel, headers, body.encode("utf-8", "replace") if isinstance(body, str) else body)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(SIGNED), value=st.text(max_size=400))
def test_a_genuine_notification_with_a_foreign_header_is_never_accepted(channel, genuine, name, value) -> None:
    headers, body = genuine
    if headers[name] != value:
        refused(channel, headers | {name: value}, body)


@settings(max_examples=200, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(sorted(transaction())), json, min_size=1))
def test_whatever_wechat_signs_only_a_whole_success_is_a_success(channel, keys, changed) -> None:
    fields = transaction(**changed)
    result = parse(channel, *signed(keys, envelope(keys, fields)))
    if result is not None and result.answer.state is ChannelState.SUCCEEDED:
        assert type(fields["amount"]["total"]) is int
        assert result.answer.amount_minor == fields["amount"]["total"] > 0
        assert (fields["mchid"], fields["appid"]) == (transaction()["mchid"], transaction()["appid"])
        assert fields["trade_state"] in ("SUCCESS", "REFUND")


@settings(max_examples=200, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(["id", "resource", "event_type"]), json, min_size=1))
def test_whatever_envelope_wechat_signs_nothing_crashes(channel, keys, changed) -> None:
    parse(channel, *signed(keys, envelope(keys, transaction(), **changed)))


def parse(channel: WeChatPay, headers: Mapping[str, str], body: bytes) -> Notification | None:
    try:
        return channel.parse_notification(headers, body, now=NOW)
    except NotificationRefused:
        return None
