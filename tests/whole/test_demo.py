"""The demonstration, undisturbed, interrupted, and on books that do not balance."""

from __future__ import annotations

import html
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urljoin

import psutil
import psycopg
import pytest

import hutong
from hutong.config import Settings
from hutong.db import EmbeddedServer
from hutong.demo import RunningPlatform, free_port
from hutong.demo.scenarios import Scenario
from hutong.sandbox.registry import SIMULATORS
from support import let_through
from support.wheel import build_wheel, install_wheel

ROOT = Path(__file__).parents[2]
ABSENT = ("pytest", "faststream", "mypy")
"""Packages that the product does without."""
AS_IN_A_TERMINAL = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    "runpy.run_module('hutong', run_name='__main__')"
)
"""A process of a shell in the background ignores SIGINT, one under `nohup` SIGHUP, and so would their children."""


def demo(environment: dict[str, str], payments: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hutong", "demo", "--json", "--payments", str(payments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip


def at(platform: RunningPlatform, environment: dict[str, str]) -> dict[str, str]:
    settings = platform.settings
    return environment | {"HUTONG_PORT": str(settings.port), "HUTONG_SANDBOX_PORT": str(settings.sandbox_port)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    source = ROOT / "src"
    files = {str(file.relative_to(source)) for file in (source / "hutong").rglob("*") if file.is_file()}
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    assert {name for name in files if "__pycache__" not in name} - names == set()
    assert any(name.endswith(".sql") for name in names)


@pytest.mark.timeout(1500)
def test_demo_of_the_wheel_alone_ends_with_every_payment_final_and_the_books_in_balance(
    wheel: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    site = install_wheel(wheel, tmp_path / "installed")
    let_through(tmp_path)
    python, program = (tmp_path / "installed" / "bin" / name for name in ("python", "hutong"))
    inherited = {name: value for name, value in environment.items() if not name.startswith("PYTHON")}
    # The days of a platform that ran before are not reconciled, so that its data folder is its own.
    own = {"HUTONG_HOME": str(tmp_path / "home"), "HUTONG_PORT": "0", "HUTONG_SANDBOX_PORT": "0"}
    settings = inherited | own
    look = f"import hutong, importlib.util as u; print(hutong.__file__, *map(u.find_spec, {ABSENT}))"
    where = subprocess.run([python, "-c", look], cwd=tmp_path, env=settings, capture_output=True, text=True, check=True)
    assert where.stdout == f"{site}/hutong/__init__.py {' '.join(['None'] * len(ABSENT))}\n"
    version = subprocess.run([program, "--version"], env=settings, capture_output=True, text=True, check=True)
    assert version.stdout == f"hutong {hutong.__version__}\n"
    running = subprocess.Popen(
        [program, "demo", "--json", "--payments", "40"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=settings, text=True,
    )  # fmt: skip
    try:
        output, errors = running.communicate(timeout=1200)
    finally:
        EmbeddedServer(tmp_path / "home").stop(unless_used=False)
    assert running.returncode == 0, errors
    report = json.loads(output)
    assert report["broken"] == []
    assert report["payments"] == 40
    assert report["succeeded"] == 38
    assert report["closed"] == 2
    assert report["unknown"] == 0
    assert set(report["stories"]) == {scenario.value for scenario in Scenario}
    assert set(report["channels"]) == {kind.channel for kind in SIMULATORS}
    assert report["ledger_transfers"] == 2 * 38
    assert report["webhooks_verified"] >= 40
    assert "/pay/pay_" in report["cashier"]
    balance = report["trial_balance"]["CNY"]
    assert balance["debits"] == balance["credits"] > 0
    days = report["reconciliation"]
    assert days["planted"] == days["found"]
    assert {"duplicate", "mismatch", "missing", "unexpected"} <= set(days["found"])
    assert {"adopt_refund", "match", "write_off"} <= set(days["actions"])
    assert (days["open"], days["suspense_minor"]) == (0, 0)
    assert days["verified_days"] >= 3 * len(SIMULATORS)
    assert days["explained"]
    assert all(float(percent) == 100 for percent in days["explained"].values())


def processes_of(folder: Path) -> list[str]:
    """The living processes that know a folder from a setting, or work in it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            is_set = any(value.startswith(str(folder)) for value in process.environ().values())
            if (is_set or process.cwd().startswith(str(folder))) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def wait_until_gone(folder: Path, limit_s: float = 240) -> None:
    deadline = time.monotonic() + limit_s
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def count_payments(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM payments.payment").fetchone()
    assert row is not None
    return int(row[0])


def cashier_on_start_page(address: str) -> str:
    """Return the link to the cashier on the start page."""
    with urllib.request.urlopen(address, timeout=120) as page:
        links = re.findall(r'<li><a href="([^"]+)"', page.read().decode())
    assert links[:3] == ["/docs", "/till", "/readyz"]
    for link in links[:3]:
        with urllib.request.urlopen(urljoin(address, link), timeout=120) as found:
            assert found.status == 200
    return html.unescape(links[3])


def run_again(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hutong", *arguments], env=environment, capture_output=True, text=True, timeout=400,
        check=False,
    )  # fmt: skip


@contextmanager
def make_run(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`make run` as it is after the set-up; whatever the test leaves of it is killed."""
    make = subprocess.Popen(
        ["make", "--assume-old=.venv/.stamp", "-s", "-C", ROOT, "run"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield make
    finally:
        with suppress(ProcessLookupError):
            os.killpg(make.pid, signal.SIGKILL)


def test_make_run_on_kept_data_says_where_it_is_and_ends_whole_by_sigterm(
    environment: dict[str, str], tmp_path: Path
) -> None:
    home = Settings().home
    if not (home / "demo.json").exists():
        demo(environment | {"HUTONG_PORT": "0", "HUTONG_SANDBOX_PORT": "0"}, 10).communicate(timeout=400)
    server = EmbeddedServer(home)
    url = server.start()
    before = count_payments(url)
    ports = {"HUTONG_PORT": str(free_port()), "HUTONG_SANDBOX_PORT": str(free_port())}
    with make_run(environment | ports) as make:
        assert make.stdout is not None
        printed = []
        for line in make.stdout:
            printed.append(line)
            if line.startswith("Serving"):
                break
        assert count_payments(url) == before + 1, printed  # the one to look at
        addresses = [part for line in printed for part in line.split() if part.startswith("http://")]
        assert len(addresses) == 4, printed
        assert cashier_on_start_page(addresses[0]) == addresses[2]
        for address in addresses:
            with urllib.request.urlopen(address, timeout=120) as page:
                assert page.status == 200
                assert page.headers["content-type"].startswith("text/html")

        again = run_again(environment | ports, "demo", "--serve")
        assert again.returncode == 0, again.stderr
        assert "runs already in this data folder" in again.stdout
        assert [part for part in again.stdout.split() if part.startswith("http://")] == addresses
        assert "Serving" not in again.stdout
        assert count_payments(url) == before + 1

        doctor = run_again(environment | ports, "doctor")
        assert doctor.returncode == 0, doctor.stdout
        assert "ok for play (HUTONG_SANDBOX=true): simulated alipay, stripe, unionpay, wechat" in doctor.stdout
        assert "note  real money         missing: a channel account" in doctor.stdout

        other = run_again(environment | ports | {"HUTONG_HOME": str(tmp_path / "another")}, "demo", "--serve")
        identifier = (home / "machine_id").read_text()
        assert other.returncode == 1
        assert other.stderr == (
            f"hutong: configuration_error: the port {ports['HUTONG_PORT']} of 127.0.0.1 is taken by another Hutong, "
            f"installation {identifier}; set HUTONG_PORT and HUTONG_SANDBOX_PORT to other ports, or to 0 for free ones "
            "(HUTONG_PORT)\n"
        )

        make.send_signal(signal.SIGTERM)
        make.wait(240)
        server.leave()
        wait_until_gone(home)
    for port in ports.values():  # they are free
        socket.create_server(("127.0.0.1", int(port))).close()


def test_a_port_of_another_program_is_named_as_such(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = {"HUTONG_PORT": str(other.getsockname()[1]), "HUTONG_HOME": str(tmp_path)}
        done = run_again(environment | taken, "serve")
    assert done.returncode == 1
    assert f"the port {taken['HUTONG_PORT']} of 127.0.0.1 is taken by another program; set HUTONG_PORT" in done.stderr
    assert done.stderr.count("\n") == 1


def test_commands_that_are_ended_while_they_start_a_platform_leave_nothing_behind(
    environment: dict[str, str], short_folder: Path, rng: random.Random
) -> None:
    pause_s, number = rng.uniform(0, 4), rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    print(f"{number.name} after {pause_s:.2f} s")
    running = []
    for arguments in (["demo", "--serve"], ["drill", "routing"], ["bench", "payments"]):
        folder = short_folder / arguments[0]
        folder.mkdir(mode=0o711)
        settings = {
            "HUTONG_HOME": f"{folder}/home",
            "TMPDIR": str(folder),
            "HUTONG_PORT": "0",
            "HUTONG_SANDBOX_PORT": "0",
        }
        command = [sys.executable, "-c", AS_IN_A_TERMINAL, *arguments]
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment | settings))
    deadline = time.monotonic() + 240
    while not all(psutil.Process(process.pid).children() for process in running):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(pause_s)
    for process in running:
        process.send_signal(number)
    for process in running:
        assert process.wait(240) != 0
    wait_until_gone(short_folder)


def test_books_that_do_not_balance_fail_the_demo(platform: RunningPlatform, environment: dict[str, str]) -> None:
    server = EmbeddedServer(platform.settings.home)
    url = server.start()
    server.leave()  # the platform keeps it running
    wrong = """UPDATE ledger.account SET debits_posted = debits_posted + %s
        WHERE id = (SELECT min(id::text)::uuid FROM ledger.account WHERE code = 1101)"""
    with psycopg.connect(url, autocommit=True) as connection:
        demo(at(platform, environment), 10).communicate(timeout=400)  # so that there is an account
        connection.execute(wrong, (1,))
        try:
            running = demo(at(platform, environment), 10)
            report = json.loads(running.communicate(timeout=400)[0])
        finally:
            connection.execute(wrong, (-1,))
    assert report["broken"] == ["the trial balance of CNY does not balance"]
    assert running.returncode == 1
