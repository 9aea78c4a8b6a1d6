"""`hutong sandbox …` plays payers and banks at a running sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.alipay.keys import APP_ID, ISV_APP_ID
from support.command_line import Run


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with serve(SandboxSettings(tmp_path / "sandbox")) as url:
        monkeypatch.setenv("HUTONG_SANDBOX_PORT", str(urlsplit(url).port))
        yield url


async def result(command: Run, *arguments: str) -> Any:
    done = await asyncio.to_thread(command, "sandbox", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_faults_are_set_shown_and_taken_back(command: Run, running: str) -> None:
    faults = await result(command, "faults", "wechat", "--percent", "7", "--latency-ms", "3", "--hold")
    assert (faults["percent"], faults["latency_ms"], faults["money_out_ms"]) == (7, 3, None)
    assert faults["strict"] is True
    assert (await result(command, "faults", "wechat", "--no-strict"))["strict"] is False
    faults = await result(command, "fault", "wechat", "place", "reply_lost", "--match", "tea", "--times", "2")
    assert [(f["interface"], f["kind"], f["match"], f["times"]) for f in faults["calls"]] == [
        ("place", "reply_lost", "tea", 2)
    ]
    assert await result(command, "show", "wechat", "faults") == faults
    faults = await result(command, "reset", "wechat")
    assert (faults["percent"], faults["money_out_ms"], faults["calls"]) == (0, 0, [])
    assert faults["strict"] is True


async def test_a_day_is_closed_and_its_bill_made(command: Run, running: str) -> None:
    made = await result(command, "bill", "wechat", "2026-01-01", "--plant", "missing=1", "--plant", "extra=1")
    assert (made["day"], made["kind"], made["rows"], made["key"]) == ("2026-01-01", "trade", 0, [])
    assert await result(command, "show", "wechat") == {"truth": []}
    assert await result(command, "rotate", "wechat") == {"rotated": True}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("pay", "wechat", "att_nobody"), "no such order"),
        (("scan", "alipay", "att_nobody"), "no such order"),
        (("decline", "wechat", "att_nobody"), "no such order"),
        (("refund", "wechat", "ref_nobody"), "no such refund"),
        (("payout", "wechat", "pyo_nobody", "--failed"), "no such payout"),
        (("fault", "wechat", "place", "sulk"), "no such kind"),
        (("reset", "barter"), "no such channel"),
    ],
)
async def test_a_refusal_of_the_sandbox_is_printed_and_fails(
    command: Run, running: str, arguments: tuple[str, ...], text: str
) -> None:
    done = await asyncio.to_thread(command, "sandbox", *arguments)
    assert done.returncode == 2
    assert text in done.stderr


def test_without_a_sandbox_the_address_is_named(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_SANDBOX_PORT", "1")
    done = command("sandbox", "reset", "wechat")
    assert done.returncode == 1
    assert "http://127.0.0.1:1/control/wechat/reset" in done.stderr


async def test_the_credentials_of_a_merchant_under_a_service_provider_are_printed(command: Run, running: str) -> None:
    printed = await result(command, "credentials", "wechat", "--provider")
    assert (printed["sub_mchid"], printed["base_url"]) == ("1900000118", running)
    printed = await result(command, "credentials", "alipay", "--provider")
    assert (printed["app_id"], printed["auth_app_id"]) == (ISV_APP_ID, APP_ID)
    assert (await result(command, "credentials", "stripe"))["base_url"] == running
    refused = await asyncio.to_thread(command, "sandbox", "credentials", "stripe", "--provider")
    assert (refused.returncode, refused.stdout) == (2, "")


async def test_the_clock_is_shown_and_moved_forward(command: Run) -> None:
    for advance, ahead in (((), 0), (("--advance-seconds", "86400"), 86_400), ((), 86_400)):
        done = await asyncio.to_thread(command, "sandbox", "clock", *advance)
        assert done.returncode == 0, done.stderr
        now, _, distance = done.stdout.strip().partition(", ")
        assert abs(datetime.fromisoformat(now) - datetime.now(UTC) - timedelta(seconds=ahead)) < timedelta(minutes=1)
        assert distance == f"{ahead} s ahead of the machine"
