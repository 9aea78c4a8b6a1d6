"""Where a payment goes: filter, score, leave what fails, come back when it recovers.

Promises: a decision is a pure function of the payment, a snapshot and four draws, so it can be explained and made
again; an account that does not support a payment never gets it; a payer's own faults never harm a channel.
"""

from hutong.routing.configuration.calendar import Window
from hutong.routing.configuration.configuration import UNCONFIGURED, Configuration, read_configuration
from hutong.routing.configuration.file import Draft
from hutong.routing.configuration.overrides import (
    OVERRIDE_PREFIX,
    Kind,
    Override,
    add_override,
    lift_override,
    standing_overrides,
)
from hutong.routing.configuration.price import Price, Tier
from hutong.routing.configuration.rules import Rules, read_rules
from hutong.routing.configuration.suggestions import (
    SUGGESTION_PREFIX,
    Suggestion,
    What,
    decide_suggestion,
    standing_suggestions,
    suggest,
)
from hutong.routing.configuration.versions import (
    EFFECTS,
    PUBLISH,
    Published,
    current_version,
    find_bases,
    find_published,
    list_published,
    load_configuration,
    propose_configuration,
    publish_configuration,
)
from hutong.routing.decide import choose, facts
from hutong.routing.decisions.record import (
    Base,
    Record,
    base_of,
    basis_of,
    read_basis,
    read_record,
    snapshot_of,
    write_record,
)
from hutong.routing.decisions.replay import Prospect, Replayed, Replayer, again, refusals_between
from hutong.routing.documents import override_document, routing_document, suggestion_document, trial_document
from hutong.routing.errors import ConfigurationRefused, DecisionGone, RulesRefused, TrialUndecided
from hutong.routing.experiments.assignment import Arm, Outcome
from hutong.routing.experiments.experiment import (
    SHARE_MAX,
    TRIAL,
    TRIAL_PREFIX,
    Standing,
    Trial,
    end_trial,
    find_trial,
    guard_trial,
    latest_trial,
    propose_trial,
    start_trial,
)
from hutong.routing.experiments.significance import Comparison, compare
from hutong.routing.failures import can_fail_over, is_technical_failure
from hutong.routing.health import Health, HealthPolicy, Result, State, Track
from hutong.routing.model import (
    PRODUCT,
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
    Weights,
)
from hutong.routing.process_state import Chosen, RoutingState, Volume, candidate_of
from hutong.routing.router import Router
from hutong.routing.sync import StateSync

__all__ = [
    "EFFECTS",
    "OVERRIDE_PREFIX",
    "PRODUCT",
    "PUBLISH",
    "SHARE_MAX",
    "SUGGESTION_PREFIX",
    "TRIAL",
    "TRIAL_PREFIX",
    "UNCONFIGURED",
    "Arm",
    "Base",
    "Candidate",
    "Chosen",
    "Comparison",
    "Configuration",
    "ConfigurationRefused",
    "Decision",
    "DecisionGone",
    "Draft",
    "Draws",
    "Evaluation",
    "Health",
    "HealthPolicy",
    "Kind",
    "Mode",
    "Objective",
    "Outcome",
    "Override",
    "Price",
    "Prospect",
    "Published",
    "Record",
    "Replayed",
    "Replayer",
    "Result",
    "Router",
    "RoutingPolicy",
    "RoutingRequest",
    "RoutingState",
    "Rules",
    "RulesRefused",
    "SelectionReason",
    "Snapshot",
    "Standing",
    "State",
    "StateSync",
    "Suggestion",
    "Tier",
    "Track",
    "Trial",
    "TrialUndecided",
    "Volume",
    "Weights",
    "What",
    "Window",
    "add_override",
    "again",
    "base_of",
    "basis_of",
    "can_fail_over",
    "candidate_of",
    "choose",
    "compare",
    "current_version",
    "decide_suggestion",
    "end_trial",
    "facts",
    "find_bases",
    "find_published",
    "find_trial",
    "guard_trial",
    "is_technical_failure",
    "latest_trial",
    "lift_override",
    "list_published",
    "load_configuration",
    "override_document",
    "propose_configuration",
    "propose_trial",
    "publish_configuration",
    "read_basis",
    "read_configuration",
    "read_record",
    "read_rules",
    "refusals_between",
    "routing_document",
    "snapshot_of",
    "standing_overrides",
    "standing_suggestions",
    "start_trial",
    "suggest",
    "suggestion_document",
    "trial_document",
    "write_record",
]
