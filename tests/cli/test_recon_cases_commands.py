"""`hutong recon resolve …`: a decision is proposed by one person and approved or rejected by another."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from hutong import db
from hutong.clock import ManualClock
from hutong.ids import Ids
from hutong.reconciliation import differences
from hutong.reconciliation.model import Layer
from support.command_line import Run
from support.fixtures.routing_commands import keys

DAY = date(2026, 11, 2)
REASON = ("--reason", "seen in the portal")


@pytest.fixture
def cases(command: Run, fresh_database_url: str) -> dict[str, str]:
    """Two long cases of payments, by key."""
    assert command("recon", "resolve", "proposals").stdout == "no proposal waits\n"  # migrates

    async def work() -> None:
        clock = ManualClock(datetime(2026, 11, 3, tzinfo=UTC))
        ids = Ids(clock, zone=0)
        account_id = ids.new()

        async def record(tx: db.Tx) -> None:
            await differences.record(
                tx, account_id=account_id, day=DAY, layer=Layer.PAYMENT_BILL,
                rows=[difference_of("a", 500), difference_of("b", 700)],
                matched_late=(), now=clock.now(), new_id=ids.new,
            )  # fmt: skip

        async with db.Database.open(fresh_database_url, size=2) as database:
            await database.run(record)

    asyncio.run(work())
    listed = json.loads(command("recon", "differences", "--json").stdout)["differences"]
    return {case["key"]: case["id"] for case in listed}


def test_a_second_person_approves_or_rejects_on_the_command_line(
    command: Run, cases: dict[str, str], tmp_path: Path
) -> None:
    files = keys(command, tmp_path, "operator") | keys(command, tmp_path, "approver")

    def proposed(key: str) -> str:
        arguments = ("recon", "resolve", "one", cases[key], "write_off", "--key", files["approver"])
        made = command(*arguments, *REASON, "--json")
        assert made.returncode == 0, made.stderr
        return str(json.loads(made.stdout)["proposal_id"])

    other = keys(command, tmp_path, "admin")["admin"]
    first, second = proposed("a"), proposed("b")
    waiting = json.loads(command("recon", "resolve", "proposals", "--json").stdout)["proposals"]
    assert [each["proposal_id"] for each in waiting] == [first, second]
    assert (waiting[0]["actions"], waiting[0]["totals"]["CNY"]["long_minor"]) == ({"write_off": 1}, 500)
    own = command("recon", "resolve", "approve", first, "--key", files["approver"], *REASON)
    assert (own.returncode, "own_proposal" in own.stderr) == (2, True)
    weak = command("recon", "resolve", "approve", first, "--key", files["operator"], *REASON)
    assert (weak.returncode, "requires the role approver" in weak.stderr) == (2, True)
    done = command("recon", "resolve", "approve", first, "--key", other, *REASON, "--json")
    assert json.loads(done.stdout) == {"proposal_id": first, "state": "approved"}
    case = json.loads(command("recon", "difference", cases["a"], "--json").stdout)
    assert (case["state"], case["suspense_minor"]) == ("resolved", 0)
    assert command("recon", "resolve", "reject", second, "--key", other, *REASON).stdout == f"{second} is rejected\n"
    again = command("recon", "resolve", "approve", second, "--key", other, *REASON)
    assert (again.returncode, "proposal_closed" in again.stderr) == (2, True)


def test_a_proposal_about_something_else_is_refused(command: Run, tmp_path: Path) -> None:
    key = keys(command, tmp_path, "operator")["operator"]
    other = keys(command, tmp_path, "approver")["approver"]
    change = ("--unified-code", "unknown", "--state", "unknown", "--key", key, *REASON, "--json")
    made = command("channels", "codes", "propose", "wechat", "query", "NEW_CODE", *change)
    proposal = json.loads(made.stdout)["proposal_id"]
    refused = command("recon", "resolve", "approve", proposal, "--key", other, *REASON)
    assert (refused.returncode, "not about differences" in refused.stderr) == (2, True)


def difference_of(key: str, amount: int) -> dict[str, Any]:
    return {
        "side": "theirs", "key": key, "class": "unexpected", "column": "", "currency": "CNY", "amount": amount,
        "ours": None, "theirs": None, "reference": "", "day": DAY, "content": f"{amount:064}",
    }  # fmt: skip
