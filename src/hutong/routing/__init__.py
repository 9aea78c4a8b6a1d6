"""Where a payment goes: filter, score, leave what fails, come back when it recovers.

Promises: a decision is a pure function of the payment, a snapshot and four draws, so it can be explained and made
again; an account that does not support a payment never gets it; a payer's own faults never harm a channel.
"""

from hutong.routing.calendar import Window
from hutong.routing.choose import choose, facts
from hutong.routing.errors import ConfigurationRefused, DecisionGone, RulesRefused
from hutong.routing.health import Health, HealthPolicy, Result, State, Track
from hutong.routing.model import (
    Ask,
    Candidate,
    Decision,
    Draws,
    How,
    Mode,
    Objective,
    Policy,
    Snapshot,
    Verdict,
    Weights,
)
from hutong.routing.price import Price, Tier
from hutong.routing.router import Router
from hutong.routing.rules import Rules, read_rules

__all__ = [
    "Ask",
    "Candidate",
    "ConfigurationRefused",
    "Decision",
    "DecisionGone",
    "Draws",
    "Health",
    "HealthPolicy",
    "How",
    "Mode",
    "Objective",
    "Policy",
    "Price",
    "Result",
    "Router",
    "Rules",
    "RulesRefused",
    "Snapshot",
    "State",
    "Tier",
    "Track",
    "Verdict",
    "Weights",
    "Window",
    "choose",
    "facts",
    "read_rules",
]
