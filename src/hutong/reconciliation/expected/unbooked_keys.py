"""The numbers that a bill names and our rows do not have."""

from __future__ import annotations

from collections.abc import Iterator

from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.duck import connect, literals
from hutong.reconciliation.layers import SideSource


def unbooked_keys(folder: RunFolder, most: int, limits: Limits) -> Iterator[list[str]]:
    """Yield the numbers in lists, in order, each once. Rows that wait from earlier days are asked about again."""
    bills = [path for path in (folder.rows(SideSource.BILL), folder.carried(SideSource.BILL)) if path.exists()]
    ours = [path for path in (folder.rows(SideSource.JOURNAL), folder.carried(SideSource.JOURNAL)) if path.exists()]
    if not bills:
        return
    query = f"FROM read_parquet({literals(bills)}, union_by_name = true) SELECT DISTINCT key WHERE key <> ''"
    if ours:
        query += f" AND key NOT IN (FROM read_parquet({literals(ours)}, union_by_name = true) SELECT key)"
    with connect(folder.path / "rows", memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        result = duck.execute(f"{query} ORDER BY key")
        while rows := result.fetchmany(most):
            yield [key for (key,) in rows]
