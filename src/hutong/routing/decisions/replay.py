"""Replay of recorded decisions: under the configuration that was in force, to prove that they can be made again, and
under a draft, to see what it would change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from hutong import db
from hutong.routing.configuration.configuration import Configuration
from hutong.routing.configuration.versions import load_configuration
from hutong.routing.decide import decide, health_of
from hutong.routing.decisions.record import (
    ConfiguredAccounts,
    DecisionRecord,
    configured_accounts,
    find_capabilities,
    snapshot_of,
)
from hutong.routing.errors import DecisionNotFound
from hutong.routing.experiments.assignment import Arm
from hutong.routing.experiments.experiment import draft_configuration, find_experiment
from hutong.routing.model import RoutingDecision, Snapshot


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected result of one decision.

    Attributes:
        account: None if no account qualified.
        success: The chance that the channel processes the payment, by the health in the record.
        cost_minor: The cost of a success.
    """

    account: str | None
    success: float = 0.0
    cost_minor: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """A decision that was made again.

    Attributes:
        same: Under the configuration that was in force it is as recorded, in every evaluation.
        recorded, drafted: The expectations as recorded and under the draft.
    """

    same: bool
    recorded: Expectation
    drafted: Expectation


class Replayer:
    """Makes decisions again, one after the other; what they are based on is read when it is first needed.

    Args:
        draft: The configuration that they are tested against.
    """

    def __init__(self, tx: db.Tx, draft: Configuration) -> None:
        self._tx = tx
        self._draft = draft
        self._configurations: dict[int | UUID, Configuration] = {}
        self._accounts: dict[tuple[str, int | UUID | None], ConfiguredAccounts] = {}

    async def replay(self, record: DecisionRecord) -> ReplayedDecision:
        """Make a decision again under both configurations.

        Errors:
            DecisionNotFound: what it was based on is not kept any more.
        """
        configuration = await self._configuration(record)
        accounts = await self._configured_accounts(record, _decided_by(record), configuration)
        repeated = decide_again(record, accounts, configuration)
        same = (repeated.chosen, repeated.reason, repeated.evaluations) == (
            record.chosen,
            record.reason,
            record.evaluations,
        )
        # The draft may put the merchant into another class.
        request = replace(record.request, merchant_class=self._draft.merchant_classes.get(record.request.merchant, ""))
        accounts = await self._configured_accounts(record, None, self._draft)
        snapshot = snapshot_of(record, accounts, self._draft.policy(request.product))
        drafted = decide(request, snapshot, record.draws)
        # Both at the draft's prices: a new price list is not a saving.
        return ReplayedDecision(
            same, _expectation(record, snapshot, record.chosen), _expectation(record, snapshot, drafted.chosen)
        )

    async def _configuration(self, record: DecisionRecord) -> Configuration:
        key = _decided_by(record)
        if key not in self._configurations:
            if isinstance(key, UUID):
                configuration = draft_configuration((await find_experiment(self._tx, key)).experiment)
            else:
                configuration = await load_configuration(self._tx, key)
            self._configurations[key] = configuration
        return self._configurations[key]

    async def _configured_accounts(
        self, record: DecisionRecord, decided_by: int | UUID | None, configuration: Configuration
    ) -> ConfiguredAccounts:
        digest = record.capability_digest
        if (digest, decided_by) not in self._accounts:
            capabilities = await find_capabilities(self._tx, [digest])
            if digest not in capabilities:
                raise DecisionNotFound(f"the capabilities of accounts with the hash {digest} are not kept")
            self._accounts[digest, decided_by] = configured_accounts(capabilities[digest], configuration)
        return self._accounts[digest, decided_by]


def decide_again(record: DecisionRecord, accounts: ConfiguredAccounts, configuration: Configuration) -> RoutingDecision:
    """Make a decision again under the configuration that was in force: it is the same.

    Args:
        accounts: Of the record's capability snapshot, under that configuration.
    """
    policy = configuration.policy(record.request.product)
    return decide(record.request, snapshot_of(record, accounts, policy), record.draws)


def _decided_by(record: DecisionRecord) -> int | UUID:
    """Return which configuration decided: its version, or the experiment whose draft it is."""
    if record.experiment_id is not None and record.arm is Arm.DRAFT:
        return record.experiment_id
    return record.version


def _expectation(record: DecisionRecord, snapshot: Snapshot, chosen: UUID | None) -> Expectation:
    if chosen is None:
        return Expectation(None)
    request = record.request
    candidate = next(each for each in snapshot.candidates if each.account_id == chosen)
    health = health_of(candidate, request.institution)
    volume_minor = candidate.taken_minor(request.currency)
    cost = candidate.price.ten_thousandths(request.amount_minor, volume_minor) / 10_000
    return Expectation(candidate.name, health.success, cost)
