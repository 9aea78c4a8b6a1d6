"""Money: nothing is lost, nothing is rounded twice, nothing strange is read as a number."""

from __future__ import annotations

import decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong import money
from hutong.errors import InvalidParameter
from hutong.money import AMOUNT_MINOR_MAX, Rounding, allocate, fee_minor, from_major, to_major

amounts = st.integers(0, AMOUNT_MINOR_MAX)
CODES = sorted(money._table())


@given(amounts, st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any))
def test_allocate_loses_nothing_and_stays_within_a_unit_of_the_exact_share(amount: int, weights: list[int]) -> None:
    shares = allocate(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        exact = Fraction(amount * weight, sum(weights))
        assert exact.__floor__() <= share <= exact.__ceil__()


@given(amounts, st.lists(st.integers(0, 1000), min_size=1, max_size=10).filter(any))
def test_allocate_gives_the_heavier_weight_no_less(amount: int, weights: list[int]) -> None:
    shares = allocate(amount, weights)
    pairs = sorted(zip(weights, shares, strict=True))
    assert [share for _, share in pairs] == sorted(shares)


def test_allocate_gives_what_is_left_to_the_largest_remainder_then_the_heavier_then_the_earlier() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(5, [3, 7]) == [1, 4]
    assert allocate(1, [1, 3, 1, 3]) == [0, 1, 0, 0]
    assert allocate(2, [5, 5, 5]) == [1, 1, 0]
    assert allocate(0, [1, 2]) == [0, 0]
    assert allocate(7, [0, 1]) == [0, 7]


@pytest.mark.parametrize(("amount", "weights"), [(-1, [1]), (1, []), (1, [0, 0]), (1, [2, -1]), (1, [-1, 1])])
def test_allocate_refuses_what_cannot_be_divided(amount: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="allocate"):
        allocate(amount, weights)


FEES = {  # of 0.5, 1.5, 2.4 and 2.6 units
    Rounding.HALF_UP: (1, 2, 2, 3),
    Rounding.HALF_EVEN: (0, 2, 2, 3),
    Rounding.DOWN: (0, 1, 2, 2),
    Rounding.UP: (1, 2, 3, 3),
}


@pytest.mark.parametrize("rule", list(Rounding))
def test_a_fee_is_rounded_once_by_the_named_rule(rule: Rounding) -> None:
    rate_ppm = 100_000
    assert tuple(fee_minor(amount, rate_ppm, rule) for amount in (5, 15, 24, 26)) == FEES[rule]


@given(amounts, st.integers(0, 2_000_000), st.sampled_from(list(Rounding)))
def test_a_fee_is_within_a_unit_whatever_context_the_caller_has_set(amount: int, ppm: int, rule: Rounding) -> None:
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_CEILING)):
        fee = fee_minor(amount, ppm, rule)
    exact = Fraction(amount * ppm, money.PPM)
    assert exact.__floor__() <= fee <= exact.__ceil__()
    if rule is Rounding.HALF_EVEN:
        assert fee == round(exact)


@given(st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX), st.sampled_from(CODES))
def test_what_is_written_in_major_units_is_read_back(amount: int, code: str) -> None:
    with decimal.localcontext(decimal.Context(prec=2)):
        text = to_major(amount, code)
    assert from_major(text, code) == amount
    assert len(text.partition(".")[2]) == money.currency(code).exponent


@pytest.mark.parametrize(
    ("amount", "code", "text"),
    [(1999, "CNY", "19.99"), (5, "CNY", "0.05"), (-5, "CNY", "-0.05"), (0, "CNY", "0.00"), (7, "JPY", "7"),
     (1234, "KWD", "1.234"), (AMOUNT_MINOR_MAX, "CNY", "92233720368547758.07")],
)  # fmt: skip
def test_major_units_as_people_write_them(amount: int, code: str, text: str) -> None:
    assert to_major(amount, code) == text


HOSTILE = [
    "", " ", ".", "-", "-.", "+1", "--1", "1-", " 1", "1 ", "1\n", "\t1", "1_000", "1,000", "1.", ".5", "1.2.3", "1..2",
    "1e3", "1E3", "1.5e1", "0x10", "NaN", "nan", "-NaN", "sNaN", "Infinity", "-inf", "1/2", "1.000", "1.005", "٣",
    "１２",
    "1.٣", "²", "½", "一", "1\x00", "\u200b1", "1\u00a0", "−1", "$1", "1CNY", "true", "None",
    "9" * 10_000, "1." + "0" * 10_000, "0" * 10_000, "92233720368547758.08", "9223372036854775807",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_amount_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        from_major(text, "CNY")
    assert refused.value.param == "amount"
    assert len(refused.value.detail) < 100


@given(st.text())
def test_any_text_is_an_exact_amount_or_refused(text: str) -> None:
    try:
        amount = from_major(text, "CNY")
    except InvalidParameter:
        return
    assert Fraction(text) * 100 == amount
    assert text.isascii()


@pytest.mark.parametrize("code", ["", "cny", "CN", "CNYY", "XAU", "XXX", "XTS", "ZZZ", "156", "ＣＮＹ", "CNY\n"])
def test_what_is_no_currency_is_refused_by_name(code: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        money.currency(code)
    assert refused.value.param == "currency"


def test_each_currency_has_a_ledger_of_its_own() -> None:
    assert money.currency("CNY") == money.Currency("CNY", 156, 2)
    for code in CODES:
        assert money.currency_of_ledger(money.currency(code).numeric).code == code
    with pytest.raises(InvalidParameter):
        money.currency_of_ledger(1)
