"""Stripe's bill: every page of the day, refused as a whole when anything in it does not add up."""

from __future__ import annotations

import os
import string
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong.channels import (
    Bill,
    BillRefused,
    BillRowKind,
    BillState,
    ChannelState,
    Codes,
    Http,
    OrderReference,
    PayRequest,
    RefundRequest,
)
from hutong.channels.codes.codes import load_codes
from hutong.channels.stripe import bill as stripe_bill
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.bill import BalanceTotals
from hutong.channels.stripe.credentials import StripeCredentials
from hutong.clock import ManualClock
from hutong.errors import InvalidParameter
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.bill import Entry
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from hutong.sandbox.stripe.objects import transaction
from support.channel_rigs import Control, number

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
AFTER = NOON + timedelta(days=1)


def account(folder: Path, url: str, http: Http) -> Stripe:
    raw = StripeSandboxKeys.load(folder / "stripe").credentials(url)
    credentials = StripeCredentials.model_validate(raw, context={"sandbox": True})
    return Stripe(credentials, http, Codes(load_codes(Stripe.code_map)))


def write(folder: Path, entries: list[Any], **totals: object) -> Bill:
    counted, lines = BalanceTotals(), []
    for entry in entries:
        counted.add(entry)
        lines.append(orjson.dumps(entry) + b"\n")
    end = orjson.dumps(orjson.loads(counted.line()) | totals) + b"\n"
    path = folder / "bill.jsonl"
    path.write_bytes(b"".join(lines) + end)
    return Bill(BillState.READY, "balance", DAY, (path,))


async def test_a_day_is_fetched_over_many_pages_and_read_back(tmp_path: Path, http: Http) -> None:
    clock = ManualClock(NOON)
    async with serve(SandboxSettings(tmp_path / "sandbox", clock=clock)) as url, aiohttp.ClientSession() as session:
        stripe, control = account(tmp_path / "sandbox", url, http), Control(url, session, "stripe")
        wanted: list[tuple[Any, ...]] = []
        for place in range(120):
            attempt_no, currency = number("att"), ("USD", "JPY", "EUR")[place % 3]
            request = PayRequest(
                attempt_no, "card", 1000 + place, currency, "Tea", AFTER, "", payer={"token": "pm_card_visa"}
            )
            paid = await stripe.pay(request, now=clock.now())
            assert paid.state is ChannelState.SUCCEEDED
            wanted.append((BillRowKind.PAYMENT, attempt_no, None, 1000 + place, currency, paid.channel_order_no))
            if place % 10 == 0:
                order = OrderReference(attempt_no, "card", 1000 + place, currency, clock.now(), paid.channel_order_no)
                refund = RefundRequest(number("ref"), order, 100, "", "", clock.now())
                given_back = await stripe.refund(refund, now=clock.now())
                await stripe.query_refund(refund, now=clock.now())
                wanted.append(
                    (BillRowKind.REFUND, refund.refund_no, attempt_no, 100, currency, given_back.channel_order_no)
                )
            clock.advance(timedelta(seconds=1))
        assert (await stripe.download_bill("balance", DAY, tmp_path, now=NOON)).state is BillState.NOT_READY
        bill = await stripe.download_bill("balance", DAY, tmp_path, now=AFTER)
        assert bill.state is BillState.READY
        rows = list(stripe.read_bill(bill))
        found = [(r.kind, r.our_no, r.original_no, r.amount_minor, r.currency, r.channel_no) for r in rows]
        assert sorted(found, key=str) == sorted(wanted, key=str)
        assert all(row.fee_minor is not None and row.happened_at is not None and row.settle_date for row in rows)

        empty = await stripe.download_bill("balance", DAY - timedelta(days=1), tmp_path, now=AFTER)
        assert (empty.state, list(stripe.read_bill(empty))) == (BillState.EMPTY, [])

        key = (await control.post("bill", day="2026-11-20", differences={"amount": 1, "missing": 1, "extra": 1}))["key"]
        planted = list(stripe.read_bill(await stripe.download_bill("balance", DAY, tmp_path, now=AFTER)))
        assert len(planted) == len(rows)
        amounts = {row.our_no: row.amount_minor for row in planted}
        for results in key:
            if results["class"] == "missing":
                assert results["number"] not in amounts
            elif results["class"] == "amount":
                assert amounts[results["number"]] == results["said"]["amount_minor"]
            else:
                assert results["said"]["amount_minor"] in amounts.values()


@pytest.mark.parametrize(
    ("kind", "state"),
    [("dropped", BillState.UNKNOWN), ("malformed", BillState.UNKNOWN), ("too_long", BillState.UNKNOWN)],
)
async def test_a_bill_that_breaks_off_leaves_nothing_behind(
    sandbox_url: str, sandbox_folder: Path, http: Http, tmp_path: Path, kind: str, state: BillState
) -> None:
    stripe = account(sandbox_folder, sandbox_url, http)
    async with aiohttp.ClientSession() as session:
        control = Control(sandbox_url, session, "stripe")
        await control.post("next", interface="bill", kind=kind, times=2)
        try:
            bill = await stripe.download_bill("balance", DAY, tmp_path, now=AFTER)
        finally:
            await control.post("reset")
    assert bill.state is state
    assert os.listdir(tmp_path) == []


async def test_a_bill_that_does_not_end_is_given_up(
    tmp_path: Path, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, folder = ManualClock(NOON), tmp_path / "bills"
    folder.mkdir()
    async with serve(SandboxSettings(tmp_path / "sandbox", clock=clock)) as url:
        stripe = account(tmp_path / "sandbox", url, http)
        request = PayRequest(number("att"), "card", 1000, "USD", "Tea", AFTER, "", payer={"token": "pm_card_visa"})
        await stripe.pay(request, now=clock.now())
        assert (await stripe.download_bill("balance", DAY, folder, now=AFTER)).state is BillState.READY
        monkeypatch.setattr(stripe_bill, "_FILE_MAX", 100)
        (folder / f"stripe-balance-{DAY}.jsonl").unlink()
        given_up = await stripe.download_bill("balance", DAY, folder, now=AFTER)
    assert (given_up.state, os.listdir(folder)) == (BillState.UNKNOWN, [])


async def test_a_bill_of_another_kind_is_not_asked_for(
    sandbox_url: str, sandbox_folder: Path, http: Http, tmp_path: Path
) -> None:
    with pytest.raises(InvalidParameter):
        await account(sandbox_folder, sandbox_url, http).download_bill("trade", DAY, tmp_path, now=AFTER)


NAMES = st.text(string.ascii_lowercase + string.digits, min_size=20, max_size=24)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(["payment", "refund"]))
    amount = draw(st.integers(1, 99_999_999))
    paid = kind == "payment"
    order_no, intent = "att_" + draw(NAMES), "pi_" + draw(NAMES)
    return Entry(
        kind=kind,
        number=order_no if paid else "ref_" + draw(NAMES),
        channel_no=intent if paid else "re_" + draw(NAMES),
        order_no=order_no,
        channel_order_no=intent,
        amount_minor=amount,
        order_amount_minor=amount,
        currency=draw(st.sampled_from(["USD", "JPY", "CNY"])),
        fee_minor=draw(st.integers(-100, 100_000)),
        state="charge" if paid else "refund",
        at=NOON.replace(hour=0) + timedelta(seconds=draw(st.integers(0, 86_399))),
        description=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
        method="card",
        data={"charge": "ch_1"},
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(entries(), max_size=8))
def test_what_the_channel_writes_is_what_is_read(tmp_path: Path, rows: list[Entry], reader: Stripe) -> None:
    bill = write(tmp_path, [transaction(row, expand=True) for row in rows])
    for row, read in zip(rows, reader.read_bill(bill), strict=True):
        assert (read.kind, read.our_no, read.channel_no) == (row.kind, row.number, row.channel_no)
        assert (read.amount_minor, read.currency, read.fee_minor) == (row.amount_minor, row.currency, row.fee_minor)
        assert read.happened_at == row.at
        assert read.original_no == (row.order_no if row.kind == "refund" else None)


@pytest.fixture
def reader(sandbox_folder: Path) -> Stripe:
    return account(sandbox_folder, "http://127.0.0.1:1", None)  # type: ignore[arg-type]


GOOD = {
    "id": "txn_1",
    "object": "balance_transaction",
    "amount": 100,
    "fee": 3,
    "net": 97,
    "currency": "usd",
    "created": int(NOON.timestamp()),
    "type": "charge",
    "source": {"id": "ch_1", "amount": 100, "currency": "usd", "metadata": {"attempt_no": "att_1"}},
}
BREAKS: dict[str, Callable[[bytes], bytes]] = {
    "cut in a line": lambda text: text[:-20],
    "cut after a line": lambda text: text[: text.index(b"\n") + 1],
    "empty": lambda text: b"",
    "a line twice": lambda text: text[: text.index(b"\n") + 1] + text,
    "lines after the end": lambda text: text + text,
    "not JSON": lambda text: b"{\n" + text,
    "not UTF-8": lambda text: b"\xff\xfe\n" + text,
    "a line without end": lambda text: b"[" * (1 << 19) + text,
    "another net": lambda text: text.replace(b'"net":97', b'"net":98'),
    "another day": lambda text: text.replace(b'"created":17', b'"created":18'),
    "no currency": lambda text: text.replace(b'"currency":"usd"', b'"currency":"$"'),
    "another count": lambda text: text.replace(b'"count":1', b'"count":2'),
    "another total": lambda text: text.replace(b'"net":{"usd":97}', b'"net":{"usd":96}'),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_bill_that_is_not_whole_is_refused(tmp_path: Path, reader: Stripe, name: str) -> None:
    bill = write(tmp_path, [GOOD])
    assert len(list(reader.read_bill(bill))) == 1
    bill.files[0].write_bytes(BREAKS[name](bill.files[0].read_bytes()))
    with pytest.raises(BillRefused):
        list(reader.read_bill(bill))


def test_a_bill_that_was_not_fetched_cannot_be_read(reader: Stripe, tmp_path: Path) -> None:
    for state in (BillState.NOT_READY, BillState.UNKNOWN, BillState.REFUSED):
        with pytest.raises(BillRefused):
            list(reader.read_bill(replace(write(tmp_path, [GOOD]), state=state)))


def test_a_row_settled_in_another_currency_has_the_amount_that_the_payer_paid(tmp_path: Path, reader: Stripe) -> None:
    source = {"id": "ch_1", "amount": 15000, "currency": "jpy", "payment_intent": "pi_1", "metadata": {}}
    (row,) = reader.read_bill(write(tmp_path, [GOOD | {"source": source}]))
    assert (row.amount_minor, row.currency, row.fee_minor, row.our_no) == (15000, "JPY", None, None)


@pytest.mark.parametrize(("kind", "expected"), [("payout", "payout"), ("stripe_fee", "fee"), ("adjustment", "other")])
def test_other_movements_have_their_kind(tmp_path: Path, reader: Stripe, kind: str, expected: str) -> None:
    moved = GOOD | {"type": kind, "amount": -100, "fee": 0, "net": -100, "source": "po_1"}
    (row,) = reader.read_bill(write(tmp_path, [moved]))
    assert (row.kind, row.our_no, row.channel_no, row.amount_minor) == (expected, None, "po_1", 100)


@pytest.mark.parametrize("fault", [{"amount": 101}, {"fee": 3.0}, {"fee": None}, {"source": {"id": "ch_1"}}])
def test_a_transaction_that_does_not_add_up_is_one_exception(tmp_path: Path, reader: Stripe, fault: object) -> None:
    broken, whole = reader.read_bill(write(tmp_path, [GOOD | fault, GOOD]))
    assert broken.fault is not None
    assert (broken.kind, broken.fault.line_no, whole.our_no) == ("exception", 1, "att_1")
    assert '"txn_1"' in broken.fault.text


def test_failed_refunds_and_disputes_keep_their_numbers(tmp_path: Path, reader: Stripe) -> None:
    metadata = {"refund_no": "ref_1", "attempt_no": "att_1"}
    refund = {"id": "re_1", "object": "refund", "amount": 100, "currency": "usd", "payment_intent": "pi_1"}
    failed = GOOD | {"type": "refund_failure", "source": refund | {"metadata": metadata}, "fee": 0, "net": 100}
    dispute = {"id": "dp_1", "object": "dispute", "amount": 100, "currency": "usd", "payment_intent": "pi_1"}
    taken = GOOD | {"type": "adjustment", "amount": -100, "fee": 1500, "net": -1600, "source": dispute}
    returned = GOOD | {"type": "adjustment", "reporting_category": "dispute_reversal", "source": "dp_1"}
    rows = list(reader.read_bill(write(tmp_path, [failed, taken, returned])))
    assert [(row.kind, row.our_no, row.channel_no, row.original_no, row.original_channel_no) for row in rows] == [
        ("refund_failure", "ref_1", "re_1", "att_1", "pi_1"),
        ("dispute", None, "dp_1", None, "pi_1"),
        ("dispute", None, "dp_1", None, None),
    ]
    assert [(row.amount_minor, row.fee_minor) for row in rows] == [(100, 0), (100, 1500), (100, 3)]
    # What is taken, and what was given back, differ by their state alone.
    assert [row.state for row in rows] == ["refund_failure", "dispute", "dispute_reversal"]


def test_a_dispute_in_another_currency_has_the_payers_amount_and_no_fee_in_it(tmp_path: Path, reader: Stripe) -> None:
    dispute = {"id": "du_1", "object": "dispute", "amount": 90, "currency": "eur", "payment_intent": "pi_1"}
    taken = GOOD | {"type": "adjustment", "amount": -100, "fee": 1500, "net": -1600, "source": dispute}
    (row,) = reader.read_bill(write(tmp_path, [taken]))
    assert (row.kind, row.amount_minor, row.currency, row.fee_minor, row.state) == (
        "dispute",
        90,
        "EUR",
        None,
        "dispute",
    )
