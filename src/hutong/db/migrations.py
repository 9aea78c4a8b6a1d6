"""Migrations: plain SQL files, forward only, applied by yoyo under an advisory lock.

Each module keeps its own in `<module>/migrations/`, named `<module>-0001.what.sql`; a file that needs another names
it in its first line: `-- depends: ledger-0001.accounts`. yoyo and its driver are loaded when they are used: they cost
time and memory that a serving process does not need.
"""

from __future__ import annotations

import importlib.resources
import io
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from hutong.db.pool import APP_ROLE, CONNECT_LIMIT_S, MINIMUM_VERSION
from hutong.errors import ConfigurationError, Unavailable

_LOCK = 0x4875746F6E67  # "Hutong"
_READING = threading.Lock()


def migrate(dsn: str, *, rooms: Collection[str] | None = None) -> list[str]:
    """Bring the database to this version's schema.

    Args:
        rooms: Only these modules' part of it, for a database that holds no more.

    Repeat:
        Does nothing when there is nothing to do; several processes at once apply each migration once.

    Returns:
        The names of the migrations applied now, in order.

    Errors:
        ConfigurationError: the user of the URL may not do it, or the server is too old; the message says what to do.
        Unavailable: the server does not answer.
    """
    with _locked_backend(dsn) as backend:
        todo = _to_apply(backend, rooms)
        names = [migration.id for migration in todo]
        with redirect_stdout(io.StringIO()):  # yoyo prints what a migration selects
            backend.apply_migrations(todo)
        return names


def pending_migrations(dsn: str, *, rooms: Collection[str] | None = None) -> list[str]:
    """The names of the migrations that `migrate` would apply. Errors as there."""
    with _locked_backend(dsn) as backend:
        return [migration.id for migration in _to_apply(backend, rooms)]


def _to_apply(backend: Any, rooms: Collection[str] | None) -> Any:
    import yoyo

    package = Path(str(importlib.resources.files("hutong")))
    folders = [
        str(folder) for folder in sorted(package.glob("*/migrations")) if not rooms or folder.parent.name in rooms
    ]
    # yoyo looks dependencies up in a registry of the whole process, where another thread's reading would replace them.
    with _READING:
        return backend.to_apply(yoyo.read_migrations(*folders))


@contextmanager
def _locked_backend(dsn: str) -> Iterator[Any]:
    """yoyo's hold on the database, for one process at a time.

    yoyo's own lock is a row, which a killed process leaves behind; ours goes with its connection, so whoever has it
    may take the row away.
    """
    import psycopg
    import yoyo

    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_LIMIT_S)
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    with connection:
        if connection.info.server_version < MINIMUM_VERSION * 10_000:
            raise ConfigurationError(f"PostgreSQL {MINIMUM_VERSION} or later is needed", param="HUTONG_DATABASE_URL")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        backend = yoyo.get_backend(urlunsplit(urlsplit(dsn)._replace(scheme="postgresql+psycopg")))
        try:
            backend.break_lock()
            yield backend
        except psycopg.errors.InsufficientPrivilege as error:
            user = connection.info.user
            raise ConfigurationError(
                f"the database user {user} may not do this: {error}. Have an administrator run: "
                f'CREATE ROLE {APP_ROLE} NOLOGIN; GRANT {APP_ROLE} TO "{user}"; '
                f'ALTER DATABASE "{connection.info.dbname}" OWNER TO "{user}";',
                param="HUTONG_DATABASE_URL",
            ) from error
        finally:
            backend.connection.close()
