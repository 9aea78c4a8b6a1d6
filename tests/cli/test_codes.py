"""`hutong channels codes …` and `hutong channels coverage`, as they are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import Run

CHANGE = ("--unified-code", "risk_refused", "--state", "failed", "--reason", "told by the channel")


@pytest.fixture
def keys(command: Run, tmp_path: Path) -> dict[str, str]:
    """Key files of an operator and an approver."""
    found = {}
    for role in ("operator", "approver"):
        made = json.loads(command("operator", "add", f"the {role}", "--role", role, "--json").stdout)
        file = tmp_path / f"{role}.key"
        file.write_text(made["key"] + "\n")
        file.chmod(0o600)
        found[role] = str(file)
    return found


def test_two_persons_change_what_a_code_means(command: Run, keys: dict[str, str]) -> None:
    at = ("wechat", "pay", "NEW_CODE")
    made = command("channels", "codes", "propose", *at, *CHANGE, "--key", keys["operator"], "--json")
    proposal = json.loads(made.stdout)["proposal_id"]
    alone = command("channels", "codes", "approve", proposal, "--key", keys["operator"], "--reason", "mine")
    assert "not_permitted" in alone.stderr
    assert json.loads(command("channels", "codes", "history", *at, "--json").stdout)["versions"] == []
    assert command("channels", "codes", "approve", proposal, "--key", keys["approver"], "--reason", "y").returncode == 0
    (version,) = json.loads(command("channels", "codes", "history", *at, "--json").stdout)["versions"]
    assert (version["unified_code"], version["state"], version["proposal_id"]) == ("risk_refused", "failed", proposal)
    listed = json.loads(command("channels", "codes", "list", "wechat", "--json").stdout)["codes"]
    assert version in listed
    assert len(listed) > 50


def test_a_rejected_change_holds_nothing(command: Run, keys: dict[str, str]) -> None:
    at = ("wechat", "pay", "NEW_CODE")
    made = command("channels", "codes", "propose", *at, *CHANGE, "--key", keys["operator"], "--json")
    proposal = json.loads(made.stdout)["proposal_id"]
    assert command("channels", "codes", "reject", proposal, "--key", keys["approver"], "--reason", "n").returncode == 0
    again = command("channels", "codes", "approve", proposal, "--key", keys["approver"], "--reason", "y")
    assert "proposal_closed" in again.stderr
    assert json.loads(command("channels", "codes", "history", *at, "--json").stdout)["versions"] == []


def test_a_key_that_others_may_read_is_refused(command: Run, keys: dict[str, str]) -> None:
    Path(keys["operator"]).chmod(0o644)
    done = command("channels", "codes", "propose", "wechat", "pay", "X", *CHANGE, "--key", keys["operator"])
    assert done.returncode == 2
    assert "chmod 600" in done.stderr
    assert Path(keys["operator"]).read_text().strip() not in done.stderr


def test_coverage_prints_each_channel(command: Run) -> None:
    found = json.loads(command("channels", "coverage", "--json").stdout)
    assert set(found["wechat"]) == {"documented", "mapped", "ratio", "missing"}
    assert "wechat" in command("channels", "coverage").stdout


def test_the_group_goes_by_both_its_names(command: Run) -> None:
    assert command("channel", "list").stdout == command("channels", "list").stdout
