"""Many cases at once by a filter: first a preview, then the same list by its digest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hutong import db, ids
from hutong.operators import Operator
from hutong.reconciliation.differences.cases import DifferenceFilter, list_all_differences
from hutong.reconciliation.differences.decisions import CaseDecision, Checked, RefusedCase, check, totals_of
from hutong.reconciliation.model import DIFFERENCE_PREFIX, DifferenceAction


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do to the cases that a filter selects.

    Attributes:
        decisions: One for each case, in the order of `checked.refused`'s places.
    """

    decisions: list[CaseDecision]
    checked: Checked


async def preview(
    tx: db.Tx, where: DifferenceFilter, action: DifferenceAction, *, reason: str, operator: Operator, now: datetime
) -> Preview:
    """Check an action for all cases that a filter selects; change nothing.

    Errors:
        InvalidParameter: the filter selects more cases than one list may have.
    """
    selected = await list_all_differences(tx, where)
    decisions = [CaseDecision(case.difference_id, action, reason) for case in selected]
    return Preview(decisions, await check(tx, decisions, operator=operator, now=now))


def preview_document(seen: Preview) -> dict[str, Any]:
    """Return a preview as operators see it: counts and sums, the reasons of refusals, and the digest to go on with."""
    reasons = Counter(refusal.reason for refusal in seen.checked.refused)
    return {
        "object": "difference_preview",
        "digest": seen.checked.digest,
        "count": len(seen.checked.accepted),
        "totals": totals_of(case for case, _ in seen.checked.accepted),
        "needs_approval": any(rule.two_persons for _, rule in seen.checked.accepted),
        "refused": len(seen.checked.refused),
        "reasons": dict(reasons.most_common()),
    }


def refusal_document(refusal: RefusedCase) -> dict[str, Any]:
    """Return a decision that was not taken, with its place in the list."""
    return {
        "place": refusal.place,
        "id": ids.encode(DIFFERENCE_PREFIX, refusal.difference_id),
        "reason": refusal.reason,
    }
