"""Diagrams of states, drawn from the tables of legal transitions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

from hutong.payments import disputes, refunds
from hutong.payments.model import ATTEMPT_TRANSITIONS, PAYMENT_TRANSITIONS

WIDTH, HEIGHT = 150, 42
PLACES: dict[str, dict[str, tuple[int, int]]] = {
    "payment": {
        "requires_payment": (90, 110),
        "processing": (350, 110),
        "requires_capture": (350, 270),
        "succeeded": (640, 40),
        "closed": (640, 180),
    },
    "attempt": {
        "created": (90, 190),
        "submitted": (280, 72),
        "unknown": (280, 308),
        "authorized": (440, 250),
        "succeeded": (680, 40),
        "failed": (680, 190),
        "closed": (680, 340),
    },
    "refund": {
        "held": (90, 330),
        "submitted": (320, 250),
        "unknown": (320, 410),
        "succeeded": (560, 90),
        "failed": (560, 330),
        "superseded": (560, 470),
        "payout": (800, 200),
        "manual": (800, 440),
    },
    "dispute": {
        "needs_response": (90, 60),
        "under_review": (90, 300),
        "won": (480, 40),
        "lost": (480, 180),
        "accepted": (480, 320),
    },
}
"""The center of each state. A state without one fails the build."""

_BENT = {("attempt", "closed", "succeeded"): 190, ("payment", "requires_payment", "closed"): -70}
"""Arrows that bend around other states, and how far."""


def diagrams() -> dict[str, str]:
    """Return the diagrams by name, as SVG in the color of the surrounding text."""
    return {
        "payment": draw("payment", PAYMENT_TRANSITIONS),
        "attempt": draw("attempt", ATTEMPT_TRANSITIONS),
        "refund": draw("refund", refunds.REFUND_TRANSITIONS),
        "dispute": draw("dispute", disputes.DISPUTE_TRANSITIONS),
    }


def draw(name: str, transitions: Mapping[StrEnum, frozenset[StrEnum]]) -> str:
    """Draw a diagram: a box for each state, an arrow for each transition."""
    places = PLACES[name]
    height = max(y for _, y in places.values()) + 50
    width = max(x for x, _ in places.values()) + 160
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
            f'aria-label="States of {"an" if name[0] in "aeiou" else "a"} {name}" font-family="inherit" font-size="14">'
        ),
        (
            f'<defs><marker id="tip-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>'
        ),
    ]
    for start, ends in transitions.items():
        for end in sorted(ends):
            both_ways = start in transitions[end]
            path = _arrow(places[start], places[end], bend=_BENT.get((name, start, end), 0), aside=both_ways)
            dashed = ' stroke-dasharray="5 4"' if start in ("failed", "closed") else ""
            parts.append(
                f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.3"{dashed} '
                f'marker-end="url(#tip-{name})"/>'
            )
    for state, (x, y) in places.items():
        final = all(end == "succeeded" for end in transitions[_state(transitions, state)])
        parts.append(
            f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" '
            f'fill="currentColor" fill-opacity="{0.14 if final else 0.04}" stroke="currentColor"/>'
            f'<text x="{x}" y="{y + 5}" text-anchor="middle" fill="currentColor">{state}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def table(transitions: Mapping[StrEnum, frozenset[StrEnum]]) -> str:
    """Return the transitions as a table, for screen readers and for search."""
    rows = [
        f"| `{start}` | {', '.join(f'`{end}`' for end in sorted(ends)) or 'none: it is final'} |"
        for start, ends in transitions.items()
    ]
    return "\n".join(["| from | to |", "|---|---|", *rows])


def _state(transitions: Mapping[StrEnum, frozenset[StrEnum]], name: str) -> StrEnum:
    return next(state for state in transitions if state == name)


def _arrow(start: tuple[int, int], end: tuple[int, int], *, bend: int, aside: bool) -> str:
    (x1, y1), (x2, y2) = start, end
    length = math.hypot(x2 - x1, y2 - y1)
    if aside:  # two arrows between the same boxes run side by side
        dx, dy = -(y2 - y1) / length * 7, (x2 - x1) / length * 7
        x1, y1, x2, y2 = x1 + dx, y1 + dy, x2 + dx, y2 + dy
    if bend and x1 == x2:  # leave and arrive at the side
        edge = x1 + WIDTH / 2
        return f"M{edge:g} {y1:g} C{edge + bend / 2:g} {y1:g} {edge + bend / 2:g} {y2:g} {edge + 3:g} {y2:g}"
    if bend:  # leave below, arrive at the side
        return f"M{x1:g} {y1 + HEIGHT / 2:g} Q{x1:g} {y2:g} {x2 - WIDTH / 2 - 3:g} {y2:g}"
    sx, sy = _border(x1, y1, x2, y2, 0)
    ex, ey = _border(x2, y2, x1, y1, 3)
    return f"M{sx:.1f} {sy:.1f} L{ex:.1f} {ey:.1f}"


def _border(x: float, y: float, to_x: float, to_y: float, gap: int) -> tuple[float, float]:
    """Return the point at which a line from the center of a box leaves the box."""
    dx, dy = to_x - x, to_y - y
    scale = min(
        (WIDTH / 2 + gap) / abs(dx) if dx else math.inf,
        (HEIGHT / 2 + gap) / abs(dy) if dy else math.inf,
    )
    return x + dx * scale, y + dy * scale
