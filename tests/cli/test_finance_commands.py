"""`hutong ledger …` as a finance person calls it: what it shows, and how it exits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ledger import partitions
from hutong.ledger.accounts import open_accounts
from hutong.ledger.model import TransferFlags
from support.command_line import Done, Run
from support.fixtures.finance import OWNER, Books
from support.fixtures.routing_commands import keys

START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


class Person:
    """The command line in the hands of an operator and an approver."""

    def __init__(self, command: Run, url: str, folder: Path) -> None:
        self.command, self.url = command, url
        self.keys = keys(command, folder, "operator", "approver")

    def run(self, *arguments: str, status: int = 0, role: str | None = None) -> Done:
        """Run a command, which must exit like this."""
        acting = () if role is None else ("--key", self.keys[role], "--reason", "agreed")
        done = self.command("ledger", *arguments, *acting)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def rows(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def act(self, *arguments: str) -> str:
        return self.run(*arguments, role="operator").stdout

    def refused(self, *arguments: str, role: str | None = "operator") -> str:
        done = self.run(*arguments, status=2, role=role)
        assert done.stdout == ""
        return done.stderr

    def books(self, work: Callable[[Books], Awaitable[None]]) -> None:
        """Do something to the books beside the command line."""

        async def run() -> None:
            async with Database.open(self.url, size=4) as database:
                await work(Books(database, ManualClock(START)))

        asyncio.run(run())


@pytest.fixture
def person(command: Run, fresh_database_url: str, tmp_path: Path) -> Person:
    return Person(command, fresh_database_url, tmp_path)


def test_more_accounts_than_a_page_are_listed_and_a_wrong_filter_is_refused(person: Person) -> None:
    async def open_many(books: Books) -> None:
        openings = [(2001, UUID(int=number), "CNY") for number in range(1, 1_006)]
        await books.run(lambda tx: open_accounts(tx, openings, now=books.clock.now()))

    person.books(open_many)
    assert len(person.rows("accounts", "--limit", "0")) == 1_005
    assert len(person.rows("accounts")) == 100
    assert len(person.rows("accounts", "--limit", "1002", "--open", "--name", "待结算")) == 1_002
    (one,) = person.rows("accounts", "--owner", str(UUID(int=5)), "--currency", "CNY")
    assert (one["owner"], one["balance"], one["closed"]) == (str(UUID(int=5)), "0.00", False)
    assert one["account"] in person.run("accounts", "--owner", str(UUID(int=5))).stdout
    assert "currency is not" in person.refused("accounts", "--currency", "XYZ", role=None)
    assert "--owner" in person.refused("accounts", "--owner", "nobody", role=None)
    assert "there is no flag" in person.refused("accounts", "--flag", "round", role=None)


def test_accounts_orders_and_holds_from_the_command_line(person: Person) -> None:
    channel, merchant, target = [
        json.loads(
            person.run("open-account", str(code), "CNY", "--owner", str(OWNER), "--json", role="operator").stdout
        )[0]["account"]
        for code in (1101, 2002, 2003)
    ]
    person.act("transfer", channel, merchant, "500")
    assert "a balance of 500" in person.refused("close-account", merchant)
    assert person.act("close-account", target) == "closed\n"
    assert "already" in person.refused("close-account", target)
    order = ("add-standing-order", merchant, target, "30", "--every-minutes", "1440")
    assert f"{target} is closed" in person.refused(*order)
    assert person.act("reopen-account", target) == "open\n"
    identifier = person.act(*order).strip()
    assert "already" in person.refused(*order)
    (shown,) = person.rows("standing-orders", "--active")
    assert (shown["order_id"], shown["currency"], shown["failures"]) == (identifier, "CNY", 0)
    assert person.act("stop-standing-order", identifier) == "stopped\n"
    assert person.rows("standing-orders", "--active") == []
    assert "no standing order" in person.refused("stop-standing-order", str(uuid4()))
    assert person.act("set-overdraft", merchant, "700") == "the limit is 700\n"
    assert [(row["new_limit_minor"], row["reason"]) for row in person.rows("overdrafts", merchant)] == [(700, "agreed")]
    assert "no account" in person.refused("overdrafts", str(uuid4()), role=None)

    async def hold(books: Books) -> None:
        await books.book(UUID(channel), UUID(merchant), 40, flags=TransferFlags.PENDING)

    person.books(hold)
    assert [(row["amount"], row["expires_at"]) for row in person.rows("holds", "--account", channel)] == [
        ("0.40", None)
    ]
    assert len(person.rows("transfers", "--amount", "500")) == 1
    assert "after the last" in person.refused("transfers", "--since", "2026-03-02", "--until", "2026-03-01", role=None)
    audited = json.loads(person.command("operator", "audit", "list", "--json").stdout)["audit"]
    assert [entry["action"] for entry in audited if entry["action"].startswith("ledger.")] == [
        "ledger.set_overdraft_limit", "ledger.stop_standing_order", "ledger.add_standing_order",
        "ledger.reopen_account", "ledger.close_account", "ledger.book", *["ledger.open_account"] * 3,
    ]  # fmt: skip


def test_an_overdraft_of_a_merchant_names_its_person_and_is_audited(person: Person) -> None:
    made = person.command("merchant", "create", "Example Store", "--json")
    merchant_id = json.loads(made.stdout)["merchant_id"]

    def agree(merchant: str, limit: str, *options: str, role: str = "operator", reason: str = "contract 7") -> Done:
        acting = ("--key", person.keys[role], "--reason", reason)
        return person.command("merchant", "overdraft", merchant, limit, *acting, *options)

    assert [agree(merchant_id, limit).stdout for limit in ("700", "900")] == ["0 -> 700 CNY\n", "700 -> 900 CNY\n"]
    for done, says in (
        (agree(merchant_id, str(2**63)), "amount from 0 to 2^63-1"),
        (agree(merchant_id, "5", "--currency", "XYZ"), "currency"),
        (agree(merchant_id, "5", reason=" "), "reason"),
        (agree("mer_0000000000000000000000000z", "5"), "no merchant has this id"),
        (person.command("merchant", "overdraft", merchant_id, "5", "--reason", "contract 7"), "--key"),
    ):
        assert (done.returncode > 0, done.stdout) == (True, ""), done.stdout + done.stderr
        assert says in done.stderr
    (account,) = person.rows("accounts", "--owner", merchant_id)
    changes = person.rows("overdrafts", account["account"])
    assert [(row["old_limit_minor"], row["new_limit_minor"], row["reason"]) for row in changes] == [
        (700, 900, "contract 7"), (0, 700, "contract 7"),
    ]  # fmt: skip
    assert "opr_" in changes[0]["changed_by"]
    audited = json.loads(person.command("operator", "audit", "list", "--json").stdout)["audit"]
    agreed = [entry for entry in audited if entry["action"] == "ledger.agree_overdraft"]
    assert [(entry["before"]["limit_minor"], entry["after"]["limit_minor"]) for entry in agreed] == [
        (700, 900),
        (0, 700),
    ]
    assert [entry["reason"] for entry in agreed] == ["contract 7"] * 2


def test_proposals_are_listed_approved_by_another_person_or_rejected(person: Person) -> None:
    channel, fee = [
        json.loads(person.run("open-account", code, "CNY", "--owner", str(OWNER), "--json", role="operator").stdout)[0][
            "account"
        ]
        for code in ("1101", "4001")
    ]

    def enter(amount: str, *, credit: str = fee) -> tuple[str, ...]:
        return ("enter", "--debit", f"{channel}:{amount}:CNY", "--credit", f"{credit}:{amount}:CNY", "--json")

    first, second = [json.loads(person.act(*enter(amount)))["proposal_id"] for amount in ("5", "6")]
    assert [row["proposal"] for row in person.rows("proposals")] == [second, first]
    assert "not_permitted" in person.refused("approve", first)
    assert person.run("approve", first, role="approver").stdout == "approved and booked\n"
    assert person.run("reject", second, role="approver").stdout == "rejected\n"
    assert "proposal_closed" in person.refused("approve", second, role="approver")
    assert person.rows("proposals") == []
    assert [row["balance_minor"] for row in person.rows("accounts")] == [5, 5]
    for lines, says in (
        (enter("5,0"), "not a line"),
        (enter("-5"), "not a line"),
        (enter("5", credit="nobody"), "not a line"),
        (enter("5", credit=str(uuid4())), "no account has the id"),
    ):
        assert says in person.refused(*lines)
    assert "not_found" in person.refused("approve", "prp_01kas0000000000000000000aa", role="approver")
    wrong = ("add-subject", "5101", "--parent", "4000", "--name-en", "x", "--name-zh", "y")
    assert "the parent of 5101 is 5100" in person.refused(*wrong)
    assert "--per" in person.refused(*wrong, "--per", "nobody")
    assert {row["code"]: row["parent"] for row in person.rows("chart")}[4001] == 4000


def test_closed_days_are_reported_and_old_partitions_archived(person: Person, tmp_path: Path) -> None:
    async def business(books: Books) -> None:
        await books.run(lambda tx: partitions.make_partitions(tx, now=books.clock.now()))
        channel, merchant = await books.account(1101), await books.account(2001)
        await books.book(channel, merchant, 1_999, code=1)
        assert await books.end_day() == START.date()
        books.clock.advance(timedelta(days=1))

    assert "no day is" in person.refused("balances", "2026-03-01", role=None)
    person.books(business)
    day = "2026-03-01"
    assert [(row["code"], row["balance"]) for row in person.rows("balances", day)] == [(1101, "19.99"), (2001, "19.99")]
    lines = person.rows("general-ledger", day, day)
    assert [(line["code"], line["debits"], line["credits"], line["closing"]) for line in lines] == [
        (1101, "19.99", "0.00", "19.99"), (2001, "0.00", "19.99", "19.99"),
    ]  # fmt: skip
    assert "account_id" not in lines[0]
    assert len(person.rows("general-ledger", day, day, "--accounts", "--code", "2001")) == 1
    assert "--accounts" in person.refused("general-ledger", day, day, "--code", "2001", role=None)
    for late in (("balances", "2026-03-02"), ("general-ledger", day, "2026-03-02"),
                 ("day-statements", "2026-03-02", str(tmp_path / "late"))):  # fmt: skip
        assert "the day 2026-03-02 is not closed" in person.refused(*late, role=None)
    assert not (tmp_path / "late").exists()
    assert person.run("day-statements", day, str(tmp_path / "day")).stdout.startswith("2 accounts and 2 lines")
    assert "not an empty folder" in person.refused("day-statements", day, str(tmp_path / "day"), role=None)
    assert "2026-03-31 is not closed" in person.refused("close-month", "2026-03")
    assert "not a month" in person.refused("close-month", "march")
    assert "2026-12 is not closed" in person.refused("close-year", "2026")
    assert person.rows("periods") == person.rows("periods", "2026-03") == []
    name = person.rows("partitions")[0]["name"]
    assert "not sealed" in person.refused("archive", name)
    person.run("verify")
    checksum = person.act("archive", name).strip()
    archived = person.rows("partitions")[0]
    assert (archived["name"], archived["rows"], archived["checksum"]) == (name, 1, checksum)
    assert "left to archive" in person.refused("archive", name)
    (found,) = person.rows("transfers", "--code", "1")
    assert found["amount"] == "19.99"
