"""`hutong recon bank …`: bank accounts are added once, and listed."""

from __future__ import annotations

import json
from pathlib import Path

from support.command_line import Run


def test_accounts_are_added_once_and_listed(command: Run) -> None:
    assert command("recon", "bank", "list").stdout.strip() == "there is no bank account"
    added = command("recon", "bank", "add", "main", "GB33 BUKB 2020 1555 5555 55", "CNY", "--json")
    assert added.returncode == 0, added.stderr
    account = json.loads(added.stdout)
    assert (account["number"], account["currency"]) == ("GB33BUKB20201555555555", "CNY")
    assert json.loads(command("recon", "bank", "list", "--json").stdout) == {"bank_accounts": [account]}
    again = command("recon", "bank", "add", "main", "1", "CNY")
    assert (again.returncode, "conflict" in again.stderr) == (2, True)
    assert command("recon", "bank", "add", "", "2", "CNY").returncode == 2
    assert command("recon", "bank", "add", "other", "2", "XXQ").returncode == 2


def test_a_bank_that_does_not_answer_leaves_no_file(command: Run, tmp_path: Path) -> None:
    out = tmp_path / "statement.xml"
    done = command("recon", "bank", "fetch", "http://127.0.0.1:9/bank/statements", "2026-11-29", "--out", str(out))
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)
    assert not out.exists()
