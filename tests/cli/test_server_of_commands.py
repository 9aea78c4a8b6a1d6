"""The embedded server of commands: the command that starts it stops it, unless another process uses it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hutong.config import Settings
from hutong.db import EmbeddedServer
from hutong.db import embedded_system as system
from hutong.demo import RunningPlatform
from support import let_through

Process = subprocess.Popen[str]
COMMANDS = [
    ["merchant", "create", "Example Store"],
    ["payment", "in-doubt"],
    ["channels", "list"],
    ["ledger", "day-cut"],
    ["events", "archive", "--to", "archive"],
    ["events", "resend", "--stream", "hutong.payment.0", "--from", "1", "--to", "2"],
    ["operator", "list"],
    ["query", "status"],
    ["routing", "trial", "status"],
    ["doctor"],
    ["migrate"],
    ["prepare"],
]
"""At least one command of each group, and each that opens the database in its own manner; some are refused."""


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose database is there, migrated, and down."""
    home = tmp_path_factory.mktemp("commands")
    let_through(home)
    done = command(home, "migrate")
    assert done.wait(240) == 0
    yield home
    EmbeddedServer(home).stop(unless_used=False)


@pytest.fixture
def folder(migrated: Path) -> Iterator[Path]:
    EmbeddedServer(migrated).stop(unless_used=False)
    yield migrated
    EmbeddedServer(migrated).stop(unless_used=False)


AS_IN_A_TERMINAL = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "runpy.run_module('hutong', run_name='__main__')"
)
"""A process of a shell in the background ignores SIGINT, and so would its children."""


def command(home: Path, *arguments: str) -> Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUTONG_")}
    environment |= {"HUTONG_HOME": str(home), "HUTONG_LOG_LEVEL": "warning", "COLUMNS": "200"}
    if "resend" in arguments:
        environment["HUTONG_BROKER_URL"] = "amqp://127.0.0.1:1"
    return subprocess.Popen(
        [sys.executable, "-c", AS_IN_A_TERMINAL, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=environment, cwd=home.parent, text=True,
    )  # fmt: skip


def processes(home: Path) -> list[int]:
    """The processes of the folder's server, children too."""
    kept = json.loads((home / "postgres.json").read_text())
    return [process.pid for found in system.postgres_processes(home / kept["folder"] / "data") for process in found]


def starts(home: Path) -> int:
    """Return how often the server was started."""
    kept = json.loads((home / "postgres.json").read_text())
    return (home / kept["folder"] / "log").read_text().count("starting PostgreSQL")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_stops_the_server_that_it_started(folder: Path, arguments: list[str]) -> None:
    before = starts(folder)
    running = command(folder, *arguments)
    output, _ = running.communicate(timeout=240)
    assert starts(folder) == before + 1, output
    assert processes(folder) == [], output


def test_the_first_command_of_an_installation_leaves_no_server_running(short_folder: Path) -> None:
    folder = short_folder / "home"
    output, _ = command(folder, "ledger", "accounts").communicate(timeout=240)
    assert starts(folder) == 1, output
    assert processes(folder) == [], output
    shutil.rmtree(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_that_is_interrupted_stops_the_server_too(folder: Path, number: signal.Signals) -> None:
    before = starts(folder)
    running = command(folder, "bench", "ledger", "--accounts", "10", "--seconds", "60")
    until(lambda: starts(folder) > before)
    running.send_signal(number)
    output, _ = running.communicate(timeout=240)
    assert running.returncode != 0
    assert processes(folder) == [], output


def test_a_worker_alone_stops_the_server_at_its_end(folder: Path) -> None:
    before = starts(folder)
    running = command(folder, "worker")
    until(lambda: starts(folder) > before)
    time.sleep(1)
    assert processes(folder)
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=240)
    assert processes(folder) == [], output


def test_of_two_commands_at_once_the_last_one_stops_the_server(folder: Path) -> None:
    for _ in range(2):
        running = [
            command(folder, *arguments) for arguments in (["ledger", "accounts"], ["doctor"], ["operator", "list"])
        ]
        outputs = [one.communicate(timeout=240)[0] for one in running]
        assert [running[0].returncode, running[2].returncode] == [0, 0], outputs
        assert processes(folder) == [], outputs


def test_a_command_takes_the_server_from_nobody(folder: Path) -> None:
    user = EmbeddedServer(folder)
    user.start()
    pids, before = user.pid(), starts(folder)
    for arguments in (["ledger", "accounts"], ["doctor"], ["migrate"]):
        command(folder, *arguments).communicate(timeout=240)
    assert (user.pid(), starts(folder)) == (pids, before)
    user.leave()
    assert processes(folder) == []


def test_the_server_behind_an_address_that_was_asked_for_runs_until_it_is_stopped(folder: Path) -> None:
    url, _ = command(folder, "db", "url").communicate(timeout=240)
    assert url.startswith("postgresql://")
    command(folder, "ledger", "accounts").communicate(timeout=240)
    assert EmbeddedServer(folder).running()
    assert command(folder, "db", "stop").communicate(timeout=240)[0] == "stopped\n"
    assert processes(folder) == []
    command(folder, "ledger", "accounts").communicate(timeout=240)
    assert processes(folder) == []


def test_a_command_beside_a_platform_that_serves_leaves_it_its_server(
    platform: RunningPlatform, environment: dict[str, str]
) -> None:
    folder = Settings().home
    pid, serving = EmbeddedServer(folder).pid(), [pid for pids in platform.processes().values() for pid in pids]
    for arguments in (["ledger", "accounts"], ["doctor"], ["db", "url"]):
        command(folder, *arguments).communicate(timeout=240)
    assert EmbeddedServer(folder).pid() == pid is not None
    platform.stop()
    assert processes(folder) == []
    assert not any(psutil.pid_exists(pid) for pid in serving)


def until(done: object, limit_s: float = 240) -> None:
    deadline = time.monotonic() + limit_s
    assert callable(done)
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
