"""Idempotency keys: one key, one effect, one answer.

Promises: the key is claimed and its answer stored in the transactions that have the effect, so there is no moment at
which the effect exists without the key. A claim whose process died is taken over after a minute.
"""

from hutong.idempotency.keys import OnceResult, find, forget, once, store
from hutong.idempotency.model import Claim, ClaimOutcome, StoredAnswer

__all__ = [
    "Claim",
    "ClaimOutcome",
    "OnceResult",
    "StoredAnswer",
    "find",
    "forget",
    "once",
    "store",
]
