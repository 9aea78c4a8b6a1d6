"""Days of a bank account as they come: in time, late, in halves, corrected, with credits that are reversed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bill_world import DAY, READY, bill
from hypothesis import strategies as st
from paid_world import FEE, PaidWorld

from hutong.clock import ManualClock
from hutong.db import Database

ONE = timedelta(days=1)
BILLS = {DAY: [1, 2, 3], DAY + ONE: [4]}
"""The rows of each day's bill."""
WHOLE = {day: len(rows) * (1_000 - FEE) for day, rows in BILLS.items()}

Entry = tuple[str, int, date | None]


@dataclass(frozen=True)
class Statement:
    """A day's statement.

    Attributes:
        days: After the first bill's day.
        entries: Amounts with the bill's day that each names, or None.
        way: How it comes: "whole", "halves" or "corrected", which first lacks its last entry and has another amount.
        late: Whether it comes when the next ones have been run.
    """

    days: int
    entries: Sequence[tuple[int, date | None]]
    way: str
    late: bool

    @property
    def day(self) -> date:
        return DAY + self.days * ONE

    @property
    def numbered(self) -> list[Entry]:
        return [(f"B{self.days}-{place}", amount, of) for place, (amount, of) in enumerate(self.entries)]


_AMOUNTS = st.sampled_from(
    [
        (WHOLE[DAY], DAY),
        (WHOLE[DAY] - 9, DAY),
        (1_000, DAY),
        (WHOLE[DAY] - 1_000, DAY),
        (-WHOLE[DAY], DAY),
        (WHOLE[DAY] + 5, DAY),
        (WHOLE[DAY + ONE], DAY + ONE),
        (WHOLE[DAY + ONE], None),
        (-WHOLE[DAY + ONE], DAY + ONE),
        (77, None),
    ]
)
"""The credit of a batch, its halves, its reversal, too much of it, one without a reference, and money of nobody."""


def _statements(days: int) -> st.SearchStrategy[Statement]:
    entries = st.lists(_AMOUNTS, min_size=1, max_size=3)
    return st.builds(
        Statement, st.just(days), entries, st.sampled_from(["whole", "halves", "corrected"]), st.booleans()
    )


PLANS = st.tuples(*(_statements(days) for days in (1, 2, 3)))


async def play(database: Database, clock: ManualClock, folder: Path, plan: Sequence[Statement]) -> dict[str, Any]:
    """Reconcile both bills, then the statements as the plan has them; hold the rules after each run."""
    clock.advance(READY + 6 * ONE)
    world = PaidWorld(database, clock, folder)
    await world.register()
    for day, rows in BILLS.items():
        world.lay_ours(day, [{"key": f"{n:08d}", "ordered": 1_000, "paid": 1_000, "settled": 1_000} for n in rows])
        await world.take(bill(rows), day=day)
        await world.run_channel(day)
    known: dict[date, int] = {}
    for statement in sorted(plan, key=lambda each: (each.late, each.days)):
        await _deliver(world, statement, known)
    await world.run_bank(plan[0].day, again=True)
    await hold(world, known)
    return await world.booked()


async def _deliver(world: PaidWorld, statement: Statement, known: dict[date, int]) -> None:
    entries, day = statement.numbered, statement.day
    if statement.way == "corrected":
        number, amount, of = entries[0]
        first = [(number, amount + 9, of), *entries[1:-1]]
        await world.state(first, day)
        await _run(world, day, known, first)
    elif statement.way == "halves" and entries[1:]:
        await world.state(entries[:1], day)
        await _run(world, day, known, entries[:1])
        await world.state(entries[1:], day)
        await _run(world, day, known, entries)
        return
    await world.state(entries, day)
    await _run(world, day, known, entries)


async def _run(world: PaidWorld, day: date, known: dict[date, int], entries: Sequence[Entry]) -> None:
    await world.run_bank(day)
    known[day] = sum(amount for _, amount, _ in entries)
    await hold(world, known)


async def hold(world: PaidWorld, known: dict[date, int]) -> None:
    """Hold that each fen of the bank lies in one place, and that a bill is closed as long as its money is there."""
    booked = await world.booked()
    arrived = {batch.partition(":")[2]: amount for batch, amount, _ in booked["arrivals"]}
    at_bank = [case for case in booked["cases"] if case[0] == "batch_bank"]
    waiting = sum(case[7] for case in at_bank if case[5] == "rolled" and case[1] == "theirs")
    in_suspense = await world.suspense_of_cases(world.bank_id)
    assert sum(arrived.values()) + in_suspense + waiting == sum(known.values()), booked
    assert await world.balance(2301, world.bank_id) == -in_suspense
    fees = FEE * sum(len(rows) for rows in BILLS.values())
    assert await world.balance(1101, world.account_id) == -sum(arrived.values()) - fees
    for day, name, state in booked["files"]:
        if name == "bill.zm":
            is_paid = arrived.get(day.isoformat(), 0) == WHOLE[day]
            assert (state == "closed") == is_paid, (day, state, booked["arrivals"])
