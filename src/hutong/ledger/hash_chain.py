"""The hash chain over the committed rows and records: built behind the writers, so that it costs them nothing."""

from __future__ import annotations

import hashlib
import struct
from datetime import datetime
from typing import Any

from hutong import db
from hutong.clock import to_ns
from hutong.ledger.statements import sql as _sql

SEAL_ROWS = 100_000
"""The approximate number of rows that one seal covers."""

LEAF_BYTES = 16
GENESIS = bytes(32)
_VERSION = 2
_PREFIX = b"hutong seal 2"
_FIELDS = struct.Struct(">qqqqqq")


async def seal(tx: db.Tx, *, now: datetime, rows: int = SEAL_ROWS) -> int:
    """Add one seal over the oldest unsealed rows, and over the records beside the journal of the same transactions.

    Only rows of transactions older than every running one are sealed, so no row can appear behind a seal.

    Returns:
        The number of rows sealed; 0 if there were none. Call again while it returns any.
    """
    await _sql.one_sealer.execute(tx)
    (head,) = await _sql.last_seal.fetch(tx)
    first = head["to_xact"] or 0
    last = await _sql.seal_bound.fetchval(tx, first, head["settled"], rows)
    if last is None:
        return 0
    (sealed,) = await _sql.leaves.fetch(tx, first, last)
    made = {
        "seq": (head["seq"] or 0) + 1, "version": _VERSION, "from_xact": first, "to_xact": last, "sealed_at": now,
        **sealed,
    }  # fmt: skip
    await _sql.insert_seal.execute(tx, hash=link(head["hash"] or GENESIS, made), **made)
    return int(sealed["row_count"])


def link(previous: bytes, seal_: Any) -> bytes:
    """Return the hash of a seal after the seal with the hash `previous`.

    Version 1 covers the number of the seal and the digests of its rows; version 2 covers every field.
    """
    if seal_["version"] == 1:
        return hashlib.sha256(previous + seal_["seq"].to_bytes(8, "big") + seal_["leaves"]).digest()
    fields = _FIELDS.pack(
        seal_["seq"], seal_["from_xact"], seal_["to_xact"], seal_["row_count"], seal_["record_count"],
        to_ns(seal_["sealed_at"]) // 1000,
    )  # fmt: skip
    digests = (hashlib.sha256(seal_[name]).digest() for name in ("leaves", "records"))
    return hashlib.sha256(_PREFIX + previous + fields + b"".join(digests)).digest()
