"""Partners that a case might have, for people: each with its reasons, and never booked by them."""

from __future__ import annotations

from typing import Any

from hutong import db, ids
from hutong.reconciliation.differences.cases import DifferenceFilter, list_differences
from hutong.reconciliation.matching.suggestions import CANDIDATES_MAX, suggest
from hutong.reconciliation.model import DIFFERENCE_PREFIX, Difference, DifferenceClass

_OTHER = {
    DifferenceClass.MISSING: DifferenceClass.UNEXPECTED,
    DifferenceClass.UNEXPECTED: DifferenceClass.MISSING,
}


async def suggest_partners(tx: db.Tx, case: Difference) -> list[dict[str, Any]]:
    """Return the likeliest partners of a case among those of the other side that are not resolved, likeliest first.

    Returns:
        Documents with the difference's id and key, a score of 100 and the reasons; none for a case with both sides.
    """
    other, rows = _OTHER.get(case.klass), case.ours or case.theirs
    if other is None or not rows:
        return []
    where = DifferenceFilter(account_id=case.account_id, layer=case.layer, klass=other, currency=case.currency)
    candidates = [each for each in await list_differences(tx, where, limit=CANDIDATES_MAX) if each.ours or each.theirs]
    suggested = suggest(rows[0], [(each.theirs or each.ours)[0] for each in candidates])
    return [
        {
            "id": ids.encode(DIFFERENCE_PREFIX, candidates[each.place].difference_id),
            "key": candidates[each.place].key,
            "amount_minor": candidates[each.place].amount_minor,
            "score": each.score,
            "reasons": [{"name": name, "figure": figure} for name, figure in each.reasons],
        }
        for each in suggested
    ]
