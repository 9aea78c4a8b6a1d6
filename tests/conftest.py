"""Fixtures for every test: a real PostgreSQL, a printed seed, a clock that moves by `advance`."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hutong.bench.rabbitmq import RabbitMQ
from hutong.clock import ManualClock
from hutong.config import Settings
from hutong.db import Database, EmbeddedServer, Tx
from hutong.demo import RunningPlatform
from hutong.ids import Ids
from hutong.telemetry import configure_logging
from support import SEED, let_through, migrated_database, unavailable
from support.postgres15 import Postgres15


def pytest_report_header() -> str:
    return f"seed: HUTONG_TEST_SEED={SEED}"


_LONG = (
    "tests/simulation/",
    "tests/whole/",
    "tests/races/",
    "tests/api/test_api_contract",
    "tests/events/streams/test_rabbit",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long tests first, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


@pytest.fixture(autouse=True)
def default_logs() -> None:
    """Every test begins with logs as they are by default: a platform opened before it may have hushed them."""
    configure_logging()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One embedded PostgreSQL 18 for the whole run."""
    home = tmp_path_factory.mktemp("home", numbered=False)
    let_through(home)  # otherwise root's server keeps its data outside of the temporary folder, and leaves it there
    server = EmbeddedServer(home)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """The URL of the tests' server: the embedded one, or with HUTONG_TEST_POSTGRES=15 the oldest supported version."""
    if os.environ.get("HUTONG_TEST_POSTGRES") == "15":
        url: str = request.getfixturevalue("postgres15")
        return url
    server: EmbeddedServer = request.getfixturevalue("embedded")
    return server.start()


@pytest.fixture(scope="session")
def postgres15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL 15, the oldest version supported."""
    if not Postgres15.available():
        unavailable("PostgreSQL 15 is not installed")
    with Postgres15(tmp_path_factory.mktemp("pg15")) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ for the whole run; each test uses its own names."""
    if not RabbitMQ.available():
        unavailable("RabbitMQ is not installed")
    broker = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    broker.start()
    yield broker
    broker.close()


@pytest.fixture(scope="session", params=["18", "15"])
def each_server_url(request: pytest.FixtureRequest) -> str:
    """The URL of the embedded server, then of a PostgreSQL 15."""
    if request.param == "18":
        server: EmbeddedServer = request.getfixturevalue("embedded")
        return server.start()
    url: str = request.getfixturevalue("postgres15")
    return url


@pytest.fixture(scope="session")
def database_url(server_url: str) -> str:
    """A migrated database that all tests share; each test works with its own owners."""
    return migrated_database(server_url)


@pytest.fixture
def fresh_database_url(server_url: str) -> str:
    """A migrated database for one test alone."""
    return migrated_database(server_url)


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url, size=32) as opened:
        yield opened


@pytest.fixture
async def tx(database: Database) -> AsyncIterator[Tx]:
    """A transaction that is rolled back when the test ends."""
    async with database.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def rng() -> random.Random:
    return random.Random(SEED)


@pytest.fixture
def ids(clock: ManualClock) -> Ids:
    return Ids(clock)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder with a path short enough for sockets, which any user can pass through."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="ht-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


# The platform as users run it, in separate processes


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A data folder for platforms; a server that is left running is stopped at the end."""
    folder = tmp_path_factory.mktemp("platform")
    let_through(folder)
    yield str(folder)
    EmbeddedServer(folder).stop(unless_used=False)


@pytest.fixture
def environment(home: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("HUTONG_HOME", home)
    monkeypatch.setenv("HUTONG_LOG_LEVEL", "warning")
    monkeypatch.delenv("HUTONG_DATABASE_URL", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return dict(os.environ)


@pytest.fixture
def platform(environment: dict[str, str]) -> Iterator[RunningPlatform]:
    running = RunningPlatform(Settings(), own=True)
    yield running
    running.stop()
