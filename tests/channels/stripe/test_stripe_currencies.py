"""Stripe counts most currencies as ISO 4217 does, some otherwise; and in India it offers no search."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import Bill, BillState, ChannelState
from hutong.channels.stripe import client as stripe_client
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.bill import BalanceTotals
from hutong.channels.stripe.requests import AMOUNT_MINOR_MIN, STEPS, to_units
from hutong.channels.stripe.responses import to_amount
from hutong.errors import InvalidParameter
from hutong.money import currency
from hutong.sandbox.stripe.validation import RULES
from support.stripe_world import World

ZERO_DECIMAL = {"CLP", "JPY", "KRW", "VND", "XAF", "XOF"}
THREE_DECIMAL = {"BHD", "JOD", "KWD", "OMR", "TND"}
HUNDREDTHS_OF_WHOLE_ONES = {"ISK", "UGX"}
"""What https://docs.stripe.com/currencies lists, as far as it is offered here."""


def test_each_currency_is_counted_as_stripe_lists_it() -> None:
    assert len(AMOUNT_MINOR_MIN) == 46
    simulated = RULES.fields("POST /v1/payment_intents")["currency"].choices
    assert {code.lower() for code in AMOUNT_MINOR_MIN} == set(simulated)
    for code in AMOUNT_MINOR_MIN:
        decimals = 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2
        major = 10 ** currency(code).exponent
        assert to_units(7 * major, code) == str(7 * 10**decimals), code
        assert STEPS.get(code, 1) == (10 if code in THREE_DECIMAL else 1)
        # A whole one is all there is of these two, at Stripe and in the standard.
        assert (currency(code).exponent == 0) == (code in ZERO_DECIMAL | HUNDREDTHS_OF_WHOLE_ONES)


@settings(max_examples=200, deadline=None)
@given(code=st.sampled_from(sorted(AMOUNT_MINOR_MIN)), amount_minor=st.integers(1, 10**12))
def test_an_amount_comes_back_as_it_went(code: str, amount_minor: int) -> None:
    assert to_amount(int(to_units(amount_minor, code)), code.lower()) == amount_minor


@pytest.mark.parametrize("units", [1, 50, 199, 550])
def test_a_part_of_a_krona_is_no_amount(units: int) -> None:
    for code in ("isk", "ugx"):
        assert to_amount(units, code) is None
        assert to_amount(units * 100, code) == units


@pytest.mark.parametrize(("code", "amount_minor", "units"), [("ISK", 1999, 199_900), ("UGX", 9000, 900_000)])
async def test_a_whole_life_in_hundredths_of_whole_ones(world: World, code: str, amount_minor: int, units: int) -> None:
    order, answer = await world.pay(amount_minor=amount_minor, currency=code, capture=False)
    assert (answer.state, answer.amount_minor, answer.currency) == (ChannelState.AUTHORIZED, amount_minor, code)
    sent = (await world.stripe._client.get(f"/v1/payment_intents/{answer.channel_order_no}")).content
    assert sent["amount"] == units
    taken = await world.stripe.capture(order, amount_minor - 99, now=world.now)
    assert (taken.state, taken.amount_minor) == (ChannelState.SUCCEEDED, amount_minor - 99)
    refund = world.refund(order, 500)
    assert (await world.stripe.refund(refund, now=world.now)).amount_minor == 500
    left = await world.stripe.refund(world.refund(order, amount_minor - 599), now=world.now)
    assert (left.state, left.amount_minor) == (ChannelState.PENDING, amount_minor - 599)
    page, opened = await world.pay(method="card_page", payer={}, amount_minor=amount_minor, currency=code)
    assert (opened.state, opened.amount_minor) == (ChannelState.PENDING, amount_minor)
    await world.control.post("pay", order_no=page.attempt_no)
    dispute = await world.control.post("dispute", order_no=page.attempt_no)
    report = await world.stripe.query_dispute(dispute["dispute_no"], now=world.now)
    assert report is not None
    assert (report.amount_minor, report.taken_minor, report.currency) == (amount_minor, amount_minor, code)


async def test_three_decimals_end_in_zero(world: World) -> None:
    order, answer = await world.pay(amount_minor=5_120, currency="KWD")
    assert (answer.state, answer.amount_minor) == (ChannelState.SUCCEEDED, 5_120)
    with pytest.raises(InvalidParameter) as refused:
        await world.stripe.refund(world.refund(order, 1_001), now=world.now)
    assert refused.value.param == "amount_minor"
    held, _ = await world.pay(amount_minor=5_120, currency="KWD", capture=False)
    with pytest.raises(InvalidParameter):
        await world.stripe.capture(held, 5_119, now=world.now)
    assert (await world.stripe.capture(held, 5_110, now=world.now)).amount_minor == 5_110


@pytest.mark.parametrize(("code", "most"), [("IDR", 999_999_999_999), ("COP", 9_999_999_999), ("ISK", 999_999)])
async def test_some_currencies_have_more_digits_and_some_fewer(world: World, code: str, most: int) -> None:
    _, answer = await world.pay(amount_minor=most, currency=code)
    assert (answer.state, answer.amount_minor) == (ChannelState.SUCCEEDED, most)
    with pytest.raises(InvalidParameter):
        await world.pay(amount_minor=most + 1, currency=code)


def test_a_row_of_the_bill_is_in_minor_units(tmp_path: Path) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    charge = {"id": "ch_1", "object": "charge", "amount": 199_900, "currency": "isk", "payment_intent": "pi_1"}
    row = {
        "id": "txn_1", "object": "balance_transaction", "amount": 199_900, "fee": 5_800, "net": 194_100,
        "currency": "isk", "created": int(start.timestamp()), "type": "charge", "source": charge,
    }  # fmt: skip
    part = row | {"id": "txn_2", "source": charge | {"amount": 199_950}}
    totals, path = BalanceTotals(), tmp_path / "bill.jsonl"
    totals.add(row)
    totals.add(part)
    path.write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in (row, part)) + totals.line())
    whole, broken = Stripe.read_bill(None, Bill(BillState.READY, "balance", start.date(), (path,)))  # type: ignore[arg-type]
    assert (whole.amount_minor, whole.currency, whole.fee_minor) == (1999, "ISK", 58)
    assert broken.fault is not None


# India.


@pytest.fixture
async def india(world: World) -> World:
    """An account for which Stripe refuses every search."""
    await world.control.post("next", interface="search", kind="error", status=400, code="", times=1000)
    return world


async def test_without_a_search_an_order_is_found_in_the_list(india: World) -> None:
    order, paid = await india.pay(currency="INR")
    unknown = replace(order, channel_order_no=None)
    assert await india.stripe.query(unknown, now=india.now) == paid
    refund = india.refund(unknown, 100)
    assert (await india.stripe.refund(refund, now=india.now)).state is ChannelState.PENDING
    absent = replace(unknown, attempt_no="att_never_was_there")
    assert (await india.stripe.query(absent, now=india.now)).state is ChannelState.NOT_FOUND


async def test_the_list_is_looked_through_by_pages_and_later_times(
    india: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_client, "_PAGE", 2)
    order, paid = await india.pay(currency="INR")
    for _ in range(5):
        await india.pay(currency="INR")
    unknown = replace(order, channel_order_no=None)
    assert await india.stripe.query(unknown, now=india.now) == paid
    # Placed long before it was sent: the second, longer look finds it; two days before it is not looked for.
    for hours, state in ((5, ChannelState.SUCCEEDED), (48, ChannelState.NOT_FOUND)):
        early = replace(unknown, placed_at=india.now - timedelta(hours=hours))
        assert (await india.stripe.query(early, now=india.now)).state is state
    monkeypatch.setattr(stripe_client, "_PAGES_MAX", 1)
    assert (await india.stripe.query(unknown, now=india.now)).state is ChannelState.UNKNOWN


@pytest.mark.parametrize("kind", ["dropped", "malformed", "error"])
async def test_without_search_and_list_nothing_is_known(india: World, kind: str) -> None:
    order, _ = await india.pay(currency="INR")
    await india.control.post("next", interface="query", kind=kind, times=2)
    found = await india.stripe.query(replace(order, channel_order_no=None), now=india.now)
    assert found.state is ChannelState.UNKNOWN


@pytest.mark.parametrize(("status", "code"), [(500, ""), (400, "never_seen"), (429, "")])
async def test_another_refusal_of_a_search_proves_nothing(world: World, status: int, code: str) -> None:
    order, _ = await world.pay()
    await world.control.post("next", interface="search", kind="error", status=status, code=code, times=2)
    found = await world.stripe.query(replace(order, channel_order_no=None), now=world.now)
    assert found.state is ChannelState.UNKNOWN


def test_amounts_are_whole_numbers_of_any() -> None:
    values: list[Any] = [0, -1, 1.5, "1", None, True]
    assert [to_amount(value, "usd") for value in values] == [None] * len(values)
