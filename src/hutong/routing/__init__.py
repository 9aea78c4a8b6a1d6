"""Routing: selects the account that a payment goes through; leaves accounts that fail and returns when they recover.

Promises: a decision is a pure function of the payment, a snapshot and four draws, so it can be explained and made
again; an account that does not support a payment never gets it; a payer's own failures never harm a channel.
"""

from hutong.routing.configuration.configuration import Configuration
from hutong.routing.configuration.file import ConfigurationFile
from hutong.routing.configuration.overrides import Override, OverrideKind, active_overrides, add_override, lift_override
from hutong.routing.configuration.suggestions import Suggestion, decide_suggestion, list_suggestions, suggest
from hutong.routing.configuration.versions import (
    APPROVAL_HANDLERS,
    current_configuration,
    price_at,
    propose_configuration,
)
from hutong.routing.decisions.backtest import backtest
from hutong.routing.decisions.record import (
    AttemptOutcome,
    LoggedDecision,
    decisions_between,
    find_decisions,
    log_decisions,
)
from hutong.routing.documents import (
    decision_document,
    experiment_document,
    override_document,
    routing_document,
    suggestion_document,
)
from hutong.routing.errors import DecisionNotFound
from hutong.routing.experiments.experiment import (
    SHARE_MAX,
    end_experiment,
    guard_experiment,
    latest_experiment,
    propose_experiment,
)
from hutong.routing.health import AttemptResult, can_fail_over, is_technical_failure
from hutong.routing.model import RoutingDecision, RoutingRequest
from hutong.routing.probes import probe_idle
from hutong.routing.process_state import RoutingState
from hutong.routing.sync import StateSync

__all__ = [
    "APPROVAL_HANDLERS",
    "SHARE_MAX",
    "AttemptOutcome",
    "AttemptResult",
    "Configuration",
    "ConfigurationFile",
    "DecisionNotFound",
    "LoggedDecision",
    "Override",
    "OverrideKind",
    "RoutingDecision",
    "RoutingRequest",
    "RoutingState",
    "StateSync",
    "Suggestion",
    "active_overrides",
    "add_override",
    "backtest",
    "can_fail_over",
    "current_configuration",
    "decide_suggestion",
    "decision_document",
    "decisions_between",
    "end_experiment",
    "experiment_document",
    "find_decisions",
    "guard_experiment",
    "is_technical_failure",
    "latest_experiment",
    "lift_override",
    "list_suggestions",
    "log_decisions",
    "override_document",
    "price_at",
    "probe_idle",
    "propose_configuration",
    "propose_experiment",
    "routing_document",
    "suggest",
    "suggestion_document",
]
