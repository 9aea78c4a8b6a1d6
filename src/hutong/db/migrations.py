"""Migrations: plain SQL files, forward only, applied by yoyo under an advisory lock.

Each module keeps its own in `<module>/migrations/`, named `<module>-0001.what.sql`; a file that needs another names
it in its first line: `-- depends: ledger-0001.accounts`. A database knows what it has by these names, so one that
changes is entered in `RENAMED`. yoyo and its driver are loaded when they are used: they cost time and memory that a
serving process does not need.
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

RENAMED = {
    # Others of their package had the same numbers.
    "payments-0005.items": "payments-0006.items",
    "payments-0006.routing": "payments-0007.routing",
    "payments-0007.customer": "payments-0008.customer",
    "routing-0003.volume_by_currency": "routing-0004.volume_by_currency",
    "routing-0004.trials": "routing-0005.trials",
    # The package has another name.
    "query-0001.bills": "search-0001.bills",
}
"""Migrations whose names have changed: what older databases know them by, and their names now."""


def migrate(dsn: str, *, packages: Collection[str] | None = None) -> list[str]:
    """Bring the database to this version's schema.

    Args:
        packages: The packages whose tables the database has; None means all.

    Repeat:
        Does nothing when there is nothing to do; several processes at once apply each migration once.

    Returns:
        The names of the migrations applied now, in order.

    Errors:
        ConfigurationError: the user of the URL may not do it, or the server is too old; the message says what to do.
        Unavailable: the server does not answer.
    """
    with _locked_backend(dsn) as backend:
        _rename_applied(backend)
        todo = _to_apply(backend, packages)
        names = [migration.id for migration in todo]
        with redirect_stdout(io.StringIO()):  # yoyo prints what a migration selects
            backend.apply_migrations(todo)
        return names


def pending_migrations(dsn: str, *, packages: Collection[str] | None = None) -> list[str]:
    """The names of the migrations that `migrate` would apply. Errors as there."""
    with _locked_backend(dsn) as backend:
        return [migration.id for migration in _to_apply(backend, packages)]


def _to_apply(backend: Any, packages: Collection[str] | None) -> Any:
    import yoyo

    root = Path(str(importlib.resources.files("hutong")))
    folders = [
        str(folder) for folder in sorted(root.glob("*/migrations")) if not packages or folder.parent.name in packages
    ]
    # yoyo looks dependencies up in a registry of the whole process, where another thread's reading would replace them.
    with _READING:
        applied = {new for _, new in _applied_under_old_names(backend)}
        return backend.to_apply(yoyo.read_migrations(*folders).filter(lambda one: one.id not in applied))


def _applied_under_old_names(backend: Any) -> list[tuple[str, str]]:
    """The old and the present name of each migration that the database knows by an old one."""
    from yoyo.migrations import get_migration_hash

    applied = set(backend.get_applied_migration_hashes())
    return [(old, _present_name(old)) for old in RENAMED if get_migration_hash(old) in applied]


def _present_name(name: str) -> str:
    while name in RENAMED:
        name = RENAMED[name]
    return name


def _rename_applied(backend: Any) -> None:
    """Enter the present names of what was applied under older ones. The log keeps the name that it happened under."""
    from yoyo.migrations import get_migration_hash

    found = _applied_under_old_names(backend)
    with backend.transaction():
        for old, new in found:
            backend.execute(
                "UPDATE _yoyo_migration SET migration_hash = :new_hash, migration_id = :new "
                "WHERE migration_hash = :old_hash",
                {"new_hash": get_migration_hash(new), "new": new, "old_hash": get_migration_hash(old)},
            )


@contextmanager
def _locked_backend(dsn: str) -> Iterator[Any]:
    """Yield yoyo's backend of the database, for one process at a time.

    yoyo's own lock is a row, which a killed process leaves behind. Ours ends with its connection, so the process that
    holds ours may delete the row.
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
