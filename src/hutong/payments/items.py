"""What was bought, who bears which part of its price, and what a unit of it is worth when it is given back.

A discount is spread over the items in proportion to what is left to pay of each, by largest remainder, so that no
minor unit is lost. Of n units, the first k are worth round(k/n of the item's part): a refund takes the difference to
what went back before, so that all of them together, in any order, return exactly the part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from hutong import db, money
from hutong.errors import InvalidParameter
from hutong.payments.statements import sql


class ItemsDoNotAddUp(InvalidParameter):
    """The items less the discounts are not the payment's amount."""

    code = "items_do_not_add_up"


class DiscountExceedsItem(InvalidParameter):
    """A discount is larger than what is left to pay of what it is for."""

    code = "discount_exceeds_item"


class Funder(StrEnum):
    """Who bears a discount."""

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
    """What is taken off: of one item, or of all."""

    name: str
    funder: Funder
    amount_minor: int
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of an order with each party's part of its price; the parts add up to `amount_minor`."""

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
    """What a refund gives back of one item: to the payer, and to the funders of discounts."""

    item_id: str
    quantity: int
    payer_minor: int
    platform_minor: int
    channel_minor: int


def allocate_discounts(
    amount_minor: int, items: Sequence[NewLineItem], discounts: Sequence[Discount]
) -> tuple[LineItem, ...]:
    """Each item with each party's part of its price.

    Errors:
        ItemsDoNotAddUp, DiscountExceedsItem; InvalidParameter: an item stands twice, or a discount is for none.
    """
    places = {item.item_id: place for place, item in enumerate(items)}
    if len(places) < len(items):
        raise InvalidParameter("an item stands twice", param="items")
    left = [item.amount_minor for item in items]
    parts = [dict.fromkeys(Funder, 0) for _ in items]
    for number, discount in enumerate(discounts):
        if discount.item_id is not None and discount.item_id not in places:
            raise InvalidParameter("there is no such item", param=f"discounts.{number}.item")
        weights = [
            rest if discount.item_id in (None, item.item_id) else 0 for item, rest in zip(items, left, strict=True)
        ]
        if discount.amount_minor > sum(weights):
            raise DiscountExceedsItem("larger than what is left to pay", param=f"discounts.{number}.amount_minor")
        for place, share in enumerate(money.allocate(discount.amount_minor, weights)):
            left[place] -= share
            parts[place][discount.funder] += share
    if sum(left) != amount_minor:
        raise ItemsDoNotAddUp("the items less the discounts are not the amount", param="items")
    return tuple(
        LineItem(
            item.item_id, item.name, item.quantity, item.amount_minor, rest, part[Funder.MERCHANT],
            part[Funder.PLATFORM], part[Funder.CHANNEL],
        )
        for item, rest, part in zip(items, left, parts, strict=True)
    )  # fmt: skip


def line_of(item: LineItem, quantity: int, before: Sequence[RefundLine]) -> RefundLine:
    """What `quantity` more units of an item give back, after the lines that did before; at most what is left."""
    own = [line for line in before if line.item_id == item.item_id]
    units = sum(line.quantity for line in own) + quantity
    assert units <= item.quantity, "more units than were bought"
    return RefundLine(
        item.item_id,
        quantity,
        *(
            max(_worth(part, units, item.quantity) - sum(given), 0)
            for part, given in (
                (item.payer_minor, (line.payer_minor for line in own)),
                (item.platform_minor, (line.platform_minor for line in own)),
                (item.channel_minor, (line.channel_minor for line in own)),
            )
        ),
    )


def _worth(part_minor: int, units: int, of: int) -> int:
    """What the first `units` of so many are worth, rounded half up."""
    return (2 * part_minor * units + of) // (2 * of)


def units_left(item: LineItem, before: Sequence[RefundLine]) -> int:
    """How many units have not been given back."""
    return item.quantity - sum(line.quantity for line in before if line.item_id == item.item_id)


async def insert_baskets(tx: db.Tx, baskets: Sequence[tuple[UUID, Sequence[LineItem], Sequence[Discount]]]) -> None:
    """Write what was bought, with the payments that it belongs to."""
    rows = [
        (
            payment_id, place, i.item_id, i.name, i.quantity, i.amount_minor, i.payer_minor, i.merchant_minor,
            i.platform_minor, i.channel_minor,
        )
        for payment_id, items, _ in baskets
        for place, i in enumerate(items)
    ]  # fmt: skip
    if rows:
        await sql.insert_items.execute(tx, *(list(column) for column in zip(*rows, strict=True)))
    taken = [
        (payment_id, place, d.name, d.funder, d.amount_minor, d.item_id)
        for payment_id, _, discounts in baskets
        for place, d in enumerate(discounts)
    ]
    if taken:
        await sql.insert_discounts.execute(tx, *(list(column) for column in zip(*taken, strict=True)))


async def items_of(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, tuple[LineItem, ...]]:
    """The items of payments that have any."""
    found: dict[UUID, list[LineItem]] = {}
    for row in await sql.items_of_payments.fetch(tx, payment_ids):
        found.setdefault(row["payment_id"], []).append(
            LineItem(
                row["item_id"], row["name"], row["quantity"], row["amount_minor"], row["payer_minor"],
                row["merchant_minor"], row["platform_minor"], row["channel_minor"],
            )
        )  # fmt: skip
    return {payment_id: tuple(items) for payment_id, items in found.items()}


async def discounts_of(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, tuple[Discount, ...]]:
    """The discounts of payments that have any."""
    found: dict[UUID, list[Discount]] = {}
    for row in await sql.discounts_of_payments.fetch(tx, payment_ids):
        found.setdefault(row["payment_id"], []).append(
            Discount(row["name"], Funder(row["funder"]), row["amount_minor"], row["item_id"])
        )
    return {payment_id: tuple(discounts) for payment_id, discounts in found.items()}


def funding_of(items: Mapping[UUID, Sequence[LineItem]], payment_id: UUID) -> tuple[int, int]:
    """What the platform and the channel put to a payment."""
    own = items.get(payment_id, ())
    return sum(item.platform_minor for item in own), sum(item.channel_minor for item in own)
