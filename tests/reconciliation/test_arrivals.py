"""Money at the bank moves out of the channel's account once, as far as its batch explains it, and closes its bill."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from test_batches import write_rows

from hutong import ids as public_ids
from hutong.clock import ManualClock
from hutong.db import Tx
from hutong.errors import Conflict, InvalidParameter
from hutong.ids import Ids
from hutong.reconciliation import bank
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.bank import ArrivalsBooked, BankAccount, BatchArrival
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.matching.model import DIFFERENCE_COLUMNS
from hutong.reconciliation.model import Layer

DAY = date(2026, 11, 28)


class Books:
    """A bank account and a channel account."""

    def __init__(self, tx: Tx, clock: ManualClock, ids: Ids) -> None:
        self.tx, self.clock, self.ids = tx, clock, ids
        self.channel_id = ids.new()
        self.account = BankAccount(ids.new(), "main", "GB33 BUKB 2020", "CNY", clock.now())

    def arrival(self, batch: str, expected: int, arrived: int, *, day: date = DAY) -> BatchArrival:
        return BatchArrival(batch, "CNY", self.channel_id, day, expected, arrived)

    async def book(self, *arrivals: BatchArrival, day: date = DAY) -> ArrivalsBooked:
        return await bank.book_arrivals(
            self.tx, self.account.bank_account_id, day, arrivals, now=self.clock.now(), new_id=self.ids.new
        )

    async def balance(self, code: int, owner: UUID) -> int:
        query = """SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger.account
            WHERE user_data_128 = $1 AND code = $2"""
        return int(await self.tx.fetchval(query, owner, code))

    async def add_bill(self, day: date, state: str = "matched") -> UUID:
        file_id = self.ids.new()
        await self.tx.execute(
            """INSERT INTO reconciliation.file
                (id, source, account_id, layout, day, name, sha256, size, state, received_at)
            VALUES ($1, 'bill', $2, 'wechat_trade', $3, 'x', $4, 1, $5, $6)""",
            file_id, self.channel_id, day, f"{file_id.int:064x}", state, self.clock.now(),
        )  # fmt: skip
        return file_id

    async def states(self) -> list[str]:
        query = "SELECT state FROM reconciliation.file WHERE account_id = $1 ORDER BY day"
        return [row["state"] for row in await self.tx.fetch(query, self.channel_id)]


@pytest.fixture
async def books(tx: Tx, clock: ManualClock, ids: Ids) -> Books:
    made = Books(tx, clock, ids)
    made.account = await bank.add_account(tx, made.account, reason="opened")
    return made


async def test_a_number_is_kept_without_blanks_and_once(books: Books) -> None:
    assert books.account.number == "GB33BUKB2020"
    assert await bank.find_account(books.tx, books.account.bank_account_id) == books.account
    assert books.account in await bank.list_accounts(books.tx)
    other = replace(books.account, bank_account_id=books.ids.new(), name="other")
    with pytest.raises(Conflict, match="`number`"):
        await bank.add_account(books.tx, other, reason="again")
    with pytest.raises(InvalidParameter):
        await bank.add_account(books.tx, replace(other, number="1", currency="XXQ"), reason="again")


async def test_money_is_booked_once_and_corrections_by_their_change(books: Books) -> None:
    platform = UUID(int=1)
    before = await books.balance(1001, platform)

    async def at_bank() -> int:
        return await books.balance(1001, platform) - before

    assert await books.book(books.arrival("a", 1_000, 999), books.arrival("b", -50, -50)) == ArrivalsBooked(2)
    assert (await at_bank(), await books.balance(1101, books.channel_id)) == (949, -949)
    assert await books.book(books.arrival("a", 1_000, 999), books.arrival("b", -50, -50)) == ArrivalsBooked()
    assert await books.book(books.arrival("a", 1_000, 1_000)) == ArrivalsBooked(1)
    assert await books.book(books.arrival("a", 1_000, 0), books.arrival("c", 5, 0)) == ArrivalsBooked(1)
    assert (await at_bank(), await books.balance(1101, books.channel_id)) == (-50, 50)
    assert await books.book(books.arrival("a", 1_000, 1_000)) == ArrivalsBooked(1)
    assert await at_bank() == 950


async def test_a_bill_closes_when_all_its_batches_have_arrived(books: Books) -> None:
    for day in (DAY, date(2026, 11, 29), date(2026, 11, 30)):
        await books.add_bill(day, "parsed" if day.day == 30 else "matched")
    assert (await books.book(books.arrival("a", 1_000, 1_000), books.arrival("b", 5, 0))).closed == 0
    later = books.arrival("d", 7, 7, day=date(2026, 11, 30))
    booked = await books.book(books.arrival("a", 1_000, 1_000), books.arrival("b", 5, 5), later)
    assert booked.closed == 1
    assert await books.states() == ["closed", "matched", "parsed"]


async def test_a_bill_is_opened_again_when_the_bank_takes_money_back_and_by_no_earlier_day(books: Books) -> None:
    await books.add_bill(DAY)
    paid, taken, next_day = books.arrival("a", 1_000, 1_000), books.arrival("a", 1_000, 0), date(2026, 11, 29)
    assert (await books.book(paid, day=DAY)).closed == 1
    for again in (1, 0):
        booked = await books.book(taken, day=next_day)
        assert (booked.batches, len(booked.bills), booked.closed) == (again, again, 0)
        assert await books.states() == ["matched"]
    assert await books.balance(1101, books.channel_id) == 0
    assert await books.book(paid, day=DAY) == ArrivalsBooked()
    assert await books.states() == ["matched"]
    assert (await books.book(paid, day=next_day)).closed == 1
    assert await books.balance(1101, books.channel_id) == -1_000


def write_table(path: Path, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (" + ", ".join(f'"{name}" {kind}' for name, kind in columns.items()) + ")")
        for row in rows:
            connection.execute(
                f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", [row.get(name) for name in columns]
            )
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


def test_results_say_what_has_arrived_of_each_batch(tmp_path: Path, ids: Ids) -> None:
    account_id = ids.new()
    account = public_ids.encode("acc", account_id)
    folder = RunFolder(tmp_path, "bka_1", date(2026, 11, 29))
    assert bank.read_arrivals(folder) == []

    def batch(key: str, settled: int) -> dict[str, Any]:
        return {"kind": "batch", "batch": key, "settled": settled, "reference": account, "original_key": "2026-11-28"}

    folder.rows(SideSource.BATCHES).parent.mkdir(parents=True)
    write_rows(folder.rows(SideSource.BATCHES), [
        {"line": 1} | batch("whole", 300), {"line": 2} | batch("short", 100), {"line": 3} | batch("twice", 50),
        {"line": 4} | batch("joined", 20),
    ])  # fmt: skip
    old = {"day": date(2026, 11, 20)} | batch("missing", 9)
    write_rows(folder.carried(SideSource.BATCHES), [old])
    carried = [{"line": 2} | batch("short", 100), {"line": 3} | batch("twice", 50), old]
    folder.carry(SideSource.BATCHES).parent.mkdir(parents=True)
    write_rows(folder.carry(SideSource.BATCHES), carried)

    def mismatch(key: str, ours: int, *theirs: int, klass: str = "mismatch") -> dict[str, Any]:
        return {
            "key": key, "class": klass, "column": "settled", "ours": json.dumps([{"settled": ours}]),
            "theirs": json.dumps([{"settled": each} for each in theirs]),
        }  # fmt: skip

    differences = [
        mismatch("short", 100, 99),
        mismatch("twice", 50, 50, 50),
        mismatch("missing", 9, 9, klass="ambiguous"),
    ]
    write_table(folder.differences(Layer.BATCH_BANK), dict(DIFFERENCE_COLUMNS), differences)
    assert [(each.batch, each.expected_minor, each.arrived_minor) for each in bank.read_arrivals(folder)] == [
        ("joined", 20, 20),
        ("missing", 9, 0),
        ("short", 100, 99),
        ("twice", 50, 50),
        ("whole", 300, 300),
    ]
    assert {(each.account_id, each.day, each.currency) for each in bank.read_arrivals(folder)} == {
        (account_id, DAY, "CNY")
    }
