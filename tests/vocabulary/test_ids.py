"""Identifiers: in the order of time, with the zone inside, and read strictly."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.clock import ManualClock, SystemClock, to_ns
from hutong.errors import NotFound
from hutong.ids import Ids, decode, encode, least

uuids = st.uuids()
# From the specification of TypeID, spec/valid.json.
SPECIFIED = [
    ("", "00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
    ("", "00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ("", "0000000000000000000000000a", "00000000-0000-0000-0000-00000000000a"),
    ("", "0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
    ("", "00000000000000000000000010", "00000000-0000-0000-0000-000000000020"),
    ("", "7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ("prefix", "0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
    ("prefix", "01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
]


@pytest.mark.parametrize(("prefix", "suffix", "uuid"), SPECIFIED)
def test_the_specifications_examples_hold(prefix: str, suffix: str, uuid: str) -> None:
    text = f"{prefix}_{suffix}" if prefix else suffix
    assert encode(prefix, UUID(uuid)) == text
    if prefix:
        assert decode(prefix, text) == UUID(uuid)


@given(uuids)
def test_what_is_written_is_read_back(identifier: UUID) -> None:
    assert decode("pay", encode("pay", identifier)) == identifier
    assert type(decode("pay", encode("pay", identifier))) is UUID


GOOD = "pay_01h455vb4pex5vsknk084sn02q"
HOSTILE = [
    "", " ", "_", "pay", "pay_", "_01h455vb4pex5vsknk084sn02q", "01h455vb4pex5vsknk084sn02q", GOOD.upper(),
    GOOD.replace("pay", "mer"), GOOD.replace("pay", "PAY"), f" {GOOD}", f"{GOOD} ", f"{GOOD}\n", f"pay_{GOOD}",
    GOOD.replace("_", "-"), GOOD[:-1], f"{GOOD}0", GOOD.replace("01h", "81h"), GOOD.replace("01h", "zzz"),
    GOOD.replace("h", "l"), GOOD.replace("h", "i"), GOOD.replace("h", "u"), GOOD.replace("0", "٠"),
    GOOD.replace("0", "０"),
    "pay_01890a5d-ac96-774b-bcce-b302099a8057", "pay_" + "é" * 26, "pay_" + "\x00" * 26, "pay_\ud800", "\ud800" * 30,
    "pay_" + "0" * 10_000, "' OR 1=1 --", "pay_01h455vb4pex5vsknk084sn02'", "../../etc/passwd", "%70ay",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_id_of_this_kind_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        decode("pay", text)


@given(st.text() | st.text(alphabet="0123456789abcdefghjkmnpqrstvwxyz_", min_size=26, max_size=31))
def test_any_text_is_its_own_only_form_or_not_found(text: str) -> None:
    for candidate in (text, f"pay_{text}"):
        with suppress(NotFound):
            assert encode("pay", decode("pay", candidate)) == candidate


def test_an_id_is_a_uuid_of_version_7_with_the_clocks_milliseconds(clock: ManualClock) -> None:
    clock.advance(timedelta(milliseconds=123))
    identifier = Ids(clock).new()
    assert (identifier.version, identifier.variant) == (7, RFC_4122)
    assert identifier.int >> 80 == clock.now_ns() // 1_000_000


def test_ids_of_later_milliseconds_sort_after_earlier_ones(clock: ManualClock, rng: random.Random) -> None:
    made = []
    for _ in range(1000):
        made.append(Ids(clock, random_bits=rng.getrandbits, zone=rng.randrange(256)).new())
        clock.advance(timedelta(milliseconds=1))
    assert made == sorted(made)
    texts = [encode("pay", identifier) for identifier in made]
    assert texts == sorted(texts)


@given(st.integers(0, 255), st.integers(0, 2**66 - 1))
def test_an_id_carries_its_zone_and_all_its_random_bits(zone: int, bits: int) -> None:
    identifier = Ids(ManualClock(), random_bits=lambda _: bits, zone=zone).new()
    assert identifier.int >> 68 & 0xFF == zone
    assert decode("pay", encode("pay", identifier)) == identifier
    assert (identifier.int >> 64 & 0xF) << 62 | identifier.int & (1 << 62) - 1 == bits
    assert (identifier.version, identifier.variant) == (7, RFC_4122)


@pytest.mark.parametrize("zone", [-1, 256])
def test_a_zone_is_a_byte(zone: int) -> None:
    with pytest.raises(ValueError, match="zone"):
        Ids(ManualClock(), zone=zone)


def test_ids_of_one_millisecond_differ(clock: ManualClock) -> None:
    ids = Ids(clock)
    assert len({ids.new() for _ in range(100_000)}) == 100_000


@given(st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_nanoseconds_are_exact(instant: datetime) -> None:
    aware = instant.replace(tzinfo=UTC)
    ns = to_ns(aware)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000) == aware
    assert ns % 1000 == 0


def test_a_manual_clock_moves_by_advance_and_is_aware() -> None:
    clock = ManualClock()
    start = clock.now()
    assert clock.now() == start
    assert clock.advance(timedelta(days=1)) == clock.now() == start + timedelta(days=1)
    assert start.utcoffset() == timedelta(0) == SystemClock().now().utcoffset()
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_the_systems_clock_tells_one_time_both_ways() -> None:
    clock = SystemClock()
    before, now, after = clock.now_ns(), to_ns(clock.now()), clock.now_ns()
    assert before - 1000 <= now <= after


@pytest.mark.parametrize("year", [1, 1969, 1970])
def test_the_least_id_of_an_instant_before_all_ids_is_the_lowest(year: int) -> None:
    assert least(datetime(year, 1, 1, tzinfo=UTC)) == UUID(int=0)


def test_the_least_id_of_an_instant_parts_earlier_ids_from_later_ones() -> None:
    clock = ManualClock()
    for _ in range(1_000):
        before = Ids(clock).new()
        clock.advance(timedelta(milliseconds=1))
        assert before < least(clock.now()) < Ids(clock, random_bits=lambda _: 0).new()
