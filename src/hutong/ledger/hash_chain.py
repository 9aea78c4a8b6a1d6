"""The hash chain over the committed rows: built behind the writers, so that it costs them nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hutong import db
from hutong.ledger.statements import sql as _sql

SEAL_ROWS = 100_000
"""The approximate number of rows that one seal covers."""

_LEAF_BYTES = 16
_GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """The result of `verify`.

    Attributes:
        rows: The number of sealed rows whose digests were compared.
        seals: The number of seals in the chain.
        head: The hash of the newest seal, in hexadecimal; a copy kept elsewhere proves everything before it.
        problems: One sentence each, naming the first wrong row of each kind; empty if the books hold.
    """

    rows: int
    seals: int
    head: str
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether no problem was found."""
        return not self.problems


async def seal(tx: db.Tx, *, now: datetime, rows: int = SEAL_ROWS) -> int:
    """Add one seal over the oldest unsealed rows.

    Only rows of transactions older than every running one are sealed, so no row can appear behind a seal.

    Returns:
        The number of rows sealed; 0 if there was nothing to seal. Call again while it returns `rows` or more.
    """
    await _sql.one_sealer.execute(tx)
    (head,) = await _sql.last_seal.fetch(tx)
    first = head["to_xact"] or 0
    last = await _sql.seal_bound.fetchval(tx, first, head["settled"], rows)
    if last is None:
        return 0
    (sealed,) = await _sql.leaves.fetch(tx, first, last)
    seq = (head["seq"] or 0) + 1
    digest = _link(head["hash"] or _GENESIS, seq, sealed["leaves"])
    await _sql.insert_seal.execute(tx, seq, first, last, sealed["row_count"], sealed["leaves"], digest, now)
    return int(sealed["row_count"])


async def verify(tx: db.Tx) -> ChainVerdict:
    """Verify the books: the chain, each row's digest, each account's versions and balances, holds, sums.

    Reads everything; meant for quiet hours and for the time after a crash.
    """
    rows, seals, head = 0, 0, _GENESIS
    problems: list[str] = []
    async for record in _sql.seals.cursor(tx, prefetch=4):
        seals += 1
        rows += record["row_count"]
        problem = await _seal_problem(tx, record, seals, head)
        head = record["hash"]
        if problem and not problems:
            problems.append(problem)
    archived = await _sql.anything_archived.fetchval(tx)
    step = await _sql.first_broken_step.fetchrow(tx, archived)
    if step is not None:
        problems.append(
            f"row {step['id']}: {step['problem']} (account {step['account_id']}, version {step['version']})"
        )
    account = await _sql.first_broken_account.fetchval(tx, archived)
    if account is not None:
        problems.append(f"account {account}: its balances differ from those in its last row")
    hold = await _sql.first_broken_hold.fetchval(tx)
    if hold is not None:
        problems.append(f"account {hold}: its pending sums differ from those of its open holds")
    for record in await _sql.trial_balance.fetch(tx):
        problems += [
            f"ledger {record['ledger']}: {kind} debits and credits differ"
            for kind in ("posted", "pending")
            if record[f"debits_{kind}"] != record[f"credits_{kind}"]
        ]
    return ChainVerdict(rows, seals, head.hex(), problems)


async def _seal_problem(tx: db.Tx, record: Any, seq: int, previous: bytes) -> str | None:
    leaves, now = record["leaves"], record["leaves_now"]
    if record["seq"] != seq or record["hash"] != _link(previous, seq, leaves):
        return f"seal {record['seq']}: the chain does not hold"
    if leaves == now:
        return None
    ids = [row["id"] for row in await _sql.ids_of_seal.fetch(tx, record["from_xact"], record["to_xact"])]
    for index, row_id in enumerate(ids):
        place = slice(index * _LEAF_BYTES, (index + 1) * _LEAF_BYTES)
        if leaves[place] != now[place]:
            missing = "; a row before it is gone" if len(now) < len(leaves) else ""
            return f"row {row_id}: not as it was sealed (seal {seq}){missing}"
    return f"seal {seq}: its last rows are gone"


def _link(previous: bytes, seq: int, leaves: bytes) -> bytes:
    return hashlib.sha256(previous + seq.to_bytes(8, "big") + leaves).digest()
