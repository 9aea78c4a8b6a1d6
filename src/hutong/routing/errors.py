"""Errors of routing: a configuration that is refused, a record that is not kept, an experiment without a result."""

from hutong.errors import Conflict, HutongError, InvalidParameter


class RulesRefused(InvalidParameter):
    """A file of rules is refused; the rules in force stay.

    Attributes:
        line: The line of the file that is wrong.
    """

    code = "routing_rules_refused"

    def __init__(self, detail: str, *, line: int, param: str | None = "rules") -> None:
        super().__init__(detail, param=param)
        self.line = line


class ConfigurationRefused(InvalidParameter):
    """A routing configuration is refused; the one in force stays."""

    code = "routing_configuration_refused"


class DecisionNotFound(HutongError):
    """No such decision is recorded, or what it was based on is not kept."""

    code = "routing_decision_not_found"
    http_status = 404


class ExperimentUndecided(Conflict):
    """The experiment with this draft has not shown that the draft may be published."""

    code = "routing_trial_undecided"
