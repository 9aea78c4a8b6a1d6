"""Migrations: plain SQL files, forward only, applied by yoyo under an advisory lock.

Each module keeps its own in `<module>/migrations/`, named `<module>-0001.what.sql`; a file that needs another names
it in its first line: `-- depends: ledger-0001.accounts`.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

_LOCK = 0x4875746F6E67  # "Hutong"


def migrate(dsn: str) -> list[str]:
    """Bring the database to this version's schema.

    Repeat:
        Does nothing when there is nothing to do; several processes at once apply each migration once.

    Returns:
        The names of the migrations applied now, in order.
    """
    with _locked(dsn), _backend(dsn) as backend:
        backend.break_lock()  # ours is the advisory lock; a row left behind by a killed process must not stop us
        todo = backend.to_apply(_migrations())
        names = [migration.id for migration in todo]
        if names:
            with backend.lock():
                backend.apply_migrations(todo)
        return names


def pending_migrations(dsn: str) -> list[str]:
    """The names of the migrations that `migrate` would apply."""
    with _backend(dsn) as backend:
        return [migration.id for migration in backend.to_apply(_migrations())]


def _migrations() -> Any:
    import yoyo  # costs 0.1 s, so only where it is used

    package = Path(str(importlib.resources.files("hutong")))
    return yoyo.read_migrations(*(str(folder) for folder in sorted(package.glob("*/migrations"))))


@contextmanager
def _backend(dsn: str) -> Iterator[Any]:
    import yoyo

    parts = urlsplit(dsn)
    backend = yoyo.get_backend(urlunsplit(parts._replace(scheme="postgresql+psycopg")))
    try:
        yield backend
    finally:
        backend.connection.close()


@contextmanager
def _locked(dsn: str) -> Iterator[None]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        yield
