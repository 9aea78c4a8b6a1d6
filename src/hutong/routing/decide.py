"""Candidates → hard filters → score → pick: a pure function, so that a decision can be made again exactly."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hutong.routing.configuration.calendar import BEIJING
from hutong.routing.configuration.rules import NOTHING_SAID, Sayings
from hutong.routing.health import Health, State
from hutong.routing.model import (
    Candidate,
    Decision,
    Draws,
    Evaluation,
    Mode,
    Objective,
    RoutingPolicy,
    RoutingRequest,
    SelectionReason,
    Snapshot,
)

_SLOW_MS = 10_000.0
_HEALTHY = Health()
_STEADY = Health(latency_ms=1_500.0)
_NO_FACTORS: dict[str, float] = {}
_NOTHING: frozenset[str] = frozenset()
_BY_RULE = "excluded_by_rule"
_NO_WORDS = ("", "")


def choose(ask: RoutingRequest, snapshot: Snapshot, draws: Draws) -> Decision:
    """Decide which account a payment goes to.

    Returns:
        The decision with a verdict on every candidate. Without a way, `how` is NO_ROUTE and each verdict says why.
    """
    policy = snapshot.policy
    said = Sayings(policy.rules.ask(facts(ask))) if policy.rules else NOTHING_SAID
    pin = snapshot.pin if snapshot.pin_until is None or ask.at < snapshot.pin_until else ""
    verdicts: list[Evaluation] = []
    fit: list[tuple[Candidate, Evaluation]] = []
    sick: list[tuple[Candidate, Evaluation]] = []
    bank_sick: list[tuple[Candidate, Evaluation]] = []
    probes: list[tuple[Candidate, Evaluation]] = []
    ramping: list[tuple[Candidate, Evaluation]] = []
    for candidate in snapshot.candidates:
        refused = hard_filter(ask, candidate, said, pin)
        if refused:
            because = said.reason(candidate.name, candidate.channel) if refused == _BY_RULE else _NO_WORDS
            verdicts.append(Evaluation(candidate.account_id, candidate.name, refused, _NO_FACTORS, None, *because))
            continue
        # Where people switch, what health says moves nothing, not even by the score.
        health = health_of(candidate, ask.institution) if policy.mode is Mode.AUTO else _STEADY
        verdict = _score(ask, candidate, policy, said, health)
        unwell = "" if pin else _unwell(policy.mode, ask, candidate, health, draws.share)
        if unwell:
            verdict = replace(verdict, refused=unwell)
            whole = _STEADY if health is _STEADY else candidate.health.get("", _HEALTHY)
            if candidate.probe_due and whole.state is State.PROBING:
                probes.append((candidate, verdict))
            elif health is not whole and whole.share >= 1.0:
                bank_sick.append((candidate, verdict))
            else:
                sick.append((candidate, verdict))
        else:
            fit.append((candidate, verdict))
            if health.share < 1.0:
                ramping.append((candidate, verdict))
        verdicts.append(verdict)
    # A bank that works nowhere is the bank's own trouble: leaving the channel would not help the payer.
    chosen, how = _pick(policy, fit or bank_sick, probes, sick, draws, ramping=ramping, pin=pin)
    return Decision(chosen.account_id if chosen else None, how, policy.version, tuple(verdicts), draws)


def facts(ask: RoutingRequest) -> dict[str, object]:
    """What rules may ask of a payment."""
    local = ask.at.astimezone(BEIJING)
    return {
        "method": ask.method,
        "amount_minor": ask.amount_minor,
        "currency": ask.currency,
        "merchant": ask.merchant,
        "merchant_class": ask.merchant_class,
        "product": ask.product,
        "institution": ask.institution,
        "hour": local.hour,
        "weekday": local.weekday(),
    }


def hard_filter(ask: RoutingRequest, candidate: Candidate, said: Sayings, pin: str) -> str:  # noqa: C901, PLR0912
    """Why an account cannot take this payment whatever its score; empty if it can. One reason a line, in one place."""
    if ask.method not in candidate.methods:
        return "method_not_offered"
    if ask.currency not in candidate.currencies:
        return "currency_not_offered"
    if ask.manual and ask.method not in candidate.manual:
        return "manual_capture_not_offered"
    if candidate.requires and not candidate.requires.get(ask.method, _NOTHING) <= ask.payer:
        return "payer_detail_missing"
    if ask.amount_minor < candidate.amount_minor_min or ask.amount_minor < candidate.amount_minor_min_of.get(
        ask.currency, 0
    ):
        return "amount_below_limit"
    if ask.amount_minor > candidate.amount_minor_max:
        return "amount_above_limit"
    if candidate.institutions and ask.institution and ask.institution not in candidate.institutions:
        return "institution_not_reached"
    if candidate.merchants is not None and ask.merchant not in candidate.merchants:
        return "merchant_without_contract"
    if candidate.blocked:
        return "blocked_by_operator"
    if pin and candidate.name != pin:
        return "another_is_pinned"
    if candidate.account_id in ask.tried:
        return "already_tried"
    if candidate.maintenance and _in_maintenance(candidate, ask.at):
        return "maintenance"
    if candidate.hours and not any(window.holds(ask.at) for window in candidate.hours):
        return "outside_hours"
    limit = candidate.limit_minor(ask.currency)
    if limit is not None and candidate.taken_minor(ask.currency) + ask.amount_minor > limit:
        return "month_limit_reached"
    if not said.allow(candidate.name, candidate.channel):
        return _BY_RULE
    return ""


def _in_maintenance(candidate: Candidate, at: datetime) -> bool:
    return any(start <= at < end for start, end in candidate.maintenance)


def health_of(candidate: Candidate, institution: str) -> Health:
    """The account's health for a payer of this bank, whose own trouble counts while the account as a whole is well."""
    whole = candidate.health.get("", _HEALTHY)
    if not institution or whole.share < 1.0:
        return whole
    own = candidate.health.get(institution, whole)
    return whole if own.state is State.HEALTHY else own


def _unwell(mode: Mode, ask: RoutingRequest, candidate: Candidate, health: Health, draw: float) -> str:
    if mode is not Mode.AUTO:
        return "left_by_operator" if mode is Mode.SUGGEST and ask.method in candidate.left else ""
    if health.state is State.OPEN:
        return "health_open"
    if health.share < 1.0 and draw >= health.share:
        return "health_probing"
    return ""


def _score(
    ask: RoutingRequest, candidate: Candidate, policy: RoutingPolicy, said: Sayings, health: Health
) -> Evaluation:
    weights = policy.weights
    points, *because = said.points(candidate.name, candidate.channel)
    cost = candidate.price.ten_thousandths(ask.amount_minor, candidate.taken_minor(ask.currency)) / 10_000
    factors = {
        "cost_minor": cost,
        "success": health.success,
        "latency_s": health.latency_ms / 1000,
        "cost": _unit(1.0 - cost / (ask.amount_minor * 0.02 + 1.0)),
        "latency": _unit(1.0 - health.latency_ms / _SLOW_MS),
        "merchant": 1.0 if ask.merchant_class and ask.merchant_class in candidate.preferred_by else 0.0,
        "position": _position(candidate, ask.currency),
        "rules": points,
    }
    if policy.objective is Objective.LOWEST_COST:
        goal = factors["cost"]
    elif policy.objective is Objective.HIGHEST_SUCCESS:
        goal = health.success
    else:
        worth = ask.amount_minor * (ask.fee_ppm + policy.success_value_ppm) / 1_000_000
        # Scaled by what the payment is worth, so that weights mean the same for small and large ones.
        goal = health.success * (worth - cost) / worth if worth > 0 else -health.success * cost
    factors["objective"] = goal
    score = (
        weights.objective * goal
        + weights.latency * factors["latency"]
        + weights.merchant * factors["merchant"]
        + weights.position * factors["position"]
        + factors["rules"]
    )
    return Evaluation(candidate.account_id, candidate.name, "", factors, score, *because)


def _position(candidate: Candidate, currency: str) -> float:
    limit = candidate.limit_minor(currency)
    if limit is None:
        return 1.0
    return _unit(1.0 - candidate.taken_minor(currency) / limit) if limit else 0.0


def _unit(value: float) -> float:
    return 0.0 if value < 0.0 else 1.0 if value > 1.0 else value


Scored = tuple[Candidate, Evaluation]


def _pick(
    policy: RoutingPolicy,
    fit: list[Scored],
    probes: list[Scored],
    sick: list[Scored],
    draws: Draws,
    *,
    ramping: list[Scored],
    pin: str,
) -> tuple[Candidate | None, SelectionReason]:
    if probes:
        return min(probes, key=_order)[0], SelectionReason.PROBE
    if not fit:
        by_default = [scored for scored in sick if policy.default in ("*", scored[0].name)]
        return (
            (min(by_default, key=_order)[0], SelectionReason.DEFAULT)
            if by_default
            else (None, SelectionReason.NO_ROUTE)
        )
    if pin:
        return fit[0][0], SelectionReason.PIN
    if policy.split:
        drawn = _draw(policy, fit, draws.split)
        if drawn is not None:
            return drawn, SelectionReason.SPLIT
    if policy.priority:
        listed = [scored for scored in fit if scored[0].name in policy.priority]
        if listed:
            return min(listed, key=lambda scored: policy.priority.index(scored[0].name))[0], SelectionReason.PRIORITY
    if ramping:
        # Its share is drawn for it: the score, by which little is known of it, would keep it waiting.
        return min(ramping, key=_order)[0], SelectionReason.PROBE
    if len(fit) > 1 and draws.explore < policy.explore:
        return sorted(fit, key=_order)[int(draws.pick * len(fit))][0], SelectionReason.EXPLORE
    return min(fit, key=_order)[0], SelectionReason.SCORE


def _order(scored: Scored) -> tuple[float, str]:
    """Best score first; of equal ones the name decides, so that the order of the list does not."""
    return (-(scored[1].score or 0.0), scored[0].name)


def _draw(policy: RoutingPolicy, fit: list[Scored], draw: float) -> Candidate | None:
    shares = [(candidate, policy.split.get(candidate.name, 0)) for candidate, _ in sorted(fit, key=lambda s: s[0].name)]
    whole = sum(share for _, share in shares)
    if whole <= 0:
        return None
    point = draw * whole
    for candidate, share in shares:
        point -= share
        if point < 0:
            return candidate
    return shares[-1][0]
