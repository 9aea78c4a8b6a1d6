"""Why an operator's wish is refused."""

from hutong.errors import Conflict, Unauthorized


class NotPermitted(Unauthorized):
    """The operator is known and has no right to do this."""

    code = "not_permitted"
    http_status = 403


class OwnProposal(Unauthorized):
    """Who proposed something cannot decide it: that takes a second person."""

    code = "own_proposal"
    http_status = 403


class ProposalClosed(Conflict):
    """The proposal has been decided, or its time is over."""

    code = "proposal_closed"
