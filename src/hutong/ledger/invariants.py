"""What must always hold, looked at again and again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.ledger.accounting.memo import wrong_totals
from hutong.ledger.statements import sql as _sql

CLEARING = (1101, 2201, 2202, 2203, 2301)
"""Subjects whose accounts come back to zero when everything in transit has arrived."""


@dataclass(frozen=True, slots=True)
class Uncleared:
    """A clearing account that is not at zero, and how long it has not been."""

    account_id: UUID
    code: int
    ledger: int
    balance: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Findings:
    """What the look found: problems stop and page; uncleared money is a list to work on."""

    problems: list[str] = field(default_factory=list)
    uncleared: list[Uncleared] = field(default_factory=list)


async def check_invariants(tx: db.Tx, *, now: datetime) -> Findings:
    """Look at the sums of each ledger, the accounts against their last rows, holds, memo totals, clearing accounts."""
    problems = [
        f"ledger {row['ledger']}: {kind} debits and credits differ"
        for row in await _sql.trial_balance.fetch(tx)
        for kind in ("posted", "pending")
        if row[f"debits_{kind}"] != row[f"credits_{kind}"]
    ]
    archived = await _sql.anything_archived.fetchval(tx)
    for account in await _sql.first_broken_account.fetch(tx, archived):
        problems.append(f"account {account['id']}: its balances are not those its last row gave it")  # noqa: PERF401
    for account in await _sql.first_broken_hold.fetch(tx):
        problems.append(f"account {account['id']}: its pending sums are not those of its open holds")  # noqa: PERF401
    problems += [f"memo {row['ledger']} of {row['owner']}: the total differs" for row in await wrong_totals(tx)]
    uncleared = [
        Uncleared(
            r["id"], r["code"], r["ledger"], r["balance"], timedelta(microseconds=(to_ns(now) - r["since"]) // 1000)
        )
        for r in await _sql.clearing_ages.fetch(tx, list(CLEARING))
    ]
    return Findings(problems, uncleared)
