"""An installation that was backed up while its books were written, and copies of it to restore."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from hutong.db import Database, EmbeddedServer, migrate
from hutong.ledger import Account
from support.command_line import Run, run_here
from support.fixtures.backups import Bookings, Installation, book_some, database_time
from support.fixtures.ledger import LedgerClient


@pytest.fixture(scope="session")
def pristine() -> Iterator[Installation]:
    """Backed up while transfers were booked; then further ones, up to a moment and after it; then stopped."""
    root = Path(tempfile.mkdtemp(prefix="ht-"))
    root.chmod(0o755)
    made = Installation(root / "home", root / "backup")
    server = EmbeddedServer(made.home, archive=made.folder)
    url = server.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET min_wal_size = '32MB'")  # copies are smaller
        connection.execute("SELECT pg_reload_conf()")
    migrate(url)

    async def open_accounts() -> None:
        async with Database.open(url, size=2) as database:
            accounts = [Account(number, ledger=1, code=1) for number in (1, 2)]
            await LedgerClient(database.run).create_accounts(accounts)

    asyncio.run(open_accounts())
    with Bookings(url) as bookings:
        count = len(bookings.booked)
        done = made.run("backup", "create", "--json", HUTONG_BACKUP_FOLDER=str(made.folder))
        assert done.returncode == 0, done.stderr
        made.created = json.loads(done.stdout)
        made.during = len(bookings.booked) - count
    made.before = bookings.booked + book_some(url, 5)
    time.sleep(0.02)
    made.between = database_time(url)
    time.sleep(0.02)
    made.after = book_some(url, 5)
    server.stop(unless_used=False)
    yield made
    shutil.rmtree(root)


def copied(pristine: Installation, folder: Path, *, linked: bool) -> Installation:
    """Files of the backup folder are links, so a test replaces them and never writes into them."""
    subprocess.run(["cp", "-al" if linked else "-a", pristine.home, folder / "home"], check=True)
    subprocess.run(["cp", "-al", pristine.folder, folder / "backup"], check=True)
    return replace(pristine, home=folder / "home", folder=folder / "backup")


@pytest.fixture
def installation(pristine: Installation, short_folder: Path) -> Iterator[Installation]:
    """A copy with which a test may do what it likes. Its server is down."""
    copy = copied(pristine, short_folder, linked=False)
    yield copy
    copy.server.stop(unless_used=False)


@pytest.fixture
def idle(pristine: Installation, short_folder: Path) -> Installation:
    """A copy whose data folder consists of links too: its server never starts."""
    return copied(pristine, short_folder, linked=True)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Run:
    """`hutong …` on the copy, in this process."""
    name = "idle" if "idle" in request.fixturenames else "installation"
    copy: Installation = request.getfixturevalue(name)
    for setting, value in copy.environment().items():
        monkeypatch.setenv(setting, value)

    return partial(run_here, monkeypatch, capsys)
