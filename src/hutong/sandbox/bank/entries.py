"""The entries of the bank's statements: each channel's net of the day before, and differences planted on request."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from hutong.clock import BEIJING
from hutong.sandbox.bill import Entry
from hutong.sandbox.simulator import Simulator

BANK_DIFFERENCES = {
    "short": "a credit is one minor unit less",
    "missing": "a credit does not come",
    "twice": "a credit comes twice",
    "joined": "one credit pays two batches, and names neither",
}

_FIRST_BALANCE_MINOR = 1_000_000
_FAILED = frozenset({"ABNORMAL"})
"""States of a bill's row that moves no money; a planted state moves none either."""
_GIVEN_BACK = frozenset({"refund_failure", "dispute_reversal"})


@dataclass(frozen=True, slots=True)
class BankEntry:
    """One entry of the bank.

    Attributes:
        number: The bank's own.
        reference: The end-to-end id; empty if the channel gives none.
        amount_minor: Below zero where the channel takes money.
    """

    number: str
    reference: str
    text: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class SandboxStatement:
    """A day of the account in one currency."""

    day: date
    currency: str
    opening_minor: int
    entries: Sequence[BankEntry]

    @property
    def closing_minor(self) -> int:
        """What the account has at the end of the day."""
        return self.opening_minor + sum(entry.amount_minor for entry in self.entries)


class Bank:
    """The bank of the sandbox. A channel settles each of its bills on the next day, in one sum for each currency."""

    def __init__(self, simulators: Mapping[str, Simulator]) -> None:
        self._simulators = simulators
        self._planted: dict[tuple[date, str], Sequence[BankEntry]] = {}

    def statement(self, day: date, currency: str) -> SandboxStatement:
        """Return the statement of a day, with planted differences."""
        first = self._first_day()
        earlier = range((day - first).days) if first is not None else range(0)
        before = sum(
            entry.amount_minor for number in earlier for entry in self._entries(day - timedelta(number + 1), currency)
        )
        return SandboxStatement(day, currency, _FIRST_BALANCE_MINOR + before, self._entries(day, currency))

    def plant(self, day: date, currency: str, differences: Mapping[str, int], *, seed: int) -> list[dict[str, Any]]:
        """Alter the entries of a day.

        Args:
            differences: The number of each of `BANK_DIFFERENCES`; each takes entries of its own, while there are any.

        Returns:
            The key: for each difference its class, the true entries and the altered ones.
        """
        dice = random.Random(seed)  # noqa: S311 - the same statement again for the same seed
        free = self._settled(day, currency)
        dice.shuffle(free)
        kept: list[BankEntry] = []
        key: list[dict[str, Any]] = []
        for name, count in sorted(differences.items()):
            takes = 2 if name == "joined" else 1
            for _ in range(count):
                if len(free) < takes:
                    break
                true = [free.pop() for _ in range(takes)]
                altered = _altered(name, true)
                kept += altered
                key.append({"class": name, "true": _shown(true), "shown": _shown(altered)})
        self._planted[day, currency] = sorted([*kept, *free], key=lambda entry: entry.number)
        return key

    def _entries(self, day: date, currency: str) -> Sequence[BankEntry]:
        planted = self._planted.get((day, currency))
        return self._settled(day, currency) if planted is None else planted

    def _settled(self, day: date, currency: str) -> list[BankEntry]:
        billed = day - timedelta(1)
        entries = []
        for place, simulator in enumerate(self._simulators.values()):
            for kind_place, (kind, merchant) in enumerate(simulator.settlements):
                rows = simulator.store.planted.get((kind, billed.isoformat()))
                rows = simulator.entries(kind, billed) if rows is None else rows
                net_minor = sum(_net(row, simulator.odd_state) for row in rows if row.currency == currency)
                if net_minor:
                    reference = f"SETTLEMENT {merchant} {billed:%Y%m%d}" if merchant else ""
                    number = f"SB{day:%Y%m%d}{place:02}{kind_place:02}"
                    text = f"{simulator.channel.upper()} {reference or 'PAYMENTS'}"
                    entries.append(BankEntry(number, reference, text, net_minor))
        return entries

    def _first_day(self) -> date | None:
        """Return the first day on which something happened at a channel, which is a day earlier at some."""
        instants = [log["at"] for each in self._simulators.values() for log in each.store.truth[:1]]
        if not instants:
            return None
        return datetime.fromisoformat(min(instants)).astimezone(BEIJING).date() - timedelta(1)


def _net(row: Entry, odd_state: str) -> int:
    """Return what a row of a bill settles, less its fee."""
    if row.state in _FAILED or (row.state == odd_state and row.kind == "payment"):
        return 0
    comes = row.kind == "payment" or row.state in _GIVEN_BACK
    return (row.settled_minor if comes else -row.settled_minor) - row.fee_minor


def _altered(name: str, true: Sequence[BankEntry]) -> list[BankEntry]:
    (first, *others) = true
    if name == "missing":
        return []
    if name == "short":
        return [replace(first, amount_minor=first.amount_minor - 1)]
    if name == "twice":
        return [first, replace(first, number=f"{first.number}T")]
    total_minor = sum(entry.amount_minor for entry in true)
    return [BankEntry(f"{first.number}J", "", f"COMBINED CREDIT {len(others) + 1} PAYMENTS", total_minor)]


def _shown(entries: Sequence[BankEntry]) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in entries]
