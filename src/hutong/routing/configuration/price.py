"""The price of a payment at a channel: a share, a fixed part, tiers by the month's volume, and subsidies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tier:
    """A price that applies from a monthly volume on.

    Attributes:
        from_minor: The account's volume of the month, in minor units, from which the tier applies; a payment is charged
            as a whole by the tier that the volume before it has reached.
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
        subsidy_ppm: The part of the price that is subsidized, in millionths of the amount, while the quota lasts.
        subsidy_left_minor: The rest of that quota.
    """

    tiers: tuple[Tier, ...] = (Tier(0, 0),)
    min_minor: int = 0
    max_minor: int | None = None
    subsidy_ppm: int = 0
    subsidy_left_minor: int = 0

    def ten_thousandths(self, amount_minor: int, month_minor: int) -> int:
        """Return the price of a payment in ten thousandths of a minor unit, half rounded away from zero.

        It is negative if a subsidy exceeds the price. Every decision computes it for every account: integers are fast.
        """
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

    def expected_fee_minor(self, amount_minor: int) -> int | None:
        """Return what a channel is expected to charge for a payment; None if it depends on the month's volume.

        Half a minor unit is rounded away from zero. A payment that is booked back has its fee back.
        """
        if len(self.tiers) > 1 or self.subsidy_ppm:
            return None
        fee = (self.ten_thousandths(abs(amount_minor), 0) + 5_000) // 10_000
        return fee if amount_minor >= 0 else -fee

    def after_subsidies(self, used_minor: int) -> Price:
        """Return the price after this much of its subsidy quota has been used."""
        if not used_minor:
            return self
        return replace(self, subsidy_left_minor=max(self.subsidy_left_minor - used_minor, 0))

    def subsidy_of(self, amount_minor: int) -> Decimal:
        """Return the subsidy of a payment, as long as the quota lasts."""
        return min(Decimal(amount_minor * self.subsidy_ppm) / _MILLION, Decimal(self.subsidy_left_minor))
