"""Public documents of routing, the same in the API and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import ids, money
from hutong.clock import instant
from hutong.operators import OPERATOR_PREFIX
from hutong.routing.configuration.overrides import Override
from hutong.routing.configuration.suggestions import Suggestion
from hutong.routing.decisions.record import AttemptOutcome, LoggedDecision, read_record
from hutong.routing.experiments.assignment import Arm
from hutong.routing.experiments.experiment import Experiment, ExperimentStatus
from hutong.routing.health import AccountHealth, HealthState
from hutong.routing.process_state import RoutingState


def routing_document(state: RoutingState, overrides: Sequence[Override], *, now: datetime) -> dict[str, Any]:
    """Return the health of the accounts, as one process knows it, and the overrides."""
    interfaces: dict[UUID, list[dict[str, Any]]] = {}
    for account_id, interface in state.router.tracked():
        health = state.router.health(account_id, now, interface)
        interfaces.setdefault(account_id, []).append({"interface": interface} | _health_document(health))
    experiment = state.experiment
    return {
        "object": "routing",
        "configuration": state.configuration.version,
        "modes": {product: policy.mode for product, policy in sorted(state.configuration.policies.items())},
        "accounts": [
            {
                "id": ids.encode("acc", candidate.account_id),
                "name": candidate.name,
                "blocked": candidate.blocked or None,
                "month_minor": candidate.month_minor,
                "month_minor_of": dict(candidate.month_minor_of),
                "interfaces": interfaces.get(candidate.account_id, []),
            }
            for candidate in state.candidates
        ],
        "overrides": [override_document(override) for override in overrides],
        "trial": None if experiment is None else ids.encode(Experiment.PREFIX, experiment.experiment_id),
    }


def decision_document(decision: LoggedDecision, outcome: AttemptOutcome) -> dict[str, Any]:
    """Return the public form of a decision and of its attempt's outcome."""
    record = read_record(decision.record)
    names = {evaluation.account_id: evaluation.name for evaluation in record.evaluations}
    return {
        "id": ids.encode(LoggedDecision.PREFIX, decision.attempt_id),
        "object": "routing_decision",
        "payment_id": ids.encode("pay", decision.payment_id),
        "attempt_id": ids.encode("att", decision.attempt_id),
        "decided_at": instant(record.request.at),
        "chosen": None if record.chosen is None else names[record.chosen],
        "how": record.reason,
        "configuration": record.version,
        "pin": record.pin or None,
        "arm": record.arm,
        "method": record.request.method,
        "amount_minor": record.request.amount_minor,
        "currency": record.request.currency,
        "merchant": record.request.merchant,
        "institution": record.request.institution or None,
        "formula": record.formula or None,
        "outcome": outcome.state,
        "code": outcome.code,
        "candidates": [
            {
                "account": evaluation.name,
                "refused": evaluation.refused or None,
                "score": evaluation.score,
                "factors": dict(evaluation.factors),
                "explanation": evaluation.explanation or None,
                "explanation_zh": evaluation.explanation_zh or None,
            }
            for evaluation in record.evaluations
        ],
    }


def override_document(override: Override) -> dict[str, Any]:
    """Return the public form of a pin or a block."""
    return {
        "id": ids.encode(Override.PREFIX, override.override_id),
        "object": "routing_override",
        "kind": override.kind,
        "product": override.product,
        "account": override.account,
        "interface": override.interface or None,
        "until": _instant(override.until),
        "reason": override.reason,
        "operator_id": ids.encode(OPERATOR_PREFIX, override.operator_id),
        "created_at": instant(override.created_at),
        "lifted_at": _instant(override.lifted_at),
    }


def suggestion_document(suggestion: Suggestion) -> dict[str, Any]:
    """Return the public form of a suggestion."""
    return {
        "id": ids.encode(Suggestion.PREFIX, suggestion.suggestion_id),
        "object": "routing_suggestion",
        "what": suggestion.what,
        "account": suggestion.account,
        "interface": suggestion.interface,
        "why": suggestion.why,
        "since": instant(suggestion.since),
        "suggested_at": instant(suggestion.suggested_at),
        "dismissed_at": _instant(suggestion.dismissed_at),
    }


def experiment_document(status: ExperimentStatus) -> dict[str, Any]:
    """Return the public form of an experiment with its outcomes so far."""
    experiment, comparison = status.experiment, status.comparison
    return {
        "id": ids.encode(Experiment.PREFIX, experiment.experiment_id),
        "object": "routing_trial",
        "configuration": experiment.version,
        "document": dict(experiment.document),
        "share": experiment.share,
        "guardrail": experiment.guardrail,
        "started_at": instant(experiment.started_at),
        "ended_at": _instant(experiment.ended_at),
        "end_reason": experiment.end_reason,
        "arms": [_arm_document(status, arm) for arm in Arm],
        "comparison": {
            "difference": comparison.difference,
            "low": comparison.low,
            "high": comparison.high,
            "p_value": comparison.p_value,
        },
        "verdict": status.verdict,
    }


def _arm_document(status: ExperimentStatus, arm: Arm) -> dict[str, Any]:
    ended, succeeded = status.arm(arm)
    currencies = [
        {
            "currency": currency,
            "captured": money.to_major(outcome.captured_minor, currency),
            "cost": money.to_major(round(outcome.cost_ten_thousandths / 10_000), currency),
            "cost_share": outcome.cost_ten_thousandths / 10_000 / outcome.captured_minor
            if outcome.captured_minor
            else None,
        }
        for (each, currency), outcome in status.outcomes.items()
        if each is arm
    ]
    return {
        "arm": arm,
        "ended": ended,
        "succeeded": succeeded,
        "success": succeeded / ended if ended else None,
        "currencies": currencies,
    }


def why(health: AccountHealth) -> str:
    """Return why an account is in its state, in English; empty if there is nothing to explain."""
    match health.state:
        case HealthState.OPEN | HealthState.DEGRADED:
            return f"{health.faults} of its last {health.seen} attempts failed technically"
        case HealthState.PROBING:
            return f"probed with {health.share:.0%} of its traffic after it failed"
        case HealthState.HEALTHY:
            return "" if health.since is None else "it has recovered"


def _health_document(health: AccountHealth) -> dict[str, Any]:
    return {
        "state": health.state,
        "share": health.share,
        "success": health.success,
        "confidence": health.confidence,
        "latency_ms": health.latency_ms,
        "since": _instant(health.since),
        "why": why(health) or None,
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else instant(at)
