"""Alipay's notifications: nothing is believed that Alipay has not signed for this application and this seller."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import About, ChannelState, Codes, Notification, NotificationRefused
from hutong.channels.alipay.adapter import Alipay
from hutong.channels.alipay.credentials import AlipayCredentials
from hutong.channels.codes.codes import load_codes
from hutong.sandbox.alipay.keys import AlipaySandboxKeys
from support.fakes.alipay_messages import ATTEMPT_NO, form, notice, signed

NOW = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def alipay_keys(sandbox_folder: Path) -> AlipaySandboxKeys:
    return AlipaySandboxKeys.load(sandbox_folder / "alipay")


Make = Callable[..., Alipay]


@pytest.fixture(scope="session")
def make_alipay(alipay_keys: AlipaySandboxKeys) -> Make:
    codes = Codes(load_codes(Alipay.code_map))

    def make(*, certificate_mode: bool = False, http: Any = None, **changed: object) -> Alipay:
        raw = alipay_keys.credentials("http://127.0.0.1:1", certificate_mode=certificate_mode) | changed
        context = {"sandbox": True, "stored": True}
        return Alipay(AlipayCredentials.model_validate(raw, context=context), http, codes)

    return make


@pytest.fixture(scope="session")
def alipay(make_alipay: Make) -> Alipay:
    return make_alipay()


def parse(channel: Alipay, body: bytes, *, now: datetime = NOW) -> Notification | None:
    try:
        return channel.parse_notification({}, body, now=now)
    except NotificationRefused:
        return None


def refused(channel: Alipay, body: bytes, *, now: datetime = NOW) -> str:
    with pytest.raises(NotificationRefused) as caught:
        channel.parse_notification({}, body, now=now)
    return caught.value.detail.rpartition(": ")[2]


@pytest.fixture(scope="session")
def genuine(alipay_keys: AlipaySandboxKeys) -> bytes:
    return signed(alipay_keys.public.key, notice())


def test_a_genuine_notification_is_read(alipay: Alipay, genuine: bytes) -> None:
    results = alipay.parse_notification({}, genuine, now=NOW)
    assert results.number == ATTEMPT_NO
    assert (results.about, results.answer.state) == (About.PAYMENT, ChannelState.SUCCEEDED)
    assert (results.answer.amount_minor, results.answer.currency) == (8800, "CNY")
    assert results.answer.channel_order_no == "2026010122001455610512345678"
    assert results.answer.happened_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (results.answer.channel_code, results.answer.code) == ("TRADE_SUCCESS", "paid")


def test_no_byte_may_change(alipay: Alipay, genuine: bytes) -> None:
    for position in range(len(genuine)):
        for change in (0x01, 0x20, 0x80):
            tampered = bytearray(genuine)
            tampered[position] ^= change
            refused(alipay, bytes(tampered))


def test_every_other_byte_at_each_place_of_the_signature_is_refused(alipay: Alipay, genuine: bytes) -> None:
    start = genuine.index(b"&sign_type")
    for position in range(start, len(genuine), 7):
        for other in range(256):
            if other != genuine[position]:
                assert parse(alipay, genuine[:position] + bytes([other]) + genuine[position + 1 :]) is None


def test_no_byte_may_be_cut_or_added(alipay: Alipay, genuine: bytes) -> None:
    for position in range(len(genuine)):
        refused(alipay, genuine[:position] + genuine[position + 1 :])
    for tampered in (genuine + b"&", b"&" + genuine, genuine + b"\n", b" " + genuine, b"", b"\xef\xbb\xbf" + genuine):
        assert refused(alipay, tampered) == "unreadable"


@pytest.mark.parametrize("name", ["total_amount", "trade_status", "app_id", "sign", "sign_type", "charset"])
def test_a_parameter_that_stands_twice_is_refused(alipay: Alipay, genuine: bytes, name: str) -> None:
    value = dict(parse_qsl(genuine.decode()))[name]
    assert refused(alipay, genuine + b"&" + form({name: value})) == "unreadable"


def test_another_parameter_or_one_less_is_refused(alipay: Alipay, genuine: bytes) -> None:
    fields = dict(parse_qsl(genuine.decode()))
    for name in fields:
        assert parse(alipay, form({n: v for n, v in fields.items() if n != name})) is None
    assert refused(alipay, genuine + b"&extra=1") == "bad_signature"


def test_another_spelling_of_the_same_values_is_refused(alipay: Alipay, genuine: bytes) -> None:
    assert refused(alipay, genuine.replace(b"%3A", b"%3a", 1)) == "unreadable"
    assert refused(alipay, genuine.replace(b"%3A", b":", 1)) == "unreadable"


@pytest.mark.parametrize("algorithm", ["RSA", "rsa2", "SM2", "none", ""])
def test_another_algorithm_is_refused(alipay: Alipay, alipay_keys, algorithm: str) -> None:
    assert refused(alipay, signed(alipay_keys.public.key, notice(), sign_type=algorithm)) == "unsigned"


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "latin-1", "", None])
def test_another_charset_is_refused(alipay: Alipay, alipay_keys, charset: str | None) -> None:
    assert refused(alipay, signed(alipay_keys.public.key, notice(charset=charset))) == "charset"


@pytest.mark.parametrize("charset", ["GBK", "gbk", "GB18030", "gb2312", "UTF-8"])
def test_a_notification_is_read_by_the_charset_that_it_names(alipay: Alipay, alipay_keys, charset: str) -> None:
    codec = charset.lower()
    body = signed(alipay_keys.public.key, notice(charset=charset), codec=codec)
    assert alipay.parse_notification({}, body, now=NOW).number == ATTEMPT_NO
    names_another = "utf-8" if codec != "utf-8" else "gbk"
    refused(alipay, signed(alipay_keys.public.key, notice(charset=names_another), codec=codec))
    assert refused(alipay, body.replace(b"charset=" + charset.encode(), b"charset=" + names_another.encode()))


def test_the_keys_of_others_prove_nothing(alipay: Alipay, make_alipay: Make, alipay_keys) -> None:
    for pair in (alipay_keys.application, alipay_keys.platform, alipay_keys.other_merchant, alipay_keys.root):
        assert refused(alipay, signed(pair.key, notice())) == "bad_signature"
    certified = make_alipay(certificate_mode=True)
    for pair in (alipay_keys.application, alipay_keys.other_merchant, alipay_keys.authority):
        assert refused(certified, signed(pair.key, notice(alipay_cert_sn=pair.serial))) == "unknown_key"
    platform = alipay_keys.platform
    assert refused(certified, signed(alipay_keys.public.key, notice(alipay_cert_sn=platform.serial))) == "bad_signature"
    for pair in (alipay_keys.application, alipay_keys.other_merchant, alipay_keys.authority, alipay_keys.successor):
        assert refused(certified, signed(pair.key, notice())) == "bad_signature"
    assert refused(alipay, signed(platform.key, notice(alipay_cert_sn=platform.serial))) == "unknown_key"


@pytest.mark.parametrize("names", [False, True])
def test_a_certificate_proves_only_while_it_is_valid(make_alipay: Make, alipay_keys, names: bool) -> None:
    certified, platform = make_alipay(certificate_mode=True), alipay_keys.platform
    body = signed(platform.key, notice(**({"alipay_cert_sn": platform.serial} if names else {})))
    assert certified.parse_notification({}, body, now=NOW).number == ATTEMPT_NO
    for then in (platform.not_after + timedelta(seconds=1), platform.not_before - timedelta(seconds=1)):
        assert refused(certified, body, now=then) == "unknown_key"


def test_a_notification_may_name_its_certificate_beside_what_is_signed(make_alipay: Make, alipay_keys) -> None:
    """Anybody may then add or change the name, and nothing but the choice of the key hangs on it."""
    certified, platform = make_alipay(certificate_mode=True), alipay_keys.platform
    body = signed(platform.key, notice())
    assert certified.parse_notification({}, body, now=NOW).number == ATTEMPT_NO
    named = body + b"&" + form({"alipay_cert_sn": platform.serial})
    assert certified.parse_notification({}, named, now=NOW).number == ATTEMPT_NO
    strange = body + b"&" + form({"alipay_cert_sn": alipay_keys.successor.serial})
    assert refused(certified, strange) == "unknown_key"


def test_two_public_keys_are_valid_during_a_change(make_alipay: Make, alipay_keys) -> None:
    changing = make_alipay(alipay_public_keys=[alipay_keys.public.public_pem, alipay_keys.successor.public_pem])
    for pair in (alipay_keys.public, alipay_keys.successor):
        assert changing.parse_notification({}, signed(pair.key, notice()), now=NOW).number == ATTEMPT_NO


def test_both_modes_are_valid_while_an_account_changes_over(make_alipay: Make, alipay_keys) -> None:
    both = make_alipay(certificate_mode=True, alipay_public_keys=[alipay_keys.public.public_pem])
    platform = alipay_keys.platform
    for body in (
        signed(alipay_keys.public.key, notice()),
        signed(platform.key, notice(alipay_cert_sn=platform.serial)),
    ):
        assert both.parse_notification({}, body, now=NOW).number == ATTEMPT_NO


@pytest.mark.parametrize(
    "changed",
    [
        {"app_id": "2021000000000000"},
        {"app_id": None},
        {"auth_app_id": "2021000000000000"},
        {"seller_id": "2088000000000000"},
        {"seller_id": None},
        {"notify_id": None},
        {"out_trade_no": "a b"},
        {"out_trade_no": "a" * 65},
        {"trade_no": None},
        {"total_amount": None},
        {"total_amount": "88.888"},
        {"total_amount": "1e3"},
        {"total_amount": "-88.00"},
        {"total_amount": "+88.00"},
        {"total_amount": "0.00"},
        {"total_amount": "088.00"},
        {"total_amount": ".88"},
        {"total_amount": "８８.00"},
        {"total_amount": "99999999999999.00"},
        {"trans_currency": "USD"},
    ],
    ids=str,
)
def test_a_success_that_is_not_whole_or_not_ours_is_refused(alipay: Alipay, alipay_keys, changed: dict) -> None:
    refused(alipay, signed(alipay_keys.public.key, notice(**changed)))


@pytest.mark.parametrize(
    ("written", "minor"), [("0.01", 1), ("88.88", 8888), ("1", 100), ("1.5", 150), ("100000000", 10**10)]
)
def test_yuan_become_fen_exactly(alipay: Alipay, alipay_keys, written: str, minor: int) -> None:
    results = alipay.parse_notification(
        {}, signed(alipay_keys.public.key, notice(total_amount=written, receipt_amount=written)), now=NOW
    )
    assert results.answer.amount_minor == minor


@pytest.mark.parametrize(
    ("status", "changed", "state"),
    [
        ("WAIT_BUYER_PAY", {"gmt_payment": None}, ChannelState.PENDING),
        ("TRADE_FINISHED", {}, ChannelState.SUCCEEDED),
        ("TRADE_CLOSED", {"gmt_payment": None}, ChannelState.CLOSED),
        ("TRADE_CLOSED", {}, ChannelState.SUCCEEDED),
        ("TRADE_PENDING", {}, ChannelState.UNKNOWN),
        ("trade_success", {}, ChannelState.UNKNOWN),
        ("", {}, ChannelState.UNKNOWN),
    ],
)
def test_each_status_of_a_trade(alipay: Alipay, alipay_keys, status: str, changed: dict, state: ChannelState) -> None:
    body = signed(alipay_keys.public.key, notice(trade_status=status, **changed))
    assert alipay.parse_notification({}, body, now=NOW).answer.state is state


def test_a_refund_is_recognized_by_its_own_number(alipay: Alipay, alipay_keys) -> None:
    fields = notice(gmt_refund="2026-01-01 09:00:00.123", refund_fee="8.00", out_biz_no="ref_1")
    results = alipay.parse_notification({}, signed(alipay_keys.public.key, fields), now=NOW)
    assert (results.about, results.number, results.answer.state) == (About.REFUND, "ref_1", ChannelState.SUCCEEDED)
    assert results.answer.amount_minor is None  # it tells the sum of all refunds only
    assert results.answer.happened_at == datetime(2026, 1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"x"', "{}", '{"complain_event_id": 7}', '{"complain_event_id": "7"}']
)
def test_a_message_that_names_no_complaint_is_unreadable(alipay: Alipay, alipay_keys, content: str) -> None:
    fields = {
        "msg_method": "alipay.merchant.tradecomplain.changed", "notify_id": "1", "app_id": notice()["app_id"],
        "version": "1.1", "charset": "GBK", "biz_content": content,
    }  # fmt: skip
    with pytest.raises(NotificationRefused) as caught:
        alipay.parse_notification({}, signed(alipay_keys.public.key, fields, codec="gbk"), now=NOW)
    assert (caught.value.reason, caught.value.is_unreadable) == ("unreadable", True)


def test_a_card_that_takes_no_refund_back_makes_no_refund_fail(alipay: Alipay, alipay_keys) -> None:
    content = {"trade_no": "1", "out_trade_no": ATTEMPT_NO, "out_request_no": "ref_1", "dback_status": "F"}
    fields = {
        "msg_method": "alipay.trade.refund.depositback.completed", "notify_id": "1", "utc_timestamp": "1767225600000",
        "app_id": notice()["app_id"], "version": "1.1", "charset": "utf-8", "biz_content": json.dumps(content),
    }  # fmt: skip
    body = signed(alipay_keys.public.key, fields)
    # The money goes to the payer's balance at Alipay then, so the refund stays a success.
    assert alipay.parse_notification({}, body, now=NOW).about is About.NOTHING


def test_a_message_of_another_kind_is_taken_and_forgotten(alipay: Alipay, alipay_keys) -> None:
    body = signed(alipay_keys.public.key, notice(notify_type="dut_user_sign", out_trade_no=None))
    assert alipay.parse_notification({}, body, now=NOW).about is About.NOTHING


def test_what_is_answered(alipay: Alipay) -> None:
    assert alipay.acceptance.body == b"success"
    assert b"success" not in alipay.refusal.body


texts = st.text(max_size=30) | st.sampled_from(["", "TRADE_SUCCESS", "88.00", "RSA2", "utf-8", ATTEMPT_NO, "\0"])
names = st.sampled_from(sorted(notice())) | st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=300) | st.dictionaries(names, texts, max_size=12).map(form))
def test_what_is_not_signed_never_crashes_and_is_never_accepted(alipay: Alipay, body: bytes) -> None:
    assert parse(alipay, body) is None


@settings(max_examples=200, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(sorted(notice())), texts | st.none(), min_size=1))
def test_a_genuine_signature_over_something_else_is_never_accepted(alipay: Alipay, genuine: bytes, changed) -> None:
    true = dict(parse_qsl(genuine.decode()))
    fields = {name: value for name, value in (true | changed).items() if value is not None}
    if fields != true:
        assert parse(alipay, form(fields)) is None


@settings(max_examples=200, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(sorted(notice())), texts | st.none(), min_size=1))
def test_whatever_alipay_signs_only_a_whole_success_is_a_success(alipay: Alipay, alipay_keys, changed) -> None:
    fields = notice(**changed)
    results = parse(alipay, signed(alipay_keys.public.key, fields))
    if results is not None and results.answer.state is ChannelState.SUCCEEDED:
        assert (fields["app_id"], fields["seller_id"]) == (notice()["app_id"], notice()["seller_id"])
        assert fields["trade_status"] in ("TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED")
        assert results.about is About.PAYMENT
        assert results.answer.amount_minor is not None
        assert results.answer.amount_minor > 0
