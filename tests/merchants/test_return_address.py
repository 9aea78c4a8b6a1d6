"""The hints in the address of a payer's return."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.merchants import channel_return_address, return_address

ID = "pay_01h455vb4pex5vsknk084sn02q"
CHARACTERS = st.characters(codec="ascii", min_codepoint=0x21, max_codepoint=0x7E)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example", f"https://shop.example?payment_id={ID}&status=succeeded"),
        ("https://shop.example/r?", f"https://shop.example/r?payment_id={ID}&status=succeeded"),
        ("https://shop.example/r?a=1&a=%20", f"https://shop.example/r?a=1&a=%20&payment_id={ID}&status=succeeded"),
        ("https://shop.example/#/r?x=1", f"https://shop.example/?payment_id={ID}&status=succeeded#/r?x=1"),
        ("https://shop.example/?status=mine#", f"https://shop.example/?status=mine&payment_id={ID}#"),
        ("https://shop.example/?status&payment_id=", "https://shop.example/?status&payment_id="),
    ],
)
def test_hints_join_the_merchants_own_query_and_fragment(url: str, expected: str) -> None:
    assert return_address(url, ID, "succeeded") == expected


@given(st.text(CHARACTERS, max_size=60))
def test_what_is_the_merchants_stays_and_hints_come_once(rest: str) -> None:
    url = f"https://shop.example/{rest}"
    hinted = return_address(url, ID, "closed")
    before, after = urlsplit(url), urlsplit(hinted)
    assert (after.scheme, after.netloc, after.path, after.fragment) == (
        before.scheme, before.netloc, before.path, before.fragment
    )  # fmt: skip
    assert after.query.startswith(before.query)
    own, all_of_them = (parse_qsl(parts.query, keep_blank_values=True) for parts in (before, after))
    assert all_of_them[: len(own)] == own
    assert {name for name, _ in all_of_them} >= {"payment_id", "status"}
    assert return_address(hinted, ID, "closed") == hinted


def test_a_channel_gets_no_address_that_is_too_long_for_it() -> None:
    room = 256 - len(f"https://shop.example/?payment_id={ID}")
    for length, is_hinted in ((room, True), (room + 1, False)):
        url = f"https://shop.example/{'x' * length}"
        given_to_it = channel_return_address(url, ID)
        assert (given_to_it != url) is is_hinted
        assert len(given_to_it) <= 256
