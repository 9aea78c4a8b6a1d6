"""Backtest of a draft configuration on recorded payments: nothing is sent and nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hutong import db, ids
from hutong.routing.configuration.configuration import Configuration
from hutong.routing.decisions.record import (
    DecisionRecord,
    LoggedDecision,
    Outcomes,
    decisions_between,
    read_record,
    refusals_between,
)
from hutong.routing.decisions.replay import Expectation, Replayer
from hutong.routing.errors import DecisionNotFound

NO_ROUTE = "no_route"
"""The name of the line for decisions without an account."""

_BATCH = 1_000
"""How many decisions are kept in memory at a time, to ask for their outcomes together."""


@dataclass(slots=True)
class BacktestTotals:
    """Totals of decisions. Amounts are expectations: chances of success times minor units.

    Attributes:
        success: The sum of the chances that the channel processes the payment.
        captured_minor, cost_minor, fee_minor: The amounts captured, the channels' prices for them, and the merchants'
            fees.
        ended, succeeded: How many attempts that were made at this account have ended, and how many succeeded.
    """

    decisions: int = 0
    success: float = 0.0
    captured_minor: float = 0.0
    cost_minor: float = 0.0
    fee_minor: float = 0.0
    ended: int = 0
    succeeded: int = 0

    def add(self, record: DecisionRecord, expectation: Expectation, paid: bool | None) -> None:
        """Add one decision.

        Args:
            paid: Whether the attempt succeeded; None if it has not ended or was not made at this account.
        """
        amount_minor = record.request.amount_minor
        self.decisions += 1
        self.success += expectation.success
        self.captured_minor += expectation.success * amount_minor
        self.cost_minor += expectation.success * expectation.cost_minor
        self.fee_minor += expectation.success * amount_minor * record.request.fee_ppm / 1_000_000
        if paid is not None:
            self.ended += 1
            self.succeeded += paid

    def join(self, other: BacktestTotals) -> None:
        """Add other totals to these."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def document(self, total: int) -> Mapping[str, Any]:
        """Return the totals as programs read them.

        Args:
            total: The number of decisions of all accounts.
        """
        return {
            "decisions": self.decisions,
            "share": self.decisions / total if total else 0.0,
            "expected_success": self.success / self.decisions if self.decisions else None,
            "observed_success": self.succeeded / self.ended if self.ended else None,
            "observed": self.ended,
            "captured_minor": round(self.captured_minor),
            "cost_minor": round(self.cost_minor),
            "margin_minor": round(self.fee_minor - self.cost_minor),
        }


@dataclass(slots=True)
class Backtest:
    """The result of a backtest.

    Attributes:
        replayed: Decisions made again.
        differing: Of these, those that came out differently under the very configuration that was in force. Unless it
            is 0 the rest cannot be trusted. `examples` are the first of them.
        moved: Those that the draft would send to another account.
        gone: Those that are based on what is not kept any more; they are left out.
        recorded, drafted: By (account, currency).
    """

    replayed: int = 0
    differing: int = 0
    moved: int = 0
    gone: int = 0
    examples: list[str] = field(default_factory=list)
    recorded: dict[tuple[str, str], BacktestTotals] = field(default_factory=dict)
    drafted: dict[tuple[str, str], BacktestTotals] = field(default_factory=dict)

    def document(self) -> Mapping[str, Any]:
        """Return the result as programs read it."""
        currencies = sorted({currency for _, currency in self.recorded | self.drafted})
        return {
            "replayed": self.replayed,
            "differing": self.differing,
            "examples": self.examples,
            "moved": self.moved,
            "gone": self.gone,
            "currencies": {currency: self._currency_document(currency) for currency in currencies},
        }

    def _currency_document(self, currency: str) -> Mapping[str, Any]:
        names = sorted({name for name, each in self.recorded | self.drafted if each == currency})
        recorded, drafted = _sum(self.recorded, currency), _sum(self.drafted, currency)
        lines = [
            {
                "account": name,
                "was": self.recorded.get((name, currency), BacktestTotals()).document(recorded.decisions),
                "would": self.drafted.get((name, currency), BacktestTotals()).document(drafted.decisions),
            }
            for name in names
        ]
        was, would = recorded.document(recorded.decisions), drafted.document(drafted.decisions)
        change = {name: would[name] - was[name] for name in ("captured_minor", "cost_minor", "margin_minor")}
        change["expected_success"] = (would["expected_success"] or 0.0) - (was["expected_success"] or 0.0)
        return {"accounts": lines, "was": was, "would": would, "change": change}


def _sum(totals: Mapping[tuple[str, str], BacktestTotals], currency: str) -> BacktestTotals:
    total = BacktestTotals()
    for (_, each), part in totals.items():
        if each == currency:
            total.join(part)
    return total


async def backtest(tx: db.Tx, start: datetime, end: datetime, draft: Configuration, *, outcomes: Outcomes) -> Backtest:
    """Make all decisions of a span of time again under a draft, from their records.

    Rows are read as they are needed, so that a day takes no more memory than a minute. Each decision stands alone: what
    an attempt at another account would have shown is not invented.

    Args:
        outcomes: Returns the outcomes of attempts.
    """
    result, replayer = Backtest(), Replayer(tx, draft)
    async for decision_id, text, paid in _recorded(tx, start, end, outcomes):
        record = read_record(text)
        try:
            replayed = await replayer.replay(record)
        except DecisionNotFound:
            result.gone += 1
            continue
        result.replayed += 1
        if not replayed.same:
            result.differing += 1
            result.examples = [*result.examples, decision_id][:5]
        stays = replayed.recorded.account == replayed.drafted.account
        result.moved += not stays
        for totals, expectation, observed in (
            (result.recorded, replayed.recorded, paid),
            (result.drafted, replayed.drafted, paid if stays else None),
        ):
            key = expectation.account or NO_ROUTE, record.request.currency
            totals.setdefault(key, BacktestTotals()).add(record, expectation, observed)
    return result


async def _recorded(
    tx: db.Tx, start: datetime, end: datetime, outcomes: Outcomes
) -> AsyncIterator[tuple[str, str, bool | None]]:
    """Yield the id, the record and the outcome of each decision: first those with an attempt, then the refusals."""
    async for batch in _batches(decisions_between(tx, start, end)):
        by_attempt = await outcomes(tx, [decision.attempt_id for decision in batch])
        for decision in batch:
            outcome = by_attempt.get(decision.attempt_id)
            paid = None if outcome is None else outcome.paid
            yield ids.encode(LoggedDecision.PREFIX, decision.attempt_id), decision.record, paid
    async for record in refusals_between(tx, start, end):
        yield NO_ROUTE, record, None


async def _batches(decisions: AsyncIterator[LoggedDecision]) -> AsyncIterator[list[LoggedDecision]]:
    batch: list[LoggedDecision] = []
    async for decision in decisions:
        batch.append(decision)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
