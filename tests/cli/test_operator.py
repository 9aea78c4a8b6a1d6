"""`hutong operator …`, as it is called."""

from __future__ import annotations

import json

import psycopg
import pytest

from support.command_line import Run


def test_somebody_is_added_listed_and_disabled(command: Run) -> None:
    added = json.loads(command("operator", "add", "Li Wei", "--role", "approver", "--json").stdout)
    assert added["key"].startswith("sk_opr_")
    (listed,) = json.loads(command("operator", "list", "--json").stdout)["operators"]
    assert (listed["operator_id"], listed["role"], listed["disabled_at"]) == (added["operator_id"], "approver", None)
    assert command("operator", "disable", added["operator_id"], "--reason", "left").returncode == 0
    assert json.loads(command("operator", "list", "--json").stdout)["operators"][0]["disabled_at"]
    rows = json.loads(command("operator", "audit", "list", "--json").stdout)["audit"]
    assert [(row["action"], row["reason"]) for row in rows] == [
        ("operator.disable", "left"),
        ("operator.add", "from the command line"),
    ]


def test_an_operator_is_limited_to_duties_that_there_are(command: Run) -> None:
    done = command("operator", "add", "Wu", "--role", "approver", "--duty", "refund_bill", "--duty", "batch_bank")
    assert (done.returncode, "batch_bank refund_bill" in done.stdout) == (0, True)
    (listed,) = json.loads(command("operator", "list", "--json").stdout)["operators"]
    assert listed["duties"] == ["batch_bank", "refund_bill"]
    assert "approver  enabled   Wu  (batch_bank refund_bill)" in command("operator", "list").stdout
    wrong = command("operator", "add", "Wu Yan", "--duty", "bank")
    assert (wrong.returncode, "--duty" in wrong.stderr) == (2, True)
    assert command("operator", "audit", "verify").returncode == 0


def test_a_role_that_there_is_not_is_refused(command: Run) -> None:
    done = command("operator", "add", "Li Wei", "--role", "boss")
    assert done.returncode == 2
    assert "--role" in done.stderr


def test_verify_exits_1_once_a_row_was_altered(command: Run, fresh_database_url: str) -> None:
    command("operator", "add", "Li Wei")
    whole = command("operator", "audit", "verify", "--json")
    assert whole.returncode == 0
    assert json.loads(whole.stdout)["rows"] == 1
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute("UPDATE operators.audit SET reason = 'another'")
    altered = command("operator", "audit", "verify", "--json")
    assert altered.returncode == 1
    assert json.loads(altered.stdout)["problems"] == ["row 1 is not as it was written"]


@pytest.mark.parametrize("identifier", ["x", "opr_01h455vb4pex5vsknk084sn02q"])
def test_who_there_is_not_cannot_be_disabled(command: Run, identifier: str) -> None:
    assert "not_found" in command("operator", "disable", identifier).stderr
