"""Many cases at once by a filter: first a preview, then the same list by its digest."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from hutong import db, ids
from hutong.errors import InvalidParameter
from hutong.operators import Operator
from hutong.reconciliation.differences.cases import BULK_MAX, DifferenceFilter
from hutong.reconciliation.differences.decisions import CaseDecision, Checked, RefusedCase, check, totals_of
from hutong.reconciliation.model import DIFFERENCE_PREFIX, DifferenceAction
from hutong.reconciliation.statements import sql


async def select_decisions(
    tx: db.Tx, where: DifferenceFilter, action: DifferenceAction, *, reason: str
) -> list[CaseDecision]:
    """Return one decision for each case that a filter selects, unchecked.

    Errors:
        InvalidParameter: the filter selects more cases than one list may have.
    """
    rows = await sql.difference_ids.fetch(tx, limit=BULK_MAX + 1, **where.parameters)
    if len(rows) > BULK_MAX:
        raise InvalidParameter(f"the filter selects more than {BULK_MAX} differences; narrow it down", param="filter")
    return [CaseDecision(row["id"], action, reason) for row in rows]


async def preview(
    tx: db.Tx, where: DifferenceFilter, action: DifferenceAction, *, reason: str, operator: Operator, now: datetime
) -> Checked:
    """Check an action for all cases that a filter selects; change nothing. Errors as `select_decisions`."""
    return await check(tx, await select_decisions(tx, where, action, reason=reason), operator=operator, now=now)


def preview_document(seen: Checked) -> dict[str, Any]:
    """Return a preview as operators see it: counts and sums, the reasons of refusals, and the digest to go on with."""
    reasons = Counter(refusal.reason for refusal in seen.refused)
    return {
        "object": "difference_preview",
        "digest": seen.digest,
        "count": len(seen.accepted),
        "totals": totals_of(case for case, _ in seen.accepted),
        "needs_approval": any(rule.two_persons for _, rule in seen.accepted),
        "refused": len(seen.refused),
        "reasons": dict(reasons.most_common()),
    }


def refusal_document(refusal: RefusedCase) -> dict[str, Any]:
    """Return a decision that was not taken, with its place in the list."""
    return {
        "place": refusal.place,
        "id": ids.encode(DIFFERENCE_PREFIX, refusal.difference_id),
        "reason": refusal.reason,
    }
