"""The error hierarchy: exceptions mean that no answer could be given; expected answers are values.

Every error has a stable `code` in lower snake case. A code is part of the public contract: it never changes its
meaning, and each one has a heading in `docs/reference/errors.md`.
"""

from __future__ import annotations

from typing import ClassVar


class HutongError(Exception):
    """The root of all errors that Hutong raises on purpose.

    Attributes:
        code: Stable machine-readable name.
        http_status: What the HTTP edge answers.
        retryable: Whether sending the same request again may succeed without any change to it.
        param: The input field at fault, as a dotted path, or None.
        detail: One sentence for a person. Never holds a secret or another party's data.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, param: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param


class InvalidRequest(HutongError):
    """The caller must change the request before sending it again."""

    code = "invalid_request"
    http_status = 400


class InvalidParameter(InvalidRequest):
    """One field has a value that is not allowed; `param` names it."""

    code = "invalid_parameter"
    http_status = 422


class Unauthorized(HutongError):
    """The caller is not known, or what it sent is not proven to come from it."""

    code = "unauthorized"
    http_status = 401


class NotFound(HutongError):
    """There is no such object for this caller; somebody else's object is absent as well."""

    code = "not_found"
    http_status = 404


class Conflict(HutongError):
    """The state has moved on, or the same key is being worked on right now."""

    code = "conflict"
    http_status = 409


class Unavailable(HutongError):
    """Nothing was done; sending the same request again is safe.

    Attributes:
        retry_after_s: How long to wait first, in whole seconds.
    """

    code = "unavailable"
    http_status = 503
    retryable = True

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """A queue is full; the work was not taken on."""

    code = "overloaded"


class OutcomeUnknown(HutongError):
    """The connection to the database broke while it was committing: the work is done whole or not at all.

    Sending the same request again under the same key or number is safe and gives the answer.
    """

    code = "outcome_unknown"
    http_status = 503
    retryable = True


class ConfigurationError(HutongError):
    """The installation is not set up in a way that Hutong may run with."""

    code = "configuration_error"


class InvariantBroken(HutongError):
    """Something that protects money does not hold. Stop and page a person."""

    code = "invariant_broken"
