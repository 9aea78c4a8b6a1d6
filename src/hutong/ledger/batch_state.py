"""The state of a batch: locked accounts and the rows of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Row: TypeAlias = "tuple[int, ...]"
"""A row of the journal: the fields of `Transfer` in the order of the constants below, then both versions, then the four
balances of the debit account and the four of the credit account."""

ID, DEBIT, CREDIT, AMOUNT, PENDING_ID, USER_DATA_128, USER_DATA_64, USER_DATA_32 = range(8)
TIMEOUT, LEDGER, CODE, FLAGS, TIMESTAMP = range(8, 13)

PENDING, POSTED, VOIDED, EXPIRED = 1, 2, 3, 4
"""The states of a hold."""

EXPIRY_FLAG = 1 << 15
"""Marks the rows that the ledger itself writes when a hold expires; the API never shows them."""

NS_PER_S = 1_000_000_000
NEVER = 2**63 - 1


class LockedAccount:
    """One locked account: balances, version and limits, kept current while the batch runs."""

    __slots__ = (
        "bytes",
        "credits_pending",
        "credits_posted",
        "debits_pending",
        "debits_posted",
        "flags",
        "id",
        "ledger",
        "loaded",
        "next_expiry",
        "overdraft_limit",
        "timestamp",
        "version",
    )

    def __init__(self, id_bytes: bytes, values: Sequence[int]) -> None:
        self.bytes = id_bytes
        self.id = int.from_bytes(id_bytes, "big")
        (
            self.debits_pending,
            self.debits_posted,
            self.credits_pending,
            self.credits_posted,
            self.version,
            self.next_expiry,
            self.overdraft_limit,
            self.timestamp,
            self.ledger,
            self.flags,
        ) = values
        self.loaded = (self.version, self.next_expiry)
