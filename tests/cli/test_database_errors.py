"""A database that cannot be used is refused by every command in one line that says what to do, without a secret."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from support import create_database
from support.command_line import Done, Run, run_here

COMMANDS = [
    ("migrate",),
    ("merchant", "create", "Example Store"),
    ("ledger", "trial-balance", "--day", "2026-01-31"),
    ("doctor", "channel", "main"),
    ("doctor",),
    ("operator", "list"),
    ("prepare",),
]
"""Commands that open the database in each of their manners."""

UseDatabase = Callable[[str], Run]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> UseDatabase:
    def use(url: str) -> Run:
        monkeypatch.setenv("HUTONG_DATABASE_URL", url)
        monkeypatch.setenv("HUTONG_HOME", str(tmp_path / "home"))
        return partial(run_here, monkeypatch, capsys)

    return use


def is_sent_to_migrate(arguments: tuple[str, ...], line: str) -> bool:
    """Whether this is the command that does not migrate, and sends to the one that does and has the remedy."""
    return arguments[:2] == ("doctor", "channel") and "`hutong migrate` prepares roles and logins" in line


def line_of(done: Done) -> str:
    """The one line with which a command fails; for `doctor`, that of its failed check."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("ok ")]
    assert done.returncode == 1, lines
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("password", "named"),
    [("choose one", "must not have blanks"), ("a@b", "another way"), ("12/3", "another way"), ("a/b", "another way"),
     ("50%off", "two hexadecimal digits"), ("a#b", "another way"), ("12?3", "another way"), ("a:b\t", "blanks")],
)  # fmt: skip
def test_a_password_that_is_not_encoded_is_named_and_not_shown(use: UseDatabase, password: str, named: str) -> None:
    command = use(f"postgresql://hutong:{password}@127.0.0.1:1/hutong")
    for arguments in COMMANDS[:1] if password != "choose one" else COMMANDS:
        line = line_of(command(*arguments))
        assert line.startswith("hutong: configuration_error: HUTONG_DATABASE_URL: "), arguments
        assert named in line
        assert "a blank %20" in line
        assert password not in line


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:choose%20one@db.example:5432,[::1]:5433/hutong?sslmode=verify-full",
        "postgresql:///hutong?host=/tmp",
    ],
)
def test_addresses_of_all_forms_are_taken(use: UseDatabase, url: str) -> None:
    done = use(url)("db", "url")
    assert (done.returncode, done.stdout) == (0, f"{url}\n")


@pytest.fixture
def stranger(each_server_url: str) -> Iterator[tuple[str, str]]:
    """A role that may log in to a database and nothing else, and the database's address for it."""
    name = f"stranger_{secrets.token_hex(4)}"
    url = create_database(each_server_url)
    parts = urlsplit(url)
    with psycopg.connect(each_server_url, autocommit=True) as connection:
        connection.execute(SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(Identifier(name)))
        yield name, f"postgresql://{name}:x@/{parts.path.lstrip('/')}?{parts.query}"
        connection.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def test_a_role_without_rights_is_named_with_the_remedy(use: UseDatabase, stranger: tuple[str, str]) -> None:
    name, url = stranger
    command = use(url)
    for arguments in COMMANDS:
        line = line_of(command(*arguments))
        if not is_sent_to_migrate(arguments, line):
            assert f"the database user {name} lacks a right: CREATE on the database" in line, arguments
            assert f'OWNER TO "{name}";' in line


def test_an_owner_who_cannot_make_the_roles_gets_the_statements(
    use: UseDatabase, stranger: tuple[str, str], each_server_url: str
) -> None:
    name, url = stranger
    with psycopg.connect(each_server_url, autocommit=True) as connection:
        database = Identifier(urlsplit(url).path.lstrip("/"))
        connection.execute(SQL("ALTER DATABASE {} OWNER TO {}").format(database, Identifier(name)))
        try:
            for arguments in (("migrate",), ("merchant", "create", "Example Store")):
                line = line_of(use(url)(*arguments))
                assert f"the database user {name} lacks a right" in line, arguments
                assert f'GRANT hutong_api, hutong_worker, hutong_console TO "{name}";' in line
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(database))


def test_a_database_that_is_not_in_utf_8_is_refused(use: UseDatabase, each_server_url: str) -> None:
    name = f"test_{secrets.token_hex(6)}"
    current = urlsplit(each_server_url)
    with psycopg.connect(each_server_url, autocommit=True) as connection:
        options = "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
        connection.execute(SQL("CREATE DATABASE {} " + options).format(Identifier(name)))  # type: ignore[arg-type]
        command = use(current._replace(path=f"/{name}").geturl())
        try:
            for arguments in COMMANDS:
                line = line_of(command(*arguments))
                if is_sent_to_migrate(arguments, line):
                    continue
                assert "the database is in SQL_ASCII and must be in UTF8" in line, arguments
                assert "CREATE DATABASE hutong ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0" in line
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def test_an_unexpected_error_of_the_database_is_one_line(use: UseDatabase, fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("ALTER TABLE merchants.merchant RENAME TO elsewhere")
    line = line_of(use(fresh_database_url)("merchant", "create", "Example Store"))
    assert line == ('hutong: database_error: relation "merchants.merchant" does not exist (UndefinedTableError, 42P01)')
