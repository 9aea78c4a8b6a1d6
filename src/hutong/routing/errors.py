"""What can be wrong with a routing configuration, or with the wish for a way."""

from hutong.errors import Conflict, HutongError, InvalidParameter


class RulesRefused(InvalidParameter):
    """A rule file is not taken; the one in force stays.

    Attributes:
        line: Where in the file.
    """

    code = "routing_rules_refused"

    def __init__(self, detail: str, *, line: int, param: str | None = "rules") -> None:
        super().__init__(detail, param=param)
        self.line = line


class ConfigurationRefused(InvalidParameter):
    """A routing configuration is not taken; the one in force stays."""

    code = "routing_configuration_refused"


class DecisionGone(HutongError):
    """There is no record of such a decision, or it has been archived."""

    code = "routing_decision_not_found"
    http_status = 404


class TrialUndecided(Conflict):
    """The draft was tried on a share of the payments, and that does not speak for it."""

    code = "routing_trial_undecided"
