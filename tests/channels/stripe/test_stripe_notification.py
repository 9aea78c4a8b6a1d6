"""Stripe's messages: only `v1` under one of our secrets, over the raw bytes, at most five minutes old."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import About, ChannelState, Codes, NotificationRefused
from hutong.channels.codes.codes import load_codes
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.credentials import StripeCredentials

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OLD, NEW = "whsec_" + "o" * 32, "whsec_" + "n" * 32
NUMBER = "att_01kas5e3f9ew3b1m6x2q8zt7rd"
REFUND_NO = "ref_01kas5e3f9ew3b1m6x2q8zt7rd"


def make(*secrets: str, live: bool = False) -> Stripe:
    key = "sk_live_" if live else "sk_test_"
    credentials = StripeCredentials(secret_key=key + "k" * 24, webhook_secrets=secrets or (NEW,))  # type: ignore[arg-type]
    return Stripe(credentials, None, Codes(load_codes(Stripe.code_map)))  # type: ignore[arg-type]


CHANNEL = make()


def intent(**changed: Any) -> dict[str, Any]:
    return {
        "id": "pi_3Q",
        "object": "payment_intent",
        "amount": 8800,
        "amount_received": 8800,
        "created": 1795262300,
        "currency": "usd",
        "livemode": False,
        "metadata": {"attempt_no": NUMBER},
        "status": "succeeded",
    } | changed


def event(kind: str = "payment_intent.succeeded", thing: Any = None, **changed: Any) -> bytes:
    fields = {
        "id": "evt_1",
        "object": "event",
        "created": 1795262390,
        "data": {"object": intent() if thing is None else thing},
        "type": kind,
    }
    return orjson.dumps(fields | changed)


def sign(body: bytes, *secrets: str, at: datetime = NOW, scheme: str = "v1") -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    made = [
        f"{scheme}={hmac.new(secret.encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"
        for secret in secrets or (NEW,)
    ]
    return {"stripe-signature": ",".join([f"t={timestamp}", *made])}


def read(body: bytes, channel: Stripe = CHANNEL) -> Any:
    return channel.parse_notification(sign(body), body, now=NOW)


def test_a_success_is_read() -> None:
    notice = read(event())
    assert (notice.number, notice.about) == (NUMBER, About.PAYMENT)
    answer = notice.answer
    assert (answer.state, answer.amount_minor, answer.currency) == (ChannelState.SUCCEEDED, 8800, "USD")
    assert (answer.channel_order_no, answer.channel_code) == ("pi_3Q", "succeeded")
    assert answer.happened_at == datetime.fromtimestamp(1795262390, UTC)


@pytest.mark.parametrize(
    ("kind", "changed", "state", "code"),
    [
        ("payment_intent.amount_capturable_updated", {"status": "requires_capture"}, "authorized", "requires_capture"),
        ("payment_intent.processing", {"status": "processing"}, "pending", "processing"),
        ("payment_intent.canceled", {"status": "canceled"}, "closed", "canceled"),
        (
            "payment_intent.payment_failed",
            {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "card_declined", "decline_code": "lost_card", "message": "No."},
            },
            "pending",
            "card_declined/lost_card",
        ),
        (
            "payment_intent.canceled",
            {"status": "canceled", "last_payment_error": {"code": "expired_card", "message": "Expired."}},
            "failed",
            "expired_card",
        ),
        ("payment_intent.surprised", {"status": "never_seen"}, "unknown", "never_seen"),
        ("payment_intent.surprised", {"status": None}, "unknown", None),
    ],
)
def test_each_status_is_what_it_amounts_to(kind: str, changed: Any, state: str, code: str | None) -> None:
    answer = read(event(kind, intent(**changed))).answer
    assert (answer.state, answer.channel_code) == (state, code)


@pytest.mark.parametrize(
    ("kind", "status", "state"),
    [
        ("refund.created", "pending", "pending"),
        ("refund.updated", "succeeded", "succeeded"),
        ("charge.refund.updated", "requires_action", "pending"),
        ("refund.failed", "failed", "failed"),
        ("refund.updated", "canceled", "failed"),
        ("refund.updated", "never_seen", "unknown"),
    ],
)
def test_a_refund_is_read(kind: str, status: str, state: str) -> None:
    thing = {
        "id": "re_1",
        "object": "refund",
        "amount": 100,
        "currency": "jpy",
        "created": 1795262380,
        "metadata": {"refund_no": REFUND_NO},
        "status": status,
    }
    for refund_id in ("re_1", "pyr_1"):
        notice = read(event(kind, thing | {"id": refund_id}))
        assert (notice.about, notice.number, notice.answer.state) == (About.REFUND, REFUND_NO, state)
        assert (notice.answer.amount_minor, notice.answer.currency) == (100, "JPY")
        assert notice.answer.channel_order_no == refund_id


FOREIGN_REFUND = {
    "id": "re_2",
    "object": "refund",
    "amount": 100,
    "currency": "usd",
    "payment_intent": "pi_3Q",
    "status": "succeeded",
}


@pytest.mark.parametrize(
    ("kind", "thing", "about", "number"),
    [
        ("payment_intent.succeeded", intent(metadata={}), About.PAYMENT, "pi_3Q"),
        ("payment_intent.succeeded", intent(metadata={"attempt_no": "../../x"}), About.PAYMENT, "pi_3Q"),
        ("payment_intent.succeeded", intent(metadata=None), About.PAYMENT, "pi_3Q"),
        ("refund.created", FOREIGN_REFUND, About.REFUND, "re_2"),
        ("charge.refund.updated", FOREIGN_REFUND | {"metadata": {"refund_no": "x"}}, About.REFUND, "re_2"),
    ],
)
def test_money_that_moved_without_our_number_has_stripes(kind: str, thing: Any, about: About, number: str) -> None:
    notice = read(event(kind, thing))
    assert (notice.about, notice.number, notice.answer.state) == (about, number, ChannelState.SUCCEEDED)
    assert (notice.answer.amount_minor, notice.answer.currency) == (thing["amount"], "USD")


@pytest.mark.parametrize(
    ("kind", "thing", "number", "state"),
    [
        ("refund.created", FOREIGN_REFUND, "re_2", "succeeded"),
        ("refund.failed", FOREIGN_REFUND | {"id": "pyr_2", "status": "failed"}, "pyr_2", "failed"),
        ("charge.refunded", {"id": "ch_1", "refunds": {"data": [FOREIGN_REFUND]}}, "re_2", "succeeded"),
    ],
)
def test_a_refund_in_the_dashboard_names_the_intent_that_it_refunds(
    kind: str, thing: Any, number: str, state: str
) -> None:
    notice = read(event(kind, thing))
    assert (notice.about, notice.number, notice.answer.state) == (About.REFUND, number, state)
    assert (notice.channel_order_no, notice.order_no) == ("pi_3Q", None)


@pytest.mark.parametrize(
    "thing", [{"object": "refund"}, FOREIGN_REFUND | {"amount": None}, FOREIGN_REFUND | {"livemode": True}]
)
def test_a_refund_that_cannot_be_read_is_refused(thing: Any) -> None:
    with pytest.raises(NotificationRefused):
        read(event("refund.updated", thing))


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("checkout.session.completed", {"object": "checkout.session", "metadata": {"attempt_no": NUMBER}}),
        ("payment_intent.created", intent(metadata={}, status="requires_payment_method")),
        ("payment_intent.payment_failed", intent(metadata=None, status="requires_payment_method")),
        ("refund.created", FOREIGN_REFUND | {"status": "pending"}),
        ("charge.refunded", {"id": "ch_1"}),
        ("charge.refunded", {"id": "ch_1", "refunds": {"data": [FOREIGN_REFUND | {"metadata": {"refund_no": "x"}}]}}),
    ],
)
def test_what_is_not_about_our_numbers_is_taken_and_forgotten(kind: str, thing: Any) -> None:
    notice = read(event(kind, thing))
    assert (notice.about, notice.number, notice.answer.state) == (About.NOTHING, "", ChannelState.UNKNOWN)


DISPUTE = {
    "id": "du_1",
    "object": "dispute",
    "amount": 8800,
    "balance_transactions": [{"amount": -8800, "fee": 1500, "currency": "usd"}],
    "currency": "usd",
    "payment_intent": "pi_3Q",
    "status": "needs_response",
}


@pytest.mark.parametrize("kind", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
def test_a_dispute_has_stripes_number_and_names_its_intent(kind: str) -> None:
    notice = read(event(f"charge.dispute.{kind}", DISPUTE))
    assert (notice.about, notice.number, notice.channel_order_no) == (About.DISPUTE, "du_1", "pi_3Q")
    assert (notice.dispute.taken_minor, notice.dispute.fee_minor) == (8800, 1500)
    assert notice.dispute.changed_at.replace(microsecond=0) == datetime.fromtimestamp(1795262390, UTC)


@pytest.mark.parametrize("broken", [{"status": "never_seen"}, {"balance_transactions": None}, {"amount": None}])
def test_a_dispute_that_cannot_be_read_is_named_and_queried(broken: Any) -> None:
    notice = read(event("charge.dispute.updated", DISPUTE | broken))
    assert (notice.about, notice.number, notice.dispute) == (About.DISPUTE, "du_1", None)


def thin(kind: str = "v1.payment_intent.succeeded", object_id: object = "pi_3Q", **changed: Any) -> bytes:
    fields = {
        "id": "evt_test_65",
        "object": "v2.core.event",
        "context": None,
        "created": "2026-11-21T12:00:00.000Z",
        "livemode": False,
        "related_object": {"id": object_id, "type": "payment_intent", "url": f"/v1/payment_intents/{object_id}"},
        "type": kind,
    }
    return orjson.dumps(fields | changed)


@pytest.mark.parametrize(
    ("kind", "object_id"),
    [
        ("v1.payment_intent.succeeded", "pi_3Q"),
        ("v1.checkout.session.expired", "cs_test_1"),
        ("v1.refund.updated", "re_1"),
        ("v1.refund.failed", "pyr_1"),
    ],
)
def test_a_thin_event_names_its_object_without_stating_it(kind: str, object_id: str) -> None:
    notice = read(thin(kind, object_id))
    assert (notice.number, notice.is_named_only, notice.answer.state) == (object_id, True, ChannelState.UNKNOWN)


def test_a_thin_event_of_a_dispute_names_it_to_be_queried() -> None:
    notice = read(thin("v1.charge.dispute.closed", "du_1"))
    assert (notice.about, notice.number, notice.dispute, notice.is_named_only) == (About.DISPUTE, "du_1", None, False)


@pytest.mark.parametrize(
    "body",
    [
        thin("v1.billing.meter.error_report_triggered", "mtr_1"),
        thin("v1.customer.created", "cus_1"),
        thin("v2.core.account.updated", "acct_1"),
        thin("v1.payment_intent.succeeded", "ch_1"),
        thin("v1.payment_intent.succeeded", "pi_/../x"),
        thin("v1.payment_intent.succeeded", 7),
        thin(related_object=None),
        thin(context="acct_1Other"),
        thin("v1.charge.dispute.closed", "du_1", context="acct_1Other"),
        event(account="acct_1Other"),
        event(context="acct_1Other"),
        event("charge.dispute.created", DISPUTE, account="acct_1Other"),
        event("refund.created", FOREIGN_REFUND, account="acct_1Other"),
        event(thing=intent(livemode=True), account="acct_1Other"),
    ],
)
def test_events_about_nothing_of_ours_or_of_other_accounts_are_set_aside(body: bytes) -> None:
    notice = read(body)
    assert (notice.about, notice.number, notice.is_named_only) == (About.NOTHING, "", False)


@pytest.mark.parametrize("body", [thin(livemode=True), thin(livemode=None), thin(id="v2_1"), thin(type=None)])
def test_a_thin_event_of_the_other_mode_is_refused(body: bytes) -> None:
    with pytest.raises(NotificationRefused):
        read(body)


@pytest.mark.parametrize("broken", [{"id": "ch_1"}, {"object": "charge"}, {"livemode": True}])
def test_what_is_not_a_dispute_of_this_account_is_refused(broken: Any) -> None:
    with pytest.raises(NotificationRefused):
        read(event("charge.dispute.updated", DISPUTE | broken))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        event(id="ch_1"),
        event(id=7),
        event(object="list"),
        event(type=None),
        event(data=[]),
        event(data={}),
        event(thing=[]),
        event(thing=intent(object="charge")),
        event(thing=intent(id="re_1")),
        event(thing=intent(id="pi_" + "x" * 300)),
        event(thing=intent(id="pi_/../x")),
        event(thing=intent(livemode=True)),
        event(thing=intent(livemode=0)),
        event(thing=intent(amount=88.0)),
        event(thing=intent(amount=0)),
        event(thing=intent(amount=2**63)),
        event(thing=intent(amount_received=0)),
        event(thing=intent(amount_received=None)),
        event(thing=intent(currency="USD")),
        event(thing=intent(currency=None)),
    ],
)
def test_a_proven_message_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(NotificationRefused):
        read(body)


def test_a_message_of_the_other_mode_is_refused() -> None:
    assert make(live=True).capabilities
    with pytest.raises(NotificationRefused):
        read(event(), make(live=True))
    assert read(event(thing=intent(livemode=True)), make(live=True)).answer.state is ChannelState.SUCCEEDED


def test_both_secrets_count_while_one_replaces_the_other() -> None:
    body = event()
    both = make(OLD, NEW)
    for signed in (sign(body, OLD), sign(body, NEW), sign(body, OLD, NEW), sign(body, "whsec_other", NEW)):
        assert both.parse_notification(signed, body, now=NOW).number == NUMBER
    with pytest.raises(NotificationRefused):
        make(NEW).parse_notification(sign(body, OLD), body, now=NOW)


@pytest.mark.parametrize("age_s", [-301, 301])
def test_an_old_message_and_one_from_the_future_are_refused(age_s: int) -> None:
    body = event()
    with pytest.raises(NotificationRefused):
        CHANNEL.parse_notification(sign(body), body, now=NOW + timedelta(seconds=age_s))
    CHANNEL.parse_notification(sign(body), body, now=NOW + timedelta(seconds=age_s - age_s // abs(age_s)))


def test_no_other_scheme_counts() -> None:
    body = event()
    v0 = sign(body, scheme="v0")
    good = sign(body)["stripe-signature"]
    for header in (v0["stripe-signature"], good.replace("v1=", "V1="), good.replace("v1=", "v1==")):
        with pytest.raises(NotificationRefused):
            CHANNEL.parse_notification({"stripe-signature": header}, body, now=NOW)
    # Another scheme beside it neither helps nor harms.
    CHANNEL.parse_notification({"stripe-signature": good + ",v0=abc"}, body, now=NOW)


def test_a_second_time_does_not_count() -> None:
    body = event()
    good = sign(body)["stripe-signature"]
    for header in (good + ",t=1", "t=1," + good, good.replace("t=", "t=+"), good.replace("t=", "t= ")):
        with pytest.raises(NotificationRefused):
            CHANNEL.parse_notification({"stripe-signature": header}, body, now=NOW)


def test_every_byte_of_the_body_and_of_the_signature_counts() -> None:
    body, header = event(), sign(event())["stripe-signature"]
    for at in range(len(body)):
        for bit in (1, 32, 128):
            broken = body[:at] + bytes([body[at] ^ bit]) + body[at + 1 :]
            with pytest.raises(NotificationRefused):
                CHANNEL.parse_notification({"stripe-signature": header}, broken, now=NOW)
    for at in range(len(header)):
        for bit in (1, 32, 64):
            broken_header = header[:at] + chr(ord(header[at]) ^ bit) + header[at + 1 :]
            with pytest.raises(NotificationRefused):
                CHANNEL.parse_notification({"stripe-signature": broken_header}, body, now=NOW)
    for broken in (body[:-1], body + b" ", body + b"\n"):
        with pytest.raises(NotificationRefused):
            CHANNEL.parse_notification({"stripe-signature": header}, broken, now=NOW)


@settings(max_examples=200, deadline=None)
@given(header=st.text(), body=st.binary())
def test_nothing_unsigned_is_taken_and_nothing_breaks_the_reader(header: str, body: bytes) -> None:
    with pytest.raises(NotificationRefused):
        CHANNEL.parse_notification({"stripe-signature": header}, body, now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["id", "object", "amount", "amount_received", "currency", "livemode", "metadata", "status", "last_payment_error",
     "next_action", "latest_charge", "canceled_at", "created", "client_secret", "url"]
)  # fmt: skip
KINDS = st.sampled_from(["payment_intent.succeeded", "checkout.session.expired", "refund.updated", "x"])


@settings(max_examples=300, deadline=None)
@given(kind=KINDS, changed=st.dictionaries(FIELDS, JSON, max_size=3), top=st.dictionaries(FIELDS, JSON, max_size=1))
def test_whatever_stripe_may_say_is_read_or_refused(kind: str, changed: Any, top: Any) -> None:
    try:
        body = event(kind, intent(**changed), **top)
    except (orjson.JSONEncodeError, TypeError):
        return
    try:
        notice = read(body)
    except NotificationRefused:
        return
    if notice.about is About.PAYMENT and notice.answer.state is ChannelState.SUCCEEDED:
        assert notice.answer.amount_minor is not None
        ours = changed.get("metadata", {"attempt_no": NUMBER}) == {"attempt_no": NUMBER}
        assert notice.number == (NUMBER if ours else changed.get("id", "pi_3Q"))
