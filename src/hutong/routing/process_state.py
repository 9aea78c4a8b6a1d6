"""Routing state of one process: its router, the configuration in force, and what it has yet to share with others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeVar
from uuid import UUID

from hutong import channels
from hutong.clock import BEIJING
from hutong.routing.configuration.configuration import UNCONFIGURED, Configuration
from hutong.routing.configuration.overrides import Override, OverrideKind
from hutong.routing.configuration.price import Price
from hutong.routing.decisions.record import CapabilitySnapshot, capability_snapshot, write_record
from hutong.routing.experiments.assignment import Arm, ArmOutcome, OutcomeKey, RunningExperiment
from hutong.routing.health import AttemptResult
from hutong.routing.model import PRODUCT, Candidate, RoutingDecision, RoutingPolicy, RoutingRequest
from hutong.routing.router import Router

T = TypeVar("T")

_RESULTS_MAX = 50_000
"""How many results are kept while the database is away; beyond that the oldest are dropped."""

_REFUSALS_MAX = 2_000
"""How many decisions without an account wait to be written; requests for what is never offered must not fill memory."""

_NEVER_OFFERED = frozenset(
    {"method_not_offered", "currency_not_offered", "manual_capture_not_offered", "payer_detail_missing"}
)
"""No configuration can change these: a decision refused for these reasons alone is not worth replaying."""


@dataclass(slots=True)
class Volume:
    """The volume of an account in a month, in one currency."""

    amount_minor: int = 0
    subsidy_minor: int = 0

    def add(self, other: Volume) -> None:
        """Add another volume to this one."""
        self.amount_minor += other.amount_minor
        self.subsidy_minor += other.subsidy_minor


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision and its record."""

    decision: RoutingDecision
    record: str


@dataclass(frozen=True, slots=True)
class Pending:
    """Changes of one process that have to be shared with the others.

    Attributes:
        results: Results of attempts, each with its account.
        refusals: Decisions without an account, each with its time.
        volumes: By account, month and currency.
        outcomes: Of the payments of an experiment.
    """

    results: Sequence[tuple[UUID, AttemptResult]]
    refusals: Sequence[tuple[datetime, str]]
    volumes: Mapping[tuple[UUID, date, str], Volume]
    outcomes: Mapping[OutcomeKey, ArmOutcome]


class RoutingState:
    """Routing state of one process, in memory: selects accounts and records outcomes. No I/O.

    Args:
        draw: Returns numbers in [0, 1).

    Attributes:
        router: Decides, and knows the health of accounts.
    """

    def __init__(self, *, draw: Callable[[], float]) -> None:
        self._pending_results: deque[tuple[UUID, AttemptResult]] = deque(maxlen=_RESULTS_MAX)
        self._pending_refusals: deque[tuple[datetime, str]] = deque(maxlen=_REFUSALS_MAX)
        self._pending_volumes: dict[tuple[UUID, date, str], Volume] = {}
        self._pending_outcomes: dict[OutcomeKey, ArmOutcome] = {}
        self.router = Router(draw, on_new_result=lambda *entry: self._pending_results.append(entry))
        self._configuration = UNCONFIGURED
        self._capability_snapshot = CapabilitySnapshot("", "")
        self._is_synced = False
        self._experiment: RunningExperiment | None = None
        self._experiment_accounts: Mapping[UUID, Candidate] = {}
        self._offers: tuple[channels.Offer, ...] = ()
        self._overrides: tuple[Override, ...] = ()
        self._volumes: Mapping[tuple[UUID, str], Volume] = {}
        self._offered: tuple[Candidate, ...] = ()
        self._configured: tuple[Candidate, ...] = ()
        self._candidates: tuple[Candidate, ...] = ()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The accounts, with the configuration, volumes and overrides applied."""
        return self._candidates

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self._configuration

    @property
    def experiment(self) -> RunningExperiment | None:
        """The experiment that is running."""
        return self._experiment

    @property
    def capability_snapshot(self) -> CapabilitySnapshot:
        """The capabilities of the accounts, on which decisions are based."""
        return self._capability_snapshot

    @property
    def is_synced(self) -> bool:
        """Whether the results of other processes have been read."""
        return self._is_synced

    def offer(self, offers: Sequence[channels.Offer]) -> None:
        """Take over the accounts that are offered now."""
        if tuple(offers) != self._offers:
            self._offers = tuple(offers)
            self._rebuild()

    def adopt(
        self,
        configuration: Configuration,
        overrides: Sequence[Override],
        volumes: Mapping[tuple[UUID, str], Volume],
        experiment: RunningExperiment | None = None,
    ) -> None:
        """Take over what all processes share, as read from the database."""
        is_new = configuration is not self._configuration or experiment is not self._experiment
        self._experiment = experiment
        if is_new or (tuple(overrides), volumes) != (self._overrides, self._volumes):
            self._configuration, self._overrides, self._volumes = configuration, tuple(overrides), volumes
            if is_new:
                self._rebuild()
            else:
                self._refresh()

    def learn_shared(self, results: Sequence[tuple[UUID, AttemptResult]]) -> None:
        """Add the results of other processes."""
        for account_id, result in results:
            self.router.learn(account_id, result, shared=True)
        self._is_synced = True

    def take_pending(self, *, results_max: int, refusals_max: int) -> Pending:
        """Remove what is to be shared, oldest first, and return it. `restore` takes back what could not be shared."""
        pending = Pending(
            _pop_left(self._pending_results, results_max),
            _pop_left(self._pending_refusals, refusals_max),
            self._pending_volumes,
            self._pending_outcomes,
        )
        self._pending_volumes, self._pending_outcomes = {}, {}
        return pending

    def restore(self, pending: Pending) -> None:
        """Take back what could not be shared, in front of and in addition to what came in the meantime."""
        self._pending_results.extendleft(reversed(pending.results))
        self._pending_refusals.extendleft(reversed(pending.refusals))
        for volume_key, volume in pending.volumes.items():
            self._pending_volumes.setdefault(volume_key, Volume()).add(volume)
        for outcome_key, outcome in pending.outcomes.items():
            self._pending_outcomes.setdefault(outcome_key, ArmOutcome()).add(outcome)

    def decide(self, request: RoutingRequest) -> RecordedDecision:
        """Select an account."""
        experiment = self._experiment
        arm = None if experiment is None else experiment.arm(request.payment)
        merchant_class = self._configuration_for(request.payment).merchant_classes.get(request.merchant, "")
        if merchant_class != request.merchant_class:
            request = replace(request, merchant_class=merchant_class)
        if experiment is not None and arm is Arm.DRAFT:
            product = request.product
            decision, snapshot = self.router.decide(
                request, transform=lambda current: experiment.apply(current, self._experiment_accounts, product)
            )
        else:
            decision, snapshot = self.router.decide(request)
        record = write_record(
            request,
            snapshot,
            decision,
            self._capability_snapshot.digest,
            experiment_id=None if experiment is None else experiment.experiment_id,
            arm=arm,
        )
        if decision.chosen is None and any(each.refused not in _NEVER_OFFERED for each in decision.evaluations):
            self._pending_refusals.append((request.at, record))
        return RecordedDecision(decision, record)

    def policy(self, payment_id: UUID | None = None, *, product: str = PRODUCT) -> RoutingPolicy:
        """Return the policy by which a payment of a product is routed."""
        return self._configuration_for(payment_id).policy(product)

    def count_outcome(
        self, payment_id: UUID, account_id: UUID, *, amount_minor: int, currency: str, created_at: datetime, paid: bool
    ) -> None:
        """Count the final outcome of a payment in its arm, while an experiment runs.

        A payment that is attempted at another account next has no final outcome yet.

        Args:
            created_at: When the attempt was created.
        """
        experiment = self._experiment
        if experiment is None or not experiment.counts(created_at):
            return
        key = experiment.experiment_id, experiment.arm(payment_id), currency
        outcome = self._pending_outcomes.setdefault(key, ArmOutcome())
        outcome.ended += 1
        if paid:
            outcome.succeeded += 1
            outcome.captured_minor += amount_minor
            candidate = self._experiment_accounts.get(account_id)
            if candidate is not None:  # both arms at the draft's prices: a new price list is not a saving
                outcome.cost_ten_thousandths += candidate.price.ten_thousandths(
                    amount_minor, candidate.taken_minor(currency)
                )

    def add_volume(self, account_id: UUID, amount_minor: int, currency: str, *, now: datetime) -> None:
        """Add the amount of a successful payment to the volume of its account."""
        volume = self._pending_volumes.setdefault((account_id, month_of(now), currency), Volume())
        volume.amount_minor += amount_minor
        candidate = next((each for each in self._candidates if each.account_id == account_id), None)
        if candidate is not None:
            volume.subsidy_minor += int(candidate.price.subsidy_of(amount_minor))
        if candidate is not None and _depends_on_volume(candidate):
            self._refresh()

    def _configuration_for(self, payment_id: UUID | None) -> Configuration:
        """Return the configuration by which a payment is routed."""
        if self._experiment is not None and self._experiment.arm(payment_id) is Arm.DRAFT:
            return self._experiment.configuration
        return self._configuration

    def _rebuild(self) -> None:
        self._offered = tuple(candidate_from_offer(offer) for offer in self._offers)
        self._capability_snapshot = capability_snapshot(self._offered)
        self._configured = tuple(self._configuration.apply(candidate) for candidate in self._offered)
        self._refresh()

    def _refresh(self) -> None:
        blocks = {
            override.account: override.reason for override in self._overrides if override.kind is OverrideKind.BLOCK
        }
        left = frozenset(
            (override.account, override.interface)
            for override in self._overrides
            if override.kind is OverrideKind.LEAVE
        )
        self._candidates = tuple(self._with_shared(each, blocks, left) for each in self._configured)
        if self._experiment is not None:
            drafted = (self._experiment.configuration.apply(candidate) for candidate in self._offered)
            self._experiment_accounts = {each.account_id: self._with_shared(each, blocks, left) for each in drafted}
        pins = {
            override.product: (override.account, override.until)
            for override in self._overrides
            if override.kind is OverrideKind.PIN
        }
        self.router.configure(
            self._candidates, self._configuration.policies, pins, health_policy=self._configuration.health
        )

    def _with_shared(
        self, candidate: Candidate, blocks: Mapping[str, str], left: frozenset[tuple[str, str]]
    ) -> Candidate:
        """Return a candidate with this month's volumes and its overrides."""
        account_id = candidate.account_id
        volumes = [(currency, volume) for (of, currency), volume in self._volumes.items() if of == account_id]
        volumes += [
            (currency, volume) for (of, _, currency), volume in self._pending_volumes.items() if of == account_id
        ]
        subsidy_used = sum(volume.subsidy_minor for _, volume in volumes)
        by_currency: dict[str, int] = {}
        for currency, volume in volumes:
            by_currency[currency] = by_currency.get(currency, 0) + volume.amount_minor
        takes_several = len(candidate.currencies) > 1
        return replace(
            candidate,
            month_minor=0 if takes_several else sum(by_currency.values()),
            month_minor_of=by_currency if takes_several else {},
            month_subsidy_minor=subsidy_used,
            price=candidate.price.after_subsidies(subsidy_used),
            left=frozenset(interface for name, interface in left if name == candidate.name),
            blocked=blocks.get(candidate.name) or blocks.get(candidate.channel) or "",
        )


def candidate_from_offer(offer: channels.Offer) -> Candidate:
    """Return an account as its adapter describes it; its price is zero until a configuration sets one."""
    can = offer.capabilities
    return Candidate(
        account_id=UUID(int=offer.account_id.int),  # the driver's own subclass of UUID is slow to serialize
        name=f"{can.channel}/{offer.name}" if offer.name else can.channel,
        channel=can.channel,
        methods=frozenset(can.methods),
        currencies=can.currencies,
        amount_minor_min=can.amount_minor_min,
        amount_minor_max=can.amount_minor_max,
        price=Price(),
        institutions=can.institutions,
        requires={name: method.requires for name, method in can.methods.items() if method.requires},
        manual=frozenset(name for name, method in can.methods.items() if method.manual_capture),
        amount_minor_min_of=can.amount_minor_min_of,
        amount_minor_max_of=can.amount_minor_max_of,
        currencies_of={name: method.currencies for name, method in can.methods.items() if method.currencies},
    )


def month_of(now: datetime) -> date:
    """Return the month, in Beijing, that a payment made now counts in."""
    return now.astimezone(BEIJING).date().replace(day=1)


def _pop_left(queue: deque[T], most: int) -> list[T]:
    return [queue.popleft() for _ in range(min(len(queue), most))]


def _depends_on_volume(candidate: Candidate) -> bool:
    """Return whether decisions depend on the volume of an account."""
    price = candidate.price
    limited = candidate.month_limit_minor is not None or bool(candidate.month_limit_minor_of)
    return limited or len(price.tiers) > 1 or price.subsidy_ppm > 0
