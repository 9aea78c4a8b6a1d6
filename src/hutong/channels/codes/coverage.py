"""How much of what a channel documents its map holds."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from hutong.channels.codes.codes import Codes, Key, load_codes
from hutong.channels.registry import Adapter, adapters

DOCUMENTED_COLUMNS = ("interface", "code", "sub_code", "source")


@dataclass(frozen=True, slots=True)
class Coverage:
    """The measure of one channel's map.

    Attributes:
        documented: How many codes the channel documents, each counted once for each interface.
        missing: Those that the map does not hold.
    """

    documented: int
    missing: tuple[Key, ...]

    @property
    def mapped(self) -> int:
        """How many of them the map holds."""
        return self.documented - len(self.missing)

    @property
    def ratio(self) -> float | None:
        """Their share; None where nothing is known to be documented."""
        return round(self.mapped / self.documented, 4) if self.documented else None


def coverage() -> dict[str, Coverage]:
    """The measure of each installed adapter's own files, by the channel's name.

    Errors:
        ValueError: a file is not of its layout.
    """
    return {name: _measure(made) for name, made in sorted(adapters().items())}


def _measure(made: Adapter) -> Coverage:
    codes = Codes(load_codes(made.code_map))
    documented = documented_codes(made)
    return Coverage(len(documented), tuple(key for key in documented if codes.find(*key) is None))


def documented_codes(made: Adapter) -> list[Key]:
    """What the channel documents, as the adapter lists it.

    Errors:
        ValueError: not of its layout, or a code stands twice.
    """
    with made.documented_codes.open(encoding="utf-8") as lines:
        reader = csv.DictReader(lines, strict=True)
        if tuple(reader.fieldnames or ()) != DOCUMENTED_COLUMNS:
            raise ValueError(f"the columns must be {','.join(DOCUMENTED_COLUMNS)}")
        found: list[Key] = []
        for row in reader:
            if None in row or None in row.values() or not (row["interface"] and row["code"] and row["source"]):
                raise ValueError(f"line {reader.line_num}: a value is missing")
            found.append((row["interface"], row["code"], row["sub_code"]))
    if len(set(found)) != len(found):
        raise ValueError("a documented code stands twice")
    return sorted(found)
