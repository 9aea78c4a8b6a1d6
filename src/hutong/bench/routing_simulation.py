"""A seeded simulation of six channels: prices, drifting success rates, outages, outages of banks, and declines."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

HOURS = 12.0
CHANNELS = 6
BANKS = 8
PAYMENTS = 50_000
FEE_PPM = 8_000
SUCCESS_VALUE_PPM = 20_000
DECLINED = 0.07
"""The share of payments that fail for the payer's own reasons, whichever channel takes them."""
_KNOT_S = 900.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a channel, or a bank at every channel, does not work; in seconds of the simulation."""

    start: float
    end: float


@dataclass(slots=True)
class SimulatedChannel:
    """One channel of the simulation."""

    name: str
    ppm: int
    fixed_minor: int
    knots: list[float]
    outages: list[Outage]
    banks: frozenset[int]

    def cost(self, amount_minor: int) -> float:
        """Return the price of a payment."""
        return amount_minor * self.ppm / 1e6 + self.fixed_minor

    def success(self, at: float) -> float:
        """Return the true chance that it processes a payment."""
        if any(outage.start <= at < outage.end for outage in self.outages):
            return 0.02
        position = at / _KNOT_S
        left = int(position)
        return self.knots[left] + (self.knots[left + 1] - self.knots[left]) * (position - left)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One payment of the simulation, with its luck: at whichever channel, the same payment meets the same luck."""

    at: float
    amount_minor: int
    bank: int
    luck: float
    declined: bool
    patience: float


@dataclass(slots=True)
class RoutingSimulation:
    """The channels, the outages of banks, and the payments in order of time."""

    seed: int
    channels: list[SimulatedChannel]
    bank_outages: dict[int, list[Outage]]
    arrivals: list[Arrival] = field(default_factory=list)

    def chance(self, channel: SimulatedChannel, bank: int, at: float) -> float:
        """Return the true chance that a channel processes a payment of this bank at this time."""
        if any(outage.start <= at < outage.end for outage in self.bank_outages.get(bank, ())):
            return 0.02
        return channel.success(at)

    def value(self, channel: SimulatedChannel, arrival: Arrival) -> float:
        """Return the true expected value of sending a payment to a channel."""
        worth = arrival.amount_minor * (FEE_PPM + SUCCESS_VALUE_PPM) / 1e6
        return self.chance(channel, arrival.bank, arrival.at) * (worth - channel.cost(arrival.amount_minor))


def make_simulation(seed: int, *, payments: int = PAYMENTS) -> RoutingSimulation:
    """Return the simulation of a seed."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    end = HOURS * 3600
    channels = []
    for number in range(CHANNELS):
        base = rng.uniform(0.93, 0.985)
        knots, drift = [], 0.0
        for _ in range(int(end / _KNOT_S) + 2):
            drift = drift * 0.9 + rng.gauss(0, 0.012)
            knots.append(min(max(base + drift, 0.75), 0.995))
        channels.append(
            SimulatedChannel(
                name=f"channel-{number + 1}",
                ppm=rng.randrange(2_000, 6_001, 100),
                fixed_minor=rng.choice([0, 0, 5, 10]),
                knots=knots,
                outages=_outages(rng, end, rng.choice([3, 4, 5])),
                banks=frozenset(range(BANKS)) if number < 2 else frozenset(rng.sample(range(BANKS), BANKS - 2)),
            )
        )
    banks = {bank: _outages(rng, end, 1) for bank in rng.sample(range(BANKS), 2)}
    simulation = RoutingSimulation(seed, channels, banks)
    times = sorted(rng.uniform(0, end) for _ in range(payments))
    shares = [1 / (rank + 1) for rank in range(BANKS)]
    for at in times:
        simulation.arrivals.append(
            Arrival(
                at=at,
                amount_minor=min(max(int(rng.lognormvariate(math.log(10_000), 1.0)), 100), 5_000_000),
                bank=rng.choices(range(BANKS), shares)[0],
                luck=rng.random(),
                declined=rng.random() < DECLINED,
                patience=rng.random(),
            )
        )
    return simulation


def _outages(rng: random.Random, end: float, count: int) -> list[Outage]:
    """Draw outages of 30 seconds to two hours that are apart from each other."""
    outages: list[Outage] = []
    while len(outages) < count:
        # The first is a long one: without a lasting outage all policies are much alike.
        length = math.exp(rng.uniform(math.log(30 if outages or count == 1 else 1800), math.log(7200)))
        start = rng.uniform(600, end - length - 1800)
        if all(start > other.end + 1800 or start + length < other.start - 1800 for other in outages):
            outages.append(Outage(start, start + length))
    return sorted(outages, key=lambda outage: outage.start)
