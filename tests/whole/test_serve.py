"""`hutong serve`: what it starts, it watches, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

import psutil
import psycopg
import pytest

from hutong.config import Settings
from hutong.db import EmbeddedServer
from hutong.demo import RunningPlatform
from hutong.demo.platform import free_port


def within(seconds: float, reached: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if reached():
            return True
        time.sleep(0.05)
    return False


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def ready(platform: RunningPlatform) -> bool:
    try:
        with urllib.request.urlopen(f"{platform.address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def logins(url: str) -> set[str]:
    """Who is logged in to the database for the platform: nobody who serves is its owner."""
    with psycopg.connect(url) as connection:
        query = "SELECT usename FROM pg_stat_activity WHERE application_name = 'hutong'"
        return {str(name) for (name,) in connection.execute(query).fetchall()}


@pytest.fixture(scope="module")
def serving(home: str) -> Iterator[RunningPlatform]:
    """A platform for all of these tests: whatever is done to it, it serves again. Only the last one ends it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HUTONG_DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
            patch.delenv(name, raising=False)
        for name, value in (("HOME", home), ("LOG_LEVEL", "warning"), ("WORKER_PORT", str(free_port()))):
            patch.setenv(f"HUTONG_{name}", value)
        running = RunningPlatform(Settings(), own=True)
    yield running
    running.stop()


def test_it_serves_with_logins_that_are_not_the_owner(serving: RunningPlatform) -> None:
    server = EmbeddedServer(serving.settings.home)
    assert sorted(serving.processes()) == ["api", "sandbox", "worker"]
    url = server.start()
    assert within(20, lambda: logins(url) == {"hutong_api", "hutong_worker"}), logins(url)
    server.leave()


def test_the_worker_serves_its_metrics_on_the_configured_port(serving: RunningPlatform) -> None:
    def shown() -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{serving.settings.worker_port}/metrics", timeout=5
            ) as answer:
                return "hutong_webhook_pending" in answer.read().decode()
        except OSError:
            return False

    assert within(20, shown)


def test_a_sandbox_that_is_in_use_is_not_taken_over(serving: RunningPlatform, environment: dict[str, str]) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "hutong", "serve", "--sandbox"],
        env=environment | {"HUTONG_PORT": "0", "HUTONG_SANDBOX_PORT": "0"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert second.stderr.startswith("hutong: configuration_error: another process runs the sandbox of ")


def test_a_killed_process_is_started_again_at_once(serving: RunningPlatform) -> None:
    (api,) = serving.processes()["api"]
    os.kill(api, signal.SIGKILL)
    assert within(20, lambda: ready(serving))
    assert serving.processes()["api"] != [api]


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_process_that_lives_and_answers_nothing_is_replaced(serving: RunningPlatform, role: str) -> None:
    (frozen,) = serving.processes()[role]
    os.kill(frozen, signal.SIGSTOP)
    assert within(60, lambda: serving.processes().get(role, [frozen]) != [frozen])
    assert within(20, lambda: ready(serving))


def test_a_killed_api_is_replaced_by_its_spare(serving: RunningPlatform) -> None:
    def spares() -> list[int]:
        assert serving.pid is not None
        return [child.pid for child in psutil.Process(serving.pid).children() if child.name() == "hutong-spare"]

    assert within(60, lambda: len(spares()) == 1)
    (spare,) = spares()
    (api,) = serving.processes()["api"]
    os.kill(api, signal.SIGKILL)
    assert within(20, lambda: serving.processes().get("api") == [spare] and ready(serving))


def test_a_killed_database_is_started_again_without_a_human_step(serving: RunningPlatform) -> None:
    postmaster = EmbeddedServer(serving.settings.home).pid()
    assert postmaster is not None
    os.kill(postmaster, signal.SIGKILL)
    assert within(40, lambda: EmbeddedServer(serving.settings.home).pid() not in (None, postmaster))
    assert within(20, lambda: ready(serving))


def test_processes_end_when_the_supervisor_is_killed(serving: RunningPlatform) -> None:
    pids = [pid for pids in serving.processes().values() for pid in pids]
    assert serving.pid is not None
    os.kill(serving.pid, signal.SIGKILL)
    assert within(20, lambda: gone(pids))
