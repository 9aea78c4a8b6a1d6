"""What a routing decision is made of: frozen values. The same ask, snapshot and draws give the same decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from hutong.routing.configuration.calendar import Window
from hutong.routing.configuration.price import Price
from hutong.routing.configuration.rules import Rules
from hutong.routing.health import Health

PRODUCT = "payment"
"""What is routed where nothing else is said."""


class Objective(StrEnum):
    """What a payment is routed for."""

    LOWEST_COST = "lowest_cost"
    HIGHEST_SUCCESS = "highest_success"
    EXPECTED_VALUE = "expected_value"
    """Chance of success times what a success leaves after the channel's price."""


class Mode(StrEnum):
    """Who switches when a channel fails and when it recovers."""

    AUTO = "auto"
    SUGGEST = "suggest"
    """An operator confirms each switch and each switch back; until then traffic stays where it is."""
    MANUAL = "manual"
    """Only pins and blocks move traffic."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each factor counts in the score. Each lies in 0–1.

    Attributes:
        objective: The objective's own value.
        latency: Seconds until an answer; 1 is at once, 0 is ten seconds.
        merchant: The merchant's class prefers this account.
        position: What is left of the account's limit of the month.
    """

    objective: float = 1.0
    latency: float = 0.05
    merchant: float = 0.05
    position: float = 0.05


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """How one product is routed.

    Attributes:
        version: Of the published configuration that it comes from.
        priority: Accounts by name, best first; a plain list for those who want no more. Wins over the score.
        split: Shares by account name; drawn among those that qualify. Wins over priority and score.
        success_value_ppm: What a success is worth beyond the merchant's fee, in millionths of its amount.
        default: The account that takes what nothing else qualifies for, its health left aside; "*" is whichever scores
            best.
        failovers: How many more accounts a payment may try after one that refused it before taking money.
        failover_within: How long after its first try.
        explore: The share of decisions that go to a random one of the candidates, so that estimates stay true.
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
        """How factors become the score, for people."""
        weights = self.weights
        return (
            f"{weights.objective:g} objective ({self.objective}) + {weights.latency:g} latency + "
            f"{weights.merchant:g} merchant + {weights.position:g} position + rules"
        )


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """A payment that looks for its way.

    Attributes:
        fee_ppm: What the merchant pays us.
        institution: The payer's bank, by code, where it is known.
        tried: Accounts that have refused this payment before taking money.
        manual: The merchant wants to capture later.
        payer: What is known of the payer, by name.
        at: When it is asked.
        payment: Its number; by it a payment stays in one arm of a trial.
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
        requires: What a method wants to know of the payer.
        manual: Methods that can reserve the money for a capture.
        amount_minor_min_of: The least amount by currency, where it is above `amount_minor_min`.
        merchants: Who has a contract here; None where everybody does.
        preferred_by: Merchant classes that are better off here.
        month_limit_minor: What the account may take in a month of each currency; None where there is no limit.
        month_limit_minor_of: The same by currency, where it differs.
        month_minor: What it has taken this month, where it takes one currency only.
        month_minor_of: The same by currency, where it takes several.
        month_subsidy_minor: What of its subsidy quota has been used this month.
        hours: When it works; empty where it always does.
        maintenance: When it does not, whatever the hours say.
        left: Interfaces that an operator has confirmed to leave, where he is asked.
        blocked: An operator's word that it may not be used, with its reason; empty if not blocked.
        health: By institution; the key "" is the account as a whole.
        probe_due: Whether it may be tried now though its turn by share has not come.
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
    health: Mapping[str, Health] = field(default_factory=dict)
    probe_due: bool = False
    requires: Mapping[str, frozenset[str]] = field(default_factory=dict)
    manual: frozenset[str] = frozenset()
    amount_minor_min_of: Mapping[str, int] = field(default_factory=dict)
    month_limit_minor_of: Mapping[str, int] = field(default_factory=dict)
    month_minor_of: Mapping[str, int] = field(default_factory=dict)

    def taken_minor(self, currency: str) -> int:
        """What it has taken this month of a currency."""
        return self.month_minor_of.get(currency, self.month_minor)

    def limit_minor(self, currency: str) -> int | None:
        """What it may take in a month of a currency."""
        return self.month_limit_minor_of.get(currency, self.month_limit_minor)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision depends on besides the ask and the draws.

    Attributes:
        pin: The account by name that an operator has pinned, while the pin lasts.
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
    """Why the chosen one was chosen."""

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
    """What was thought of one candidate.

    Attributes:
        refused: Why it does not qualify; empty if it does.
        factors: Every factor's value, each 0–1, but "cost_minor", "success" and "latency_s", which are as they are.
        score: None where it was not scored.
        explanation, explanation_zh: What the rules say of it.
    """

    account_id: UUID
    name: str
    refused: str
    factors: Mapping[str, float]
    score: float | None
    explanation: str = ""
    explanation_zh: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision with all that is needed to make it again."""

    chosen: UUID | None
    how: SelectionReason
    policy_version: int
    verdicts: tuple[Evaluation, ...]
    draws: Draws
