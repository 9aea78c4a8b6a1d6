"""Each part connects by the URL that is configured for it, and a part with its own login gets no other."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from pydantic import SecretStr

from hutong import app
from hutong.app.supervisor import _children, run_serve
from hutong.config import Settings
from hutong.db import API_ROLE, CONSOLE_ROLE, WORKER_ROLE
from hutong.errors import ConfigurationError
from support.command_line import Run

ROLES = {None: "database_url", API_ROLE: "api_database_url", WORKER_ROLE: "worker_database_url"}


def settings(*parts: str) -> Settings:
    return Settings(**{part: SecretStr(f"postgresql://{part}@db.example/hutong") for part in parts})


@pytest.mark.parametrize("role", [None, API_ROLE, WORKER_ROLE, CONSOLE_ROLE])
def test_a_part_takes_its_own_url_before_the_owners(role: str | None) -> None:
    with app.using_database(settings("database_url", *filter(None, ROLES.values())), role) as url:
        assert url == f"postgresql://{ROLES.get(role, 'database_url')}@db.example/hutong"
    with app.using_database(settings("database_url"), role) as url:
        assert url == "postgresql://database_url@db.example/hutong"


def test_a_url_for_another_part_starts_no_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in (None, WORKER_ROLE, CONSOLE_ROLE):
        with (
            pytest.raises(ConfigurationError, match="HUTONG_DATABASE_URL is not set"),
            app.using_database(settings("api_database_url"), role),
        ):
            raise AssertionError("not reached")
    monkeypatch.setenv("HUTONG_API_DATABASE_URL", "postgresql://api@db.example/hutong")
    with pytest.raises(ConfigurationError, match="HUTONG_DATABASE_URL is not set"):
        run_serve(sandbox=False)


def test_a_part_with_a_login_of_its_own_gets_no_other() -> None:
    environment = {
        "PATH": "/usr/bin",
        "HUTONG_DATABASE_URL": "owner",
        "HUTONG_API_DATABASE_URL": "api",
        "HUTONG_CONSOLE_DATABASE_URL": "console",
    }
    configured = settings("database_url", "api_database_url", "console_database_url")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker, api = _children({"api": listener}, configured, environment)
    assert api.environment == {"PATH": "/usr/bin", "HUTONG_API_DATABASE_URL": "api"}
    assert worker.environment == environment


@pytest.fixture
def console_url(fresh_database_url: str) -> Iterator[str]:
    name = f"console_{secrets.token_hex(4)}"
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE {CONSOLE_ROLE}")
        yield urlunsplit(urlsplit(fresh_database_url)._replace(netloc=f"{name}:p@"))
        owner.execute(f"DROP ROLE {name}")


def test_commands_work_by_a_login_that_cannot_migrate(
    command: Run, console_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUTONG_DATABASE_URL")
    monkeypatch.setenv("HUTONG_CONSOLE_DATABASE_URL", console_url)
    assert command("operator", "add", "Li Wei").returncode == 0
    assert command("merchant", "create", "Example Store", "--reason", "a contract").returncode == 0
    assert command("operator", "audit", "verify").returncode == 0
    refused = command("migrate")
    assert refused.returncode == 1
    assert "HUTONG_DATABASE_URL is not set" in refused.stderr
