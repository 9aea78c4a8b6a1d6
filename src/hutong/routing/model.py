"""Values of a routing decision, all frozen. The same request, snapshot and draws give the same decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from hutong.routing.configuration.calendar import Window
from hutong.routing.configuration.price import Price
from hutong.routing.configuration.rules import Rules
from hutong.routing.health import AccountHealth

PRODUCT = "payment"
"""The product of a request that names none."""


class Objective(StrEnum):
    """The value that routing maximizes."""

    LOWEST_COST = "lowest_cost"
    HIGHEST_SUCCESS = "highest_success"
    EXPECTED_VALUE = "expected_value"
    """Chance of success times what remains of a success after the channel's price."""


class Mode(StrEnum):
    """Who moves traffic when a channel fails and when it recovers."""

    AUTO = "auto"
    SUGGEST = "suggest"
    """An operator confirms each switch and each switch back; until then traffic stays at its account."""
    MANUAL = "manual"
    """Only pins and blocks move traffic."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each factor in the score. Each lies in 0–1.

    Attributes:
        objective: The objective's own value.
        latency: The time to an answer; 1 is immediate, 0 is ten seconds.
        merchant: The merchant's class prefers this account.
        position: The unused part of the account's monthly limit.
    """

    objective: float = 1.0
    latency: float = 0.05
    merchant: float = 0.05
    position: float = 0.05


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """The routing policy of one product.

    Attributes:
        version: The version of the published configuration that the policy belongs to.
        priority: Accounts by name, best first. A plain list takes precedence over the score.
        split: Shares by account name, drawn among the accounts that qualify. Takes precedence over priority and score.
        success_value_ppm: The value of a success beyond the merchant's fee, in millionths of its amount.
        default: The account that takes payments for which no other qualifies, whatever its health; "*" is the one with
            the best score.
        failovers: How many more accounts a payment may be attempted at after one that refused it before taking money.
        failover_within: How long after the first attempt this is allowed.
        explore: The share of decisions that select a candidate at random, so that estimates stay accurate.
    """

    version: int = 0
    objective: Objective = Objective.EXPECTED_VALUE
    mode: Mode = Mode.AUTO
    weights: Weights = Weights()
    priority: tuple[str, ...] = ()
    split: Mapping[str, int] = field(default_factory=dict)
    success_value_ppm: int = 20_000
    default: str | None = None
    explore: float = 0.002
    failovers: int = 2
    failover_within: timedelta = timedelta(seconds=10)
    rules: Rules | None = None

    @property
    def formula(self) -> str:
        """How the score is computed from the factors, for people."""
        weights = self.weights
        return (
            f"{weights.objective:g} objective ({self.objective}) + {weights.latency:g} latency + "
            f"{weights.merchant:g} merchant + {weights.position:g} position + rules"
        )


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """A payment that needs an account.

    Attributes:
        fee_ppm: The merchant's fee, in millionths of the amount.
        institution: The code of the payer's bank, if it is known.
        tried: Accounts that have refused this payment before taking money.
        manual: The merchant captures later.
        payer: The names of the details that are known of the payer.
        at: The time of the request.
        payment: The payment's id, which keeps a payment in one arm of an experiment.
    """

    method: str
    amount_minor: int
    currency: str
    at: datetime
    merchant: str = ""
    merchant_class: str = ""
    product: str = PRODUCT
    institution: str = ""
    fee_ppm: int = 0
    tried: frozenset[UUID] = frozenset()
    manual: bool = False
    payer: frozenset[str] = frozenset()
    payment: UUID | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account as routing sees it at one moment.

    Attributes:
        requires: The payer details that each method requires.
        currencies_of: The currencies of the methods that take fewer than the account.
        manual: Methods that can reserve the money for a later capture.
        amount_minor_max_of: The largest amount by currency, if it is not `amount_minor_max`.
        amount_minor_min_of: The smallest amount by currency, if it is above `amount_minor_min`.
        merchants: The merchants with a contract for this account; None if every merchant may use it.
        preferred_by: Merchant classes that prefer this account.
        month_limit_minor: The limit for a month in each currency; None if there is none.
        month_limit_minor_of: The limit by currency, if it differs.
        month_minor: This month's volume, if the account takes one currency only.
        month_minor_of: This month's volume by currency, if it takes several.
        month_subsidy_minor: The part of its subsidy quota that has been used this month.
        hours: Operating hours; empty if it always operates.
        maintenance: Times at which it does not operate, whatever its hours.
        left: Interfaces that get no payments because an operator confirmed the suggestion to leave them.
        blocked: The reason for which an operator blocked it; empty if it is not blocked.
        health: By institution; the key "" is the account as a whole.
        probe_due: Whether it may get a payment as a probe now, outside its share.
    """

    account_id: UUID
    name: str
    channel: str
    methods: frozenset[str]
    currencies: frozenset[str]
    amount_minor_min: int
    amount_minor_max: int
    price: Price
    institutions: frozenset[str] = frozenset()
    merchants: frozenset[str] | None = None
    preferred_by: frozenset[str] = frozenset()
    month_limit_minor: int | None = None
    month_minor: int = 0
    month_subsidy_minor: int = 0
    hours: tuple[Window, ...] = ()
    maintenance: tuple[tuple[datetime, datetime], ...] = ()
    blocked: str = ""
    left: frozenset[str] = frozenset()
    health: Mapping[str, AccountHealth] = field(default_factory=dict)
    probe_due: bool = False
    requires: Mapping[str, frozenset[str]] = field(default_factory=dict)
    manual: frozenset[str] = frozenset()
    amount_minor_min_of: Mapping[str, int] = field(default_factory=dict)
    month_limit_minor_of: Mapping[str, int] = field(default_factory=dict)
    month_minor_of: Mapping[str, int] = field(default_factory=dict)
    currencies_of: Mapping[str, frozenset[str]] = field(default_factory=dict)
    amount_minor_max_of: Mapping[str, int] = field(default_factory=dict)

    def taken_minor(self, currency: str) -> int:
        """Return this month's volume in a currency."""
        return self.month_minor_of.get(currency, self.month_minor)

    def limit_minor(self, currency: str) -> int | None:
        """Return the limit for a month in a currency; None if there is none."""
        return self.month_limit_minor_of.get(currency, self.month_limit_minor)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a decision depends on besides the request and the draws.

    Attributes:
        pin: The name of the account that an operator has pinned, while the pin lasts.
    """

    candidates: tuple[Candidate, ...]
    policy: RoutingPolicy
    pin: str = ""
    pin_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of one decision, each in [0, 1)."""

    share: float
    split: float
    explore: float
    pick: float


class SelectionReason(StrEnum):
    """Why the selected account was selected."""

    SCORE = "score"
    PRIORITY = "priority"
    SPLIT = "split"
    PIN = "pin"
    PROBE = "probe"
    EXPLORE = "explore"
    DEFAULT = "default"
    NO_ROUTE = "no_route"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation of one candidate.

    Attributes:
        refused: Why it does not qualify; empty if it does.
        factors: The value of every factor, each 0–1 except "cost_minor", "success" and "latency_s", which have units.
        score: None if it was not scored.
        explanation, explanation_zh: The reason that the rules give, in English and in Chinese.
    """

    account_id: UUID
    name: str
    refused: str
    factors: Mapping[str, float]
    score: float | None
    explanation: str = ""
    explanation_zh: str = ""


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """A decision, with what else is needed to make it again.

    Attributes:
        chosen: The account; None if none qualifies.
    """

    chosen: UUID | None
    reason: SelectionReason
    policy_version: int
    evaluations: tuple[Evaluation, ...]
    draws: Draws

    @property
    def is_probe(self) -> bool:
        """Whether the payment goes to an account to find out whether that account is back."""
        return self.reason is SelectionReason.PROBE
