"""The three sums of a payment at a channel: what was ordered, what the payer paid, what will settle to the merchant.

A coupon makes them differ. The payer pays less; the merchant gets less only where the merchant bears the coupon.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012525110 (`payer_total`, `promotion_detail`) and 4013071041
    (`settlement_total` is the order less its coupons of type NOCASH); https://opendocs.alipay.com/open/05osv8
    (`receipt_amount`, `buyer_pay_amount`, `fund_bill_list`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class DiscountFunder(StrEnum):
    """Parties that bear a channel's discount."""

    CHANNEL = "channel"
    PLATFORM = "platform"
    """Neither the channel nor the merchant, such as a brand or the payer's bank."""
    MERCHANT = "merchant"


class SumsContradict(ValueError):
    """A channel's sums contradict each other. The text says how."""


@dataclass(frozen=True, slots=True)
class ChannelDiscount:
    """One party's part of a discount that a channel has given the payer.

    Attributes:
        name: As the channel names it; empty where it does not.
        funder: None where the channel does not say who bears it.
        settles: Whether the channel settles the amount to the merchant all the same. A coupon that the merchant has
            paid for in advance is the merchant's, and settles.
    """

    name: str
    funder: DiscountFunder | None
    amount_minor: int
    settles: bool

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ChannelDiscount:
        """Return the discount of a document, as `asdict` makes it."""
        funder = document["funder"]
        return cls(
            document["name"],
            None if funder is None else DiscountFunder(funder),
            document["amount_minor"],
            document["settles"],
        )


@dataclass(frozen=True, slots=True)
class Sums:
    """What was ordered, what the payer paid, and what the channel will settle, before its fee.

    Attributes:
        discounts: They add up to what the payer did not pay.
        withheld_minor: What somebody else's application takes out of the settlement, beside the discounts.

    Errors:
        SumsContradict: at construction: a sum is negative or above the ordered one, or the discounts do not add up.
    """

    ordered_minor: int
    paid_minor: int
    settled_minor: int
    discounts: tuple[ChannelDiscount, ...] = ()
    withheld_minor: int = 0

    def __post_init__(self) -> None:
        if min(self.ordered_minor, self.paid_minor, self.settled_minor, self.withheld_minor) < 0:
            raise SumsContradict("a sum is negative")
        if max(self.paid_minor, self.settled_minor) > self.ordered_minor:
            raise SumsContradict("more was paid, or will settle, than was ordered")
        if any(discount.amount_minor <= 0 for discount in self.discounts):
            raise SumsContradict("a discount is not positive")
        if sum(discount.amount_minor for discount in self.discounts) != self.ordered_minor - self.paid_minor:
            raise SumsContradict("the discounts are not what the payer did not pay")
        if self.borne_minor + self.withheld_minor != self.ordered_minor - self.settled_minor:
            raise SumsContradict("the merchant's discounts are not what will not settle")

    @property
    def borne_minor(self) -> int:
        """The discounts that do not settle: the merchant bears them now."""
        return sum(discount.amount_minor for discount in self.discounts if not discount.settles)

    @classmethod
    def read(
        cls, ordered_minor: int, paid_minor: int, settled_minor: int, discounts: Iterable[Mapping[str, Any]]
    ) -> Sums:
        """Return the sums of figures and of discounts as documents. What no discount explains was withheld."""
        read = tuple(ChannelDiscount.of(document) for document in discounts)
        borne_minor = sum(discount.amount_minor for discount in read if not discount.settles)
        return cls(ordered_minor, paid_minor, settled_minor, read, ordered_minor - settled_minor - borne_minor)

    @classmethod
    def unnamed(cls, ordered_minor: int, paid_minor: int, settled_minor: int) -> Sums:
        """Return the sums where only the figures are known. What does not settle is borne by the merchant.

        Errors:
            SumsContradict: as the class.
        """
        most = max(paid_minor, settled_minor)
        parts = ((DiscountFunder.MERCHANT, ordered_minor - most, False), (None, most - paid_minor, True))
        discounts = tuple(ChannelDiscount("", funder, part, settles) for funder, part, settles in parts if part)
        return cls(ordered_minor, paid_minor, settled_minor, discounts, most - settled_minor)

    @classmethod
    def kept(cls, ordered_minor: int | None, paid_minor: int | None, settled_minor: int | None) -> Sums | None:
        """Return the sums of figures that were kept without the discounts; None where not all of them were stated."""
        if ordered_minor is None or paid_minor is None or settled_minor is None:
            return None
        return cls.unnamed(ordered_minor, paid_minor, settled_minor)


@dataclass(frozen=True, slots=True)
class ReturnedSums:
    """A refund's parts, as far as the channel states them; its amount is a part of the ordered sum.

    Attributes:
        paid_minor: What the payer gets back.
        settled_minor: What is taken back from the settlement.

    Errors:
        SumsContradict: at construction: a part is negative or above the refund.
    """

    refunded_minor: int
    paid_minor: int | None = None
    settled_minor: int | None = None

    def __post_init__(self) -> None:
        for part in (self.paid_minor, self.settled_minor):
            if part is not None and not 0 <= part <= self.refunded_minor:
                raise SumsContradict("a part of a refund is negative or above the refund")
