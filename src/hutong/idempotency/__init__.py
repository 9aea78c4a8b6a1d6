"""Idempotency keys: one key, one effect, one answer.

Promises: the key is claimed and its answer stored in the transactions that have the effect, so there is no moment at
which the effect exists without the key. A refusal that time cures frees its key, and so does a request that ends
without an answer; the claim of a process that died is taken over as soon as the server has noticed the end of its
connection, and after a minute at the latest.
"""

from hutong.idempotency.keys import OnceResult, find, forget, once, store
from hutong.idempotency.model import Claim, ClaimOutcome, StoredAnswer, Unstored
from hutong.idempotency.refusals import KEY_EFFECTS, KeyEffect
from hutong.idempotency.release import Release

__all__ = [
    "KEY_EFFECTS",
    "Claim",
    "ClaimOutcome",
    "KeyEffect",
    "OnceResult",
    "Release",
    "StoredAnswer",
    "Unstored",
    "find",
    "forget",
    "once",
    "store",
]
