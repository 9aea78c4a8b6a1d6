"""`hutong serve`: what it starts, it watches, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable

import psutil
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


def test_it_stops_what_it_started_and_the_database_with_it(platform: RunningPlatform) -> None:
    pids = all_pids(platform)
    server = EmbeddedServer(platform.settings.home)
    assert sorted(platform.processes()) == ["api", "sandbox", "worker"]
    assert server.pid() is not None
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


def test_a_killed_database_is_started_again_without_a_human_step(platform: RunningPlatform) -> None:
    postmaster = EmbeddedServer(platform.settings.home).pid()
    assert postmaster is not None
    os.kill(postmaster, signal.SIGKILL)
    assert within(40, lambda: EmbeddedServer(platform.settings.home).pid() not in (None, postmaster))
    assert within(20, lambda: ready(platform))


def test_the_worker_shows_its_metrics_where_it_is_told_to(
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
