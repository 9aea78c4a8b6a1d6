"""SQL lives in files; this loads it. Nothing else in Hutong makes a statement."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

    from hutong.db.pool import Tx

_HEADING = re.compile(r"^[ \t]*--[ \t]*name[ \t]*:(.*)$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


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
    """The statements of one module, each an attribute of its name."""

    def __init__(self, entries: dict[str, Statement]) -> None:
        self._entries = entries

    def __getattr__(self, name: str) -> Statement:
        try:
            return self.__dict__["_entries"][name]  # type: ignore[no-any-return]
        except KeyError as error:
            raise AttributeError(f"no statement is named {name}") from error

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._entries.values())


def load_statements(package: str) -> Statements:
    """Load every `sql/*.sql` of a package.

    Args:
        package: Usually `__package__`.

    Errors:
        ValueError: a file has SQL above its first `-- name:` line, a name is no name, is used twice or has nothing
            below it. All are mistakes in the source, found when the module is imported.
    """
    entries: dict[str, Statement] = {}
    folder = importlib.resources.files(package) / "sql"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        where = f"{package}: {file.name}"
        preamble, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        if _holds_sql(preamble):
            raise ValueError(f"{where} holds SQL without a name")
        for name, text in zip(map(str.strip, parts[::2]), parts[1::2], strict=True):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{where}: {name!r} is not a name in lower snake case")
            if name in entries:
                raise ValueError(f"{where}: two statements are named {name}")
            if not _holds_sql(text):
                raise ValueError(f"{where}: {name} is empty")
            entries[name] = Statement(name, text.strip())
    return Statements(entries)


def _holds_sql(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("--") for line in text.splitlines())
