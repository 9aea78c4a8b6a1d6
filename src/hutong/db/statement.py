"""SQL lives in files; this loads it. Nothing else in Hutong makes a statement."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

    from hutong.db.pool import Tx

_HEADING = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Statement:
    """One named statement. asyncpg prepares it once per connection and reuses the plan."""

    __slots__ = ("name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def __repr__(self) -> str:
        return f"Statement({self.name})"

    async def fetch(self, tx: Tx, *arguments: object) -> list[asyncpg.Record]:
        """Run and return all rows."""
        return await tx.fetch(self.text, *arguments)

    async def fetchrow(self, tx: Tx, *arguments: object) -> asyncpg.Record | None:
        """Run and return the first row, or None."""
        return await tx.fetchrow(self.text, *arguments)

    async def fetchval(self, tx: Tx, *arguments: object) -> Any:
        """Run and return the first column of the first row, or None."""
        return await tx.fetchval(self.text, *arguments)

    async def execute(self, tx: Tx, *arguments: object) -> str:
        """Run and return the command tag, such as "UPDATE 3"."""
        return await tx.execute(self.text, *arguments)

    async def executemany(self, tx: Tx, rows: Iterable[Sequence[object]]) -> None:
        """Run once per row in one round trip. Prefer one statement over arrays."""
        await tx.executemany(self.text, rows)

    async def cursor(self, tx: Tx, *arguments: object, prefetch: int = 1000) -> AsyncIterator[asyncpg.Record]:
        """Run and yield rows as they arrive, for results too large to hold."""
        async for row in tx.cursor(self.text, *arguments, prefetch=prefetch):
            yield row


class Statements:
    """The statements of one module by name: `sql.claim_due_payments`."""

    def __init__(self, entries: dict[str, Statement]) -> None:
        self._entries = entries

    def __getattr__(self, name: str) -> Statement:
        try:
            return self._entries[name]
        except KeyError as error:
            raise AttributeError(f"no statement is named {name}") from error

    def __iter__(self) -> Iterable[Statement]:
        return iter(self._entries.values())


def statements(package: str) -> Statements:
    """Load every `sql/*.sql` of a package.

    Args:
        package: Usually `__package__`.

    Errors:
        ValueError: two statements share a name, or a file holds SQL above its first `-- name:` line.
    """
    entries: dict[str, Statement] = {}
    folder = importlib.resources.files(package) / "sql"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        preamble, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        if any(line.strip() and not line.startswith("--") for line in preamble.splitlines()):
            raise ValueError(f"{package}: {file.name} holds SQL without a name")
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in entries:
                raise ValueError(f"{package}: two statements are named {name}")
            entries[name] = Statement(name, text.strip())
    return Statements(entries)
