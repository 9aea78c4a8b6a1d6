"""The routing configuration: one document, checked as a whole before it comes into force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from hutong.field_errors import sentence
from hutong.routing.configuration.calendar import Window
from hutong.routing.configuration.price import Price, Tier
from hutong.routing.configuration.rules import read_rules
from hutong.routing.decide import facts
from hutong.routing.errors import ConfigurationRefused, RulesRefused
from hutong.routing.health import HealthPolicy
from hutong.routing.model import Candidate, Mode, Objective, RoutingPolicy, RoutingRequest, Weights

Name = Annotated[str, Field(min_length=1, max_length=97)]
Minor = Annotated[int, Field(ge=0, le=2**63 - 1)]
Ppm = Annotated[int, Field(ge=0, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Tier(_Part):
    from_minor: Minor = 0
    ppm: Ppm
    fixed_minor: Minor = 0


class _Price(_Part):
    tiers: Annotated[tuple[_Tier, ...], Field(min_length=1, max_length=32)]
    min_minor: Minor = 0
    max_minor: Minor | None = None
    subsidy_ppm: Ppm = 0
    subsidy_quota_minor: Minor = 0


class _Window(_Part):
    weekdays: frozenset[Annotated[int, Field(ge=0, le=6)]] = frozenset(range(7))
    start: time = time.min
    end: time = time.max
    closed_on: frozenset[date] = frozenset()
    utc_offset_minutes: Annotated[int, Field(ge=-840, le=840)] = 480


class _Maintenance(_Part):
    start: AwareDatetime
    end: AwareDatetime


class _Account(_Part):
    price: _Price | None = None
    amount_minor_min: Minor | None = None
    amount_minor_max: Minor | None = None
    institutions: frozenset[Name] = frozenset()
    merchants: frozenset[Name] | None = None
    preferred_by: frozenset[Name] = frozenset()
    month_limit_minor: Minor | None = None
    month_limit_minor_of: Mapping[Annotated[str, Field(pattern="^[A-Z]{3}$")], Minor] = {}
    hours: tuple[_Window, ...] = ()
    maintenance: tuple[_Maintenance, ...] = ()


class _Weights(_Part):
    objective: Share = 1.0
    latency: Share = 0.05
    merchant: Share = 0.05
    position: Share = 0.05


class _Policy(_Part):
    objective: Objective = Objective.EXPECTED_VALUE
    mode: Mode = Mode.AUTO
    weights: _Weights = _Weights()
    priority: tuple[Name, ...] = ()
    split: Mapping[Name, Annotated[int, Field(ge=0, le=1_000_000)]] = {}
    success_value_ppm: Ppm = 20_000
    default: Name | None = None
    explore: Share = 0.002
    failovers: Annotated[int, Field(ge=0, le=5)] = 2
    failover_within_s: Annotated[int, Field(ge=0, le=60)] = 10
    rules: str | None = None


class _Health(_Part):
    cooldown_s: Annotated[float, Field(ge=1, le=3_600)] = 15
    cooldown_max_s: Annotated[float, Field(ge=1, le=86_400)] = 60
    probe_pause_s: Annotated[float, Field(ge=0.1, le=3_600)] = 10


class _Document(_Part):
    health: _Health = _Health()
    accounts: Mapping[Name, _Account] = {}
    policies: Mapping[Annotated[str, Field(max_length=32)], _Policy] = {}
    merchant_classes: Mapping[Name, Name] = {}


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that is ready to be used.

    Attributes:
        version: 0 is the configuration before the first one is published.
        policies: By product; "" is for all others.
        merchant_classes: The class of each merchant.
        health: How soon a failed account gets payments again.
    """

    version: int
    policies: Mapping[str, RoutingPolicy]
    accounts: Mapping[str, _Account] = field(default_factory=dict)
    merchant_classes: Mapping[str, str] = field(default_factory=dict)
    health: HealthPolicy = field(default_factory=HealthPolicy)

    def policy(self, product: str) -> RoutingPolicy:
        """Return the policy of a product."""
        return self.policies.get(product) or self.policies[""]

    def price_of(self, account: str) -> Price | None:
        """Return the price that is configured for an account; None without one."""
        configured = self.accounts.get(account)
        return None if configured is None or configured.price is None else _price(configured.price)

    def apply(self, candidate: Candidate) -> Candidate:
        """Return an account, as its adapter describes it, with its configuration applied."""
        configured = self.accounts.get(candidate.name)
        if configured is None:
            return candidate
        most = configured.amount_minor_max
        return replace(
            candidate,
            price=candidate.price if configured.price is None else _price(configured.price),
            amount_minor_min=max(candidate.amount_minor_min, configured.amount_minor_min or 0),
            amount_minor_max=candidate.amount_minor_max if most is None else min(candidate.amount_minor_max, most),
            amount_minor_max_of={
                currency: limit if most is None else min(limit, most)
                for currency, limit in candidate.amount_minor_max_of.items()
            },
            institutions=configured.institutions or candidate.institutions,
            merchants=configured.merchants,
            preferred_by=configured.preferred_by,
            month_limit_minor=configured.month_limit_minor,
            month_limit_minor_of=configured.month_limit_minor_of,
            hours=tuple(
                Window(each.weekdays, each.start, each.end, each.closed_on, each.utc_offset_minutes)
                for each in configured.hours
            ),
            maintenance=tuple((each.start, each.end) for each in configured.maintenance),
        )


UNCONFIGURED = Configuration(0, {"": RoutingPolicy(default="*", explore=0.0)})
"""The configuration before one is published: by score. If no account is healthy the best one is used, since refusing
payments would help nobody."""


def read_configuration(
    document: Mapping[str, Any], *, version: int, candidates: Sequence[Candidate] | None = None
) -> Configuration:
    """Check a document and return the configuration, ready to be used.

    Args:
        candidates: The existing accounts, by which names and rules are checked. None for a published document, whose
            accounts may be gone.

    Errors:
        ConfigurationRefused: names the field; RulesRefused: names the line. The configuration in force stays.
    """
    try:
        read = _Document.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationRefused(sentence(first, where or "document"), param=where or "document") from None
    _check_accounts(read.accounts)
    if candidates is not None:
        _check_names(read, {candidate.name for candidate in candidates})
        _check_an_account_is_open(read.accounts, candidates)
    policies: dict[str, RoutingPolicy] = {}
    for product, each in read.policies.items():
        try:
            policies[product] = _policy(each, version, candidates)
        except RulesRefused as error:
            where = f"policies.{product}.rules"
            raise RulesRefused(error.detail, line=error.line, param=where) from None
    policies.setdefault("", replace(UNCONFIGURED.policies[""], version=version))
    return Configuration(version, policies, read.accounts, read.merchant_classes, _health(read.health))


def _health(settings: _Health) -> HealthPolicy:
    if settings.cooldown_max_s < settings.cooldown_s:
        raise ConfigurationRefused(
            "`health.cooldown_max_s` must not be less than `health.cooldown_s`", param="health.cooldown_max_s"
        )
    return HealthPolicy(
        cooldown=timedelta(seconds=settings.cooldown_s),
        cooldown_max=timedelta(seconds=settings.cooldown_max_s),
        ramp_pause=timedelta(seconds=settings.probe_pause_s),
    )


def _price(price: _Price) -> Price:
    tiers = tuple(Tier(each.from_minor, each.ppm, each.fixed_minor) for each in price.tiers)
    return Price(tiers, price.min_minor, price.max_minor, price.subsidy_ppm, price.subsidy_quota_minor)


def _policy(policy: _Policy, version: int, candidates: Sequence[Candidate] | None) -> RoutingPolicy:
    accounts = {candidate.name: candidate.channel for candidate in candidates or ()}
    rules = None
    if policy.rules is not None:
        known = accounts if candidates is not None else None
        rules = read_rules(policy.rules, accounts=known, samples=_samples(candidates or ()))
    return RoutingPolicy(
        version=version,
        objective=policy.objective,
        mode=policy.mode,
        weights=Weights(**policy.weights.model_dump()),
        priority=policy.priority,
        split=dict(policy.split),
        success_value_ppm=policy.success_value_ppm,
        default=policy.default,
        explore=policy.explore,
        failovers=policy.failovers,
        failover_within=timedelta(seconds=policy.failover_within_s),
        rules=rules,
    )


def _check_accounts(accounts: Mapping[str, _Account]) -> None:
    for name, account in accounts.items():
        if account.price is not None:
            steps = [tier.from_minor for tier in account.price.tiers]
            if steps[0] != 0 or steps != sorted(set(steps)):
                where = f"accounts.{name}.price.tiers"
                raise ConfigurationRefused(f"{where}: must rise from 0", param=where)
        for number, window in enumerate(account.maintenance):
            if window.start >= window.end:
                where = f"accounts.{name}.maintenance.{number}"
                raise ConfigurationRefused(f"{where}: must end after it starts", param=where)
        for number, span in enumerate(account.hours):
            if span.start >= span.end:
                where = f"accounts.{name}.hours.{number}"
                raise ConfigurationRefused(
                    f"{where}: must end after it starts; write two for a window across midnight", param=where
                )


def _check_names(document: _Document, names: set[str]) -> None:
    references = [(f"accounts.{name}", name) for name in document.accounts]
    for product, policy in document.policies.items():
        place = f"policies.{product}"
        references += [(f"{place}.priority.{number}", name) for number, name in enumerate(policy.priority)]
        references += [(f"{place}.split.{name}", name) for name in policy.split]
        if policy.default not in (None, "*"):
            references.append((f"{place}.default", str(policy.default)))
    for place, name in references:
        if name not in names:
            raise ConfigurationRefused(f"{place}: there is no account {name}", param=place)


def _check_an_account_is_open(accounts: Mapping[str, _Account], candidates: Sequence[Candidate]) -> None:
    """Refuse a configuration that closes every account to every payment, naming the last account that it closes."""
    closed = [name for name in accounts if _is_closed(accounts[name])]
    if candidates and {candidate.name for candidate in candidates} <= set(closed):
        where = f"accounts.{closed[-1]}"
        raise ConfigurationRefused(f"{where}: with this every channel is excluded", param=where)


def _is_closed(account: _Account) -> bool:
    least, most = account.amount_minor_min or 0, account.amount_minor_max
    limits = [account.month_limit_minor, *account.month_limit_minor_of.values()]
    return account.merchants == frozenset() or limits == [0] * len(limits) or (most is not None and most < least)


_HOURS = (4, 14)
"""Noon and ten at night in Beijing."""


def _samples(candidates: Sequence[Candidate]) -> list[Mapping[str, object]]:
    """Return facts of typical payments: of every method and currency, small, medium and large, by day and by night."""
    payments = {
        (method, currency, amount_minor, hour)
        for candidate in candidates
        for method in candidate.methods
        for currency in candidate.currencies
        for amount_minor in (candidate.amount_minor_min, 10_000, candidate.amount_minor_max)
        for hour in _HOURS
    }
    return [
        facts(RoutingRequest(method, amount_minor, currency, datetime(2026, 3, 2, hour, tzinfo=UTC)))
        for method, currency, amount_minor, hour in sorted(payments)
    ]
