"""No notification is believed that UnionPay did not sign for this account, and nothing makes the parser crash."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import About, ChannelState, Codes, NotificationRefused
from hutong.channels.codes.codes import load_codes
from hutong.channels.unionpay.adapter import UnionPay
from hutong.channels.unionpay.credentials import UnionPayCredentials
from hutong.channels.unionpay.notifications import read_form
from hutong.sandbox.unionpay.keys import SIGNER_NAME, Issued, UnionPaySandboxKeys
from support.fakes.unionpay_messages import ATTEMPT_NO, form, payment, sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# A changed byte may fall on the serial number of the certificate, which is read before anything is known of it.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")


@pytest.fixture(scope="module")
def keys(sandbox_folder: Path) -> UnionPaySandboxKeys:
    return UnionPaySandboxKeys.load(sandbox_folder / "unionpay")


@pytest.fixture(scope="module")
def other_keys(other_folder: Path) -> UnionPaySandboxKeys:
    return UnionPaySandboxKeys.load(other_folder / "unionpay")


@pytest.fixture(scope="module")
def channel(keys, http) -> UnionPay:
    credentials = UnionPayCredentials.model_validate(keys.credentials("http://127.0.0.1:1"), context={"sandbox": True})
    return UnionPay(credentials, http, Codes(load_codes(UnionPay.code_map)))


@pytest.fixture(scope="module")
def genuine(keys) -> bytes:
    return form(sign(keys.signer, payment()))


def refused(channel: UnionPay, body: bytes, *, now: datetime = NOW) -> str:
    with pytest.raises(NotificationRefused) as caught:
        channel.parse_notification({}, body, now=now)
    return caught.value.detail.rpartition(": ")[2]


def test_a_genuine_notification_is_read(channel, genuine) -> None:
    notice = channel.parse_notification({}, genuine, now=NOW)
    assert (notice.number, notice.about, notice.replay_key) == (ATTEMPT_NO, About.PAYMENT, None)
    answer = notice.answer
    assert answer.state is ChannelState.SUCCEEDED
    assert (answer.amount_minor, answer.currency, answer.code) == (8800, "CNY", "paid")
    assert answer.channel_order_no == "176721120000000000001"
    assert answer.channel_code == "00"
    assert answer.happened_at == NOW


def test_no_byte_of_a_notification_may_change(channel, genuine) -> None:
    """A byte may be written in another way, as %2b for %2B; every other change is refused."""
    meant = read_form(genuine)
    same = 0
    for position in range(len(genuine)):
        for change in (0x01, 0x02, 0x20, 0x80):
            tampered = bytearray(genuine)
            tampered[position] ^= change
            try:
                channel.parse_notification({}, bytes(tampered), now=NOW)
            except NotificationRefused:
                continue
            assert read_form(bytes(tampered)) == meant
            assert genuine[position : position + 1].isalpha()
            assert b"%" in genuine[position - 2 : position]
            same += 1
    assert same < len(genuine) // 10


def test_no_byte_may_be_cut_or_added(channel, genuine) -> None:
    for tampered in (genuine[:-1], genuine[1:], genuine + b" ", genuine + b"&", b"&" + genuine, genuine + b"&a=b", b""):
        refused(channel, tampered)


def test_a_name_may_stand_once_only(channel, genuine) -> None:
    assert refused(channel, genuine + b"&txnAmt=8800") == "unreadable"
    assert refused(channel, b"txnAmt=1&" + genuine) == "unreadable"


def test_no_field_may_be_missing_added_or_changed(channel, keys) -> None:
    signed = sign(keys.signer, payment())
    for name, value in signed.items():
        refused(channel, form({key: kept for key, kept in signed.items() if key != name}))
        refused(channel, form(signed | {name: value + "0"}))
    refused(channel, form(signed | {"accNo": "1"}))


def test_two_fields_do_not_become_one(channel, genuine) -> None:
    merged = genuine.replace(b"&traceTime=", b"%26traceTime%3D")
    assert merged != genuine
    assert refused(channel, merged) == "unreadable"


@pytest.mark.parametrize("changed", [{"signMethod": "11"}, {"signMethod": "12"}, {"version": "5.0.0"}])
def test_another_way_of_signing_is_refused(channel, keys, changed) -> None:
    assert refused(channel, form(sign(keys.signer, payment(), **changed))) == "unsigned"


def test_a_signature_is_written_in_one_way_only(channel, keys) -> None:
    signed = sign(keys.signer, payment())
    for other in (signed["signature"] + "\n", " " + signed["signature"], signed["signature"].rstrip("=")):
        assert refused(channel, form(signed | {"signature": other})) == "bad_signature"


def test_a_certificate_of_another_authority_is_refused(channel, other_keys) -> None:
    assert refused(channel, form(sign(other_keys.signer, payment()))) == "unknown_key"


def test_a_certificate_of_another_owner_is_refused(channel, keys) -> None:
    """Whoever has a certificate of the same authority, such as another merchant, is not UnionPay."""
    assert refused(channel, form(sign(keys.merchant, payment()))) == "unknown_key"


def test_a_certificate_that_only_bears_the_name_is_refused(channel, keys) -> None:
    own = _issue(keys.merchant, f"041@Z@{SIGNER_NAME}@1", keys.merchant)
    assert refused(channel, form(sign(own, payment()))) == "unknown_key"


def test_a_certificate_issued_by_no_authority_is_refused(channel, keys) -> None:
    """A merchant's certificate may not issue others, even if its name leads up to the root."""
    middle = _issue(keys.merchant, "Hutong sandbox middle", keys.root)
    own = _issue(keys.merchant, f"041@Z@{SIGNER_NAME}@1", middle)
    assert refused(channel, form(sign(own, payment()))) == "unknown_key"


@pytest.mark.parametrize("name", ["", "041@Z", f"{SIGNER_NAME}", f"041@Z@{SIGNER_NAME}x@1", f"041@{SIGNER_NAME}@Z@1"])
def test_the_owner_stands_in_the_third_part(channel, keys, name: str) -> None:
    refused(channel, form(sign(_issue(keys.signer, name, keys.middle), payment())))


def test_a_certificate_out_of_its_time_is_refused(channel, keys, genuine) -> None:
    assert refused(channel, form(sign(keys.stale, payment()))) == "stale"
    for years in (-10, 30):
        refused(channel, genuine, now=NOW + timedelta(days=365 * years))


def test_several_of_unionpays_certificates_may_be_in_use(channel, keys) -> None:
    newer = _issue(keys.merchant, f"041@Z2025@{SIGNER_NAME}@00000009", keys.middle)
    assert channel.parse_notification({}, form(sign(newer, payment())), now=NOW).number == ATTEMPT_NO


def test_a_notification_for_another_merchant_is_refused(channel, keys) -> None:
    assert refused(channel, form(sign(keys.signer, payment(merId="777290058110097")))) == "not_ours"


@pytest.mark.parametrize(("txn_type", "about"), [("01", About.PAYMENT), ("04", About.REFUND)])
@pytest.mark.parametrize("number", ["20260101000000", "x"])
def test_a_number_that_is_not_ours_is_read_as_it_is(channel, keys, number: str, txn_type: str, about: About) -> None:
    fields = payment(orderId=number, txnType=txn_type, txnSubType="00")
    notice = channel.parse_notification({}, form(sign(keys.signer, fields)), now=NOW)
    assert (notice.about, notice.number, notice.answer.state) == (about, number, ChannelState.SUCCEEDED)
    assert notice.answer.amount_minor == 8800


@pytest.mark.parametrize("number", ["", "x" * 41, "a b"])
def test_an_order_without_a_number_is_unreadable(channel, keys, number: str) -> None:
    assert refused(channel, form(sign(keys.signer, payment(orderId=number)))) == "unreadable"


def test_what_is_about_no_order_is_accepted_and_forgotten(channel, keys) -> None:
    notice = channel.parse_notification({}, form(sign(keys.signer, payment(txnType="79"))), now=NOW)
    assert (notice.about, notice.number) == (About.NOTHING, "")
    assert notice.answer.state is ChannelState.UNKNOWN


@pytest.mark.parametrize(
    "changed", [{"txnAmt": "0"}, {"txnAmt": "-1"}, {"txnAmt": "1.5"}, {"queryId": ""}, {"currencyCode": "840"}]
)
def test_a_success_without_amount_or_number_is_refused(channel, keys, changed) -> None:
    assert refused(channel, form(sign(keys.signer, payment(**changed)))) == "unreadable"


@pytest.mark.parametrize("txn_type", ["04", "31"])
def test_a_refund_and_a_void_are_distinguished_from_payments(channel, keys, txn_type: str) -> None:
    fields = payment(txnType=txn_type, txnSubType="00", orderId="ref01kas0000000000000000000zz", origQryId="1" * 21)
    notice = channel.parse_notification({}, form(sign(keys.signer, fields)), now=NOW)
    assert (notice.about, notice.number) == (About.REFUND, "ref_01kas0000000000000000000zz")
    assert (notice.answer.state, notice.answer.code) == (ChannelState.SUCCEEDED, "succeeded")


def test_a_declined_collection_has_failed_but_a_payer_may_try_another_card(channel, keys) -> None:
    for sub_type, txn_type, state in (("00", "11", "failed"), ("06", "01", "failed"), ("01", "01", "pending")):
        fields = payment(txnType=txn_type, txnSubType=sub_type, respCode="64", respMsg="卡上的余额不足[1000051]")
        notice = channel.parse_notification({}, form(sign(keys.signer, fields)), now=NOW)
        assert (notice.answer.state, notice.answer.code) == (state, "insufficient_funds")


def test_a_code_that_we_do_not_know_is_unknown(channel, keys) -> None:
    notice = channel.parse_notification({}, form(sign(keys.signer, payment(respCode="ZZ"))), now=NOW)
    assert (notice.answer.state, notice.answer.code) == (ChannelState.UNKNOWN, "unmapped")


def test_a_long_message_is_refused(channel, keys) -> None:
    assert refused(channel, form(sign(keys.signer, payment(reserved="x" * 70_000)))) == "unreadable"


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=400))
def test_nothing_makes_the_parser_crash(channel, body: bytes) -> None:
    refused(channel, body)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_mutation_is_believed(channel, genuine, data) -> None:
    start = data.draw(st.integers(0, len(genuine)))
    end = data.draw(st.integers(start, min(len(genuine), start + 40)))
    tampered = genuine[:start] + data.draw(st.binary(max_size=40)) + genuine[end:]
    try:
        channel.parse_notification({}, tampered, now=NOW)
    except NotificationRefused:
        return
    assert read_form(tampered) == read_form(genuine)


@settings(max_examples=100, deadline=None)
@given(
    fields=st.dictionaries(st.from_regex(r"[A-Za-z]{1,8}", fullmatch=True), st.text(max_size=12), max_size=6),
    signature=st.binary(max_size=256),
)
def test_no_unsigned_fields_are_believed(channel, keys, fields, signature) -> None:
    message = sign(keys.signer, payment()) | fields | {"signature": base64.b64encode(signature).decode()}
    try:
        body = form(message)
    except UnicodeEncodeError:
        return
    refused(channel, body)


def _issue(holder: Issued, common_name: str, issuer: Issued) -> Issued:
    """A certificate for the holder's key, issued with the issuer's name and key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject)
        .public_key(holder.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=365))
        .not_valid_after(NOW + timedelta(days=365))
        .sign(issuer.key, SHA256())
    )
    return Issued(holder.key, certificate)
