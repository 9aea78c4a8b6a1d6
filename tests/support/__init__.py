"""Functions that tests share and that are no fixtures."""

from __future__ import annotations

import os
import secrets
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from hutong.db import migrate

CI = os.environ.get("CI") == "true"
SEED = int(os.environ.setdefault("HUTONG_TEST_SEED", "20" if CI else str(secrets.randbits(32))))
"""In continuous integration the same each time, as Hypothesis has it there: what another seed brings to light belongs
to the runs that look for it, and not to the change that happens to be tested."""


def unavailable(reason: str) -> None:
    """Skip a test because an optional part is missing; in continuous integration, fail."""
    if CI:
        pytest.fail(f"must not be skipped in CI: {reason}")
    pytest.skip(reason)


def create_database(server_url: str, template: str | None = None) -> str:
    """Create an empty database on the server, or a copy of a template, and return its URL."""
    name = f"test_{secrets.token_hex(6)}"
    copied = "" if template is None else f' TEMPLATE "{urlsplit(template).path.lstrip("/")}"'
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"{copied}')  # type: ignore[call-overload]
        current = connection.info.dbname
    return server_url.replace(f"/{current}?", f"/{name}?")


def migrated_database(server_url: str, packages: tuple[str, ...] | None = None) -> str:
    """Create a database with this version's tables, of these packages or of all, and return its URL.

    A copy takes a fraction of the time of the migrations, which `tests/db` proves.
    """
    return create_database(server_url, _migrated(server_url, packages))


@cache
def _migrated(server_url: str, packages: tuple[str, ...] | None) -> str:
    """Return the URL of a migrated database that nobody uses: copies of it are made."""
    url = create_database(server_url)
    migrate(url, packages=packages)
    return url


def let_through(folder: Path) -> None:
    """Let other users reach a temporary folder: as root, servers run as users of their own."""
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.geteuid() and place.stat().st_mode & 0o777 == 0o700:
            place.chmod(0o711)
