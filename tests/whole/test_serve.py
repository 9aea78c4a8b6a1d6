"""`hutong serve`: what it starts, it watches, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

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


def all_pids(platform: RunningPlatform) -> list[int]:
    return [pid for pids in platform.processes().values() for pid in pids]


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


def test_it_stops_what_it_started_and_the_database_with_it(platform: RunningPlatform) -> None:
    pids = all_pids(platform)
    server = EmbeddedServer(platform.settings.home)
    assert sorted(platform.processes()) == ["api", "sandbox", "worker"]
    assert server.pid() is not None
    url = server.start()
    assert within(20, lambda: logins(url) == {"hutong_api", "hutong_worker"}), logins(url)
    server.leave()
    platform.stop()
    assert gone(pids)
    assert server.pid() is None


def test_processes_end_when_the_supervisor_is_killed(platform: RunningPlatform) -> None:
    pids = all_pids(platform)
    assert platform.pid is not None
    os.kill(platform.pid, signal.SIGKILL)
    assert within(20, lambda: gone(pids))


def test_a_killed_process_is_started_again_at_once(platform: RunningPlatform) -> None:
    (api,) = platform.processes()["api"]
    os.kill(api, signal.SIGKILL)
    assert within(20, lambda: ready(platform))
    assert platform.processes()["api"] != [api]


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_process_that_lives_and_answers_nothing_is_replaced(platform: RunningPlatform, role: str) -> None:
    (frozen,) = platform.processes()[role]
    os.kill(frozen, signal.SIGSTOP)
    assert within(60, lambda: platform.processes().get(role, [frozen]) != [frozen])
    assert within(20, lambda: ready(platform))


def test_a_killed_database_is_started_again_without_a_human_step(platform: RunningPlatform) -> None:
    postmaster = EmbeddedServer(platform.settings.home).pid()
    assert postmaster is not None
    os.kill(postmaster, signal.SIGKILL)
    assert within(40, lambda: EmbeddedServer(platform.settings.home).pid() not in (None, postmaster))
    assert within(20, lambda: ready(platform))


def test_the_worker_serves_its_metrics_on_the_configured_port(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("HUTONG_WORKER_PORT", str(port))
    running = RunningPlatform(Settings(), own=True)

    def shown() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return "hutong_webhook_pending" in answer.read().decode()
        except OSError:
            return False

    try:
        assert within(20, shown)
    finally:
        running.stop()


def test_a_sandbox_that_is_in_use_is_not_taken_over(platform: RunningPlatform, environment: dict[str, str]) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "hutong", "serve", "--sandbox"],
        env=environment | {"HUTONG_PORT": "0", "HUTONG_SANDBOX_PORT": "0"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert second.stderr.startswith("hutong: configuration_error: another process runs the sandbox of ")


def test_a_demo_that_serves_leaves_no_database_behind_when_it_is_interrupted(environment: dict[str, str]) -> None:
    ports = {"HUTONG_PORT": "0", "HUTONG_SANDBOX_PORT": "0"}
    running = subprocess.Popen(
        [sys.executable, "-m", "hutong", "demo", "--serve", "--payments", "10"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment | ports, text=True, start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    assert any(line.startswith("Serving") for line in running.stdout)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does on Ctrl-C: to the whole group
    assert running.wait(30) == 0
    assert EmbeddedServer(Settings().home).pid() is None
