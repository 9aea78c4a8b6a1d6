"""`hutong ledger …` on a database of its own."""

from __future__ import annotations

import json
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from hutong.cli.main import app


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


def test_a_transfer_by_hand_is_booked_once_and_shown_everywhere(command):
    identifier = str(UUID(int=77))
    for expected in ("created", "exists"):
        status, output = command("transfer", ONE, TWO, "1234", "--id", identifier, "--json")
        assert (status, json.loads(output)) == (0, {"id": identifier, "status": expected})
    assert command("transfer", ONE, ONE, "5")[0] == 1
    shown = json.loads(command("accounts", "--json")[1])
    assert [(row["account"], row["debits_posted"], row["credits_posted"]) for row in shown] == [
        (ONE, 1234, 0), (TWO, 0, 1234),
    ]  # fmt: skip
    statement = json.loads(command("statement", TWO, "--json")[1])
    assert (statement["opening"], statement["closing"], len(statement["lines"])) == (0, 1234, 1)
    assert "1234" in command("statement", TWO, "--csv")[1]
    status, output = command("trial-balance", "--json")
    assert status == 0
    assert {row["code"]: row["closing"] for row in json.loads(output)} == {
        1100: 1234, 1101: 1234, 2200: -1234, 2202: 1234,
    }  # fmt: skip
    assert command("check")[0] == 0
    status, output = command("day-cut", "--json")
    assert (status, json.loads(output)["step"]) == (0, "finished")


def test_verify_names_the_row_that_was_altered_by_hand(command, fresh_database_url):
    command("transfer", ONE, TWO, "5", "--id", str(UUID(int=77)))
    status, output = command("verify", "--json")
    assert (status, json.loads(output)["rows"], json.loads(output)["holds"]) == (0, 1, True)
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE ledger.transfer DISABLE TRIGGER USER")
        connection.execute("UPDATE ledger.transfer SET user_data_32 = 1")
    status, output = command("verify")
    assert status == 1
    assert f"row {UUID(int=77)}: not as it was sealed" in output
