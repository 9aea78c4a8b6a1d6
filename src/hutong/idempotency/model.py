"""Claims on idempotency keys, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

LEASE = timedelta(seconds=60)
"""How long a claim without an answer keeps others out, unless the connection that made it is gone before."""

KEPT_FOR = timedelta(days=7)
"""How long an answer is kept. The merchant's order number still prevents a second charge afterwards."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request's claim on its key.

    Attributes:
        owner_id: The owner of the key; the same text of another owner is another key.
        key: 1 to 255 characters.
        fingerprint: Hash of everything that makes the request what it is.
    """

    owner_id: UUID
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The first answer under a key, to be repeated byte for byte.

    Attributes:
        is_replayed: Whether this is such a repetition.
    """

    status: int
    body: bytes
    is_replayed: bool = False


class Unstored(StrEnum):
    """Why nothing is stored under a key with a command's effect."""

    WAITS = "waits"
    """The answer is not final yet; it is stored later, by `store`."""
    FREED = "freed"
    """The answer must not stay: the key is free again."""


class ClaimOutcome(StrEnum):
    """Outcomes of a claim."""

    CLAIMED = "claimed"
    """The key is free, or there is none; the caller goes ahead."""
    IN_FLIGHT = "in_flight"
    """Another request works on this key right now."""
    KEY_REUSED = "key_reused"
    """The key was used with a different request."""
    ANSWERED = "answered"
    """The request was answered before; the result has the answer."""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """The outcome of a claim.

    Attributes:
        answer: The stored answer, if the outcome is ANSWERED.
    """

    outcome: ClaimOutcome
    answer: StoredAnswer | None = None
