"""Coverage of channels' documented codes by their maps."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from hutong.channels.codes.codes import Codes, Key, load_codes
from hutong.channels.registry import Adapter, adapters

DOCUMENTED_COLUMNS = ("interface", "code", "sub_code", "source")


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage of one channel's map.

    Attributes:
        documented: The number of codes that the channel documents, each counted once for each interface.
        missing: The documented codes without an entry in the map.
    """

    documented: int
    missing: tuple[Key, ...]

    @property
    def mapped(self) -> int:
        """The number of documented codes with an entry in the map."""
        return self.documented - len(self.missing)

    @property
    def ratio(self) -> float | None:
        """Their share; None where no documented code is listed."""
        return round(self.mapped / self.documented, 4) if self.documented else None


def coverage() -> dict[str, Coverage]:
    """Measure the files of each installed adapter; by the channel's name.

    Errors:
        ValueError: a file has another layout.
    """
    return {name: _measure(entry) for name, entry in sorted(adapters().items())}


def _measure(entry: Adapter) -> Coverage:
    codes = Codes(load_codes(entry.code_map))
    documented = documented_codes(entry)
    return Coverage(len(documented), tuple(key for key in documented if codes.find(*key) is None))


def documented_codes(entry: Adapter) -> list[Key]:
    """Read the list of codes that the channel documents.

    Errors:
        ValueError: another layout, or a code occurs twice.
    """
    with entry.documented_codes.open(encoding="utf-8") as lines:
        reader = csv.DictReader(lines, strict=True)
        if tuple(reader.fieldnames or ()) != DOCUMENTED_COLUMNS:
            raise ValueError(f"the columns must be {','.join(DOCUMENTED_COLUMNS)}")
        keys: list[Key] = []
        for row in reader:
            if None in row or None in row.values() or not (row["interface"] and row["code"] and row["source"]):
                raise ValueError(f"line {reader.line_num}: a value is missing")
            keys.append((row["interface"], row["code"], row["sub_code"]))
    if len(set(keys)) != len(keys):
        raise ValueError("a documented code occurs twice")
    return sorted(keys)
