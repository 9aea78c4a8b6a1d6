"""How routing stands, for people and programs: the same in the API and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import ids, money
from hutong.clock import instant
from hutong.operators import OPERATOR_PREFIX
from hutong.routing.configuration.overrides import OVERRIDE_PREFIX, Override
from hutong.routing.configuration.suggestions import SUGGESTION_PREFIX, Suggestion
from hutong.routing.experiments.assignment import Arm
from hutong.routing.experiments.experiment import TRIAL_PREFIX, Standing
from hutong.routing.health import Health, State
from hutong.routing.process_state import RoutingState


def routing_document(live: RoutingState, overrides: Sequence[Override], *, now: datetime) -> dict[str, Any]:
    """How the accounts are doing, as one process knows it, and what operators want."""
    interfaces: dict[UUID, list[dict[str, Any]]] = {}
    for account_id, interface in live.router.known():
        health = live.router.health(account_id, now, interface)
        interfaces.setdefault(account_id, []).append({"interface": interface} | _health(health))
    return {
        "object": "routing",
        "configuration": live.configuration.version,
        "modes": {product: policy.mode for product, policy in sorted(live.configuration.policies.items())},
        "accounts": [
            {
                "id": ids.encode("acc", each.account_id),
                "name": each.name,
                "blocked": each.blocked or None,
                "month_minor": each.month_minor,
                "month_minor_of": dict(each.month_minor_of),
                "interfaces": interfaces.get(each.account_id, []),
            }
            for each in live.candidates
        ],
        "overrides": [override_document(one) for one in overrides],
        "trial": None if live.trial is None else ids.encode(TRIAL_PREFIX, live.trial.trial_id),
    }


def override_document(override: Override) -> dict[str, Any]:
    """The one public form of a pin or a block."""
    return {
        "id": ids.encode(OVERRIDE_PREFIX, override.override_id),
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
    """The one public form of a suggestion."""
    return {
        "id": ids.encode(SUGGESTION_PREFIX, suggestion.suggestion_id),
        "object": "routing_suggestion",
        "what": suggestion.what,
        "account": suggestion.account,
        "interface": suggestion.interface,
        "why": suggestion.why,
        "since": instant(suggestion.since),
        "suggested_at": instant(suggestion.suggested_at),
        "dismissed_at": _instant(suggestion.dismissed_at),
    }


def trial_document(standing: Standing) -> dict[str, Any]:
    """A trial and what has come of it."""
    trial, compared = standing.trial, standing.comparison
    return {
        "id": ids.encode(TRIAL_PREFIX, trial.trial_id),
        "object": "routing_trial",
        "configuration": trial.version,
        "document": dict(trial.document),
        "share": trial.share,
        "guardrail": trial.guardrail,
        "started_at": instant(trial.started_at),
        "ended_at": _instant(trial.ended_at),
        "end_reason": trial.end_reason,
        "arms": [_arm(standing, arm) for arm in Arm],
        "comparison": {
            "difference": compared.difference,
            "low": compared.low,
            "high": compared.high,
            "p_value": compared.p_value,
        },
        "verdict": standing.verdict,
    }


def _arm(standing: Standing, arm: Arm) -> dict[str, Any]:
    ended, succeeded = standing.arm(arm)
    currencies = [
        {
            "currency": currency,
            "captured": money.to_major(outcome.captured_minor, currency),
            "cost": money.to_major(round(outcome.cost_ten_thousandths / 10_000), currency),
            "cost_share": outcome.cost_ten_thousandths / 10_000 / outcome.captured_minor
            if outcome.captured_minor
            else None,
        }
        for (own, currency), outcome in standing.outcomes.items()
        if own is arm
    ]
    return {
        "arm": arm,
        "ended": ended,
        "succeeded": succeeded,
        "success": succeeded / ended if ended else None,
        "currencies": currencies,
    }


def why(health: Health) -> str:
    """Why an account is in the state it is in."""
    figures = f"{health.faults} of its last {health.seen} tries failed technically"
    match health.state:
        case State.OPEN | State.DEGRADED:
            return figures
        case State.PROBING:
            return f"tried with {health.share:.0%} of its traffic after it had failed"
        case State.HEALTHY:
            return "" if health.since is None else "it has recovered"


def _health(health: Health) -> dict[str, Any]:
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
