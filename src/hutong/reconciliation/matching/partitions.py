"""Columns of numbers on disk, ordered by the first bits of their rows' hashes, so that each part fits into memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

PARTITION_ROWS = 1 << 20
"""How many rows of both sides a partition has at most, on average."""


class Partitions:
    """The rows of one side. Both sides must be made for the same number of rows.

    Each column is one file: slice after slice, and in each slice partition after partition.
    """

    def __init__(self, folder: Path, name: str, rows: int) -> None:
        self.bits = max(1, (rows // PARTITION_ROWS).bit_length())
        self.count = 1 << self.bits
        self._folder, self._name = folder, name
        self._bounds: list[np.ndarray[Any, Any]] = []
        self._types: dict[str, np.dtype[Any]] = {}
        self._rows = 0

    def add(self, columns: dict[str, np.ndarray[Any, Any]]) -> None:
        """Add a slice of rows; the column `k` is the hash that decides where they go."""
        import numpy as np

        partition = (columns["k"] >> np.uint64(64 - self.bits)).astype(np.uint16)
        order = np.argsort(partition, kind="stable")
        counts = np.bincount(partition, minlength=self.count)
        self._bounds.append(self._rows + np.concatenate(([0], np.cumsum(counts))))
        self._rows += len(partition)
        for name, column in columns.items():
            self._types[name] = column.dtype
            with self._path(name).open("ab") as file:
                np.ascontiguousarray(column)[order].tofile(file)

    def read(self, partition: int) -> dict[str, np.ndarray[Any, Any]]:
        """Return the rows of a partition, in the order in which they were added."""
        import numpy as np

        found = {}
        for name, kind in (self._types or {"k": np.dtype(np.uint64)}).items():
            parts = [
                np.fromfile(self._path(name), kind, int(end - start), offset=int(start) * kind.itemsize)
                for start, end in ((bounds[partition], bounds[partition + 1]) for bounds in self._bounds)
                if end > start
            ]
            found[name] = np.concatenate(parts) if parts else np.empty(0, kind)
        return found

    def _path(self, column: str) -> Path:
        return self._folder / f"{self._name}.{column}"
