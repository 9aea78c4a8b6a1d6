"""Refusals of what merchants and operators do about disputes."""

from __future__ import annotations

from hutong.errors import Conflict, InvalidParameter


class DisputeResponseNotOffered(Conflict):
    """The channel takes no answers by its interface; the platform's operators answer, and enter how it goes on."""

    code = "dispute_response_not_offered"


class DisputeEvidenceRefused(InvalidParameter):
    """The channel does not take a text of this name or of this length, or requires another one; `param` names it."""

    code = "dispute_evidence_refused"


class DisputeEnded(Conflict):
    """The dispute has ended, so that nothing can be answered."""

    code = "dispute_ended"


class DisputeAnswersExceeded(Conflict):
    """The channel takes no more answers for this dispute."""

    code = "dispute_answers_exceeded"


class DisputeResponseInProgress(Conflict):
    """Another answer is being sent; it must end first."""

    code = "dispute_response_in_progress"


class DisputeNotEntered(Conflict):
    """What was approved about a dispute does not fit any more; nothing was done."""

    code = "dispute_not_entered"
