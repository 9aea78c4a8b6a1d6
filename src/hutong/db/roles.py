"""The database roles of the platform's parts: how an administrator prepares them, and logins of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hutong.db.link import CLIENT_OPTIONS
from hutong.db.pool import API_ROLE, APP_ROLE, CONNECT_LIMIT_S, CONSOLE_ROLE, PART_ROLES, WORKER_ROLE

_LOCK = 0x6C6F67696E73  # "logins"


def role_statements(owner: str, existing: Collection[str] = ()) -> str:
    """Return the statements with which an administrator prepares the roles for the owner of a database.

    Args:
        existing: Roles that the server has.
    """
    created = [role for role in (APP_ROLE, *PART_ROLES) if role not in existing]
    return " ".join(
        [
            *(f"CREATE ROLE {role} NOLOGIN;" for role in created),
            f"GRANT {APP_ROLE} TO {API_ROLE}, {WORKER_ROLE};",
            f"GRANT {API_ROLE}, {WORKER_ROLE} TO {CONSOLE_ROLE};",
            f'GRANT {", ".join(PART_ROLES)} TO "{owner}";',
        ]
    )


def provide_logins(dsn: str, passwords: Mapping[str, str]) -> None:
    """Let roles log in with these passwords, of which the server gets the SCRAM verifiers alone.

    Args:
        passwords: By role.
    """
    import psycopg
    from psycopg.sql import SQL, Identifier, Literal

    with psycopg.connect(dsn, connect_timeout=CONNECT_LIMIT_S, **CLIENT_OPTIONS) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))  # two changes of one role at once would clash
        for role, password in passwords.items():
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            connection.execute(SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(Identifier(role), Literal(verifier)))
