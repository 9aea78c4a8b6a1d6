"""The decision: candidates → hard filters → score → selection. A pure function, so that it can be repeated exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hutong.clock import BEIJING
from hutong.routing.configuration.rules import NO_POINTS, RuleOutcome
from hutong.routing.health import AccountHealth, HealthState
from hutong.routing.model import (
    Candidate,
    Draws,
    Evaluation,
    Mode,
    Objective,
    RoutingDecision,
    RoutingPolicy,
    RoutingRequest,
    SelectionReason,
    Snapshot,
)

_SLOW_MS = 10_000.0
_HEALTHY = AccountHealth()
_STEADY = AccountHealth(latency_ms=1_500.0)
_NO_FACTORS: dict[str, float] = {}
_NOTHING: frozenset[str] = frozenset()
_BY_RULE = "excluded_by_rule"
_NO_EXPLANATION = ("", "")


@dataclass(slots=True)
class _Scored:
    """A candidate that passed the hard filters.

    Attributes:
        health: The health that counts for this payment.
        overall: The health of the account as a whole, whatever the payer's bank.
    """

    candidate: Candidate
    evaluation: Evaluation
    health: AccountHealth
    overall: AccountHealth

    @property
    def qualifies(self) -> bool:
        """Whether its health lets it take the payment."""
        return not self.evaluation.refused

    @property
    def is_ramping(self) -> bool:
        """Whether it qualifies by the draw for its share of the traffic."""
        return self.qualifies and self.health.share < 1.0

    @property
    def is_probe_due(self) -> bool:
        """Whether it is to take the payment as a probe, though it does not qualify."""
        return not self.qualifies and self.candidate.probe_due and self.overall.state is HealthState.PROBING

    @property
    def fails_for_this_bank_only(self) -> bool:
        """Whether it would take payments of other banks' payers."""
        return not self.qualifies and self.health is not self.overall and self.overall.share >= 1.0


def decide(request: RoutingRequest, snapshot: Snapshot, draws: Draws) -> RoutingDecision:
    """Decide which account a payment goes to.

    Returns:
        The decision with an evaluation of every candidate. If no account qualifies, `reason` is NO_ROUTE and each
        evaluation says why.
    """
    policy = snapshot.policy
    rules = RuleOutcome(policy.rules.evaluate(facts(request))) if policy.rules else None
    pin = snapshot.pin if snapshot.pin_until is None or request.at < snapshot.pin_until else ""
    evaluations: list[Evaluation] = []
    scored: list[_Scored] = []
    for candidate in snapshot.candidates:
        refused = hard_filter(request, candidate, rules, pin)
        if refused:
            by_rule = rules if refused == _BY_RULE else None
            why = by_rule.reason(candidate.name, candidate.channel) if by_rule else _NO_EXPLANATION
            evaluations.append(Evaluation(candidate.account_id, candidate.name, refused, _NO_FACTORS, None, *why))
        else:
            scored.append(_score(request, candidate, policy, rules, pin=pin, draw=draws.share))
            evaluations.append(scored[-1].evaluation)
    chosen, reason = _select(policy, scored, draws, pin=pin)
    return RoutingDecision(chosen.account_id if chosen else None, reason, policy.version, tuple(evaluations), draws)


def facts(request: RoutingRequest) -> dict[str, object]:
    """Return the facts of a payment that rules may refer to."""
    local = request.at.astimezone(BEIJING)
    return {
        "method": request.method,
        "amount_minor": request.amount_minor,
        "currency": request.currency,
        "merchant": request.merchant,
        "merchant_class": request.merchant_class,
        "product": request.product,
        "institution": request.institution,
        "hour": local.hour,
        "weekday": local.weekday(),
    }


def hard_filter(request: RoutingRequest, candidate: Candidate, rules: RuleOutcome | None, pin: str) -> str:  # noqa: C901, PLR0912
    """Return why an account cannot take this payment, whatever its score; empty if it can.

    All reasons stand in this one place, one after the other.
    """
    if request.method not in candidate.methods:
        return "method_not_offered"
    if request.currency not in candidate.currencies & candidate.currencies_of.get(request.method, candidate.currencies):
        return "currency_not_offered"
    if request.manual and request.method not in candidate.manual:
        return "manual_capture_not_offered"
    if candidate.requires and not candidate.requires.get(request.method, _NOTHING) <= request.payer:
        return "payer_detail_missing"
    if request.amount_minor < candidate.amount_minor_min or request.amount_minor < candidate.amount_minor_min_of.get(
        request.currency, 0
    ):
        return "amount_below_limit"
    if request.amount_minor > candidate.amount_minor_max_of.get(request.currency, candidate.amount_minor_max):
        return "amount_above_limit"
    if candidate.institutions and request.institution and request.institution not in candidate.institutions:
        return "institution_not_reached"
    if candidate.merchants is not None and request.merchant not in candidate.merchants:
        return "merchant_without_contract"
    if candidate.blocked:
        return "blocked_by_operator"
    if pin and candidate.name != pin:
        return "another_is_pinned"
    if candidate.account_id in request.tried:
        return "already_tried"
    if candidate.maintenance and _in_maintenance(candidate, request.at):
        return "maintenance"
    if candidate.hours and not any(window.contains(request.at) for window in candidate.hours):
        return "outside_hours"
    limit = candidate.limit_minor(request.currency)
    if limit is not None and candidate.taken_minor(request.currency) + request.amount_minor > limit:
        return "month_limit_reached"
    if rules is not None and not rules.allows(candidate.name, candidate.channel):
        return _BY_RULE
    return ""


def _in_maintenance(candidate: Candidate, at: datetime) -> bool:
    return any(start <= at < end for start, end in candidate.maintenance)


def health_of(candidate: Candidate, institution: str) -> AccountHealth:
    """Return the account's health for a payer of this bank.

    The bank's own failures count only while the account as a whole is well.
    """
    overall = candidate.health.get("", _HEALTHY)
    if not institution or overall.share < 1.0:
        return overall
    bank = candidate.health.get(institution, overall)
    return overall if bank.state is HealthState.HEALTHY else bank


def _score(
    request: RoutingRequest,
    candidate: Candidate,
    policy: RoutingPolicy,
    rules: RuleOutcome | None,
    *,
    pin: str,
    draw: float,
) -> _Scored:
    if policy.mode is Mode.AUTO:
        health, overall = health_of(candidate, request.institution), candidate.health.get("", _HEALTHY)
    else:
        # Where people switch, health moves nothing, not even by the score.
        health = overall = _STEADY
    evaluation = _evaluate(request, candidate, policy, rules, health)
    refused = "" if pin else _refused_for_health(policy.mode, request, candidate, health, draw)
    return _Scored(candidate, replace(evaluation, refused=refused) if refused else evaluation, health, overall)


def _refused_for_health(
    mode: Mode, request: RoutingRequest, candidate: Candidate, health: AccountHealth, draw: float
) -> str:
    if mode is not Mode.AUTO:
        return "left_by_operator" if mode is Mode.SUGGEST and request.method in candidate.left else ""
    if health.state is HealthState.OPEN:
        return "health_open"
    if health.share < 1.0 and draw >= health.share:
        return "health_probing"
    return ""


def _evaluate(
    request: RoutingRequest,
    candidate: Candidate,
    policy: RoutingPolicy,
    rules: RuleOutcome | None,
    health: AccountHealth,
) -> Evaluation:
    weights = policy.weights
    points, *explanations = rules.points(candidate.name, candidate.channel) if rules else NO_POINTS
    volume_minor = candidate.taken_minor(request.currency)
    cost = candidate.price.ten_thousandths(request.amount_minor, volume_minor) / 10_000
    factors = {
        "cost_minor": cost,
        "success": health.success,
        "latency_s": health.latency_ms / 1000,
        "cost": _unit(1.0 - cost / (request.amount_minor * 0.02 + 1.0)),
        "latency": _unit(1.0 - health.latency_ms / _SLOW_MS),
        "merchant": 1.0 if request.merchant_class and request.merchant_class in candidate.preferred_by else 0.0,
        "position": _position(candidate, request.currency),
        "rules": points,
    }
    if policy.objective is Objective.LOWEST_COST:
        objective = factors["cost"]
    elif policy.objective is Objective.HIGHEST_SUCCESS:
        objective = health.success
    else:
        worth = request.amount_minor * (request.fee_ppm + policy.success_value_ppm) / 1_000_000
        # Relative to what the payment is worth, so that weights mean the same for small and large payments.
        objective = health.success * (worth - cost) / worth if worth > 0 else -health.success * cost
    factors["objective"] = objective
    score = (
        weights.objective * objective
        + weights.latency * factors["latency"]
        + weights.merchant * factors["merchant"]
        + weights.position * factors["position"]
        + factors["rules"]
    )
    return Evaluation(candidate.account_id, candidate.name, "", factors, score, *explanations)


def _position(candidate: Candidate, currency: str) -> float:
    limit = candidate.limit_minor(currency)
    if limit is None:
        return 1.0
    return _unit(1.0 - candidate.taken_minor(currency) / limit) if limit else 0.0


def _unit(value: float) -> float:
    return 0.0 if value < 0.0 else 1.0 if value > 1.0 else value


def _select(
    policy: RoutingPolicy, scored: Sequence[_Scored], draws: Draws, *, pin: str
) -> tuple[Candidate | None, SelectionReason]:
    probes = [each for each in scored if each.is_probe_due]
    if probes:
        return _best(probes), SelectionReason.PROBE
    # A bank that fails at every account is in trouble itself: leaving the channel would not help the payer.
    fit = [each for each in scored if each.qualifies] or [each for each in scored if each.fails_for_this_bank_only]
    if not fit:
        by_default = [each for each in scored if policy.default in ("*", each.candidate.name)]
        return (_best(by_default), SelectionReason.DEFAULT) if by_default else (None, SelectionReason.NO_ROUTE)
    if pin:
        return fit[0].candidate, SelectionReason.PIN
    if policy.split:
        drawn = _draw(policy, fit, draws.split)
        if drawn is not None:
            return drawn, SelectionReason.SPLIT
    if policy.priority:
        listed = [each.candidate for each in fit if each.candidate.name in policy.priority]
        if listed:
            return min(listed, key=lambda each: policy.priority.index(each.name)), SelectionReason.PRIORITY
    ramping = [each for each in fit if each.is_ramping]
    if ramping:
        # The draw for its share has selected it. Little is known of it, so by its score it would keep waiting.
        return _best(ramping), SelectionReason.PROBE
    if len(fit) > 1 and draws.explore < policy.explore:
        return sorted(fit, key=_rank)[int(draws.pick * len(fit))].candidate, SelectionReason.EXPLORE
    return _best(fit), SelectionReason.SCORE


def _best(scored: Sequence[_Scored]) -> Candidate:
    return min(scored, key=_rank).candidate


def _rank(scored: _Scored) -> tuple[float, str]:
    """Return the sort key: best score first. The name breaks ties, so that the order of the candidates does not."""
    return (-(scored.evaluation.score or 0.0), scored.candidate.name)


def _draw(policy: RoutingPolicy, fit: Sequence[_Scored], draw: float) -> Candidate | None:
    candidates = sorted((each.candidate for each in fit), key=lambda each: each.name)
    shares = [(candidate, policy.split.get(candidate.name, 0)) for candidate in candidates]
    total = sum(share for _, share in shares)
    if total <= 0:
        return None
    point = draw * total
    for candidate, share in shares:
        point -= share
        if point < 0:
            return candidate
    return shares[-1][0]
