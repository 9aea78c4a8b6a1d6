"""Databases carried from one server to another, by the commands of the guide, and transaction counters moved on."""

from __future__ import annotations

import subprocess
import tempfile

import psycopg

from hutong.db import embedded_system, migrate
from support import create_database

_ROUNDS = 10_000


def restore_copy(source_url: str, target_server_url: str) -> str:
    """Dump a database, restore it into a new one on another server, and return its URL."""
    migrate(create_database(target_server_url), packages=["db"])  # the role is there to which the dump gives rights
    url = create_database(target_server_url)
    programs = embedded_system.reachable_binaries(embedded_system.server_user())
    with tempfile.NamedTemporaryFile(suffix=".dump") as file:
        for command in (
            [programs / "pg_dump", "--format=custom", f"--file={file.name}", source_url],
            [programs / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={url}", file.name],
        ):
            done = subprocess.run(command, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr.decode()
    return url


def counter(url: str) -> int:
    """The next transaction number of a server."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        assert row is not None
        return int(row[0])


def burn_transactions(url: str, until: int) -> None:
    """Use transaction numbers up until the counter has passed a number."""
    with psycopg.connect(url, autocommit=True) as connection:
        while counter(url) <= until:
            connection.execute(
                f"DO $$ BEGIN FOR n IN 1..{_ROUNDS} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
            )
