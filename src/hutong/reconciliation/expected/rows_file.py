"""A file of our rows in the making: written in parts as they come, then summed, sorted and put into place at once."""

from __future__ import annotations

import asyncio
import csv
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from hutong.reconciliation.duck import ROWS_FORMAT, connect, literal
from hutong.reconciliation.model import RowKind, RowState
from hutong.reconciliation.rows import MONEY_COLUMNS, ROW_COLUMNS

OURS = -1
"""The `file` of our rows, which are of no original file."""

_NULL = "\\N"
_GIVEN = {name: kind for name, kind in ROW_COLUMNS.items() if name not in ("file", "line")}
_SUMMED = MappingProxyType(
    {
        "channel_no": "max",
        "original_key": "max",
        "merchant": "max",
        "at": "min",
        "batch": "max",
        "settle_day": "max",
        "memo": "min",
        "reference": "max",
    }
)
_KEYS = ("kind", "key", "day", "currency", "state")


@dataclass(slots=True)
class OurRow:
    """One row of ours, or a part of one: parts of one kind, key, day, currency and state are summed."""

    kind: RowKind
    key: str
    day: date
    at: datetime
    currency: str
    ordered: int = 0
    paid: int = 0
    settled: int = 0
    fee: int | None = None
    state: RowState = RowState.SUCCEEDED
    channel_no: str = ""
    original_key: str = ""
    merchant: str = ""
    memo: str = ""
    reference: str = ""

    def cells(self) -> list[object]:
        """Return the values in the order of the columns, without the row's place."""
        return [
            self.kind,
            self.key,
            self.channel_no,
            self.original_key,
            self.merchant,
            self.day,
            self.at.replace(tzinfo=None).isoformat(" "),
            self.currency,
            self.ordered,
            self.paid,
            self.settled,
            _NULL if self.fee is None else self.fee,
            self.state,
            "",
            _NULL,
            self.memo,
            self.reference,
        ]


class RowsFile:
    """The parts of a file's rows."""

    def __init__(self, part: Path) -> None:
        self._file = part.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")

    def add(self, row: OurRow) -> None:
        """Add a row, or a part of one."""
        self._writer.writerow(row.cells())

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


@asynccontextmanager
async def writing_rows(path: Path, *, memory_mb: int = 512) -> AsyncIterator[RowsFile]:
    """Yield a file to add rows to; at the end of the block it stands at `path`, whole, or nothing does.

    The rows are in the order of their time, kind and key, and numbered in it, so that the same rows are the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as scratch:
        part, result = Path(scratch, "rows.csv"), Path(scratch, path.name)
        rows = RowsFile(part)
        try:
            yield rows
        finally:
            rows.close()
        await asyncio.to_thread(_sum_and_sort, part, result, path, memory_mb)


def _sum_and_sort(part: Path, result: Path, path: Path, memory_mb: int) -> None:
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _GIVEN.items())
    given = (
        f"read_csv({literal(part)}, header = false, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
        f"nullstr = {literal(_NULL)}, parallel = false, columns = {{{columns}}})"
    )
    sums = [f'sum("{name}")::BIGINT AS "{name}"' for name in MONEY_COLUMNS]
    taken = [f'{function}("{name}") AS "{name}"' for name, function in _SUMMED.items()]
    keys = ", ".join(_KEYS)
    nothing = " AND ".join(f'coalesce("{name}", 0) = 0' for name in MONEY_COLUMNS)
    order = '"at", kind, key, currency, state'
    shown = ", ".join(f'"{name}"' for name in _GIVEN)
    query = (
        f"FROM (FROM {given} SELECT {keys}, {', '.join([*sums, *taken])} GROUP BY ALL) "
        f"SELECT {shown}, {OURS}::INTEGER AS file, row_number() OVER (ORDER BY {order}) AS line "
        f"WHERE NOT ({nothing}) ORDER BY {order}"
    )
    with connect(part.parent, memory_mb=memory_mb) as duck:
        duck.execute(f"COPY ({query}) TO {literal(result)} {ROWS_FORMAT}")
    with result.open("rb") as file:
        os.fsync(file.fileno())
    result.replace(path)
