"""`hutong recon import`, `files`, `fetch` and `run`."""

from __future__ import annotations

import json
from pathlib import Path

from hutong.sandbox.unionpay.keys import MER_ID, UnionPaySandboxKeys
from support.command_line import Run


def test_a_bill_is_imported_once_and_its_day_is_run(command: Run, tmp_path: Path) -> None:
    credentials = tmp_path / "unionpay.json"
    credentials.write_text(json.dumps(UnionPaySandboxKeys.load(tmp_path / "keys").credentials("https://127.0.0.1:1")))
    credentials.chmod(0o600)
    assert command("channels", "add", "unionpay", "main", "--credentials", str(credentials)).returncode == 0
    (account,) = json.loads(command("channels", "list", "--json").stdout)["accounts"]
    bill = tmp_path / f"INN26033088ZM_{MER_ID}"
    bill.write_bytes(b"not a bill\n")
    arguments = ("recon", "import", str(bill), "--account", account["account_id"], "--layout", "unionpay_zm")
    refused = command(*arguments, "--day", "2026-03-30", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["state"] == "refused"
    (file,) = json.loads(command("recon", "files", "--json").stdout)["files"]
    assert file == json.loads(refused.stdout)
    passed = command("recon", "run", "2026-03-30", "--json")
    assert passed.returncode == 1
    (reason,) = json.loads(passed.stdout)["passed_over"]
    assert "no bill of 2026-03-30 has come" in reason["reason"]
    wrong = command(
        "recon", "import", str(tmp_path / "none"), "--account", account["account_id"], "--layout", "unionpay_zm"
    )
    assert (wrong.returncode, "(FILE)" in wrong.stderr) == (2, True)
