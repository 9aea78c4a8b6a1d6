"""Differences as the API and the command line show them."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from hutong import ids, operators
from hutong.clock import instant
from hutong.reconciliation.differences.cases import DifferenceCount, HistoryEntry
from hutong.reconciliation.differences.explain import explain
from hutong.reconciliation.differences.rules import allowed_actions
from hutong.reconciliation.model import BANK_PREFIX, DIFFERENCE_PREFIX, Difference, Layer


def difference_document(case: Difference, *, today: date) -> dict[str, Any]:
    """Return a difference as operators see it."""
    return {
        "id": ids.encode(DIFFERENCE_PREFIX, case.difference_id),
        "object": "difference",
        "account_id": public_account(case),
        "layer": case.layer.value,
        "class": case.klass.value,
        "side": case.side.value,
        "key": case.key,
        "column": case.column or None,
        "state": case.state.value,
        "currency": case.currency,
        "amount_minor": case.amount_minor,
        "suspense_minor": case.suspense_minor,
        "explanation": explain(case),
        "ours": case.ours,
        "theirs": case.theirs,
        "reference": case.reference or None,
        "first_day": case.first_day.isoformat(),
        "last_day": case.last_day.isoformat(),
        "age_days": max((today - case.first_day).days, 0),
        "opened_at": instant(case.opened_at),
        "owner_id": _id(operators.OPERATOR_PREFIX, case.owner_id),
        "action": None if case.action is None else case.action.value,
        "allowed_actions": [action.value for action in allowed_actions(case)],
        "proposal_id": _id(operators.PROPOSAL_PREFIX, case.proposal_id),
        "partner_id": _id(DIFFERENCE_PREFIX, case.partner_id),
        "voucher": None if case.voucher is None else str(case.voucher),
        "resolved_at": None if case.resolved_at is None else instant(case.resolved_at),
        "reason": case.reason,
        "reopened": case.reopened,
        "content": case.content,
    }


def count_document(count: DifferenceCount) -> dict[str, Any]:
    """Return a counter."""
    return {
        "layer": count.layer.value,
        "class": count.klass.value,
        "state": count.state.value,
        "currency": count.currency,
        "count": count.count,
        "long_minor": count.long_minor,
        "short_minor": count.short_minor,
        "suspense_long_minor": count.suspense_long_minor,
        "suspense_short_minor": count.suspense_short_minor,
        "oldest_day": count.oldest_day.isoformat(),
    }


def history_document(entry: HistoryEntry) -> dict[str, Any]:
    """Return a step of a difference's history."""
    return {
        "at": instant(entry.at),
        "what": entry.what,
        "by": entry.by,
        "reason": entry.reason,
        "amount_minor": entry.amount_minor,
        "voucher": None if entry.voucher is None else str(entry.voucher),
    }


def public_account(case: Difference) -> str:
    """Return the public id of the account at the channel or the bank that a difference is about."""
    return ids.encode(BANK_PREFIX if case.layer is Layer.BATCH_BANK else "acc", case.account_id)


def _id(prefix: str, identifier: UUID | None) -> str | None:
    return None if identifier is None else ids.encode(prefix, identifier)
