"""Bank accounts with statements, and channel accounts whose bills are there as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from test_batches import write_rows

from hutong import ids
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.reconciliation import Reconciliation, ReconciliationConfig, bank, files, find_party, runs
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.layers import SideSource
from hutong.sandbox.bank.entries import BankEntry, SandboxStatement
from hutong.sandbox.bank.formats import facts, write_camt

MONDAY = date(2026, 11, 2)
ONE = timedelta(days=1)


def credit(number: str, amount: int, merchant: str = "", billed: date = MONDAY) -> BankEntry:
    reference = f"SETTLEMENT {merchant} {billed:%Y%m%d}" if merchant else ""
    return BankEntry(number, reference, reference or "PAYMENTS", amount)


class BankWorld:
    """One bank account at first; a channel account for each bill."""

    def __init__(self, database: Database, folder: Path, **config: Any) -> None:
        self.clock = ManualClock(datetime(2027, 1, 4, tzinfo=UTC))
        self.ids, self.database = Ids(self.clock), database
        self.config = ReconciliationConfig(folder, memory_mb=256, upload_bytes_max=1 << 20, **config)
        self.use = Reconciliation(database, None, self.config, self.clock, self.ids)  # type: ignore[arg-type]
        self.accounts: dict[str, bank.BankAccount] = {}
        self.channels: dict[str, UUID] = {}

    async def open(self, name: str = "main", currency: str = "CNY") -> bank.BankAccount:
        """Add a bank account."""
        new = self.ids.new()
        account = bank.BankAccount(new, f"{name}-{new}", f"XX00{new.hex[-12:].upper()}", currency, self.clock.now())
        await self.database.run(lambda tx: bank.add_account(tx, account, reason="opened"))
        self.accounts[name] = account
        return account

    async def bill(
        self, merchant: str, net: int, day: date = MONDAY, channel: str = "unionpay", *, to: str | None = "main"
    ) -> UUID:
        """Have a matched bill of a channel account, whose rows settle to a sum; return its file.

        The database has bank accounts of other tests, so it is set to which one the channel account settles.
        """
        if merchant not in self.channels:
            self.channels[merchant] = account_id = self.ids.new()
            await self.database.run(
                lambda tx: tx.execute(
                    "INSERT INTO channels.account (id, channel, name, sandbox, credentials_sealed, enabled, version, "
                    "created_at, updated_at) VALUES ($1, $2, $3, false, '\\x00', true, 1, $4, $4)",
                    account_id,
                    channel,
                    str(account_id),
                    self.clock.now(),
                )
            )
        account_id, file_id = self.channels[merchant], self.ids.new()
        if to is not None:
            self.settle(merchant, to)
        rows = RunFolder(self.config.folder, ids.encode("acc", account_id), day).rows(SideSource.BILL)
        rows.parent.mkdir(parents=True, exist_ok=True)
        write_rows(rows, [{"merchant": merchant, "settled": net + 6, "fee": 6, "day": day}])
        await self.database.run(
            lambda tx: tx.execute(
                "INSERT INTO reconciliation.file (id, source, account_id, layout, day, name, sha256, size, state, "
                "received_at) VALUES ($1, 'bill', $2, 'unionpay_zm', $3, 'x', $4, 1, 'matched', $5)",
                file_id,
                account_id,
                day,
                f"{file_id.int:064x}",
                self.clock.now(),
            )
        )
        return file_id

    async def statement(self, day: date, entries: Sequence[BankEntry], *, name: str = "main") -> runs.RunOutcome:
        """Import a statement and run its day; return the outcome of that day."""
        account = self.accounts[name]
        content = write_camt(SandboxStatement(day, account.currency, 0, entries))
        content = content.replace(facts()["account"]["number"].encode(), account.number.encode())
        party = await find_party(self.use, account.bank_account_id)
        with files.staging(self.use) as folder:
            (path := folder / "statement.xml").write_bytes(content)
            file = await files.receive(self.use, files.Incoming(party, "camt", path, path.name, day))
            file = await files.read_file(self.use, file.file_id)
        assert file.state.value in ("parsed", "matched"), file.reason
        return (await self.run(day, name=name))[0]

    async def run(self, day: date, *, name: str = "main", again: bool = False) -> list[runs.RunOutcome]:
        party = await find_party(self.use, self.accounts[name].bank_account_id)
        return await runs.run_day(self.use, party, day, again=again)

    async def state(self, file_id: UUID) -> str:
        async with self.database.transaction() as tx:
            return (await files.find_file(tx, file_id)).state.value

    async def owed(self, merchant: str) -> int:
        """What has been booked of a channel account's receivable."""
        async with self.database.transaction() as tx:
            return int(
                await tx.fetchval(
                    "SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger.account "
                    "WHERE user_data_128 = $1 AND code = 1101",
                    self.channels[merchant],
                )
            )

    async def cases(self, name: str = "main") -> list[tuple[str, str, str, int, int]]:
        async with self.database.transaction() as tx:
            rows = await tx.fetch(
                "SELECT key, class, state, amount_minor, suspense_minor FROM reconciliation.difference "
                "WHERE account_id = $1 AND state <> 'resolved' ORDER BY key, class",
                self.accounts[name].bank_account_id,
            )
        return [tuple(row) for row in rows]

    def settle(self, merchant: str, *names: str) -> None:
        """Set to which bank accounts a channel account settles."""
        target = [ids.encode("bka", self.accounts[name].bank_account_id) for name in names]
        settings = {**self.config.settles_to, ids.encode("acc", self.channels[merchant]): target}
        self.config = replace(self.config, settles_to=settings)
        self.use = replace(self.use, config=self.config)
