"""Partners that rows without partner might have, ranked, each with its reason: for people, nothing is matched by them.

A score is points in a hundred: numbers that are alike count most, then money, then time. Amount alone is no reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SUGGESTIONS_MAX = 3
"""How many partners of a row are suggested."""

CANDIDATES_MAX = 5_000
"""The most rows of the other side that a row is compared with."""

SCORE_MIN = 50
"""Below it, a likeness is chance."""

_NUMBERS = ("key", "channel_no", "original_key", "memo")
_ALIKE_MIN = 80
_NUMBER_MIN = 6
_NEAR_SECONDS = 600
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class RankedPartner:
    """A partner that a row might have.

    Attributes:
        place: The candidate's place in the list that was given.
        score: From 0 to 100.
        reasons: Each as a name and its figures, such as ("number_alike", "92"), ("amount_equal", "100").
    """

    place: int
    score: int
    reasons: tuple[tuple[str, str], ...]


def suggest(row: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> list[RankedPartner]:
    """Return the likeliest partners of a row among rows of the other side, the likeliest first.

    Args:
        row: A row as in the JSON of a difference.
        candidates: Rows of the other side that have no partner; those beyond `CANDIDATES_MAX` are not looked at.

    Returns:
        At most `SUGGESTIONS_MAX`, each with its reasons; of equal scores, the earlier candidate first.
    """
    found = []
    for place, candidate in enumerate(candidates[:CANDIDATES_MAX]):
        reasons = _reasons(row, candidate)
        score = sum(points for _, _, points in reasons)
        if score >= SCORE_MIN and len(reasons) > 1:
            found.append(RankedPartner(place, score, tuple((name, figure) for name, figure, _ in reasons)))
    return sorted(found, key=lambda suggestion: (-suggestion.score, suggestion.place))[:SUGGESTIONS_MAX]


def _reasons(row: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Return what speaks for a candidate: a name, a figure, and points."""
    if row.get("currency") != candidate.get("currency") or row.get("kind") != candidate.get("kind"):
        return []
    reasons = []
    number = _number_alike(row, candidate)
    if number >= _ALIKE_MIN:
        reasons.append(("number_alike", str(number), number * 6 // 10))
    ours, theirs = row.get("settled"), candidate.get("settled")
    if ours is not None and ours == theirs:
        reasons.append(("amount_equal", str(ours), 30))
    elif ours and theirs and abs(ours - theirs) * 100 <= abs(ours):
        reasons.append(("amount_near", str(theirs - ours), 10))
    apart = _seconds_apart(row.get("at"), candidate.get("at"))
    if apart is not None and apart <= _NEAR_SECONDS:
        reasons.append(("time_near", str(apart), 20))
    elif apart is not None and apart <= _DAY_SECONDS:
        reasons.append(("same_day", str(apart), 5))
    return reasons


def _number_alike(row: Mapping[str, Any], candidate: Mapping[str, Any]) -> int:
    """Return how much the numbers and texts of two rows resemble each other, at their best, from 0 to 100."""
    from rapidfuzz import fuzz

    best = 0.0
    for mine in (row.get(name) for name in _NUMBERS):
        for other in (candidate.get(name) for name in _NUMBERS):
            if mine and other:
                # A number inside a memo counts as much as a number alone.
                long = min(len(mine), len(other)) >= _NUMBER_MIN
                best = max(best, fuzz.partial_ratio(mine, other) if long else 100.0 * (mine == other))
    return int(best)


def _seconds_apart(mine: str | None, other: str | None) -> int | None:
    if not mine or not other:
        return None
    return abs(int((datetime.fromisoformat(mine) - datetime.fromisoformat(other)).total_seconds()))
