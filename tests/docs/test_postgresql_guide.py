"""The two ways to prepare a PostgreSQL, as the guide and the README print them, on both ends of what is supported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from hutong.db import Database, migrate, pending_migrations

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "guides" / "postgresql.md", ROOT / "README.md")
WAYS = {path.name: re.findall(r"^```sql\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL) for path in PAGES}


def test_readme_and_guide_print_the_same() -> None:
    assert WAYS["postgresql.md"] == WAYS["README.md"]
    assert len(WAYS["README.md"]) == 2


@pytest.fixture
def server_without_our_role(each_server_url: str) -> Iterator[str]:
    """A server on which Hutong has never been: the role that other tests share stands aside meanwhile."""
    with psycopg.connect(each_server_url, autocommit=True) as connection:
        shared = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'hutong_app'").fetchone()
        if shared:
            connection.execute("ALTER ROLE hutong_app RENAME TO hutong_app_aside")
        try:
            yield each_server_url
        finally:
            connection.execute("DROP DATABASE IF EXISTS hutong_guide WITH (FORCE)")
            connection.execute("DROP ROLE IF EXISTS hutong_app")
            connection.execute("DROP ROLE IF EXISTS hutong_guide")
            if shared:
                connection.execute("ALTER ROLE hutong_app_aside RENAME TO hutong_app")


@pytest.mark.parametrize("way", [0, 1], ids=["may create roles", "was given the role"])
async def test_role_prepared_as_printed_can_migrate_and_serve(server_without_our_role: str, way: int) -> None:
    text = re.sub(r"\bhutong\b", "hutong_guide", WAYS["README.md"][way])
    with psycopg.connect(server_without_our_role, autocommit=True) as connection:
        for statement in filter(str.strip, text.split(";")):
            connection.execute(statement)  # type: ignore[call-overload]
    query = urlsplit(server_without_our_role).query
    url = f"postgresql://hutong_guide:choose%20one@/hutong_guide?{query}"
    migrate(url)
    assert pending_migrations(url) == []
    async with Database.open(url, size=2) as database, database.transaction() as tx:
        assert await tx.fetchval("SELECT current_user") == "hutong_app"
        assert await tx.fetchval("SELECT session_user") == "hutong_guide"
        assert await tx.fetchval("SELECT count(*) FROM payments.payment") == 0
