"""What `requirements.lock` pins: names, versions, and the lines with their hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"

_PIN = re.compile(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==([^ ;]+)")


@dataclass(frozen=True, slots=True)
class Pinned:
    """One entry of the lock: normalized name, version, and its lines as they stand there, hashes included."""

    name: str
    version: str
    lines: str


def pinned(text: str) -> list[Pinned]:
    """Every entry of a lock. A line that belongs to no entry is an error, so that nothing stays unseen."""
    found: list[Pinned] = []
    for entry in re.split(r"\n(?! )", text.strip()):
        head = _PIN.match(entry)
        if head is None:
            raise ValueError(f"not a pinned package: {entry.splitlines()[0]}")
        found.append(Pinned(head[1], head[2], entry))
    return found
