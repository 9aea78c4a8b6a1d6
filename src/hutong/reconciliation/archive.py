"""The folder of a run: originals, both sides as rows, and the results, so that a stranger can compute them again.

    <root>/<account>/<day>/
        inputs/       the original files, as they came
        rows/         <source>.parquet: journal, bill, orders, payments, batches, bank; and carry-<source>.parquet, the
                      rows of earlier days that wait for a partner
        results/      <layer>.matched.parquet, <layer>.differences.parquet, carry-<source>.parquet
        manifest.json what was computed from what: names, digests, layouts, windows, totals, the version

`account` is the public id of the channel account or the bank account.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.model import Layer


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one account's day."""

    root: Path
    account: str
    day: date

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / self.account / self.day.isoformat()

    @property
    def inputs(self) -> Path:
        """The original files."""
        return self.path / "inputs"

    @property
    def manifest(self) -> Path:
        """What was computed from what."""
        return self.path / "manifest.json"

    def rows(self, source: SideSource) -> Path:
        """Return the rows of a side on this day."""
        return self.path / "rows" / f"{source}.parquet"

    def carried(self, source: SideSource) -> Path:
        """Return the rows of earlier days that wait for a partner."""
        return self.path / "rows" / f"carry-{source}.parquet"

    def carry(self, source: SideSource) -> Path:
        """Return the rows that wait for the next day."""
        return self.path / "results" / f"carry-{source}.parquet"

    def settled(self, source: SideSource) -> Path:
        """Return the rows of settled batches and of the money that has paid them, as the run found them before."""
        return self.path / "rows" / f"carry-settled-{source}.parquet"

    def kept_settled(self, source: SideSource) -> Path:
        """Return the same for the next day: with what this day has settled."""
        return self.path / "results" / f"carry-settled-{source}.parquet"

    def matched(self, layer: Layer) -> Path:
        """Return the pairs of a layer."""
        return self.path / "results" / f"{layer}.matched.parquet"

    def differences(self, layer: Layer) -> Path:
        """Return the differences of a layer."""
        return self.path / "results" / f"{layer}.differences.parquet"


def sha256_of(path: Path) -> str:
    """Return the digest of a file in hexadecimal digits, reading it in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
