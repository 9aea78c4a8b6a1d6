"""The three sums of a payment: checked when they are made, whichever way."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.channels.bill import row_sums
from hutong.channels.errors import BillRefused
from hutong.channels.sums import ChannelDiscount, DiscountFunder, ReturnedSums, Sums, SumsContradict

MERCHANTS = ChannelDiscount("winter", DiscountFunder.MERCHANT, 1000, settles=False)
CHANNELS = ChannelDiscount("spring", DiscountFunder.CHANNEL, 700, settles=True)


def test_sums_that_add_up_are_kept_with_who_bears_what() -> None:
    sums = Sums(8800, 7100, 7800, (CHANNELS, MERCHANTS))
    assert (sums.borne_minor, sums.withheld_minor) == (1000, 0)
    assert Sums.read(8800, 7100, 7800, [asdict(CHANNELS), asdict(MERCHANTS)]) == sums
    assert Sums(8800, 8800, 8000, withheld_minor=800).borne_minor == 0


@pytest.mark.parametrize(
    "figures",
    [
        (8800, 8801, 8800, ()),
        (8800, 8800, 8801, ()),
        (8800, -1, 8800, ()),
        (8800, 7800, -1, (MERCHANTS,)),
        (8800, 7800, 8800, (MERCHANTS,)),
        (8800, 8800, 7800, (MERCHANTS,)),
        (8800, 7801, 7800, (MERCHANTS,)),
        (8800, 8100, 8100, (CHANNELS,)),
        (8800, 8800, 8800, (ChannelDiscount("", None, 0, settles=True),)),
        (8800, 8800, 8800, (ChannelDiscount("", None, -5, settles=True), ChannelDiscount("", None, 5, settles=True))),
        (8800, 8800, 7800, ()),
    ],
)
def test_sums_that_contradict_each_other_are_refused(
    figures: tuple[int, int, int, tuple[ChannelDiscount, ...]],
) -> None:
    with pytest.raises(SumsContradict):
        Sums(*figures)


@given(st.integers(0, 10**12), st.data())
def test_figures_alone_make_sums_that_add_up(ordered: int, data: st.DataObject) -> None:
    paid, settled = data.draw(st.integers(0, ordered)), data.draw(st.integers(0, ordered))
    sums = Sums.unnamed(ordered, paid, settled)
    assert (sums.ordered_minor, sums.paid_minor, sums.settled_minor) == (ordered, paid, settled)
    assert Sums.read(ordered, paid, settled, [asdict(each) for each in sums.discounts]) == sums


def test_a_refunds_part_is_within_the_refund() -> None:
    assert ReturnedSums(100, 0, 100).paid_minor == 0
    for parts in ((101, None), (None, 101), (-1, None), (None, -1)):
        with pytest.raises(SumsContradict):
            ReturnedSums(100, *parts)


def test_a_bills_row_whose_sums_contradict_refuses_the_bill() -> None:
    assert row_sums(100, 100, 100) is None
    with pytest.raises(BillRefused, match="contradict"):
        row_sums(100, 100, 101)
