"""What tests share that is not a fixture."""

from __future__ import annotations

import os
import secrets

import psycopg
import pytest

CI = os.environ.get("CI") == "true"
SEED = int(os.environ.get("HUTONG_TEST_SEED", "0")) or secrets.randbits(32)


def unavailable(reason: str) -> None:
    """Skip where an optional part is missing; in continuous integration that is a failure."""
    if CI:
        pytest.fail(f"must not be skipped in CI: {reason}")
    pytest.skip(reason)


def create_database(server_url: str) -> str:
    """Make an empty database on the server and return its URL."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
        current = connection.info.dbname
    return server_url.replace(f"/{current}?", f"/{name}?")
