"""Two operating system processes, one database: their health agrees, also after their connections were cut."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import support.processes
from support import migrated_database

LIMIT_S = 30
"""For a machine that is very busy; the time that it took is printed."""


class Process:
    def __init__(self, url: str) -> None:
        program = Path(support.processes.__file__).parent / "routing.py"
        self._process = subprocess.Popen(
            [sys.executable, str(program), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def health(self, now: datetime) -> dict[str, Any]:
        self.send(f"health {now.isoformat()}")
        assert self._process.stdout is not None
        health: dict[str, Any] = json.loads(self._process.stdout.readline())
        return health

    def end(self) -> int:
        self._process.communicate(timeout=LIMIT_S)
        return self._process.returncode


@pytest.fixture(scope="module")
def shared_url(server_url: str) -> str:
    return migrated_database(server_url)


@pytest.fixture
def pair(shared_url: str) -> Iterator[tuple[Process, Process]]:
    both = Process(shared_url), Process(shared_url)
    for each in both:
        each.health(datetime.now(UTC))  # it is there
    yield both
    assert [each.end() for each in both] == [0, 0]


def await_agreement(pair: tuple[Process, Process], account: str) -> float:
    """Wait until both have left an account and agree on everything; return how long it took."""
    began = time.monotonic()
    while True:
        now = datetime.now(UTC) + timedelta(seconds=1)
        one, other = (each.health(now) for each in pair)
        if one == other and one[account]["state"] == "open":
            return time.monotonic() - began
        assert time.monotonic() - began < LIMIT_S, (one, other)
        time.sleep(0.02)


def test_the_results_of_one_process_reach_the_other(pair: tuple[Process, Process]) -> None:
    pair[0].send("fail one 20")
    took = await_agreement(pair, "one")
    print(f"they agreed after {took:.2f} s")


def test_they_agree_again_after_their_connections_were_cut(pair: tuple[Process, Process], shared_url: str) -> None:
    pair[0].send("fail one 20")
    await_agreement(pair, "one")
    with psycopg.connect(shared_url, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
        pair[1].send("fail two 20")
    took = await_agreement(pair, "two")
    assert cut is not None
    assert cut[0] >= 2
    print(f"they agreed after {took:.2f} s")
