"""What a channel takes for a payment: a share, a fixed part, tiers by the month's volume, and subsidies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tier:
    """A price from a month's volume on.

    Attributes:
        from_minor: The account's volume of the month, in minor units, from which it holds; the whole payment is
            charged by the tier in which the month stands before it.
        ppm: Millionths of the amount.
    """

    from_minor: int
    ppm: int
    fixed_minor: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """An account's price.

    Attributes:
        tiers: By rising `from_minor`, the first from 0.
        min_minor, max_minor: Bounds of one payment's price.
        subsidy_ppm: What somebody else pays of the price, in millionths of the amount, while the quota lasts.
        subsidy_left_minor: What is left of that quota.
    """

    tiers: tuple[Tier, ...] = (Tier(0, 0),)
    min_minor: int = 0
    max_minor: int | None = None
    subsidy_ppm: int = 0
    subsidy_left_minor: int = 0

    def of(self, amount_minor: int, month_minor: int) -> Decimal:
        """What a payment costs, in minor units to four decimals; negative where a subsidy exceeds the price."""
        return Decimal(self.ten_thousandths(amount_minor, month_minor)) / 10_000

    def ten_thousandths(self, amount_minor: int, month_minor: int) -> int:
        """As `of`, in ten thousandths of a minor unit, the half rounded away from zero: a decision asks it of every
        account, and whole numbers are quick."""
        tier = self.tiers[0]
        for step in self.tiers:
            if month_minor < step.from_minor:
                break
            tier = step
        cost = max(amount_minor * tier.ppm + tier.fixed_minor * _MILLION, self.min_minor * _MILLION)
        if self.max_minor is not None:
            cost = min(cost, self.max_minor * _MILLION)
        if self.subsidy_ppm:
            cost -= min(amount_minor * self.subsidy_ppm, self.subsidy_left_minor * _MILLION)
        return (cost + 50) // 100 if cost >= 0 else -((50 - cost) // 100)

    def after_subsidies(self, used_minor: int) -> Price:
        """The price when so much of its quota has been used."""
        if not used_minor:
            return self
        return replace(self, subsidy_left_minor=max(self.subsidy_left_minor - used_minor, 0))

    def subsidy_of(self, amount_minor: int) -> Decimal:
        """What somebody else pays of a payment's price, as long as the quota lasts."""
        return min(Decimal(amount_minor * self.subsidy_ppm) / _MILLION, Decimal(self.subsidy_left_minor))
