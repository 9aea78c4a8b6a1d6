"""Making recorded decisions again: under the configuration that was in force, to prove that they can be, and under a
draft, to see what it would change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.routing.configuration.configuration import Configuration
from hutong.routing.configuration.versions import find_bases, load_configuration
from hutong.routing.decide import choose, health_of
from hutong.routing.decisions.record import Base, Record, base_of, snapshot_of
from hutong.routing.errors import DecisionGone
from hutong.routing.experiments.assignment import Arm
from hutong.routing.experiments.experiment import configuration_of, find_trial
from hutong.routing.model import Decision, Snapshot
from hutong.routing.statements import sql


@dataclass(frozen=True, slots=True)
class Prospect:
    """What could be expected of one decision.

    Attributes:
        account: None where it found no way.
        success: The chance that the channel does its work, by the health in the record.
        cost_minor: What a success costs.
    """

    account: str | None
    success: float = 0.0
    cost_minor: float = 0.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision made again.

    Attributes:
        same: Under the configuration that was in force it is what was recorded, verdict by verdict.
        was, would: As it was recorded, and under the draft.
    """

    same: bool
    was: Prospect
    would: Prospect


class Replayer:
    """Makes decisions again, one after the other; what they rest on is read when it is first needed.

    Args:
        draft: What they are tried against.
    """

    def __init__(self, tx: db.Tx, draft: Configuration) -> None:
        self._tx = tx
        self._draft = draft
        self._configurations: dict[int | UUID, Configuration] = {}
        self._bases: dict[tuple[str, int | UUID | None], Base] = {}

    async def replay(self, record: Record) -> Replayed:
        """Make one again, both ways.

        Errors:
            DecisionGone: what it rested on is not kept any more.
        """
        configuration = await self._configuration(record)
        base = await self._base(record, _by(record), configuration)
        decision = again(record, base, configuration)
        same = (decision.chosen, decision.how, decision.verdicts) == (record.chosen, record.how, record.verdicts)
        # The draft may put the merchant into another class.
        ask = replace(record.ask, merchant_class=self._draft.classes.get(record.ask.merchant, ""))
        base = await self._base(record, None, self._draft)
        then = snapshot_of(record, base, self._draft.policy(ask.product))
        would = choose(ask, then, record.draws)
        # Both at the draft's prices: a new price list is no saving.
        return Replayed(same, _prospect(record, then, record.chosen), _prospect(record, then, would.chosen))

    async def _configuration(self, record: Record) -> Configuration:
        by = _by(record)
        found = self._configurations.get(by)
        if found is None and isinstance(by, UUID):
            found = configuration_of((await find_trial(self._tx, by)).trial)
        elif found is None:
            found = await load_configuration(self._tx, record.version)
        self._configurations[by] = found
        return found

    async def _base(self, record: Record, by: int | UUID | None, configuration: Configuration) -> Base:
        key = record.basis, by
        found = self._bases.get(key)
        if found is None:
            bases = await find_bases(self._tx, [record.basis])
            if record.basis not in bases:
                raise DecisionGone(f"what accounts could do as {record.basis} is not kept")
            found = self._bases[key] = base_of(bases[record.basis], configuration)
        return found


async def refusals_between(tx: db.Tx, start: datetime, end: datetime) -> AsyncIterator[str]:
    """The records of a span of time that found no way; rows are read as they are needed."""
    async for row in sql.refusals_between.cursor(tx, start, end):
        yield row["record"]


def again(record: Record, base: Base, configuration: Configuration) -> Decision:
    """Make a decision again under the configuration that was in force: it is the same.

    Args:
        base: Of the record's basis under that configuration.
    """
    return choose(record.ask, snapshot_of(record, base, configuration.policy(record.ask.product)), record.draws)


def _by(record: Record) -> int | UUID:
    """What decided: the number of a configuration, or of a draft that was being tried."""
    return record.trial if record.trial is not None and record.arm is Arm.DRAFT else record.version


def _prospect(record: Record, snapshot: Snapshot, chosen: UUID | None) -> Prospect:
    if chosen is None:
        return Prospect(None)
    candidate = next(each for each in snapshot.candidates if each.account_id == chosen)
    health = health_of(candidate, record.ask.institution)
    cost = candidate.price.ten_thousandths(record.ask.amount_minor, candidate.taken_minor(record.ask.currency)) / 10_000
    return Prospect(candidate.name, health.success, cost)
