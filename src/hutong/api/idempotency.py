"""The header Idempotency-Key, and the claim that a request makes on it."""

from __future__ import annotations

import hashlib
from typing import Annotated

import orjson
from fastapi import Header
from pydantic import BaseModel

from hutong import idempotency, merchants

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of yours; the same key with the same body gets the first answer again.",
    ),
]


def claim_of(
    merchant: merchants.Merchant, key: str | None, operation: str, body: BaseModel
) -> idempotency.Claim | None:
    """Return the claim that a request makes on its key; None without a key.

    Args:
        operation: The method and the path, so that one key cannot stand for two operations.
    """
    if key is None:
        return None
    # Absent fields are left out, so that a later version's new field changes no fingerprint.
    canonical = orjson.dumps(body.model_dump(mode="json", exclude_defaults=True), option=orjson.OPT_SORT_KEYS)
    fingerprint = hashlib.sha256(f"{operation}\n".encode() + canonical).digest()
    return idempotency.Claim(merchant.merchant_id, key, fingerprint)
