"""A disk that is full: no answer without a commit, refusals that say when to come back, and an end without a person."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hutong import merchants
from hutong.clock import SystemClock
from hutong.db import Database, EmbeddedServer
from hutong.demo.platform import free_port
from hutong.ids import Ids
from support.small_disk import fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for little more than an empty database."""
    with small_disk(tmp_path / "disk", size_kb=256 * 1024) as folder:
        yield folder


class Installation:
    """`hutong serve` with its data on a small disk, and its log elsewhere."""

    def __init__(self, disk: Path, log: Path) -> None:
        self.home, self.log, self.port = disk / "home", log, free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUTONG_")}
        settings = {
            "HUTONG_HOME": str(self.home),
            "HUTONG_PORT": str(self.port),
            "HUTONG_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "HUTONG_LOG_LEVEL": "warning",
        }
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hutong", "serve"],
                env=inherited | settings, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.key = ""

    def call(self, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """Send a request; a connection that brings no answer has the status 0."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, dict(answer.headers), json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, {name.lower(): value for name, value in refused.headers.items()}, None
        except OSError:
            return 0, {}, None

    def order(self, number: str) -> tuple[int, dict[str, str], Any]:
        order = {"merchant_order_no": number, "amount_minor": 1, "currency": "CNY", "subject": "Order"}
        return self.call("/v1/payments", order)

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found


async def make_merchant(url: str) -> str:
    ids, now = Ids(SystemClock()), SystemClock().now()
    new = merchants.NewMerchant(ids.new(), "Example Store", 6_000, ())
    async with Database.open(url, size=1) as database, database.transaction() as tx:
        await merchants.create_merchant(tx, new, now=now)
        key = await merchants.create_api_key(
            tx, new.merchant_id, key_id=ids.new(), random=secrets.token_urlsafe(32), now=now
        )
    return key.secret


@pytest.fixture
def installation(disk: Path, tmp_path: Path) -> Iterator[Installation]:
    running = Installation(disk, tmp_path / "serve.log")
    deadline = time.monotonic() + 120
    while running.call("/readyz")[0] != 200:
        assert running.process.poll() is None, running.log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.key = asyncio.run(make_merchant(EmbeddedServer(running.home).start()))
    yield running
    running.process.terminate()
    running.process.wait(60)
    EmbeddedServer(running.home).stop(unless_used=False)


def order_until(installation: Installation, answers: dict[str, int], reached: Callable[[], bool]) -> None:
    """Order until something is reached; every answer is a success or a refusal that says when to come back."""
    deadline = time.monotonic() + 60
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
