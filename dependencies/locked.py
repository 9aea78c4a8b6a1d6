"""What the locks pin: names, versions, and the lines with their hashes.

`requirements.lock` is what runs Hutong, `requirements-dev.lock` what tests it besides, and `requirements-spark.lock`
what matches on a Spark cluster besides.

    python dependencies/locked.py          # leaves in the others what is not in the first
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "requirements.lock"
DEVELOPMENT = ROOT / "requirements-dev.lock"
SPARK = ROOT / "requirements-spark.lock"

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


def everything() -> list[Pinned]:
    """Every package of all locks, once: what runs Hutong on some systems alone may test it on all."""
    found = [entry for lock in (PRODUCT, DEVELOPMENT, SPARK) for entry in pinned(lock.read_text())]
    return list({(entry.name, entry.version): entry for entry in found}.values())


if __name__ == "__main__":
    product = {entry.lines for entry in pinned(PRODUCT.read_text())}
    for lock in (DEVELOPMENT, SPARK):
        rest = [entry for entry in pinned(lock.read_text()) if entry.lines not in product]
        lock.write_text("".join(f"{entry.lines}\n" for entry in rest))
