"""Several starts at once on an empty database, some of them killed: each of the others serves, and nothing is left."""

from __future__ import annotations

import base64
import os
import random
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from hutong import sandbox
from hutong.demo.platform import free_port
from support import create_database

SCHEMA = (Path(__file__).parents[1] / "db/schema_of.sql").read_text()
STARTS = Path(__file__).parents[1] / "support/processes/first_starts.py"
FIRST_DATA = """
    SELECT 'code ' || concat_ws(' ', channel, version) FROM channels.code_map
    UNION ALL SELECT 'account ' || concat_ws(' ', channel, name, enabled, sandbox) FROM channels.account
    UNION ALL SELECT 'in default ' || count(*) FROM ledger.transfer_default
    UNION ALL SELECT 'partitions ' || count(*) || ' gaps ' || count(*) FILTER (WHERE low_ms <> before)
        FROM (SELECT low_ms, coalesce(lag(high_ms) OVER (ORDER BY low_ms), low_ms) AS before FROM ledger.partition) p
    UNION ALL SELECT 'partitions of ' || parent || ' ' || count(*) FROM events.partition GROUP BY parent
    ORDER BY 1
"""


def everything(url: str) -> list[str]:
    """Describe the schema and the first data of a database, a line each."""
    with psycopg.connect(url) as connection:
        return [str(row[0]) for query in (SCHEMA, FIRST_DATA) for row in connection.execute(query)]  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's folder, with its key material."""
    folder = tmp_path_factory.mktemp("keys")
    sandbox.accounts(folder, "http://127.0.0.1:1")
    return folder


def environment(url: str, **settings: str) -> dict[str, str]:
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUTONG_")}
    chosen = {"DATABASE_URL": url, "SECRET_KEY": secret, "LOG_LEVEL": "warning"} | settings
    return inherited | {f"HUTONG_{name}": value for name, value in chosen.items()}


def start(url: str, keys: Path, homes: list[Path], kill_after_s: float = 0) -> float:
    """Start in each folder at once; return how long that took. No start may fail or complain."""
    command = [sys.executable, str(STARTS), ",".join(map(str, homes)), str(kill_after_s)]
    begin = time.monotonic()
    done = subprocess.run(
        command, env=environment(url, TEST_SANDBOX=str(keys)), capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return time.monotonic() - begin


@pytest.fixture(scope="module")
def alone(server_url: str, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], float]:
    """What a lone start leaves, and how long it takes."""
    url = create_database(server_url)
    duration = start(url, keys, [tmp_path_factory.mktemp("alone")])
    return everything(url), duration


def test_first_starts_at_once_one_of_them_killed_leave_what_a_lone_one_leaves(
    server_url: str, keys: Path, alone: tuple[list[str], float], tmp_path: Path, rng: random.Random
) -> None:
    expected, duration = alone
    kill_after_s = rng.uniform(0.1, duration)
    print(f"killed after {kill_after_s:.2f} s")
    homes = [tmp_path / "shared", tmp_path / "own", tmp_path / "shared"]
    start(url := create_database(server_url), keys, homes, kill_after_s)
    assert everything(url) == expected


@contextmanager
def serving(url: str, home: Path, secret: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a whole installation; yield its supervisor and its port. It ends with the block, and has logged nothing."""
    home.mkdir(exist_ok=True)
    port = free_port()
    settings = environment(url, HOME=str(home), PORT=str(port), SECRET_KEY=secret)
    with (home / "log").open("ab") as log:
        command = [sys.executable, "-m", "hutong", "serve"]
        process = subprocess.Popen(command, env=settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process, port
    finally:
        process.terminate()
        process.wait(240)


def is_ready(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def test_three_replicas_that_start_at_once_all_serve_though_one_is_killed(
    server_url: str, alone: tuple[list[str], float], tmp_path: Path, rng: random.Random
) -> None:
    url, secret = create_database(server_url), base64.b64encode(secrets.token_bytes(32)).decode()
    with ExitStack() as stack:
        replicas = [stack.enter_context(serving(url, tmp_path / str(at), secret)) for at in range(3)]
        time.sleep(rng.uniform(0.5, 2 * alone[1]))
        killed, _ = replicas.pop()
        for process in [*psutil.Process(killed.pid).children(recursive=True), killed]:
            process.kill()
        killed.wait()
        replicas.append(stack.enter_context(serving(url, tmp_path / "2", secret)))
        deadline = time.monotonic() + 240
        while not all(is_ready(port) for _, port in replicas):
            assert all(process.poll() is None for process, _ in replicas)
            assert time.monotonic() < deadline
            time.sleep(0.1)
    for at in range(3):
        lines = (tmp_path / str(at) / "log").read_text().splitlines()
        assert [line for line in lines if line and not line.startswith("Hutong is ready")] == []
    expected = [line for line in alone[0] if not line.startswith("account ")]
    assert everything(url) == expected
