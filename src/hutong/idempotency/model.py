"""A claim on a key, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

LEASE = timedelta(seconds=60)
"""How long a claim without an answer keeps others out."""

KEPT_FOR = timedelta(days=7)
"""How long an answer is kept. The merchant's order number goes on preventing a second charge afterwards."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The wish to be the one who answers for a key.

    Attributes:
        owner_id: Whose key it is; the same text of another owner is another key.
        key: 1 to 255 characters.
        fingerprint: Hash of everything that makes the request what it is.
    """

    owner_id: UUID
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """Nobody has answered for this key; the caller goes ahead."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """Somebody else is working on this key right now."""


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The key stands for another request."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What was answered the first time, to be answered again."""

    status: int
    body: bytes
