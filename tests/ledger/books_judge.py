"""Comparisons of the books with the picture of them: of each day when it is closed, and of all of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from books_world import BooksWorld

from hutong import ledger
from hutong.ledger.codec import uuid_of
from hutong.ledger.reports.day_statements import list_day_statements
from support.models.books import DAY, EPOCH, Fault

SUMS = "opening_debits, opening_credits, debits, credits, closing_debits, closing_credits"
DAY_BALANCES = f"SELECT account_id, {SUMS} FROM ledger.day_balance WHERE day = $1"
FROZEN = f"""
    SELECT day, md5(string_agg(text, ';' ORDER BY text)) AS print FROM (
        SELECT day, concat_ws(',', account_id, {SUMS}) AS text FROM ledger.day_balance
        UNION ALL SELECT day, concat_ws(',', ledger, code, {SUMS}) FROM ledger.day_subject
    ) rows WHERE day <= $1 GROUP BY day
"""
FALLING = """
    SELECT e.account_id, e.version FROM (
        SELECT account_id, version, accounting_date,
            lag(accounting_date) OVER (PARTITION BY account_id ORDER BY version) AS before
        FROM (
            SELECT debit_account_id AS account_id, debit_version AS version, accounting_date
            FROM ledger.journal WHERE flags < 65536
            UNION ALL SELECT credit_account_id, credit_version, accounting_date
            FROM ledger.journal WHERE flags < 65536
        ) rows
    ) e WHERE e.accounting_date < e.before LIMIT 1
"""


class Judge:
    """Compares the books of a world; raises `Fault` at the first difference."""

    def __init__(self, world: BooksWorld) -> None:
        self._world, self._books = world, world.books
        self._prints: dict[date, str] = {}

    async def day(self, day: date) -> None:
        """A day that was closed just now, and that the days before it are as they were."""
        async with self._world.database.transaction() as tx:
            await self._balances(tx, day)
            await self._subjects(tx, day)
            await self._statements(tx, day)
            await self._frozen(tx, day)

    async def now(self) -> None:
        """The accounts, with what is held on them."""
        async with self._world.database.transaction() as tx:
            await self._accounts(tx)

    async def everything(self) -> None:
        """Each closed day again, each account's statements, and the proofs that the books have of their own."""
        world, books = self._world, self._books
        async with world.database.transaction() as tx:
            for day in books.closed:
                await self._balances(tx, day)
                await self._subjects(tx, day)
            for account in books.accounts:
                await self._statement(tx, account, books.closed[0], books.closed[-1])
                await self._statement_of_time(tx, account, books.closed[0], books.closed[-1])
            await self._accounts(tx)
            _same("falling dates", await tx.fetch(FALLING), [])
            late = {row["transfer_id"].int: row["day"] for row in await tx.fetch("SELECT * FROM ledger.late_import")}
            _same("late", late, books.late)
            sent = {row["id"].int for row in await tx.fetch("SELECT id FROM ledger.journal WHERE flags < 65536")}
            _same("rows", sent, set(books.dates))
            found = await ledger.check_invariants(tx, now=world.clock.now())
            _same("check", found.problems, [])
        while await world.database.run(lambda tx: ledger.seal(tx, now=world.clock.now())):
            pass
        await self.proof()

    async def proof(self) -> None:
        verdict = await self._world.database.run(ledger.verify)
        _same("verify", verdict.problems, [])

    async def _balances(self, tx: Any, day: date) -> None:
        rows = {row["account_id"].int: tuple(row)[1:] for row in await tx.fetch(DAY_BALANCES, day)}
        right = {
            account: totals.row
            for account, totals in self._books.totals(day, day).items()
            if totals.debits or totals.credits
        }
        moved = {account: row for account, row in rows.items() if row[2] or row[3]}
        for account in right.keys() | moved.keys():
            name = self._world.name(account)
            _same(f"day: {name} on {day}", moved.get(account), right.get(account))

    async def _subjects(self, tx: Any, day: date) -> None:
        lines = await ledger.general_ledger(tx, day=day)
        right = self._books.subjects(self._books.totals(day, day))
        for line in lines:
            sums = right.pop(line.code, (0,) * 6)
            sign = -1 if line.code // 1000 in (2, 3, 4) else 1
            expected = sign * (sums[0] - sums[1]), sums[2], sums[3], sign * (sums[4] - sums[5])
            given = line.opening, line.debits, line.credits, line.closing
            _same(f"subject: {line.code} on {day}", given, expected)
        _same(f"subject: of {day}", right, {})
        _same(f"trial balance: of {day}", ledger.differences(lines), [])

    async def _statements(self, tx: Any, day: date) -> None:
        for account, lines in await list_day_statements(tx, day):
            number = account.account_id.int
            given = [(account.opening_minor,)] + [
                (line.transfer_id.int, line.debit_minor, line.credit_minor, line.balance_minor) for line in lines
            ]
            right = self._books.statement_of_days(number, day, day)
            _same(f"statements of {day}: {self._world.name(number)}", given, right)
        turn = day.toordinal()
        accounts = list(self._books.accounts)
        first = self._books.closed[turn % len(self._books.closed)]
        await self._statement(tx, accounts[turn % len(accounts)], first, day)
        await self._statement_of_time(tx, accounts[turn * 7 % len(accounts)], first, day)

    async def _statement(self, tx: Any, account: int, first: date, last: date) -> None:
        given = _rows(await ledger.statement_of_days(tx, account, first=first, last=last))
        right = self._books.statement_of_days(account, first, last)
        _same(f"statement: {self._world.name(account)} from {first} to {last}", given, right)

    async def _statement_of_time(self, tx: Any, account: int, first: date, last: date) -> None:
        calendar = self._world.calendar
        since, until = calendar.end_ns(first - DAY), calendar.end_ns(last)
        given = _rows(await ledger.statement(tx, account, since=_instant(since), until=_instant(until)))
        right = self._books.statement_of_time(account, since, until)
        _same(f"statement by time: {self._world.name(account)} of {first} to {last}", given, right)

    async def _accounts(self, tx: Any) -> None:
        now = self._world.clock.now_ns()
        rows = await tx.fetch("SELECT * FROM ledger.account WHERE id = ANY ($1)", [*map(uuid_of, self._books.accounts)])
        for row in rows:
            number = row["id"].int
            account = self._books.accounts[number]
            pending = self._books.pending(number, now)
            given = row["debits_posted"], row["credits_posted"], row["debits_pending"], row["credits_pending"]
            _same(f"account: {self._world.name(number)}", given, (account.debits, account.credits, *pending))
        for row in await ledger.trial_balance(tx):
            _same("trial balance: posted", row["debits_posted"], row["credits_posted"])
            _same("trial balance: pending", row["debits_pending"], row["credits_pending"])

    async def _frozen(self, tx: Any, day: date) -> None:
        now = {row["day"]: row["print"] for row in await tx.fetch(FROZEN, day)}
        for known, text in self._prints.items():
            _same(f"frozen: {known}", now.get(known), text)
        self._prints = now


def _rows(statement: Any) -> list[tuple[int, ...]]:
    rows = [(line.id.int, line.debit, line.credit, line.balance) for line in statement.lines]
    _same("statement: closing", statement.closing, rows[-1][3] if rows else statement.opening)
    return [(statement.opening,), *rows]


def _instant(ns: int) -> Any:
    return EPOCH + timedelta(microseconds=ns // 1_000)


def _same(what: str, given: Any, right: Any) -> None:
    if given != right:
        raise Fault(f"{what}: {given} where {right} is right")
