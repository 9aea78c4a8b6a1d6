"""Line items: each party's share of the price, and the value of a refunded unit.

A discount is allocated over the items in proportion to the remaining price of each, by largest remainder, so that no
minor unit is lost. Of n units, the first k are worth round(k/n of the item's share): a refund takes the difference from
the previous ones, so that all refunds together, in any order, return exactly the share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hutong import money
from hutong.errors import InvalidParameter


class ItemsDoNotAddUp(InvalidParameter):
    """The items minus the discounts do not add up to the payment's amount."""

    code = "items_do_not_add_up"


class DiscountExceedsItem(InvalidParameter):
    """A discount is larger than the remaining price of the items that it applies to."""

    code = "discount_exceeds_item"


class Funder(StrEnum):
    """Parties that bear a discount."""

    MERCHANT = "merchant"
    """The merchant earns less."""
    PLATFORM = "platform"
    """We pay the merchant the difference, as marketing cost."""
    CHANNEL = "channel"
    """The channel owes us the difference, and we the merchant."""


@dataclass(frozen=True, slots=True)
class NewLineItem:
    """One line of an order; `amount_minor` is for all `quantity` units, before discounts."""

    item_id: str
    name: str
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount on one item, or on all."""

    name: str
    funder: Funder
    amount_minor: int
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of an order with each party's share of its price; the shares add up to `amount_minor`."""

    item_id: str
    name: str
    quantity: int
    amount_minor: int
    payer_minor: int
    merchant_minor: int = 0
    platform_minor: int = 0
    channel_minor: int = 0


@dataclass(frozen=True, slots=True)
class RefundLine:
    """The refund of one item: to the payer, and to the funders of discounts."""

    item_id: str
    quantity: int
    payer_minor: int
    platform_minor: int
    channel_minor: int


def allocate_discounts(
    amount_minor: int, items: Sequence[NewLineItem], discounts: Sequence[Discount]
) -> tuple[LineItem, ...]:
    """Allocate discounts over items; return each item with each party's share of its price.

    Errors:
        ItemsDoNotAddUp, DiscountExceedsItem; InvalidParameter: an item id is repeated, or a discount names no item.
    """
    places = {item.item_id: place for place, item in enumerate(items)}
    if len(places) < len(items):
        raise InvalidParameter("item ids must be unique", param="items")
    left = [item.amount_minor for item in items]
    parts = [dict.fromkeys(Funder, 0) for _ in items]
    for number, discount in enumerate(discounts):
        if discount.item_id is not None and discount.item_id not in places:
            raise InvalidParameter("`items` has no item with this id", param=f"discounts.{number}.item")
        weights = [
            rest if discount.item_id in (None, item.item_id) else 0 for item, rest in zip(items, left, strict=True)
        ]
        if discount.amount_minor > sum(weights):
            raise DiscountExceedsItem(
                "the discount is larger than the remaining price", param=f"discounts.{number}.amount_minor"
            )
        for place, share in enumerate(money.allocate(discount.amount_minor, weights)):
            left[place] -= share
            parts[place][discount.funder] += share
    if sum(left) != amount_minor:
        raise ItemsDoNotAddUp("the items minus the discounts do not add up to `amount_minor`", param="items")
    return tuple(
        LineItem(
            item.item_id, item.name, item.quantity, item.amount_minor, rest, part[Funder.MERCHANT],
            part[Funder.PLATFORM], part[Funder.CHANNEL],
        )
        for item, rest, part in zip(items, left, parts, strict=True)
    )  # fmt: skip


def line_of(item: LineItem, quantity: int, before: Sequence[RefundLine]) -> RefundLine:
    """Return the refund of `quantity` more units of an item, after the lines of `before`; at most the rest."""
    earlier = [line for line in before if line.item_id == item.item_id]
    units = sum(line.quantity for line in earlier) + quantity
    assert units <= item.quantity, "more units than were bought"
    return RefundLine(
        item.item_id,
        quantity,
        *(
            max(_worth(share, units, item.quantity) - sum(refunded), 0)
            for share, refunded in (
                (item.payer_minor, (line.payer_minor for line in earlier)),
                (item.platform_minor, (line.platform_minor for line in earlier)),
                (item.channel_minor, (line.channel_minor for line in earlier)),
            )
        ),
    )


def _worth(share_minor: int, units: int, of: int) -> int:
    """Return the value of the first `units` of `of`, rounded half up."""
    return (2 * share_minor * units + of) // (2 * of)


def units_left(item: LineItem, before: Sequence[RefundLine]) -> int:
    """Return how many units are not refunded."""
    return item.quantity - sum(line.quantity for line in before if line.item_id == item.item_id)


def funding_of(items: Sequence[LineItem]) -> tuple[int, int]:
    """Return the amounts that the platform and the channel contribute to a payment of these items."""
    return sum(item.platform_minor for item in items), sum(item.channel_minor for item in items)
