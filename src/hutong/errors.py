"""The error hierarchy. An exception means that no answer could be given; expected answers are values.

Every error has a stable `code` in lower snake case. A code is part of the public contract: its meaning
never changes, and each one has a heading in `docs/reference/errors.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class HutongError(Exception):
    """The root of all errors that Hutong raises on purpose.

    Attributes:
        code: Stable machine-readable name.
        http_status: The status that the HTTP edge answers.
        retryable: Whether the same request, unchanged, may succeed later.
        param: The input field at fault, as a dotted path, or None.
        detail: One sentence for a person. It never contains a secret or another party's data.
        is_replayed: Whether it is the first answer under an idempotency key, given again.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, param: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param
        self.is_replayed = False

    @property
    def extensions(self) -> Mapping[str, object]:
        """What the problem document says beside the members that every one has."""
        return {}


class InvalidRequest(HutongError):
    """The caller must change the request before sending it again."""

    code = "invalid_request"
    http_status = 400


class InvalidParameter(InvalidRequest):
    """A field, named by `param`, has a value that is not allowed."""

    code = "invalid_parameter"
    http_status = 422


class Unauthorized(HutongError):
    """The caller is unknown, or the message is not proven to come from the caller."""

    code = "unauthorized"
    http_status = 401


class NotFound(HutongError):
    """There is no such object for this caller; another party's object counts as absent."""

    code = "not_found"
    http_status = 404


class Conflict(HutongError):
    """The state has moved on, or a request with the same key is in progress."""

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
    """A queue is full; the work was not accepted."""

    code = "overloaded"


class CredentialsUnreadable(Unavailable):
    """A stored secret was sealed with a key that this process does not have. It can be read under the right key."""

    code = "credentials_unreadable"

    def __init__(self, detail: str, *, retry_after_s: int = 60) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class OutcomeUnknown(HutongError):
    """The connection to the database broke during a commit: the work is done whole or not at all.

    Sending the same request again under the same key or number is safe and returns the answer.

    Attributes:
        retry_after_s: How long to wait first, in whole seconds.
    """

    code = "outcome_unknown"
    http_status = 503
    retryable = True
    retry_after_s: ClassVar[int] = 1


class ConfigurationError(HutongError):
    """The installation is not configured in a way that is safe to run."""

    code = "configuration_error"


class InvariantBroken(HutongError):
    """An invariant that protects money is broken. Stop and page a person."""

    code = "invariant_broken"
