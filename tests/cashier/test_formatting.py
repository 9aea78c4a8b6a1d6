"""Texts, amounts and addresses of others in the form in which a page may show them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.cashier import formatting, qr
from hutong.cashier.page import TimeLeft, time_left


@pytest.mark.parametrize(
    ("minor", "code", "shown"),
    [
        (1, "CNY", "¥0.01"),
        (12_800, "CNY", "¥128.00"),
        (123_456_789, "CNY", "¥1,234,567.89"),
        (2**63 - 1, "CNY", "¥92,233,720,368,547,758.07"),
        (1_500, "JPY", "¥1,500"),
        (1_234_567, "KWD", "KWD 1,234.567"),
        (1_999, "USD", "$19.99"),
    ],
)
def test_amount_has_its_currencys_symbol_groups_and_decimals(minor: int, code: str, shown: str) -> None:
    amount = formatting.amount(minor, code)
    assert (str(amount), amount.code) == (shown, code)


@given(st.text(st.characters(), max_size=400))
def test_shown_text_is_short_printable_and_settled(written: str) -> None:
    shown = formatting.display(written, limit=60)
    assert len(shown) <= 60
    assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\ufeff")
    assert formatting.display(shown, limit=60) == shown
    shown.encode()


def test_what_would_mislead_is_shown_as_an_escape() -> None:
    assert formatting.display("gpj.\u202eexe\x1b[2J", limit=60) == r"gpj.\u202eexe\x1b[2J"


@pytest.mark.parametrize("kept", ["灯笼茶馆", "👨\u200d👩\u200d👧 Café ✈️", "مقهى", "a < b & c"])
def test_honest_text_is_left_alone(kept: str) -> None:
    assert formatting.display(kept, limit=60) == kept


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("https://shop.example/orders/1?x=1#y", True),
        ("http://127.0.0.1:8090/payer", True),
        ("HTTPS://SHOP.EXAMPLE", True),
        (None, False),
        ("", False),
        ("/orders", False),
        ("shop.example", False),
        ("ftp://shop.example", False),
        ("javascript://shop.example/%0aalert(1)", False),
        (" https://shop.example", False),
        ("https://shop.example\\@evil.example", False),
        ("https://user@evil.example", False),
        ("https://shop.example:99999", False),
        ("https://[::1", False),
        ("https://sh\u043ep.example", False),
        ("java\nscript:alert(1)", False),
    ],
)
def test_only_plain_web_addresses_pass(address: str | None, passes: bool) -> None:
    assert formatting.web_address(address) == (address if passes else None)


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (timedelta(seconds=-5), "00:00"),
        (timedelta(milliseconds=1), "00:01"),
        (timedelta(minutes=15), "15:00"),
        (timedelta(minutes=59, seconds=59), "59:59"),
        (timedelta(hours=1), "2026-11-29 21:15 UTC"),
        (timedelta(days=3, hours=1), "2026-12-02 21:15 UTC"),
    ],
)
def test_time_left_is_a_clock_below_an_hour_and_otherwise_a_date(left: timedelta, shown: str) -> None:
    now = datetime(2026, 11, 29, 20, 15, tzinfo=UTC)
    assert time_left(now + left, now) == TimeLeft(shown, is_clock=left < timedelta(hours=1))


def test_monogram_is_the_first_letter_or_nothing() -> None:
    assert [formatting.monogram(name) for name in ("lantern", "灯笼", "  7-Eleven", "☕☕", "")] == [
        "L",
        "灯",
        "7",
        "",
        "",
    ]


def test_code_is_dark_on_white_with_a_quiet_zone_of_four_modules() -> None:
    picture = qr.picture("weixin://wxpay/bizpayurl?pr=abc")
    assert picture.startswith("data:image/svg+xml")
    assert "viewBox='0 0 37 37'" in picture  # version 3 is 29 modules, and four more on each side
    assert "fill='%23fff'" in picture
    assert "stroke='%230b0d12'" in picture
    assert "M4 4.5h7" in picture
    assert qr.picture.cache_info().maxsize == qr.PICTURES_KEPT
