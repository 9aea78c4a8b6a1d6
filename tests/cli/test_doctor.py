"""`hutong doctor` tells what an operator must know, and `hutong merchant …` gives and takes keys."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hutong.bench.rabbitmq import RabbitMQ
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support import create_database
from support.command_line import Run


def examined(command: Run, *options: str) -> tuple[int, dict[str, tuple[bool, str]]]:
    done = command("doctor", *options, "--json")
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {finding["name"]: (finding["ok"], finding["seen"]) for finding in findings}


@pytest.fixture
def connected(command: Run, tmp_path: Path) -> None:
    """A channel account for real money."""
    credentials = WeChatSandboxKeys.load(tmp_path / "keys").credentials("https://api.mch.weixin.qq.com")
    path = tmp_path / "wechat.json"
    path.write_text(json.dumps(credentials))
    path.chmod(0o600)
    assert command("channel", "add", "wechat", "main", "--credentials", str(path)).returncode == 0


@pytest.mark.usefixtures("connected")
def test_all_is_well(command: Run) -> None:
    status, findings = examined(command)
    assert status == 0
    assert all(ok for ok, _ in findings.values())
    assert set(findings) == {
        "python",
        "installation",
        "database",
        "migrations",
        "server",
        "clock",
        "secret key",
        "payment records",
        "channel account",
        "real money",
    }
    assert "wechat_native" in findings["channel account"][1]


def test_without_a_channel_account_it_is_ready_for_play_alone(command: Run) -> None:
    status, findings = examined(command)
    assert status == 0
    assert findings["channel account"] == (
        True,
        "ok for play: none yet, `hutong serve --sandbox` makes simulated ones",
    )
    ok, seen = findings["real money"]
    assert ok
    assert seen.startswith(
        "missing: a channel account (`hutong channels add CHANNEL NAME --credentials FILE`); HUTONG_"
    )
    status, findings = examined(command, "--real-money")
    assert status == 1
    assert findings["real money"] == (False, seen)


@pytest.mark.usefixtures("connected")
def test_nothing_is_missing_for_real_money(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examined(command, "--real-money")[1]["real money"] == (
        False,
        "missing: HUTONG_PUBLIC_URL, an https address that payers and channels reach",
    )
    monkeypatch.setenv("HUTONG_PUBLIC_URL", "https://pay.example")
    status, findings = examined(command, "--real-money")
    assert (status, findings["real money"]) == (0, (True, "nothing is missing"))


@pytest.mark.usefixtures("connected")
def test_a_simulated_account_is_for_play_and_none_for_real_money(command: Run, fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("UPDATE channels.account SET sandbox = TRUE")
    status, findings = examined(command)
    assert status == 0
    assert findings["channel account"] == (True, "ok for play (HUTONG_SANDBOX=true): simulated wechat")
    assert "a channel account" in findings["real money"][1]


@pytest.mark.usefixtures("connected")
def test_real_accounts_that_are_all_disabled_are_a_fault(command: Run, fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("UPDATE channels.account SET enabled = FALSE")
    status, findings = examined(command)
    assert status == 1
    assert findings["channel account"] == (
        False,
        "none can be used; payments cannot be taken: no real one is enabled and readable",
    )


@pytest.mark.usefixtures("connected")
def test_a_real_account_is_none_for_the_sandbox(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_SANDBOX", "true")
    status, findings = examined(command)
    assert status == 1
    assert findings["channel account"][1].endswith("real ones are not used in the sandbox")


@pytest.mark.usefixtures("connected")
def test_another_secret_key_is_named_until_the_right_one_is_back(
    command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "home" / "secret.key"
    monkeypatch.setenv("HUTONG_SECRET_KEY", base64.b64encode(b"o" * 32).decode())
    status, findings = examined(command)
    assert status == 1
    ok, seen = findings["secret key"]
    assert (ok, seen.startswith("another key sealed the credentials of acc_")) == (False, True)
    assert seen.endswith("put that key into HUTONG_SECRET_KEY")
    done = command("doctor", "channel", "main")
    assert done.returncode == 1
    assert "cannot_be_decrypted" in done.stdout
    monkeypatch.delenv("HUTONG_SECRET_KEY")
    right = file.read_text()
    file.write_text(base64.b64encode(b"o" * 32).decode())
    assert examined(command)[1]["secret key"][1].endswith(f"put that key into {file}")
    file.write_text(right)
    assert examined(command)[0] == 0


def broker_finding(command: Run) -> list[dict[str, Any]]:
    findings = json.loads(command("doctor", "--json").stdout)["findings"]
    return [finding for finding in findings if finding["name"] == "broker"]


def test_a_broker_is_looked_at_if_there_is_one(
    command: Run, monkeypatch: pytest.MonkeyPatch, rabbitmq: RabbitMQ
) -> None:
    assert broker_finding(command) == []
    monkeypatch.setenv("HUTONG_EVENT_SOURCE", "doctor")
    monkeypatch.setenv("HUTONG_BROKER_URL", rabbitmq.url)
    assert broker_finding(command) == [{"name": "broker", "ok": True, "seen": "connected, 0 events wait"}]
    monkeypatch.setenv("HUTONG_BROKER_URL", "amqp://guest:hush@127.0.0.1:1/")
    [finding] = broker_finding(command)
    assert finding["ok"] is False
    assert finding["seen"].startswith("the broker does not answer")
    assert "hush" not in finding["seen"]


def test_a_database_that_does_not_answer_is_named_without_its_password(
    command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUTONG_DATABASE_URL", "postgresql://somebody:sesame@127.0.0.1:1/nothing")
    done = command("doctor")
    assert done.returncode == 1
    assert "FAIL  migrations" in done.stdout
    assert "sesame" not in done.stdout + done.stderr


def test_keys_are_given_and_taken_back(command: Run, fresh_database_url: str) -> None:
    first = json.loads(command("merchant", "create", "Tea House", "--fee-ppm", "6000", "--json").stdout)
    second = json.loads(command("merchant", "add-key", first["merchant_id"], "--json").stdout)
    assert second["merchant_id"] == first["merchant_id"]
    assert second["api_key"] != first["api_key"]
    assert command("merchant", "revoke-key", first["key_id"]).returncode == 0
    with psycopg.connect(fresh_database_url) as connection:
        rows = connection.execute("SELECT revoked_at IS NULL FROM merchants.api_key ORDER BY id").fetchall()
        (fee,) = connection.execute("SELECT fee_ppm FROM merchants.merchant").fetchall()
    assert rows == [(False,), (True,)]
    assert fee == (6000,)


def test_the_first_command_of_all_prints_its_json_and_nothing_else(
    command: Run, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUTONG_DATABASE_URL", create_database(server_url))
    assert "api_key" in json.loads(command("merchant", "create", "Tea House", "--json").stdout)
    assert json.loads(command("migrate", "--json").stdout) == {"applied": []}


@pytest.mark.parametrize(
    "arguments",
    [
        ("merchant", "add-key", "mer_00000000000000000000000000"),
        ("merchant", "add-key", "nonsense"),
        ("merchant", "revoke-key", "key_00000000000000000000000000"),
        ("merchant", "create", ""),
        ("merchant", "create", "Tea House", "--fee-ppm", "-1"),
        ("merchant", "create", "Tea House", "--return-origin", "javascript:alert(1)"),
    ],
    ids=" ".join,
)
def test_a_refused_command_prints_one_line(command: Run, arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("hutong: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_one_channel_account_is_looked_at_by_id_or_name(command: Run, tmp_path: Path) -> None:
    credentials = WeChatSandboxKeys.load(tmp_path / "keys").credentials("https://no-such-host.invalid")
    path = tmp_path / "wechat.json"
    path.write_text(json.dumps(credentials))
    path.chmod(0o600)
    added = json.loads(command("channels", "add", "wechat", "main", "--credentials", str(path), "--json").stdout)
    for account in ("main", added["account_id"]):
        done = command("doctor", "channel", account, "--json")
        assert done.returncode == 1
        found = json.loads(done.stdout)
        assert not found["ok"]
        assert [(one["check"], one["fault"]) for one in found["findings"]] == [
            ("credentials", None),
            ("host", "host_not_found"),
        ]
    assert "host_not_found" in command("doctor", "channel", "main").stdout
    assert "not_found" in command("doctor", "channel", "other").stderr
