"""`hutong channels …` as an operator runs it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import psycopg
import pytest

from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support.command_line import Run


@pytest.fixture
def run(command: Run) -> Run:
    return partial(command, "channel")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A credentials file as it should be."""
    credentials = WeChatSandboxKeys.load(tmp_path / "keys").credentials("https://api.mch.weixin.qq.com")
    path = tmp_path / "wechat.json"
    path.write_text(json.dumps(credentials))
    path.chmod(0o600)
    return path


def listed(run: Run) -> list[dict[str, object]]:
    accounts: list[dict[str, object]] = json.loads(run("list", "--json").stdout)["accounts"]
    return accounts


def test_account_is_added_listed_rotated_and_disabled(run: Run, file: Path, fresh_database_url: str) -> None:
    added = run("add", "wechat", "main", "--credentials", str(file), "--json")
    assert added.returncode == 0, added.stderr
    assert "HUTONG_PUBLIC_URL" in added.stderr
    (before,) = listed(run)
    assert before["account_id"] == json.loads(added.stdout)["account_id"]
    assert (before["channel"], before["name"], before["enabled"], before["sandbox"]) == ("wechat", "main", True, False)

    file.write_text(json.dumps(json.loads(file.read_text()) | {"appid": "wxrotated"}))
    sealed = _sealed(fresh_database_url)
    assert run("rotate", "wechat", "main", "--credentials", str(file)).returncode == 0
    assert _sealed(fresh_database_url) != sealed
    assert run("disable", "wechat", "main").returncode == 0
    assert listed(run)[0]["enabled"] is False
    assert run("enable", "wechat", "main").returncode == 0
    assert listed(run)[0]["enabled"] is True


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_file_that_others_may_read_or_write_is_refused(run: Run, file: Path, mode: int) -> None:
    file.chmod(mode)
    refused = run("add", "wechat", "main", "--credentials", str(file))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"chmod 600 {file}" in refused.stderr
    assert listed(run) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"api_v3_key": "shorter-than-it-should-be"}, "`credentials.api_v3_key` must be 32 bytes"),
        ({"merchant_private_key": "not-a-key-at-all"}, "must be an unencrypted private key in PEM"),
        ({"surprise": "not-asked-for"}, "credentials.surprise"),
        ({"base_url": "http://api.example"}, "must start with https://"),
    ],
)
def test_wrong_field_is_named_and_its_value_is_not_repeated(
    run: Run, file: Path, change: dict[str, str], message: str
) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    refused = run("add", "wechat", "main", "--credentials", str(file))
    assert refused.returncode == 2
    assert message in refused.stderr
    assert next(iter(change.values())) not in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_file_that_holds_no_json_object_is_refused(run: Run, file: Path, text: str) -> None:
    file.write_bytes(text.encode("latin-1"))
    refused = run("add", "wechat", "main", "--credentials", str(file))
    assert refused.returncode == 2
    assert "JSON" in refused.stderr


def test_unknown_account_unknown_channel_and_duplicate_name_have_different_errors(run: Run, file: Path) -> None:
    assert "not_found" in run("rotate", "wechat", "main", "--credentials", str(file)).stderr
    assert "no adapter" in run("add", "nopay", "main", "--credentials", str(file)).stderr
    assert run("add", "wechat", "main", "--credentials", str(file)).returncode == 0
    assert "conflict" in run("add", "wechat", "main", "--credentials", str(file)).stderr
    assert "cannot be read" in run("add", "wechat", "x", "--credentials", str(file.with_name("absent"))).stderr


def _sealed(url: str) -> bytes:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT credentials_sealed FROM channels.account").fetchone()
    assert row is not None
    return bytes(row[0])
