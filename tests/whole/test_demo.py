"""The demonstration, undisturbed, interrupted, and on books that do not balance."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psycopg

from hutong.config import Settings
from hutong.db import EmbeddedServer
from hutong.demo import RunningPlatform
from hutong.demo.scenarios import Scenario
from hutong.sandbox.registry import SIMULATORS


def demo(environment: dict[str, str], payments: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hutong", "demo", "--json", "--payments", str(payments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip


def at(platform: RunningPlatform, environment: dict[str, str]) -> dict[str, str]:
    settings = platform.settings
    return environment | {"HUTONG_PORT": str(settings.port), "HUTONG_SANDBOX_PORT": str(settings.sandbox_port)}


def test_demo_alone_ends_with_every_payment_final_and_the_books_in_balance(environment: dict[str, str]) -> None:
    free = {"HUTONG_PORT": "0", "HUTONG_SANDBOX_PORT": "0"}
    running = demo(environment | free, 40)
    output, errors = running.communicate(timeout=200)
    report = json.loads(output)
    assert running.returncode == 0, errors
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


def test_books_that_do_not_balance_fail_the_demo(platform: RunningPlatform, environment: dict[str, str]) -> None:
    server = EmbeddedServer(platform.settings.home)
    url = server.start()
    server.leave()  # the platform keeps it running
    wrong = """UPDATE ledger.account SET debits_posted = debits_posted + %s
        WHERE id = (SELECT min(id::text)::uuid FROM ledger.account WHERE code = 1101)"""
    with psycopg.connect(url, autocommit=True) as connection:
        demo(at(platform, environment), 10).communicate(timeout=100)  # so that there is an account
        connection.execute(wrong, (1,))
        try:
            running = demo(at(platform, environment), 10)
            report = json.loads(running.communicate(timeout=100)[0])
        finally:
            connection.execute(wrong, (-1,))
    assert report["broken"] == ["the trial balance of CNY does not balance"]
    assert running.returncode == 1
