"""`hutong ledger …` on a database of its own."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from hutong.cli.main import app
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.ledger import maintain


@pytest.fixture
def command(fresh_database_url, monkeypatch):
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)

    def run(*arguments):
        result = CliRunner().invoke(app, ["ledger", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        for number in (1, 2):
            connection.execute(
                "INSERT INTO ledger.account (id, timestamp, ledger, code, flags, user_data_128, user_data_64, "
                "user_data_32) VALUES (%s, %s, 156, %s, 8, %s, 0, 0)",
                (UUID(int=number), number, 1101 if number == 1 else 2202, UUID(int=9)),
            )
    return run


ONE, TWO = str(UUID(int=1)), str(UUID(int=2))


@pytest.fixture
def by(command, tmp_path):
    """The options that name the person and the reason of an act."""
    added = CliRunner().invoke(app, ["operator", "add", "A. Li", "--role", "operator", "--json"])
    file = tmp_path / "li.key"
    file.write_text(json.loads(added.stdout)["key"])
    file.chmod(0o600)
    return ("--key", str(file), "--reason", "wrong account")


def test_a_transfer_by_hand_is_booked_once_and_shown_everywhere(command, by):
    identifier = str(UUID(int=77))
    for expected in ("created", "exists"):
        status, output = command("transfer", ONE, TWO, "1234", "--id", identifier, "--json", *by)
        assert (status, json.loads(output)) == (0, {"id": identifier, "status": expected})
    assert command("transfer", ONE, ONE, "5", *by)[0] == 2
    shown = json.loads(command("accounts", "--json")[1])
    assert [(row["account"], row["debits_posted"], row["credits_posted"]) for row in shown] == [
        (ONE, 1234, 0), (TWO, 0, 1234),
    ]  # fmt: skip
    statement = json.loads(command("statement", TWO, "--json")[1])
    assert (statement["opening"], statement["closing"], len(statement["lines"])) == (0, 1234, 1)
    assert [(line["event"], line["event_en"], line["event_zh"]) for line in statement["lines"]] == [
        (99, "transfer by hand", "手工记账")
    ]
    assert "1234" in command("statement", TWO, "--csv")[1]
    status, output = command("trial-balance", "--json")
    assert status == 0
    assert {row["code"]: row["closing"] for row in json.loads(output)} == {
        1000: 1234, 1100: 1234, 1101: 1234, 2000: 1234, 2200: 1234, 2202: 1234,
    }  # fmt: skip
    assert command("check")[0] == 0
    status, output = command("day-cut", "--json")
    assert (status, json.loads(output)["step"]) == (0, "finished")


def test_a_transfer_is_reversed_once(command, by):
    identifier = str(UUID(int=77))
    command("transfer", ONE, TWO, "1234", "--id", identifier, *by)
    status, output = command("reverse", identifier, *by, "--json")
    reversal = json.loads(output)["reversal"]
    assert (status, json.loads(output)["status"]) == (0, "reversed")
    assert command("reverse", identifier, *by) == (0, f"already_reversed {reversal}\n")
    assert command("reverse", str(UUID(int=78)), *by)[0] == 2
    assert command("reverse", reversal, *by)[0] == 2
    (listed,) = json.loads(command("reversals", "--json")[1])
    assert (listed["transfer_id"], listed["reversal_id"], listed["reason"]) == (identifier, reversal, "wrong account")
    assert listed["reversed_by"].startswith("A. Li (opr_")
    shown = json.loads(command("accounts", "--json")[1])
    assert [row["debits_posted"] - row["credits_posted"] for row in shown] == [0, 0]


def test_a_standing_order_is_added_and_run(command, by, fresh_database_url):
    command("transfer", TWO, ONE, "70", *by)
    status, output = command("add-standing-order", ONE, TWO, "50", "--every-minutes", "60", *by)
    assert (status, UUID(output.strip()).version) == (0, 7)

    async def run() -> int:
        async with Database.open(fresh_database_url, size=2) as database:
            clock = SystemClock()
            return (await maintain(database, now=clock.now(), new_id=Ids(clock).new)).orders

    assert asyncio.run(run()) == 1
    statement = json.loads(command("statement", TWO, "--json")[1])
    assert [(line["event_en"], line["credit"]) for line in statement["lines"]] == [
        ("transfer by hand", 0), ("standing order", 50),
    ]  # fmt: skip


def test_a_memo_is_counted_once(command, by):
    memo = ("enter-memo", *by, "points", ONE, "order 1")
    assert command(*memo, "10") == (0, "entered\n")
    assert command(*memo, "10") == (0, "exists\n")
    assert command(*memo, "11") == (2, "")
    assert command(*memo, str(2**63)) == (2, "")
    assert json.loads(command("memos", "--json")[1]) == [{"ledger": "points", "owners": 1, "entries": 1, "total": 10}]
    assert json.loads(command("memos", "points", "--json")[1]) == [{"owner": ONE, "total": 10, "entries": 1}]
    (entry,) = json.loads(command("memo-entries", "points", ONE, "--json")[1])
    assert (entry["seq"], entry["ref"], entry["amount"], entry["total_after"]) == (1, "order 1", 10, 10)


def test_the_table_of_events_is_shown(command):
    rows = json.loads(command("events", "--json")[1])
    assert (rows[0]["code"], rows[0]["name"], rows[0]["name_zh"], rows[0]["legs"]) == (
        1,
        "payment",
        "收款",
        "1101>2001",
    )


def test_verify_names_the_row_that_was_altered_by_hand(command, by, fresh_database_url):
    command("transfer", ONE, TWO, "5", "--id", str(UUID(int=77)), *by)
    status, output = command("verify", "--json")
    assert (status, json.loads(output)["rows"], json.loads(output)["holds"]) == (0, 1, True)
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE ledger.transfer DISABLE TRIGGER USER")
        connection.execute("UPDATE ledger.transfer SET user_data_32 = 1")
    status, output = command("verify")
    assert status == 1
    assert f"row {UUID(int=77)}: not as it was sealed" in output
