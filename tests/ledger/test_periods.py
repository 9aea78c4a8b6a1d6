"""Closed periods and the reports of closed days, against sums that the test keeps itself."""

from __future__ import annotations

import asyncio
import csv
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from hutong import bookkeeping, ledger, operators
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter, InvariantBroken
from hutong.ledger import finance, reports
from hutong.ledger.accounting.chart import account_id
from support import SEED
from support.fixtures.finance import Books

COMPANY = UUID(int=1)


@pytest.fixture
async def opened(fresh_database_url: str) -> AsyncIterator[Database]:
    async with Database.open(fresh_database_url, size=8) as database:
        yield database


class Business:
    """Random bookings of a platform over many days, and what they come to by day and account."""

    CODES = (1001, 1101, 2001, 4001, 5001, 5002)

    def __init__(self, books: Books) -> None:
        self.books, self.rng = books, random.Random(SEED)
        self.accounts: dict[tuple[int, int], UUID] = {}
        self.days: list[date] = []
        self.moves: dict[tuple[date, UUID], list[int]] = defaultdict(lambda: [0, 0])
        self.booked: dict[tuple[date, UUID], list[int]] = {}

    async def open(self) -> None:
        for currency, number in (("CNY", 156), ("USD", 840)):
            for code in self.CODES:
                self.accounts[code, number] = await self.books.account(code, COMPANY, currency)

    async def day(self) -> None:
        """Do business for one day and close it."""
        today = self.books.clock.now().astimezone(UTC).date()
        for _ in range(self.rng.randint(0, 3)):
            number = self.rng.choice([156, 840])
            debit, credit = self.rng.sample([1001, 1101, 4001, 5001, 5002], 2)
            amount = self.rng.randint(1, 500)
            one, two = self.accounts[debit, number], self.accounts[credit, number]
            await self.books.book(one, two, amount, ledger=number)
            self.moves[today, one][0] += amount
            self.moves[today, two][1] += amount
        self.days.append(today)
        assert await self.books.end_day() == today

    def note(self, carries: list[finance.Carry], to: int) -> None:
        """Keep the entries of a closing, which belong to the date on which it was booked."""
        today = self.books.clock.now().date()
        for carry in carries:
            target = UUID(int=account_id(to, COMPANY, carry.currency))
            side = 0 if carry.amount_minor > 0 else 1
            self.moves[today, carry.account_id][side] += abs(carry.amount_minor)
            self.moves[today, target][1 - side] += abs(carry.amount_minor)

    def sums(self, account: UUID, since: date, until: date) -> tuple[int, int]:
        found = [move for (day, one), move in self.moves.items() if one == account and since <= day <= until]
        return sum(move[0] for move in found), sum(move[1] for move in found)


def profit(business: Business, month: str) -> dict[tuple[int, int], int]:
    """The income less expense of a month, from the bookings alone, by code and ledger."""
    result = {}
    for (code, number), account in business.accounts.items():
        if code in (4001, 5001, 5002):
            earned = sum(
                credit - debit
                for (day, one), (debit, credit) in business.booked.items()
                if one == account and f"{day:%Y-%m}" == month
            )
            if earned:
                result[code, number] = earned
    return result


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
async def test_months_and_a_year_carry_what_was_earned_in_them(opened: Database, late: bool) -> None:
    books = Books(opened, ManualClock(datetime(2026, 11, 27, 4, 0, tzinfo=UTC)))
    business = Business(books)
    await business.open()
    person = await books.person(reason="all bills are reconciled")

    def close(period):
        verb = bookkeeping.close_month if "-" in period else bookkeeping.close_year
        return lambda tx: verb(tx, person, period, new_id=books.ids.new, now=books.clock.now())

    async def refused(period, says, error=Conflict):
        before = await books.written()
        with pytest.raises(error, match=says):
            await books.run(close(period))
        assert await books.written() == before

    async def done(period, to=3101):
        carries = await books.run(close(period))
        business.note(carries, to)
        return carries

    await refused("2026-11", "no day is")
    await business.day()
    await refused("2026-11", "2026-11-30 is not closed")
    for _ in range(5):
        await business.day()
    if not late:
        await refused("2026-10", "the next month to close is 2026-11|not closed")
        business.booked = {key: list(value) for key, value in business.moves.items()}
        november = await done("2026-11")
    while business.days[-1] < date(2027, 1, 2):
        await business.day()
    if late:
        await refused("2026-12", "the next month to close is 2026-11")
        business.booked = {key: list(value) for key, value in business.moves.items()}
        november = await done("2026-11")
    wanted = {(carry.code, 156 if carry.currency == "CNY" else 840): carry.amount_minor for carry in november}
    assert wanted == profit(business, "2026-11")
    await refused("2026-11", "2026-11 is closed already")
    await refused("2026", "2026-12 is not closed")
    carried = {carry.transfer_id for carry in november}
    business.booked = await without(books, business, carried)
    december = await done("2026-12")
    assert {(c.code, 156 if c.currency == "CNY" else 840): c.amount_minor for c in december} == profit(
        business, "2026-12"
    )
    totals: dict[str, int] = defaultdict(int)
    for carry in [*november, *december]:
        totals[carry.currency] += carry.amount_minor
    year = await done("2026", 3102)
    assert {carry.currency: carry.amount_minor for carry in year} == {k: v for k, v in totals.items() if v}
    await refused("2026", "2026 is closed already")
    await refused("2027-01", "2027-01-31 is not closed")
    await refused("2026-13", "not a month", InvalidParameter)
    await refused("20266", "not a year", InvalidParameter)
    for currency, total in totals.items():
        retained = UUID(int=account_id(3102, COMPANY, currency))
        assert await books.balance(retained) == -total
        assert await books.balance(UUID(int=account_id(3101, COMPANY, currency))) == 0
    assert [(p.period, p.last_day, p.accounts) for p in await books.run(finance.list_periods)] == [
        ("2026-11", date(2026, 11, 30), len(november)), ("2026-12", date(2026, 12, 31), len(december)),
        ("2026", date(2026, 12, 31), len(year)),
    ]  # fmt: skip
    with pytest.raises(Conflict, match="which is permanent"):
        await books.run(
            lambda tx: bookkeeping.reverse(
                tx, person, december[0].transfer_id, limits={}, new_id=books.ids.new, now=books.clock.now()
            )
        )
    journal = await books.run(lambda tx: operators.list_audit(tx, limit=3))
    assert [record.entry.action for record in journal] == [
        "ledger.close_year", "ledger.close_month", "ledger.close_month",
    ]  # fmt: skip
    await business.day()
    await holds_against_the_bookings(books, business)


async def without(books: Books, business: Business, carried: set[UUID]) -> dict[tuple[date, UUID], list[int]]:
    """The bookings of the business, without the entries of closings, read from the journal row by row."""
    rows = await books.run(
        lambda tx: tx.fetch(
            "SELECT id, accounting_date, debit_account_id, credit_account_id, amount FROM ledger.transfer"
        )
    )
    booked: dict[tuple[date, UUID], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        if UUID(int=row["id"].int) not in carried:
            booked[row["accounting_date"], UUID(int=row["debit_account_id"].int)][0] += row["amount"]
            booked[row["accounting_date"], UUID(int=row["credit_account_id"].int)][1] += row["amount"]
    return booked


async def holds_against_the_bookings(books: Books, business: Business) -> None:
    """Balances, general ledger and statements of random days are those that the bookings give."""
    days = business.days
    for _ in range(6):
        since, until = sorted(business.rng.choices(days, k=2))
        lines = await books.run(lambda tx: reports.list_accounts_between(tx, since, until, limit=100))  # noqa: B023
        subjects: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for line in lines:
            sign = 1 if line.code < 2000 or line.code >= 5000 else -1
            before = business.sums(line.account_id, date.min, since - timedelta(days=1))
            within = business.sums(line.account_id, since, until)
            opening = sign * (before[0] - before[1])
            closing = opening + sign * (within[0] - within[1])
            figures = (opening, *within, closing)
            assert (line.opening_minor, line.debits_minor, line.credits_minor, line.closing_minor) == figures
            total = subjects[line.code, line.currency]
            subjects[line.code, line.currency] = [a + b for a, b in zip(total, figures, strict=True)]
        for line in await books.run(lambda tx: reports.list_subjects_between(tx, since, until)):  # noqa: B023
            figures = [line.opening_minor, line.debits_minor, line.credits_minor, line.closing_minor]
            assert figures == subjects[line.code, line.currency]
        balances = await books.run(lambda tx: reports.list_day_end_balances(tx, until))  # noqa: B023
        for balance in balances:
            moved = business.sums(balance.account_id, date.min, until)
            sign = 1 if balance.code < 2000 or balance.code >= 5000 else -1
            assert balance.balance_minor == sign * (moved[0] - moved[1])
        for account, entries in await books.run(lambda tx: reports.list_day_statements(tx, until)):  # noqa: B023
            assert (account.debits_minor, account.credits_minor) == business.sums(account.account_id, until, until)
            assert {entry.accounting_date for entry in entries} == {until}
    assert (await books.run(ledger.verify)).problems == []


@pytest.fixture
async def march(opened: Database) -> Books:
    """Books with one closed day: a fee of 60 on a payment of 10,000."""
    books = Books(opened, ManualClock(datetime(2026, 3, 31, 4, 0, tzinfo=UTC)))
    channel, merchant, fee = [await books.account(code, COMPANY) for code in (1101, 2001, 4001)]
    await books.book(channel, merchant, 10_000, code=1)
    await books.book(merchant, fee, 60, code=2)
    await books.end_day()
    return books


async def test_a_month_that_is_closed_by_two_at_once_is_closed_once(march: Books) -> None:
    person = await march.person()

    async def close() -> object:
        try:
            return await march.run(
                lambda tx: bookkeeping.close_month(tx, person, "2026-03", new_id=march.ids.new, now=march.clock.now())
            )
        except Conflict as error:
            return error.detail

    answers = await asyncio.gather(*(close() for _ in range(4)))
    assert sorted(map(str, answers))[1:] == ["the month 2026-03 is closed already"] * 3
    assert await march.balance(UUID(int=account_id(3101, COMPANY, "CNY"))) == -60
    assert await march.balance(UUID(int=account_id(4001, COMPANY, "CNY"))) == 0


async def test_the_statements_of_a_day_are_written_into_a_folder(march: Books, tmp_path: Path) -> None:
    day = date(2026, 3, 31)
    written = await march.run(lambda tx: reports.write_day_statements(tx, day, tmp_path / "day", kind="csv"))
    assert written == (3, 4)
    with (tmp_path / "day" / "accounts.csv").open() as file:
        accounts = {row["code"]: row for row in csv.DictReader(file)}
    assert {code: (row["opening_minor"], row["closing_minor"], row["closing"]) for code, row in accounts.items()} == {
        "1101": ("0", "10000", "100.00"), "2001": ("0", "9940", "99.40"), "4001": ("0", "60", "0.60"),
    }  # fmt: skip
    with (tmp_path / "day" / "lines.csv").open() as file:
        lines = [(row["event_zh"], row["debit_minor"], row["credit_minor"], row["balance_minor"])
                 for row in csv.DictReader(file) if row["account_id"] == accounts["2001"]["account_id"]]  # fmt: skip
    assert lines == [("收款", "0", "10000", "10000"), ("手续费", "60", "0", "9940")]
    with pytest.raises(Conflict, match="not an empty folder"):
        await march.run(lambda tx: reports.write_day_statements(tx, day, tmp_path / "day", kind="csv"))
    await march.run(lambda tx: reports.write_day_statements(tx, day, tmp_path / "parquet", kind="parquet"))
    import duckdb

    with duckdb.connect() as engine:
        query = f"SELECT sum(debit_minor), sum(credit_minor) FROM '{tmp_path}/parquet/lines.parquet'"
        assert engine.sql(query).fetchall() == [(10_060, 10_060)]
        query = f"SELECT day, closing_minor FROM '{tmp_path}/parquet/accounts.parquet' WHERE code = 2001"
        assert engine.sql(query).fetchall() == [(day, 9_940)]


async def test_a_statement_whose_lines_do_not_lead_to_its_balance_is_never_written(
    march: Books, fresh_database_url: str, tmp_path: Path
) -> None:
    async with Database.open(fresh_database_url, size=2, role=None) as owned:
        await owned.run(lambda tx: tx.execute("UPDATE ledger.day_balance SET debits = 61 WHERE code = 2001"))
    with pytest.raises(InvariantBroken, match="do not lead to its balance"):
        await march.run(lambda tx: reports.write_day_statements(tx, date(2026, 3, 31), tmp_path / "day", kind="csv"))
    assert not (tmp_path / "day").exists()


async def test_reports_of_days_that_are_not_closed_are_refused(march: Books) -> None:
    for day in (date(2026, 3, 30), date(2026, 4, 1)):
        says = f"the day {day} is not closed; the days from 2026-03-31 to 2026-03-31 are"
        for report in (
            lambda tx: reports.list_day_end_balances(tx, day),  # noqa: B023
            lambda tx: reports.list_day_statements(tx, day),  # noqa: B023
            lambda tx: reports.list_subjects_between(tx, min(day, date(2026, 3, 31)), max(day, date(2026, 3, 31))),  # noqa: B023
        ):
            with pytest.raises(Conflict, match=says):
                await march.run(report)
    with pytest.raises(InvalidParameter, match="is after the last day"):
        await march.run(lambda tx: reports.list_subjects_between(tx, date(2026, 4, 1), date(2026, 3, 31)))
    assert ledger.CHART[3102].name_zh == "未分配利润"
