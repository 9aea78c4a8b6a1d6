"""A channel account with its bank account: bills that promise money, and statements in which it comes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from bill_world import BillWorld
from test_batches import write_rows

from hutong import ids
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.reconciliation import Counterparty, bank, differences, files, find_party, runs
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.model import BillFile
from hutong.sandbox.bank.entries import BankEntry, SandboxStatement
from hutong.sandbox.bank.formats import facts, write_camt
from hutong.sandbox.unionpay.keys import MER_ID

FEE = 6


class PaidWorld(BillWorld):
    """A bill's row of `amount` settles it less the fee, in one batch for each day."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path) -> None:
        super().__init__(database, clock, folder)
        self.settle_to(self.ids.new())

    def settle_to(self, bank_id: UUID) -> None:
        """Let the channel's money go to this bank account: other tests have some in the same currency."""
        self.bank_id = bank_id
        self.config = replace(self.config, settles_to={self.name: [ids.encode("bka", bank_id)]})
        self.use = replace(self.use, config=self.config)

    async def register(self) -> None:
        """Add both accounts; the bank account's number is its own."""
        await super().register()
        account = bank.BankAccount(self.bank_id, str(self.bank_id), self._number, "CNY", self.clock.now())
        await self.database.run(lambda tx: bank.add_account(tx, account, reason="a test"))

    @property
    def _number(self) -> str:
        return f"GB82{self.bank_id.int % 10**24:024d}"

    async def bank_party(self) -> Counterparty:
        return await find_party(self.use, self.bank_id)

    def lay_ours(self, day: date, rows: Sequence[Mapping[str, Any]]) -> None:
        """Lay our own rows of a day where a run finds them already written."""
        folder = RunFolder(self.config.folder, self.name, day)
        folder.rows(SideSource.JOURNAL).parent.mkdir(parents=True, exist_ok=True)
        laid = [{"day": day, "line": line, **row} for line, row in enumerate(rows, 1)]
        for source in (SideSource.JOURNAL, SideSource.ORDERS, SideSource.PAYMENTS):
            write_rows(folder.rows(source), laid if source is SideSource.JOURNAL else [])

    async def run_channel(self, day: date) -> list[runs.RunOutcome]:
        return await runs.run_day(self.use, await self.party(), day)

    async def state(self, entries: Iterable[tuple[str, int, date | None]], day: date) -> BillFile:
        """Take in a bank's statement of a day: each entry with its number, its amount and the bill's day it names."""
        booked = [
            BankEntry(number, "" if of is None else _reference(of), "PAYMENTS", amount)
            for number, amount, of in entries
        ]
        statement = write_camt(SandboxStatement(day, "CNY", 0, booked))
        self.clock.advance(timedelta(milliseconds=1))
        with files.staging(self.use) as folder:
            path = folder / "statement.xml"
            path.write_bytes(statement.replace(str(facts()["account"]["number"]).encode(), self._number.encode()))
            incoming = files.Incoming(await self.bank_party(), "camt", path, path.name, day)
            file = await files.receive(self.use, incoming)
        return await files.read_file(self.use, file.file_id)

    async def run_bank(self, day: date, *, again: bool = False) -> list[runs.RunOutcome]:
        return await runs.run_day(self.use, await self.bank_party(), day, again=again)

    async def balance(self, code: int, owner: object) -> int:
        """Debits less credits of a subject of an account."""
        query = """SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger.account
            WHERE user_data_128 = $1 AND code = $2"""
        async with self.database.transaction() as tx:
            return int(await tx.fetchval(query, owner, code))

    async def suspense_of_cases(self, owner: object) -> int:
        query = "SELECT coalesce(sum(suspense_minor), 0) FROM reconciliation.difference WHERE account_id = $1"
        async with self.database.transaction() as tx:
            assert await differences.check_suspense(tx) == []
            return int(await tx.fetchval(query, owner))

    async def booked(self) -> dict[str, Any]:
        """All that runs have left in the database: cases, their history's steps, balances, sums, files and arrivals."""
        accounts = [self.account_id, self.bank_id]
        queries = {
            "cases": """SELECT layer, side, key, class, column_name, state, content, amount_minor, suspense_minor,
                cost_minor, postings, first_day, last_day, reopened, action FROM reconciliation.difference
                WHERE account_id = ANY ($1::uuid[]) ORDER BY layer, side, key, class, column_name""",
            "history": """SELECT d.key, e.what, e.amount_minor FROM reconciliation.difference_entry AS e
                JOIN reconciliation.difference AS d ON d.id = e.difference_id
                WHERE d.account_id = ANY ($1::uuid[]) ORDER BY d.key, e.id""",
            "balances": """SELECT a.code, a.debits_posted, a.credits_posted FROM ledger.account AS a
                WHERE a.user_data_128 = ANY ($1::uuid[]) ORDER BY a.code, 2, 3""",
            "sums": """SELECT day, layer, kind, pairs, settled_minor, fee_minor FROM reconciliation.matched_total
                WHERE account_id = ANY ($1::uuid[]) ORDER BY day, layer, kind""",
            "arrivals": """SELECT batch, amount_minor, postings FROM reconciliation.bank_arrival
                WHERE account_id = ANY ($1::uuid[]) ORDER BY batch""",
            "files": """SELECT day, name, state FROM reconciliation.file
                WHERE account_id = ANY ($1::uuid[]) ORDER BY day, id""",
            "runs": """SELECT day, totals, explained_ppm FROM reconciliation.run
                WHERE account_id = ANY ($1::uuid[]) ORDER BY day, account_id""",
        }
        async with self.database.transaction() as tx:
            return {name: [tuple(row) for row in await tx.fetch(query, accounts)] for name, query in queries.items()}


def _reference(day: date) -> str:
    return f"SETTLEMENT {MER_ID} {day:%Y%m%d}"
