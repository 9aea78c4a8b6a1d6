"""The demonstration, undisturbed and with processes killed under it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request

import psycopg

from hutong.db import EmbeddedServer
from hutong.demo import RunningPlatform
from hutong.sandbox.registry import SIMULATORS
from support import SEED

KILLS = 10


def demo(environment: dict[str, str], payments: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hutong", "demo", "--json", "--payments", str(payments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip


def at(platform: RunningPlatform, environment: dict[str, str]) -> dict[str, str]:
    settings = platform.settings
    return environment | {"HUTONG_PORT": str(settings.port), "HUTONG_SANDBOX_PORT": str(settings.sandbox_port)}


def await_first_order(platform: RunningPlatform, running: subprocess.Popen[str]) -> None:
    """Wait until the demonstration is in full swing."""
    while running.poll() is None:
        with urllib.request.urlopen(f"{platform.sandbox_address}/control/wechat/truth", timeout=10) as answer:
            if json.load(answer)["truth"]:
                return
        time.sleep(0.05)


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
    assert set(report["channels"]) == {kind.channel for kind in SIMULATORS}
    assert report["ledger_transfers"] == 2 * 38
    assert report["webhooks_verified"] >= 40
    assert "/pay/pay_" in report["cashier"]
    balance = report["trial_balance"]["CNY"]
    assert balance["debits"] == balance["credits"] > 0


def test_killing_api_and_worker_at_random_loses_and_doubles_nothing(
    platform: RunningPlatform, environment: dict[str, str]
) -> None:
    rng = random.Random(SEED)
    running = demo(at(platform, environment), 200)
    await_first_order(platform, running)
    kills: list[str] = []
    while len(kills) < KILLS and running.poll() is None:
        time.sleep(rng.uniform(0.2, 1.2))
        for name in ("api", "worker"):
            for pid in platform.processes().get(name, []):
                if rng.random() < 0.7:
                    os.kill(pid, signal.SIGKILL)
                    kills.append(name)
    output, errors = running.communicate(timeout=280)
    assert len(kills) >= KILLS, "the demonstration was over before the killing was"
    assert output, errors
    report = json.loads(output)
    assert report["broken"] == []
    assert report["unknown"] == 0
    assert report["succeeded"] + report["closed"] == 200
    assert running.returncode == 0


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
