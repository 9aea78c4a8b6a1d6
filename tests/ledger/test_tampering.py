"""What a superuser changes behind the triggers, each kind found and named by its row; and no alarm without a change."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from hutong import ledger
from hutong.clock import ManualClock
from hutong.db import Database, migrate
from hutong.errors import InvalidParameter
from hutong.ids import Ids
from hutong.ledger import Account, CreateTransferStatus, Transfer, TransferFlags
from hutong.ledger.model import AccountFlags
from hutong.ledger.overdraft import set_overdraft_limit
from support import SEED, create_database
from support.fixtures.ledger import LedgerClient

T = CreateTransferStatus
PENDING, POST, VOID = TransferFlags.PENDING, TransferFlags.POST_PENDING_TRANSFER, TransferFlags.VOID_PENDING_TRANSFER
LIMITED = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def uuid(number: int) -> str:
    return str(UUID(int=number))


class History:
    """Books with everything in them that can be tampered with. The names of its rows stand in `ids`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(START)
        self.made = Ids(self.clock)
        self.lg = LedgerClient(database.run, self.clock)
        self.ids: dict[str, str] = {}

    def new(self, name: str) -> int:
        number = self.made.new().int
        self.ids[name] = uuid(number)
        return number

    async def book(self, name: str, debit: int, credit: int, amount: int, **fields) -> CreateTransferStatus:
        fields = {"ledger": 156, "code": 10, **fields}
        (result,) = await self.lg.create_transfers(
            [Transfer(self.new(name), debit_account_id=debit, credit_account_id=credit, amount=amount, **fields)]
        )
        self.clock.advance(timedelta(seconds=1))
        return result.status

    async def seal(self) -> None:
        while await self.database.run(lambda tx: ledger.seal(tx, now=self.clock.now())):
            pass

    async def cut(self) -> None:
        cut = await ledger.run_day_cut(self.database, now=self.clock.now())
        assert cut is None or cut.problem is None, cut

    async def write(self) -> None:
        run, now = self.database.run, self.clock.now
        (self.archived, *_) = await run(
            lambda tx: ledger.make_partitions(tx, now=self.clock.now(), first_span=timedelta(hours=3))
        )
        accounts = [(1, 1101, 0), (2, 2001, LIMITED), (3, 2202, 0), (4, 4001, 0), (5, 2002, LIMITED), (6, 4001, 0)]
        await self.lg.create_accounts(
            [Account(n, ledger=156, code=code, flags=flags, user_data_128=70 + n) for n, code, flags in accounts]
        )
        self.ids.update({f"account {n}": uuid(n) for n in range(1, 7)})
        await self.book("old", 1, 2, 500, user_data_128=9)
        await self.book("old too", 1, 3, 50)
        await self.seal()
        # The rest lies in the next partition and on the next day.
        self.clock.advance(timedelta(hours=13))
        await self.cut()
        await self.cut()
        await self.book("plain", 1, 2, 100, user_data_128=11)
        await self.book("fee", 2, 4, 3)
        await self.book("wrong", 1, 3, 7)
        await run(lambda tx: ledger.reverse(tx, [UUID(self.ids["wrong"]).int], reason="twice", by="A. Li",
                                            new_id=lambda: UUID(int=self.new("reversal")), now=now()))  # fmt: skip
        assert await self.book("failed", 5, 1, 10) is T.EXCEEDS_CREDITS
        for name, timeout in (("open", 0), ("posted", 0), ("voided", 0), ("expired", 2)):
            await self.book(name, 2, 3, 20, flags=PENDING, timeout=timeout)
        for name, flags in (("posted", POST), ("voided", VOID)):
            await self.lg.create_transfers(
                [Transfer(self.new(f"end of {name}"), pending_id=UUID(self.ids[name]).int, amount=20, flags=flags)]
            )
        self.clock.advance(timedelta(seconds=5))
        await self.lg.expire_pending_transfers()
        for limit in (40, 60):
            await run(lambda tx, x=limit: set_overdraft_limit(tx, 2, x, by="A. Li", reason="agreed", now=now()))
        holder = UUID(int=self.new("owner"))
        memos = [ledger.Memo("points", holder, f"order {n}", 10 * n) for n in (1, 2, 3)]
        await run(lambda tx: ledger.enter_memos(tx, memos, now=now()))
        await self.seal()
        self.clock.advance(timedelta(days=1))
        await self.cut()
        await self.book("last", 1, 2, 1)
        await self.seal()
        self.clock.advance(timedelta(days=1))
        await self.cut()
        async with self.database.transaction() as tx:
            self.days = [row["day"] for row in await tx.fetch("SELECT day FROM ledger.day_cut ORDER BY day")]
        await self.seal()


@pytest.fixture(scope="module")
def template(server_url):
    """The URL of books that hold, to be copied by each test, with the history that wrote them."""
    url = create_database(server_url)
    migrate(url)

    async def write() -> History:
        async with Database.open(url, size=4) as database:
            history = History(database)
            await history.write()
            assert (await database.run(ledger.verify)).problems == []
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT ledger.archive_partition($1, now())".replace("$1", f"'{history.archived}'"))
        verdict = await _verdict(connection)
        await connection.close()
        assert verdict.problems == []
        history.head, history.rows = verdict.head, verdict.rows
        return history

    return url, asyncio.run(write())


@pytest.fixture
async def books(template):
    """A superuser's connection with its triggers off, in a transaction that is rolled back, and the history."""
    url, history = template
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SET LOCAL session_replication_role = replica")
    yield connection, history
    await transaction.rollback()
    await connection.close()


async def _verdict(connection, since=None):
    async with connection.transaction():
        while await ledger.seal(connection, now=datetime(2026, 3, 9, tzinfo=UTC)):
            pass
        return await ledger.verify(connection, since=since)


def change(table, key, column, value):
    """Return a change of one column of one row; the key names a row of the history."""
    return f"UPDATE ledger.{table} SET {column} = {value} WHERE id = '{{{key}}}'"


ROW = "ledger.transfer"
FORGED = (
    "INSERT INTO ledger.transfer SELECT (t).* FROM (SELECT jsonb_populate_record(x, jsonb_build_object("
    "'id', '019c0000-0000-0000-0000-00000000f0e5', 'timestamp', x.timestamp + 7, 'debit_version', 9000, "
    "'credit_version', 9000, 'xact', {xact})) AS t FROM ledger.transfer x WHERE id = '{{plain}}') y"
)
FORGED_ID = "019c0000-0000-0000-0000-00000000f0e5"

# What is done, and what the proof must say: the kind of the check and the row that it names.
TAMPERINGS = {
    "amount": (change("transfer", "plain", "amount", "amount + 1"), "rows", "row {plain}"),
    "reference": (change("transfer", "plain", "user_data_128", "'{old}'"), "rows", "row {plain}"),
    "user data 64": (change("transfer", "plain", "user_data_64", "5"), "rows", "row {plain}"),
    "user data 32": (change("transfer", "reversal", "user_data_32", "5"), "rows", "row {reversal}"),
    "accounting date": (change("transfer", "plain", "accounting_date", "accounting_date + 1"), "rows", "row {plain}"),
    "debited account": (change("transfer", "fee", "debit_account_id", "'{account 5}'"), "rows", "row {fee}"),
    "credited account": (change("transfer", "fee", "credit_account_id", "'{account 6}'"), "rows", "row {fee}"),
    "ledger of a row": (change("transfer", "fee", "ledger", "840"), "rows", "row {fee}"),
    "code of a row": (change("transfer", "fee", "code", "2"), "rows", "row {fee}"),
    "flags of a row": (change("transfer", "open", "flags", "0"), "rows", "row {open}"),
    "timestamp": (change("transfer", "fee", "timestamp", "timestamp + 1"), "rows", "row {fee}"),
    "version": (change("transfer", "fee", "debit_version", "debit_version + 1000"), "rows", "row {fee}"),
    "balance after": (change("transfer", "fee", "debit_debits_posted", "1"), "rows", "row {fee}"),
    "timeout of a hold": (change("transfer", "expired", "timeout", "9"), "rows", "row {expired}"),
    "hold of a posting": (change("transfer", "end of posted", "pending_id", "'{voided}'"), "rows", "row {end of posted}"),
    "transaction of a row": (change("transfer", "plain", "xact", "xact + 1"), "rows", "row {plain}"),
    "row deleted": ("DELETE FROM ledger.transfer WHERE id = '{fee}'", "steps", "account {account 4}"),
    "last row deleted": ("DELETE FROM ledger.transfer WHERE id = '{last}'", "steps", "account {account 1}"),
    "row forged outside of seals": (FORGED.format(xact="-1"), "outside", f"row {FORGED_ID}"),
    "row forged in a seal": (FORGED.format(xact="x.xact"), "rows", f"row {FORGED_ID}"),
    "row forged after the seals": (FORGED.format(xact="pg_current_xact_id()::text::bigint"), "steps", f"row {FORGED_ID}"),
    "row forged in the future": (FORGED.format(xact="1000000000000"), "outside", f"row {FORGED_ID}"),
    "accounts of a row deleted": ("DELETE FROM ledger.account WHERE id = '{account 4}'", "steps", "row {fee}"),
    "account balance": (change("account", "account 3", "credits_posted", "0"), "steps", "account {account 3}"),
    "two balances": ("UPDATE ledger.account SET debits_posted = debits_posted + 1, credits_posted = credits_posted + 1 "
                     "WHERE id = '{account 3}'", "steps", "account {account 3}"),
    "account version": (change("account", "account 3", "version", "1"), "steps", "account {account 3}"),
    "code of an account": (change("account", "account 1", "code", "4001"), "accounts", "account {account 1}"),
    "owner of an account": (change("account", "account 2", "user_data_128", "'{old}'"), "accounts", "account {account 2}"),
    "ledger of an account": (change("account", "account 6", "ledger", "840"), "accounts", "account {account 6}"),
    "limit taken off": (change("account", "account 5", "flags", "0"), "accounts", "account {account 5}"),
    "account closed": (change("account", "account 5", "flags", "flags | 32"), "accounts", "account {account 5}"),
    "overdraft limit": (change("account", "account 2", "overdraft_limit", "9999"), "accounts", "account {account 2}"),
    "time of an account": (change("account", "account 6", "timestamp", "timestamp - 1"), "accounts", "account {account 6}"),
    "unused account deleted": ("DELETE FROM ledger.account WHERE id = '{account 6}'", "accounts", "account {account 6}"),
    "account added": ("INSERT INTO ledger.account (id, timestamp, ledger, code, flags, user_data_128, user_data_64, "
                      "user_data_32) VALUES ('{plain}', 5, 156, 4001, 0, '{plain}', 0, 0)", "accounts", "account {plain}"),
    "record of an account": ("UPDATE ledger.account_change SET flags = 0 WHERE account_id = '{account 5}'",
                             "records", "account_change "),
    "record and account": ("WITH a AS (UPDATE ledger.account SET flags = 0 WHERE id = '{account 5}') "
                           "UPDATE ledger.account_change SET flags = 0 WHERE account_id = '{account 5}'",
                           "records", "account_change "),
    "record of an account deleted": ("DELETE FROM ledger.account_change WHERE account_id = '{account 6}'",
                                     "accounts", "account {account 6}"),
    "overdraft record": ("UPDATE ledger.overdraft_change SET changed_by = 'B. Wang' WHERE new_limit = 60",
                         "records", "overdraft_change "),
    "overdraft record deleted": ("DELETE FROM ledger.overdraft_change WHERE new_limit = 60",
                                 "accounts", "account {account 2}"),
    "first overdraft record deleted": ("DELETE FROM ledger.overdraft_change WHERE new_limit = 40",
                                       "accounts", "overdraft_change "),
    "failed id forgotten": ("DELETE FROM ledger.transfer WHERE id = '{failed}'", "rows", "seal "),
    "failed id with another reason": (change("transfer", "failed", "user_data_32", "1"), "rows", "row {failed}"),
    "hold posted to voided": (change("pending", "posted", "state", "3"), "holds", "hold {posted}"),
    "hold set back": (change("pending", "voided", "state", "1"), "holds", "hold {voided}"),
    "open hold closed": (change("pending", "open", "state", "3"), "holds", "hold {open}"),
    "hold forgotten": ("DELETE FROM ledger.pending WHERE id = '{open}'", "holds", "hold {open}"),
    "end of a hold": (change("pending", "open", "expires_at", "5"), "holds", "hold {open}"),
    "account of a hold": (change("pending", "open", "debit_account_id", "'{account 5}'"), "holds", "hold {open}"),
    "hold without a row": ("INSERT INTO ledger.pending VALUES ('{plain}', '{account 1}', '{account 2}', 0, 1)",
                           "holds", "hold {plain}"),
    "reversal forgotten": ("DELETE FROM ledger.reversal", "holds", "row {reversal}"),
    "reversal of another": ("UPDATE ledger.reversal SET transfer_id = '{plain}'", "reversals", "reversal of {plain}"),
    "reason of a reversal": ("UPDATE ledger.reversal SET reason = 'none'", "records", "reversal {wrong}"),
    "day balance": ("UPDATE ledger.day_balance SET closing_debits = closing_debits + 1 WHERE account_id = '{account 1}'",
                    "days", "account {account 1}"),
    "day balance that adds up": (
        "UPDATE ledger.day_balance SET debits = debits + 1, closing_debits = closing_debits + 1 "
        "WHERE account_id = '{account 4}'", "steps", "account {account 4}"),
    "day balance deleted": ("DELETE FROM ledger.day_balance WHERE account_id = '{account 4}'", "steps",
                            "account {account 4}"),
    "day balance forged": ("INSERT INTO ledger.day_balance SELECT '{first day}', '{account 6}', 156, 4001, 0, 0, 5, 0, 5, 0",
                           "steps", "account {account 6}"),
    "day of a subject": ("UPDATE ledger.day_subject SET closing_credits = closing_credits + 1 WHERE code = 2001",
                         "days", "subject 2001 of ledger 156"),
    "day of a subject deleted": ("DELETE FROM ledger.day_subject WHERE code = 4001 AND day = '{last day}'",
                                 "days", "subject 4001 of ledger 156"),
    "closed day forgotten": ("DELETE FROM ledger.day_cut WHERE day = '{middle day}'", "days", "day "),
    "closed day set back": ("UPDATE ledger.accounting_day SET batch_date = batch_date - 1", "days", "day {middle day}"),
    "leaves of a seal": ("UPDATE ledger.seal SET leaves = overlay(leaves PLACING '\\x00' FROM 1) WHERE seq = 2",
                         "seals", "seal 2"),
    "range of a seal": ("UPDATE ledger.seal SET to_xact = to_xact + 1000000 WHERE seq = (SELECT max(seq) FROM ledger.seal)",
                        "seals", "seal "),
    "rows of a seal": ("UPDATE ledger.seal SET row_count = 1 WHERE seq = 2", "seals", "seal 2"),
    "time of a seal": ("UPDATE ledger.seal SET sealed_at = '2026-01-01' WHERE seq = 2", "seals", "seal 2"),
    "records of a seal": ("UPDATE ledger.seal SET record_count = 0, records = '' WHERE seq = 1", "seals", "seal 1"),
    "version of a seal": ("UPDATE ledger.seal SET version = 1 WHERE seq = 2", "seals", "seal 2"),
    "hash of a seal": ("UPDATE ledger.seal SET hash = sha256('x') WHERE seq = 2", "seals", "seal 2"),
    "seal deleted": ("DELETE FROM ledger.seal WHERE seq = 2", "seals", "seal "),
    "memo entry": ("UPDATE ledger.memo_entry SET amount = amount + 1 WHERE seq = 2", "memos", "memo points of {owner}"),
    "memo entry with its total": (
        "WITH t AS (UPDATE ledger.memo_total SET total = total + 1) UPDATE ledger.memo_entry "
        "SET amount = amount + 1, total_after = total_after + 1 WHERE seq = 3", "records", "memo_entry points {owner} 3"),
    "memo total": ("UPDATE ledger.memo_total SET total = total + 1", "memos", "memo points of {owner}"),
    "memo entry deleted": ("DELETE FROM ledger.memo_entry WHERE seq = 3", "memos", "memo points of {owner}"),
    "archived row": ("UPDATE ledger_archive.{archived} SET amount = 5 WHERE id = '{old}'", "rows", "row {old}"),
    "checksum of the archive": ("UPDATE ledger.partition SET checksum = sha256('x') WHERE archived_at IS NOT NULL",
                                "archive", "partition {archived}"),
    "archive without its rows": ("DELETE FROM ledger_archive.{archived}", "archive", "partition {archived}"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERINGS)
async def test_tampering_is_found_and_its_row_named(books, kind):
    connection, history = books
    statement, check, subject = TAMPERINGS[kind]
    days = [f"{day:%Y-%m-%d}" for day in history.days]
    names = {**history.ids, "archived": history.archived,
             **dict(zip(("first day", "middle day", "last day"), days[-3:], strict=True))}  # fmt: skip
    status = await connection.execute(statement.format(**names))
    assert int(status.split()[-1]) >= 1
    verdict = await ledger.verify(connection)
    named = [(problem.kind, problem.subject) for problem in verdict.problems]
    wanted = subject.format(**names)
    assert any(kind_ == check and name.startswith(wanted) for kind_, name in named), (kind, verdict.problems)
