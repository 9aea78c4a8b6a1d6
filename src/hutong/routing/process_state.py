"""Routing as one process does it: its router, what operators want, and what it has yet to tell others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from hutong import channels
from hutong.routing.configuration.calendar import BEIJING
from hutong.routing.configuration.configuration import UNCONFIGURED, Configuration
from hutong.routing.configuration.overrides import Kind, Override
from hutong.routing.configuration.price import Price
from hutong.routing.decisions.record import basis_of, write_record
from hutong.routing.experiments.assignment import Arm, Outcome, Running
from hutong.routing.health import Result
from hutong.routing.model import Candidate, Decision, RoutingPolicy, RoutingRequest
from hutong.routing.router import Router

_UNTOLD_MAX = 50_000
"""What is kept to be told while the database is away; then the oldest is forgotten."""

_REFUSED_MAX = 2_000
"""Decisions without a way that wait to be written down; whoever asks for what is never there must not fill memory."""

_NEVER_OFFERED = frozenset(
    {"method_not_offered", "currency_not_offered", "manual_capture_not_offered", "payer_detail_missing"}
)
"""No configuration can do anything about these: what was refused for nothing else is not worth rehearsing."""


@dataclass(slots=True)
class Volume:
    """What has gone through an account in a month, of one currency."""

    amount_minor: int = 0
    subsidy_minor: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A decision and its record."""

    decision: Decision
    record: str


class RoutingState:
    """What payments ask where to go, and tell what came of it. Nothing here waits for anything.

    Args:
        draw: Gives numbers in [0, 1).
    """

    def __init__(self, *, draw: Callable[[], float]) -> None:
        self.untold: deque[tuple[UUID, Result]] = deque(maxlen=_UNTOLD_MAX)
        self.refused: deque[tuple[datetime, str]] = deque(maxlen=_REFUSED_MAX)
        self.router = Router(draw, fresh=lambda *said: self.untold.append(said))
        self.configuration = UNCONFIGURED
        self.basis = ("", "")
        self.shared_at: datetime | None = None
        self.unadded: dict[tuple[UUID, date, str], Volume] = {}
        self.trial: Running | None = None
        self.outcomes: dict[tuple[UUID, Arm, str], Outcome] = {}
        self._trial_base: Mapping[UUID, Candidate] = {}
        self._offers: tuple[channels.Offer, ...] = ()
        self._overrides: tuple[Override, ...] = ()
        self._volumes: Mapping[tuple[UUID, str], Volume] = {}
        self._bare: tuple[Candidate, ...] = ()
        self._base: tuple[Candidate, ...] = ()
        self._candidates: tuple[Candidate, ...] = ()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The accounts there are, with what operators have said of them."""
        return self._candidates

    @property
    def left(self) -> frozenset[tuple[str, str]]:
        """What operators have confirmed to leave: accounts by name, and interfaces."""
        return frozenset((each.account, each.interface) for each in self._overrides if each.kind is Kind.LEAVE)

    def offer(self, offers: Sequence[channels.Offer]) -> None:
        """Take the accounts that are offered now."""
        if tuple(offers) != self._offers:
            self._offers = tuple(offers)
            self._build()

    def adopt(
        self,
        configuration: Configuration,
        overrides: Sequence[Override],
        volumes: Mapping[tuple[UUID, str], Volume],
        trial: Running | None = None,
    ) -> None:
        """Take what the database says now."""
        is_new = configuration is not self.configuration or trial is not self.trial
        self.trial = trial
        if is_new or (tuple(overrides), volumes) != (self._overrides, self._volumes):
            self.configuration, self._overrides, self._volumes = configuration, tuple(overrides), volumes
            if is_new:
                self._build()
            else:
                self._refresh()

    def decide(self, ask: RoutingRequest) -> Chosen:
        """Choose an account."""
        trial = self.trial
        arm = None if trial is None else trial.arm(ask.payment)
        known = self._configuration(ask.payment).classes.get(ask.merchant, "")
        wanted = ask if known == ask.merchant_class else replace(ask, merchant_class=known)
        if trial is not None and arm is Arm.DRAFT:
            decision, snapshot = self.router.decide(
                wanted, over=lambda moment: trial.over(moment, self._trial_base, ask.product)
            )
        else:
            decision, snapshot = self.router.decide(wanted)
        trial_id = None if trial is None else trial.trial_id
        chosen = Chosen(decision, write_record(wanted, snapshot, decision, self.basis[0], trial=trial_id, arm=arm))
        if decision.chosen is None and any(each.refused not in _NEVER_OFFERED for each in decision.verdicts):
            self.refused.append((ask.at, chosen.record))
        return chosen

    def policy(self, product: str, payment: UUID | None = None) -> RoutingPolicy:
        """How a payment of a product is routed."""
        return self._configuration(payment).policy(product)

    def ended(
        self, payment: UUID, account_id: UUID, *, amount_minor: int, currency: str, created_at: datetime, paid: bool
    ) -> None:
        """Count a try that is over in its arm, while a draft is tried. One that goes on at another account is not over.

        Args:
            created_at: When the try was made.
        """
        trial = self.trial
        if trial is None or not trial.counts(created_at):
            return
        outcome = self.outcomes.setdefault((trial.trial_id, trial.arm(payment), currency), Outcome())
        outcome.ended += 1
        if paid:
            outcome.succeeded += 1
            outcome.captured_minor += amount_minor
            candidate = self._trial_base.get(account_id)
            if candidate is not None:  # both arms at the draft's prices: a new price list is no saving
                outcome.cost_ten_thousandths += candidate.price.ten_thousandths(
                    amount_minor, candidate.taken_minor(currency)
                )

    def _configuration(self, payment: UUID | None) -> Configuration:
        """What decides about a payment."""
        if self.trial is not None and self.trial.arm(payment) is Arm.DRAFT:
            return self.trial.configuration
        return self.configuration

    def took(self, account_id: UUID, amount_minor: int, currency: str, *, now: datetime) -> None:
        """Count what a payment has brought through an account."""
        volume = self.unadded.setdefault((account_id, month_of(now), currency), Volume())
        volume.amount_minor += amount_minor
        candidate = next((each for each in self._candidates if each.account_id == account_id), None)
        if candidate is not None:
            volume.subsidy_minor += int(candidate.price.subsidy_of(amount_minor))
        if candidate is not None and _counts(candidate):
            self._refresh()

    def _build(self) -> None:
        self._bare = tuple(candidate_of(offer) for offer in self._offers)
        self.basis = basis_of(self._bare)
        self._base = tuple(self.configuration.configured(candidate) for candidate in self._bare)
        self._refresh()

    def _refresh(self) -> None:
        blocks = {override.account: override.reason for override in self._overrides if override.kind is Kind.BLOCK}
        left = self.left
        self._candidates = tuple(self._with_volume(each, blocks, left) for each in self._base)
        if self.trial is not None:
            drafted = (self.trial.configuration.configured(each) for each in self._bare)
            self._trial_base = {each.account_id: self._with_volume(each, blocks, left) for each in drafted}
        pins = {each.product: (each.account, each.until) for each in self._overrides if each.kind is Kind.PIN}
        self.router.configure(
            self._candidates, self.configuration.policies, pins, health_policy=self.configuration.health
        )

    def _with_volume(
        self, candidate: Candidate, blocks: Mapping[str, str], left: frozenset[tuple[str, str]]
    ) -> Candidate:
        known = [(key, each) for key, each in self._volumes.items() if key[0] == candidate.account_id]
        known += [((key[0], key[2]), each) for key, each in self.unadded.items() if key[0] == candidate.account_id]
        used = sum(volume.subsidy_minor for _, volume in known)
        taken: dict[str, int] = {}
        for (_, currency), volume in known:
            taken[currency] = taken.get(currency, 0) + volume.amount_minor
        several = len(candidate.currencies) > 1
        return replace(
            candidate,
            month_minor=0 if several else sum(taken.values()),
            month_minor_of=taken if several else {},
            month_subsidy_minor=used,
            price=candidate.price.after_subsidies(used),
            left=frozenset(interface for name, interface in left if name == candidate.name),
            blocked=blocks.get(candidate.name) or blocks.get(candidate.channel) or "",
        )


def candidate_of(offer: channels.Offer) -> Candidate:
    """An account as its adapter describes it; it costs nothing until somebody says otherwise."""
    can = offer.capabilities
    return Candidate(
        account_id=UUID(int=offer.account_id.int),  # the driver's own kind of number is slow to write down
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
    )


def month_of(now: datetime) -> date:
    """The month, in Beijing, that a payment counts towards."""
    return now.astimezone(BEIJING).date().replace(day=1)


def _counts(candidate: Candidate) -> bool:
    """Whether an account's volume bears on decisions."""
    price = candidate.price
    limited = candidate.month_limit_minor is not None or bool(candidate.month_limit_minor_of)
    return limited or len(price.tiers) > 1 or price.subsidy_ppm > 0
