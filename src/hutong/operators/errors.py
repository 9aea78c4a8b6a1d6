"""Refusals of operators' requests."""

from hutong.errors import Conflict, Unauthorized


class NotPermitted(Unauthorized):
    """An operator who is known but lacks the right to do this."""

    code = "not_permitted"
    http_status = 403


class OwnProposal(Unauthorized):
    """A decision on one's own proposal, which takes a second person."""

    code = "own_proposal"
    http_status = 403


class ProposalClosed(Conflict):
    """A proposal that is decided or expired."""

    code = "proposal_closed"
