"""Migrations: plain SQL files, forward only, applied by yoyo under an advisory lock.

Each package keeps its own in `<package>/migrations/`, named `<package>-0001.what.sql`. A file that depends on another
names it in its first line: `-- depends: ledger-0001.accounts`. A database records the applied migrations by name, so a
changed name is entered in `RENAMED`. yoyo and its driver are imported at use, since a serving process needs neither.
"""

from __future__ import annotations

import importlib.resources
import io
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from hutong.db.link import CLIENT_OPTIONS
from hutong.db.pool import ADOPT, CONNECT_LIMIT_S, MINIMUM_VERSION, check_encoding
from hutong.db.roles import role_statements
from hutong.errors import ConfigurationError, Unavailable
from hutong.telemetry import get_logger

if TYPE_CHECKING:
    import psycopg

_log = get_logger(__name__)
_LOCK = 0x4875746F6E67  # "Hutong"
_WRITE_LOCK = _LOCK + 1
_READING = threading.Lock()
_MISSING_RIGHTS = """
    SELECT 'the database' WHERE NOT has_database_privilege(current_database(), 'CREATE')
    UNION ALL SELECT 'the schema ' || current_schema()
        WHERE to_regclass('yoyo_lock') IS NULL AND NOT has_schema_privilege(current_schema(), 'CREATE')
"""

RENAMED = {
    # The numbers were not unique in the package.
    "payments-0005.items": "payments-0006.items",
    "payments-0006.routing": "payments-0007.routing",
    "payments-0007.customer": "payments-0008.customer",
    "routing-0003.volume_by_currency": "routing-0004.volume_by_currency",
    "routing-0004.trials": "routing-0005.trials",
    # The package was renamed.
    "query-0001.bills": "search-0001.bills",
}
"""Renamed migrations: the names in older databases, and the current names."""


def migrate(dsn: str, *, packages: Collection[str] | None = None) -> list[str]:
    """Bring the database to this version's schema.

    Args:
        packages: The packages whose tables the database has; None means all.

    Effects:
        Adopts the cluster if the database was restored into another one, as `Database.open` does.

    Repeat:
        Nothing is applied twice; concurrent processes apply each migration once.

    Returns:
        The names of the migrations that this call applied, in order.

    Errors:
        ConfigurationError: the user of the URL lacks a right, the server is too old, or the database is not in UTF-8;
            the message has the remedy.
        Unavailable: the server does not answer.
    """
    with _locked_backend(dsn) as backend:
        _rename_applied(backend)
        _adopt_cluster(backend)  # before the migrations, which may keep numbers of transactions
        todo = _to_apply(backend, packages)
        names = [migration.id for migration in todo]
        with redirect_stdout(io.StringIO()):  # yoyo prints what a migration selects
            for migration in todo:
                _apply(backend, migration)
        return names


def pending_migrations(dsn: str, *, packages: Collection[str] | None = None) -> list[str]:
    """Return the names of the migrations that `migrate` would apply. Errors as `migrate`."""
    with _locked_backend(dsn) as backend:
        return [migration.id for migration in _to_apply(backend, packages)]


def _apply(backend: Any, migration: Any) -> None:
    """Apply a migration and record it in one transaction, which yoyo does in two, on two connections.

    A process that is killed in between would leave a database that no start can migrate any more.
    """
    with backend.transaction():
        migration.process_steps(backend, "apply")
        backend.log_migration(migration, "apply")
        backend.mark_one(migration, log=False)


def _adopt_cluster(backend: Any) -> None:
    with backend.transaction():
        ((known,),) = backend.execute("SELECT to_regprocedure('db.adopt_cluster()') IS NOT NULL").fetchall()
        ((epoch,),) = backend.execute(ADOPT).fetchall() if known else ((None,),)
    if epoch is not None:
        _log.warning("cluster_adopted", epoch=epoch)


def _to_apply(backend: Any, packages: Collection[str] | None) -> Any:
    import yoyo

    root = Path(str(importlib.resources.files("hutong")))
    folders = [
        str(folder) for folder in sorted(root.glob("*/migrations")) if not packages or folder.parent.name in packages
    ]
    # yoyo keeps dependencies in a registry of the process, which a concurrent read in another thread would replace.
    with _READING:
        applied = {new for _, new in _applied_under_old_names(backend)}
        return backend.to_apply(yoyo.read_migrations(*folders).filter(lambda migration: migration.id not in applied))


def _applied_under_old_names(backend: Any) -> list[tuple[str, str]]:
    """Return the old and the current name of each migration that is recorded under an old name."""
    from yoyo.migrations import get_migration_hash

    applied = set(backend.get_applied_migration_hashes())
    return [(old, _current_name(old)) for old in RENAMED if get_migration_hash(old) in applied]


def _current_name(name: str) -> str:
    while name in RENAMED:
        name = RENAMED[name]
    return name


def _rename_applied(backend: Any) -> None:
    """Record applied migrations under their current names. The log keeps the original names."""
    from yoyo.migrations import get_migration_hash

    renamed = _applied_under_old_names(backend)
    with backend.transaction():
        for old, new in renamed:
            backend.execute(
                "UPDATE _yoyo_migration SET migration_hash = :new_hash, migration_id = :new "
                "WHERE migration_hash = :old_hash",
                {"new_hash": get_migration_hash(new), "new": new, "old_hash": get_migration_hash(old)},
            )


@contextmanager
def _locked_backend(dsn: str) -> Iterator[Any]:
    """Open yoyo's backend for one process at a time.

    yoyo's own lock is a row, which a killed process leaves behind. Our advisory lock ends with its connection, so its
    holder may delete the row.
    """
    import psycopg
    import yoyo

    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_LIMIT_S, **CLIENT_OPTIONS)
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database cannot be reached: {' '.join(str(error).split())}") from error
    with connection:
        _check_server(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        _check_rights(connection)
        backend = yoyo.get_backend(urlunsplit(urlsplit(dsn)._replace(scheme="postgresql+psycopg")))
        try:
            # On this connection too: the server may still finish the last command of one that was killed.
            backend.execute("SELECT pg_advisory_lock(:key)", {"key": _WRITE_LOCK})
            backend.break_lock()
            yield backend
        except psycopg.errors.InsufficientPrivilege as error:
            raise _missing_right(connection, str(error)) from error
        finally:
            backend.connection.close()


def _check_server(connection: psycopg.Connection[Any]) -> None:
    if connection.info.server_version < MINIMUM_VERSION * 10_000:
        detail = f"the database must be PostgreSQL {MINIMUM_VERSION} or later"
        raise ConfigurationError(detail, param="HUTONG_DATABASE_URL")
    check_encoding(connection.info.parameter_status("server_encoding"))


def _check_rights(connection: psycopg.Connection[Any]) -> None:
    """Refuse a user that can make neither yoyo's tables nor ours; yoyo itself hides the server's refusal."""
    for (missing,) in connection.execute(_MISSING_RIGHTS).fetchall():
        raise _missing_right(connection, f"CREATE on {missing}")


def _missing_right(connection: psycopg.Connection[Any], right: str) -> ConfigurationError:
    user = connection.info.user
    roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    return ConfigurationError(
        f"the database user {user} lacks a right: {right}. Have an administrator run: "
        f'{role_statements(user, roles)} ALTER DATABASE "{connection.info.dbname}" OWNER TO "{user}";',
        param="HUTONG_DATABASE_URL",
    )
