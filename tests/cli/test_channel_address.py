"""`hutong channels register-address`: a channel is told where to notify of disputes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hutong import ids
from hutong.channels import NotOffered
from hutong.channels.accounts import create_account
from hutong.cli.channel_address import register
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.sandbox import SandboxSettings, accounts, serve
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from hutong.vault import Vault
from support.command_line import Run

VAULT = Vault([b"k" * 32])


def test_an_address_that_the_channel_does_not_take_ends_with_1(command: Run, tmp_path: Path) -> None:
    file = tmp_path / "wechat.json"
    file.write_text(json.dumps(WeChatSandboxKeys.load(tmp_path / "keys").credentials("https://127.0.0.1:1")))
    file.chmod(0o600)
    assert command("channels", "add", "wechat", "main", "--credentials", str(file)).returncode == 0
    refused = command("channels", "register-address", "wechat", "main")
    assert refused.returncode == 1
    assert "did not answer: not_sent" in refused.stdout
    absent = command("channels", "register-address", "wechat", "nobody")
    assert (absent.returncode, "no account of this name" in absent.stderr) == (2, True)


async def test_a_channel_notifies_the_accounts_own_address(database: Database, ids: ids.Ids, tmp_path: Path) -> None:
    async with serve(SandboxSettings(tmp_path / "sandbox")) as url:
        held = accounts(tmp_path / "sandbox", url)
        for channel in ("wechat", "stripe"):
            async with database.transaction() as tx:
                await create_account(
                    tx, VAULT, account_id=ids.new(), channel=channel, name="disputes", sandbox=True,
                    credentials=held[channel], now=SystemClock().now(),
                )  # fmt: skip
        for public in ("https://old.example", "https://pay.example"):  # the second takes the place of the first
            found = await register(database, VAULT, "wechat", "disputes", public)
            assert found.fault is None
            assert f"{public}/channels/acc_" in found.advice
        with pytest.raises(NotOffered):
            await register(database, VAULT, "stripe", "disputes", "https://pay.example")
