"""What a draft of the routing would have changed in payments that were made: nothing is sent and nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hutong import db, ids, routing
from hutong.payments.decision import DECISION_PREFIX, decisions_between
from hutong.payments.model import AttemptState

NOWHERE = "no_route"
"""The name of the line for decisions that found no way."""

_ENDED = {AttemptState.SUCCEEDED: True, AttemptState.FAILED: False, AttemptState.CLOSED: False}


@dataclass(slots=True)
class BacktestTotals:
    """Decisions added up. Amounts are expectations: chances of success times minor units.

    Attributes:
        success: The sum of the chances that the channel does its work.
        captured_minor, cost_minor, fee_minor: What would be taken, what the channels would ask for it, and what
            merchants would pay us.
        ended, succeeded: Of the tries that were made just so, how many are over, and how many were paid.
    """

    decisions: int = 0
    success: float = 0.0
    captured_minor: float = 0.0
    cost_minor: float = 0.0
    fee_minor: float = 0.0
    ended: int = 0
    succeeded: int = 0

    def add(self, record: routing.Record, prospect: routing.Prospect, outcome: bool | None) -> None:
        """Take one more decision in.

        Args:
            outcome: Whether the try was paid; None where it is not over or was not made so.
        """
        self.decisions += 1
        self.success += prospect.success
        self.captured_minor += prospect.success * record.ask.amount_minor
        self.cost_minor += prospect.success * prospect.cost_minor
        self.fee_minor += prospect.success * record.ask.amount_minor * record.ask.fee_ppm / 1_000_000
        if outcome is not None:
            self.ended += 1
            self.succeeded += outcome

    def join(self, other: BacktestTotals) -> None:
        """Add another one up with this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def document(self, whole: int) -> Mapping[str, Any]:
        """As programs read it.

        Args:
            whole: How many decisions there are in all accounts.
        """
        return {
            "decisions": self.decisions,
            "share": self.decisions / whole if whole else 0.0,
            "expected_success": self.success / self.decisions if self.decisions else None,
            "observed_success": self.succeeded / self.ended if self.ended else None,
            "observed": self.ended,
            "captured_minor": round(self.captured_minor),
            "cost_minor": round(self.cost_minor),
            "margin_minor": round(self.fee_minor - self.cost_minor),
        }


@dataclass(slots=True)
class Backtest:
    """What came of rehearsing.

    Attributes:
        replayed: Decisions made again.
        differing: Of these, those that came out otherwise under the very configuration that was in force; anything but
            0 means that the rest cannot be trusted. `examples` are the first of them.
        moved: Those that the draft would send elsewhere.
        gone: Those that rest on what is not kept any more, or have no record; they are left out.
        was, would: By (account, currency).
    """

    replayed: int = 0
    differing: int = 0
    moved: int = 0
    gone: int = 0
    examples: list[str] = field(default_factory=list)
    was: dict[tuple[str, str], BacktestTotals] = field(default_factory=dict)
    would: dict[tuple[str, str], BacktestTotals] = field(default_factory=dict)

    def document(self) -> Mapping[str, Any]:
        """As programs read it."""
        currencies = sorted({currency for _, currency in self.was | self.would})
        return {
            "replayed": self.replayed,
            "differing": self.differing,
            "examples": self.examples,
            "moved": self.moved,
            "gone": self.gone,
            "currencies": {currency: self._of(currency) for currency in currencies},
        }

    def _of(self, currency: str) -> Mapping[str, Any]:
        names = sorted({name for name, its in self.was | self.would if its == currency})
        was, would = self._whole(self.was, currency), self._whole(self.would, currency)
        lines = [
            {
                "account": name,
                "was": self.was.get((name, currency), BacktestTotals()).document(was.decisions),
                "would": self.would.get((name, currency), BacktestTotals()).document(would.decisions),
            }
            for name in names
        ]
        now, then = was.document(was.decisions), would.document(would.decisions)
        change = {name: then[name] - now[name] for name in ("captured_minor", "cost_minor", "margin_minor")}
        change["expected_success"] = (then["expected_success"] or 0.0) - (now["expected_success"] or 0.0)
        return {"accounts": lines, "was": now, "would": then, "change": change}

    @staticmethod
    def _whole(tallies: Mapping[tuple[str, str], BacktestTotals], currency: str) -> BacktestTotals:
        whole = BacktestTotals()
        for (_, its), tally in tallies.items():
            if its == currency:
                whole.join(tally)
        return whole


async def backtest(tx: db.Tx, start: datetime, end: datetime, draft: routing.Configuration) -> Backtest:
    """Make all decisions of a span of time again under a draft, from their records.

    Rows are read as they are needed, so that a day takes no more memory than a minute. Each decision stands for itself:
    what a try would have taught, had it gone elsewhere, is not invented.
    """
    found, replayer = Backtest(), routing.Replayer(tx, draft)
    async for name, text, outcome in _recorded(tx, start, end):
        if text is None:
            found.gone += 1
            continue
        record = routing.read_record(text)
        try:
            replayed = await replayer.replay(record)
        except routing.DecisionGone:
            found.gone += 1
            continue
        found.replayed += 1
        if not replayed.same:
            found.differing += 1
            found.examples = [*found.examples, name][:5]
        stays = replayed.was.account == replayed.would.account
        found.moved += not stays
        for tallies, prospect, seen in (
            (found.was, replayed.was, outcome),
            (found.would, replayed.would, outcome if stays else None),
        ):
            key = prospect.account or NOWHERE, record.ask.currency
            tallies.setdefault(key, BacktestTotals()).add(record, prospect, seen)
    return found


async def _recorded(tx: db.Tx, start: datetime, end: datetime) -> AsyncIterator[tuple[str, str | None, bool | None]]:
    """The name, the record and the outcome of each decision: those that led to a try, then those that found no way."""
    async for decided in decisions_between(tx, start, end):
        yield ids.encode(DECISION_PREFIX, decided.attempt_id), decided.record, _ENDED.get(decided.state)
    async for record in routing.refusals_between(tx, start, end):
        yield NOWHERE, record, None
