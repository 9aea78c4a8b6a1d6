"""The postings of differences: into suspense when a case opens, out of it at its end, each by a chain of its own.

Suspense holds exactly the open cases: `check_suspense` compares the journal with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ledger, money
from hutong.ledger import AccountOwner, EventCode, Posting
from hutong.reconciliation.model import Difference, DifferenceClass, DifferenceState, Layer
from hutong.reconciliation.statements import sql

INTERNAL = frozenset({Layer.ORDER_PAYMENT, Layer.LEDGER_ORDER})
"""Layers between our own records: a difference there moves no money at a channel or a bank."""

_COSTED = frozenset({Layer.PAYMENT_BILL, Layer.REFUND_BILL, Layer.PAYOUT_BILL})
_UNBOOKED = frozenset({"state", "currency"})
_AT_BANK = frozenset({DifferenceClass.UNEXPECTED, DifferenceClass.DUPLICATE})
_CHUNK = 4_000
_SUSPENSE = 2301
_CODES = (EventCode.DIFFERENCE, EventCode.DIFFERENCE_END, EventCode.WRITE_OFF)


@dataclass(frozen=True, slots=True)
class BookedCase:
    """A case after its postings.

    Attributes:
        chain: None if there was nothing to book.
        voucher: The first transfer of the chain.
    """

    case: Difference
    chain: ledger.Chain | None = None
    voucher: UUID | None = None


def open_case(case: Difference, **changes: Any) -> BookedCase:
    """Move the amount of a case into suspense, so that the receivable, or the bank, follows what the file states.

    Of a pair with a difference, the expected fee is booked as cost: nothing else will, since it does not match.

    Args:
        changes: The attributes of the case that change with it.
    """
    amount, cost = _suspended_minor(case), _cost_minor(case)
    legs = [(EventCode.DIFFERENCE, _leg(case, amount), amount), (EventCode.CHANNEL_COST, _cost_leg(cost), cost)]
    return _book(case, legs, suspense_minor=amount, cost_minor=cost, **changes)


def end_case(case: Difference, **changes: Any) -> BookedCase:
    """Take a case out of suspense by the opposite of its opening: something else explains the money.

    Args:
        changes: The attributes of the case that change with it. One that is resolved keeps its voucher.
    """
    amount, cost = case.suspense_minor, case.cost_minor
    legs = [(EventCode.DIFFERENCE_END, _leg(case, amount), amount), (EventCode.CHANNEL_COST, _cost_leg(-cost), cost)]
    return _book(case, legs, suspense_minor=0, cost_minor=0, **changes)


def write_off(case: Difference, *, as_fee: bool = False, **changes: Any) -> BookedCase:
    """Take a case out of suspense for good: to gains or losses, or to the channel's cost. Its own cost stays.

    Args:
        changes: As of `end_case`.
    """
    amount = case.suspense_minor
    is_long = amount > 0
    leg = ("fee_less" if is_long else "fee") if as_fee else ("long" if is_long else "short")
    return _book(case, [(EventCode.WRITE_OFF, leg, amount)], suspense_minor=0, **changes)


async def book(tx: db.Tx, chains: Sequence[ledger.Chain | None], *, now: datetime) -> None:
    """Book the chains of cases, in parts that the ledger takes. Errors as `ledger.book`."""
    present = [chain for chain in chains if chain is not None]
    accounts: set[ledger.Opening] = set()
    for start in range(0, len(present), _CHUNK):
        await ledger.book(tx, present[start : start + _CHUNK], now=now, accounts=accounts)


async def check_suspense(tx: db.Tx) -> list[str]:
    """Compare the suspense accounts with the open cases, by account and currency.

    Returns:
        One sentence for each account that holds another amount than its cases.
    """
    cases = await sql.suspense_of_cases.fetch(tx)
    apart = await sql.suspense_apart_from_cases.fetch(
        tx,
        suspense=_SUSPENSE,
        codes=[int(code) for code in _CODES],
        reversal=int(EventCode.REVERSAL),
        owner_id=[row["account_id"] for row in cases],
        ledger=[money.currency(row["currency"]).numeric for row in cases],
        amount_minor=[row["amount_minor"] for row in cases],
    )
    return [
        f"suspense of {row['owner_id']} in ledger {row['ledger']}: {row['booked_minor']} booked of differences, and "
        f"{row['owed_minor']} in the open cases"
        for row in apart
    ]


def _suspended_minor(case: Difference) -> int:
    if case.layer in INTERNAL:
        return 0
    return _unexplained_at_bank(case) if case.layer is Layer.BATCH_BANK else case.amount_minor


def _unexplained_at_bank(case: Difference) -> int:
    """Return the money in the bank's statement that no batch explains; what has not arrived is owed by its channel."""
    arrived, announced = _net_minor(case.theirs), _net_minor(case.ours)
    if case.klass is DifferenceClass.MISMATCH:  # the part that the batch explains is booked as having arrived
        return arrived - max(min(arrived, max(announced, 0)), min(announced, 0))
    if case.klass is DifferenceClass.AMBIGUOUS:
        return arrived
    return case.amount_minor if case.klass in _AT_BANK else 0


def _net_minor(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["settled"] - (row["fee"] or 0) for row in rows)


def _cost_minor(case: Difference) -> int:
    if case.layer not in _COSTED or case.klass is not DifferenceClass.MISMATCH or case.column in _UNBOOKED:
        return 0
    ours = [row["fee"] for row in case.ours if row["fee"] is not None]
    return sum(ours or [row["fee"] or 0 for row in case.theirs])


def _leg(case: Difference, amount_minor: int) -> str:
    side = "long" if amount_minor > 0 else "short"
    return f"bank_{side}" if case.layer is Layer.BATCH_BANK else side


def _cost_leg(cost_minor: int) -> str:
    return "cost" if cost_minor > 0 else "returned"


def _book(case: Difference, legs: Sequence[tuple[EventCode, str, int]], **changes: Any) -> BookedCase:
    base, number = case.difference_id, case.postings
    ends = changes.get("state") is DifferenceState.RESOLVED
    postings = [
        Posting(code, leg, abs(amount), base, f"difference:{number}:{code.name}")
        for code, leg, amount in legs
        if amount
    ]
    if not postings:
        return BookedCase(replace(case, **(changes | {"voucher": None} if ends else changes)))
    chain = ledger.Chain(postings, _owners(case), case.currency, case.difference_id)
    voucher = UUID(int=postings[0].transfer_id)
    changes |= {"postings": number + 1} | ({"voucher": voucher} if ends else {})
    return BookedCase(replace(case, **changes), chain, voucher)


def _owners(case: Difference) -> Mapping[AccountOwner, UUID]:
    return {AccountOwner.CHANNEL_ACCOUNT: case.account_id}
