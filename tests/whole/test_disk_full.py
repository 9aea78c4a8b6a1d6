"""A disk that is full: no answer without a commit, refusals that say when to come back, and an end without a person."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from hutong.db import EmbeddedServer
from support.installation import Installation, make_merchant
from support.small_disk import fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for little more than an empty database."""
    with small_disk(tmp_path / "disk", size_kb=256 * 1024) as folder:
        yield folder


@pytest.fixture
def installation(disk: Path, tmp_path: Path) -> Iterator[Installation]:
    running = Installation(disk / "home", tmp_path / "serve.log")
    running.wait_until_ready()
    running.key = asyncio.run(make_merchant(EmbeddedServer(running.home).start()))
    yield running
    running.stop()
    EmbeddedServer(running.home).stop(unless_used=False)


def order_until(installation: Installation, answers: dict[str, int], reached: Callable[[], bool]) -> None:
    """Order until something is reached; every answer is a success or a refusal that says when to come back."""
    deadline = time.monotonic() + 240
    while not reached():
        assert time.monotonic() < deadline
        number = f"full-{len(answers)}"
        status, headers, _ = installation.order(number)
        answers[number] = status
        assert status in (201, 503)
        if status == 503:
            assert int(headers["retry-after"]) >= 1


def switch_log(url: str) -> None:
    """Make the server begin another file of its write-ahead log; without room for one it panics."""
    with suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as admin:
        for _ in range(4):
            admin.execute("SELECT pg_switch_wal()")
            admin.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")


def test_a_full_disk_refuses_with_a_time_to_come_back_and_its_end_needs_no_person(
    installation: Installation, disk: Path
) -> None:
    answers = {"before": installation.order("before")[0]}
    url = EmbeddedServer(installation.home).start()
    postmaster = EmbeddedServer(installation.home).pid()
    ballast = fill(disk)
    order_until(installation, answers, lambda: 503 in answers.values())
    assert EmbeddedServer(installation.home).pid() == postmaster, "a table had no room, and the server lives"
    switch_log(url)
    order_until(installation, answers, lambda: "database_does_not_start" in installation.log.read_text())
    ballast.unlink()
    freed = time.monotonic()
    while installation.order("after")[0] != 201:
        assert time.monotonic() < freed + 60
        time.sleep(0.1)
    print(f"serving again {time.monotonic() - freed:.1f} s after the room was there")
    for number, status in answers.items():
        if status == 201:  # what was answered was committed: the same order is the same payment
            assert installation.order(number)[0] == 200
    kinds = Counter((line["event"], line.get("job")) for line in installation.lines())
    assert "unexpected_error" not in {event for event, _ in kinds}
    assert max(kinds.values()) <= 2, kinds  # one of the worker, one of the API
    assert "Traceback" not in installation.log.read_text()
