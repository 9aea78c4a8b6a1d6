"""The effect of an approval: each case drives the real thing, posts its chain and keeps the voucher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from hutong import db, ids, ledger, operators, payments
from hutong.errors import Conflict
from hutong.reconciliation.differences import store
from hutong.reconciliation.differences.decisions import RESOLVE, digest_of, released_case
from hutong.reconciliation.differences.rules import DifferenceRule, rule_of
from hutong.reconciliation.differences.store import CaseEntry
from hutong.reconciliation.differences.suspense import BookedCase, book, end_case, write_off
from hutong.reconciliation.model import Difference, DifferenceAction, DifferenceState, Layer
from hutong.reconciliation.statements import sql

_A = DifferenceAction
_Drive = Callable[[Sequence[payments.exceptions.BilledRow]], Awaitable[list[str | None]]]


def approval_handlers(transactions: payments.PaymentTransactions) -> Mapping[str, operators.ApprovalHandler]:
    """Return the handlers of approved proposals about differences, by action."""
    return {RESOLVE: partial(_settle, transactions)}


async def _settle(
    transactions: payments.PaymentTransactions, tx: db.Tx, approved: operators.Proposal, now: datetime
) -> None:
    """Carry out what was proposed about a list of cases.

    What the life cycle does not take goes back to its owner, with the reason in its history.

    Errors:
        NotPermitted: an action is not among the duties of the person who approves.
        Conflict: a case has changed since it was proposed, or the life cycle takes none of them.
    """
    checkers = await operators.find_operators(tx, [approved.checker_id] if approved.checker_id else [])
    rows = await sql.lock_proposed_differences.fetch(tx, proposal_id=approved.proposal_id)
    cases = [store.read(row) for row in rows]
    if digest_of(cases) != approved.payload["digest"]:
        raise Conflict("a difference has changed since this was proposed; reject it, and propose again")
    for checker in checkers.values():
        for layer, action in {(case.layer, case.action) for case in cases}:
            operators.require_duty(checker, layer, action)
    by = ids.encode(operators.OPERATOR_PREFIX, approved.checker_id) if approved.checker_id else store.SYSTEM
    note = f"{ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)}: {approved.reason}"
    reasons = await _drive(tx, transactions, cases, note=note, now=now)
    if cases and len(reasons) == len(cases):
        raise Conflict(next(iter(reasons.values())))
    settled: list[Difference] = []
    entries: list[CaseEntry] = []
    chains: list[ledger.Chain | None] = []
    for case in cases:
        reason = reasons.get(case.difference_id)
        if reason is not None:
            settled.append(released_case(case))
            entries.append(CaseEntry(case.difference_id, "refused", by, f"{case.action}: {reason}"))
            continue
        entries.append(CaseEntry(case.difference_id, "approved", by, f"{case.action}: {approved.decision_reason}"))
        if _asks_channel(case):
            settled.append(replace(case, state=DifferenceState.APPROVED))
            continue
        booked = resolve(case, now=now)
        settled.append(booked.case)
        chains.append(booked.chain)
        entries.append(CaseEntry(case.difference_id, "resolved", by, case.reason, -case.suspense_minor, booked.voucher))
    await store.advance(tx, settled)
    await store.write_history(tx, entries, now=now)
    await book(tx, chains, now=now)


def resolve(case: Difference, *, now: datetime) -> BookedCase:
    """Return a case at its end, with the chain that takes it out of suspense."""
    resolved = {"state": DifferenceState.RESOLVED, "resolved_at": now}
    if case.action in (_A.WRITE_OFF, _A.ADJUST_FEE):
        return write_off(case, as_fee=case.action is _A.ADJUST_FEE, **resolved)
    return end_case(case, **resolved)


async def _drive(
    tx: db.Tx, transactions: payments.PaymentTransactions, cases: Sequence[Difference], *, note: str, now: datetime
) -> dict[UUID, str]:
    """Hand cases to the life cycle; return the reasons for those that it does not take."""
    billed = payments.exceptions
    confirm_payments: _Drive = partial(billed.confirm_billed_payments, tx, transactions, now=now)
    confirm_refunds: _Drive = partial(billed.confirm_billed_refunds, tx, transactions, now=now)
    give_back: _Drive = partial(billed.return_billed_payments, tx, transactions, note=note, now=now)
    driven = [case for case in cases if not _asks_channel(case)]
    reasons: dict[UUID, str] = {}
    for action, layer, drive in (
        (_A.CONFIRM, Layer.PAYMENT_BILL, confirm_payments),
        (_A.CONFIRM, Layer.REFUND_BILL, confirm_refunds),
        (_A.REFUND, Layer.PAYMENT_BILL, give_back),
    ):
        chosen = [case for case in driven if case.action is action and case.layer is layer]
        if chosen:
            answers = await drive([_billed(case) for case in chosen])
            reasons |= {case.difference_id: why for case, why in zip(chosen, answers, strict=True) if why is not None}
    return reasons


def _asks_channel(case: Difference) -> bool:
    rule = rule_of(case, case.action) if case.action is not None else ""
    return isinstance(rule, DifferenceRule) and rule.asks_channel


def _billed(case: Difference) -> payments.exceptions.BilledRow:
    """Return the row of theirs as the life cycle takes it."""
    row = case.theirs[0]
    return payments.exceptions.BilledRow(
        account_id=case.account_id,
        number=row["key"],
        amount_minor=abs(row["ordered"]),
        paid_minor=abs(row["paid"]),
        settled_minor=abs(row["settled"]),
        currency=row["currency"],
        channel_no=row["channel_no"],
        has_succeeded=row["kind"] != "refund_failure",
    )
