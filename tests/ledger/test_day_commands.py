"""The days of the books on the command line: listed, closed, shown, and ended at another time."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import duckdb
import psycopg
import pytest
from typer.testing import CliRunner

from hutong import ledger
from hutong.cli.main import app
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ledger.accounting.days import make_rule
from support.fixtures.books import Business, create_books

RULE = make_rule(time(0), "Asia/Shanghai")


@pytest.fixture
async def business(server_url, monkeypatch):
    """Business of 1 three days ago, 2 the day before yesterday and 4 yesterday; the first two days are closed."""
    url = create_books(server_url)
    monkeypatch.setenv("HUTONG_DATABASE_URL", url)
    clock = ManualClock(datetime.now(UTC) - timedelta(days=3))
    async with Database.open(url, size=2) as database:
        shop = await Business(database, clock).open()
        for amount in (1, 2, 4):
            await shop.receive(amount)
            clock.advance(timedelta(days=1))
        first = RULE.day_of(clock.now()) - timedelta(days=3)
        for _ in range(2):
            await ledger.run_day_cut(database, now=clock.now())
        return str(UUID(int=shop.account(1101))), first, url


def command(*arguments, answer=""):
    return CliRunner().invoke(app, ["ledger", *arguments], input=answer)


def test_days_are_listed_closed_and_shown(business, tmp_path):
    account, first, url = business
    second, third = (first + timedelta(days=n) for n in (1, 2))
    listed = json.loads(command("days", "--json").stdout)
    assert [(row["day"], row["state"]) for row in listed] == [
        (str(third + timedelta(days=1)), "open"), (str(third), "due"), (str(second), "closed"), (str(first), "closed"),
    ]  # fmt: skip
    assert listed[-1]["late"]
    shown = command("days").stdout
    assert "days end at 00:00 on the date after in Asia/Shanghai (next_day)" in shown

    refused = command("trial-balance", "--day", str(third))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"the day {third} is not closed" in refused.stderr
    closed = command("day-cut", "--json")
    assert (closed.exit_code, json.loads(closed.stdout)["step"]) == (0, "finished")
    balance = command("trial-balance", "--day", str(third), "--json")
    assert balance.exit_code == 0
    assert {row["code"]: row["closing"] for row in json.loads(balance.stdout)} == {
        1000: 7, 1100: 7, 1101: 7, 2000: 7, 2001: 7,
    }  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE ledger.day_subject SET debits = debits + 1 WHERE code = 1101")
    assert command("trial-balance", "--day", str(third)).exit_code == 1

    by_day = command("statement", account, "--by", "day", "--since", str(second), "--until", str(third), "--csv")
    by_time = command("statement", account, "--since", str(second), "--until", str(third), "--csv")
    rows = list(csv.DictReader(io.StringIO(by_day.stdout)))
    assert [(row["event_en"], row["debit"], row["balance"], row["accounting_date"]) for row in rows] == [
        ("opening balance", "0", "1", str(second)), ("payment", "2", "3", str(second)),
        ("payment", "4", "7", str(third)), ("closing balance", "0", "7", str(third)),
    ]  # fmt: skip
    assert by_time.stdout == by_day.stdout
    file = tmp_path / "statement.parquet"
    assert command("statement", account, "--by", "day", "--since", str(third), "--parquet", str(file)).exit_code == 0
    parquet = duckdb.read_parquet(str(file)).project("event_en, balance").fetchall()
    assert parquet == [("opening balance", 3), ("payment", 7), ("closing balance", 7)]
    folder = tmp_path / "statements"
    assert command("day-statements", str(third), str(folder)).exit_code == 0
    with psycopg.connect(url) as connection:
        exports = connection.execute(
            "SELECT object_kind, object_id FROM operators.audit WHERE action = 'read.export' ORDER BY at"
        ).fetchall()
    assert exports == [("ledger_statement", account)] * 3 + [("ledger_statement", "all")]


def test_a_statement_by_day_wants_days(business):
    account, *_ = business
    for arguments in (("--since", "2026-03-31T10:00:00"), ("--since", "2026-03-02", "--until", "2026-03-01")):
        refused = command("statement", account, "--by", "day", *arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "a statement" in refused.stderr
    assert command("statement", account, "--until", "yesterday").exit_code == 2


def test_a_cut_time_is_shown_before_it_is_set(business):
    _, _, url = business

    def rule():
        with psycopg.connect(url) as connection:
            return connection.execute(
                "SELECT cut_time::text, zone, cut_belongs_to FROM ledger.accounting_day"
            ).fetchone()

    declined = command("set-cut-time", "23:00", "--zone", "Europe/Berlin", answer="n\n")
    assert declined.exit_code == 1
    assert "days end at 23:00 on their own date in Europe/Berlin (same_day); business of now belongs to" in (
        declined.stdout
    )
    assert rule() == ("00:00:00", "Asia/Shanghai", "next_day")
    assert command("set-cut-time", "23:00", "--zone", "Europe/Berlin", answer="y\n").exit_code == 0
    assert rule() == ("23:00:00", "Europe/Berlin", "same_day")
    agreed = command("set-cut-time", "01:30", "--belongs", "same_day", "--yes")
    assert agreed.exit_code == 0
    assert rule() == ("01:30:00", "Asia/Shanghai", "same_day")
    for wrong in (("23:00", "--zone", "Mars"), ("23:00", "--belongs", "yesterday")):
        assert command("set-cut-time", *wrong).exit_code == 2
    assert rule() == ("01:30:00", "Asia/Shanghai", "same_day")
