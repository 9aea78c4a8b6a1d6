"""What UnionPay's codes mean: one list for all its interfaces, read by each in its own way."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from hutong.channels import ChannelState, Codes
from hutong.channels.codes.codes import load_codes
from hutong.channels.unionpay.adapter import UnionPay

INTERFACES = ("pay", "trade_state", "authorized_state", "capture", "query", "refund", "refund_state", "bill")
PAID = {"00", "A6"}
DOUBT = {"03", "04", "06", "42", "74", "75", "99"}


@pytest.fixture(scope="module")
def codes() -> Codes:
    return Codes(load_codes(UnionPay.code_map))


@pytest.fixture(scope="module")
def documented() -> list[dict[str, Any]]:
    with UnionPay.documented_codes.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_documented_code_is_mapped(codes, documented) -> None:
    assert len(documented) > 300
    assert {row["interface"] for row in documented} == set(INTERFACES)
    assert [row for row in documented if codes.find(row["interface"], row["code"], row["sub_code"]) is None] == []


def test_only_a_state_says_that_money_moved(documented) -> None:
    moved = {
        (interface, code)
        for (interface, code, _), meaning in load_codes(UnionPay.code_map).items()
        if meaning.state is ChannelState.SUCCEEDED
    }
    assert moved == {(interface, code) for interface in ("trade_state", "refund_state") for code in PAID}


def test_a_refused_query_fails_nothing(codes, documented) -> None:
    states = {codes.read("query", row["code"]).state for row in documented if row["interface"] == "query"}
    assert states == {ChannelState.UNKNOWN, ChannelState.PENDING, ChannelState.NOT_FOUND}


@pytest.mark.parametrize("interface", ["pay", "trade_state", "authorized_state", "capture", "refund", "refund_state"])
def test_doubt_and_a_used_number_fail_nothing(codes, interface: str) -> None:
    assert {codes.read(interface, code).state for code in DOUBT | {"12"}} == {ChannelState.UNKNOWN}
    assert codes.read(interface, "05").state is ChannelState.PENDING


def test_a_finer_code_is_read_with_the_coarse_one(codes) -> None:
    assert codes.read("trade_state", "64", "1000051").unified_code == "insufficient_funds"
    assert codes.read("trade_state", "ZZ", "1000051").unified_code == "unmapped"
