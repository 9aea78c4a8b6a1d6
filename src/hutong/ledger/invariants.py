"""The invariants of the books, checked again and again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.ledger.accounting.chart import CLEARING
from hutong.ledger.accounting.memo import wrong_totals
from hutong.ledger.statements import sql as _sql


@dataclass(frozen=True, slots=True)
class Uncleared:
    """A clearing account that is not at zero, and for how long."""

    account_id: UUID
    code: int
    ledger: int
    balance: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a check: problems page a person; uncleared money is a list to work on."""

    problems: list[str] = field(default_factory=list)
    uncleared: list[Uncleared] = field(default_factory=list)


async def check_invariants(tx: db.Tx, *, now: datetime) -> Findings:
    """Check the sums of each ledger, the accounts against their last rows, holds, memo totals and clearing accounts."""
    problems = [
        f"ledger {row['ledger']}: {kind} debits and credits differ"
        for row in await _sql.trial_balance.fetch(tx)
        for kind in ("posted", "pending")
        if row[f"debits_{kind}"] != row[f"credits_{kind}"]
    ]
    archived = await _sql.anything_archived.fetchval(tx)
    for account in await _sql.first_broken_account.fetch(tx, archived):
        problems.append(f"account {account['id']}: its balances differ from those in its last row")  # noqa: PERF401
    for account in await _sql.first_broken_hold.fetch(tx):
        problems.append(f"account {account['id']}: its pending sums differ from those of its open holds")  # noqa: PERF401
    problems += [
        f"memo {row['ledger']} of {row['owner']}: the total is not the sum of its entries"
        for row in await wrong_totals(tx)
    ]
    uncleared = [
        Uncleared(
            account_id=r["id"],
            code=r["code"],
            ledger=r["ledger"],
            balance=r["balance"],
            age=timedelta(microseconds=(to_ns(now) - r["since"]) // 1000),
        )
        for r in await _sql.clearing_ages.fetch(tx, list(CLEARING))
    ]
    return Findings(problems, uncleared)
