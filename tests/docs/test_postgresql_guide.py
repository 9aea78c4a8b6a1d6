"""The two ways to prepare a PostgreSQL, as the guide and the README print them, on both ends of what is supported."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import psycopg
import pytest

from hutong.db import Database
from support.command_line import run_here

ROOT = Path(__file__).parents[2]
ROLES = ["hutong_app", "hutong_api", "hutong_worker", "hutong_console"]
LOGINS = ["hutong_api_login", "hutong_worker_login", "hutong_console_login"]
PAGES = (ROOT / "docs" / "guides" / "postgresql.md", ROOT / "README.md")
WAYS = {path.name: re.findall(r"^```sql\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL) for path in PAGES}


def test_readme_and_guide_print_the_same() -> None:
    assert WAYS["postgresql.md"] == WAYS["README.md"]
    assert len(WAYS["README.md"]) == 2


@pytest.fixture
def server_without_our_role(each_server_url: str) -> Iterator[str]:
    """A server on which Hutong has never been: the role that other tests share stands aside meanwhile."""
    with psycopg.connect(each_server_url, autocommit=True) as connection:
        shared = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (ROLES,)).fetchall()
        for (role,) in shared:
            connection.execute(f"ALTER ROLE {role} RENAME TO {role}_aside")
        try:
            yield each_server_url
        finally:
            connection.execute("DROP DATABASE IF EXISTS hutong_guide WITH (FORCE)")
            for role in [*LOGINS, *ROLES, "hutong_guide"]:
                connection.execute(f"DROP ROLE IF EXISTS {role}")
            for (role,) in shared:
                connection.execute(f"ALTER ROLE {role}_aside RENAME TO {role}")


@pytest.mark.parametrize("way", [0, 1], ids=["may create roles", "was given the role"])
async def test_role_prepared_as_printed_can_migrate_and_serve(
    server_without_our_role: str,
    way: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    text = re.sub(r"\bhutong\b", "hutong_guide", WAYS["README.md"][way])
    with psycopg.connect(server_without_our_role, autocommit=True) as connection:
        for statement in filter(str.strip, text.split(";")):
            connection.execute(statement)  # type: ignore[call-overload]
    query = urlsplit(server_without_our_role).query
    url = f"postgresql://hutong_guide:choose%20one@/hutong_guide?{query}"
    monkeypatch.setenv("HUTONG_DATABASE_URL", url)
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path))
    for command in ("migrate", "doctor"):
        done = await asyncio.to_thread(run_here, monkeypatch, capsys, command)
        assert done.returncode == 0, done
    assert "FAIL" not in done.stdout
    assert "ok for play" in done.stdout
    assert "missing: a channel account" in done.stdout
    async with Database.open(url, size=2) as database, database.transaction() as tx:
        assert await tx.fetchval("SELECT current_user") == "hutong_console"
        assert await tx.fetchval("SELECT session_user") == "hutong_guide"
        assert await tx.fetchval("SELECT count(*) FROM payments.payment") == 0
    await logins_for_each_part_work_as_printed(server_without_our_role, query)


async def logins_for_each_part_work_as_printed(server_url: str, query: str) -> None:
    guide = (ROOT / "docs" / "guides" / "postgresql.md").read_text()
    (block,) = re.findall(r"^```postgresql\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    with psycopg.connect(server_url, autocommit=True) as connection:
        for statement in filter(str.strip, block.split(";")):
            connection.execute(statement)
    for login, password in re.findall(r"ROLE (\w+) LOGIN PASSWORD '([^']+)'", block):
        role = login.removesuffix("_login")
        url = f"postgresql://{login}:{quote(password)}@/hutong_guide?{query}"
        async with Database.open(url, size=1, role=role) as database, database.transaction() as tx:
            assert await tx.fetchval("SELECT current_user || ' ' || session_user") == f"{role} {login}"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await tx.execute("SET ROLE hutong_guide")
