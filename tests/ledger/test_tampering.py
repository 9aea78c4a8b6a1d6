"""What a superuser changes behind the triggers, each kind found and named by its row; and no alarm without a change."""

from __future__ import annotations

import asyncio
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from hutong import ledger
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import InvalidParameter
from hutong.ids import Ids
from hutong.ledger import Account, CreateTransferStatus, Transfer, TransferFlags, finance
from hutong.ledger.accounting.standing_orders import run_standing_orders
from hutong.ledger.hash_chain import GENESIS, link
from hutong.ledger.model import AccountFlags
from hutong.ledger.overdraft import set_overdraft_limit
from hutong.ledger.verification import PROBLEMS_MAX
from support import SEED, migrated_database
from support.fixtures.ledger import LedgerClient

T = CreateTransferStatus
PENDING, POST, VOID = TransferFlags.PENDING, TransferFlags.POST_PENDING_TRANSFER, TransferFlags.VOID_PENDING_TRANSFER
LIMITED = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
START = datetime(2026, 3, 29, 4, 0, tzinfo=UTC)  # the third day ends the month


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
        accounts = [(1, 1101, 0), (2, 2001, LIMITED), (3, 2202, 0), (4, 4001, 0), (5, 2002, LIMITED), (6, 4001, 0),
                    (7, 2202, 0)]  # fmt: skip
        await self.lg.create_accounts(
            [Account(n, ledger=156, code=code, flags=flags, user_data_128=70 + n) for n, code, flags in accounts]
        )
        self.ids.update({f"account {n}": uuid(n) for n in range(1, 8)})
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
        await self.finance()
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
        await self.close_march()
        await self.seal()

    async def close_march(self) -> list[finance.Carry]:
        act = {"by": "A. Li", "reason": "all bills are reconciled", "new_id": lambda: UUID(int=self.new("carry"))}
        return await self.database.run(lambda tx: finance.close_month(tx, "2026-03", now=self.clock.now(), **act))

    async def finance_again(self) -> None:
        """Run standing orders; close an account by a person or reopen it, and another by a transfer that is voided."""
        run, now, act = self.database.run, self.clock.now, {"by": "y", "reason": "z"}
        await run(lambda tx: run_standing_orders(tx, now=now(), new_id=self.made.new))
        closed = (await run(lambda tx: finance.find_account(tx, UUID(int=12)))).closed
        change = finance.reopen_account if closed else finance.close_account
        await run(lambda tx: change(tx, UUID(int=12), now=now(), **act))
        closing = PENDING | TransferFlags.CLOSING_DEBIT
        assert await self.book("closing", 13, 1, 0, flags=closing) is T.CREATED
        end = Transfer(self.made.new().int, pending_id=UUID(self.ids["closing"]).int, amount=0, flags=VOID)
        (result,) = await self.lg.create_transfers([end])
        assert result.status is T.CREATED
        for change in (finance.close_account, finance.reopen_account):
            await run(lambda tx, c=change: c(tx, UUID(int=13), now=now(), **act))

    async def finance(self) -> None:
        """Close, reopen and close an account, add a subject, and let a standing order run."""
        run, now, act = self.database.run, self.clock.now, {"by": "A. Li", "reason": "agreed"}
        for change in (finance.close_account, finance.reopen_account, finance.close_account):
            await run(lambda tx, c=change: c(tx, UUID(int=7), now=now(), **act))
        subject = finance.make_subject(5099, "Test costs", "测试费用", ledger.AccountOwner.COMPANY, covered=False)
        await run(lambda tx: finance.add_subject(tx, subject, parent=5000, now=now(), **act))
        await run(lambda tx: finance.add_standing_order(
            tx, UUID(int=self.new("order")), from_account_id=2, to_account_id=3, most_minor=1, every=timedelta(days=9),
            first_at=now(), by="A. Li"))  # fmt: skip
        assert await run(
            lambda tx: run_standing_orders(tx, now=now(), new_id=lambda: UUID(int=self.new("run")))
        ) == 1  # fmt: skip


@pytest.fixture(scope="module")
def template(server_url):
    """The URL of books that hold, to be copied by each test, with the history that wrote them."""
    url = migrated_database(server_url)

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


def _tamperings() -> dict[str, tuple[str, str, str]]:
    """Return the statement of each kind, the check that must find it, and what the proof must name."""
    text = (Path(__file__).parent / "tamperings.sql").read_text()
    found = re.findall(r"^-- (.+?) \| (\w+) \| (.+)\n((?:[^-\n].*\n)+)", text, re.MULTILINE)
    return {
        name: (" ".join(statement.split()).rstrip(";"), check, subject) for name, check, subject, statement in found
    }


TAMPERINGS = _tamperings()


def test_there_are_enough_kinds_of_tampering():
    assert len(TAMPERINGS) == (Path(__file__).parent / "tamperings.sql").read_text().count(" | ") // 2 == 104


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


async def test_a_rebuilt_chain_lacks_the_head_that_was_kept(books):
    connection, history = books
    await connection.execute("UPDATE ledger.memo_entry SET ref = 'order 9' WHERE seq = 3")
    await connection.execute("DELETE FROM ledger.seal")
    leaf = "ledger.leaf(ROW(t.*)::ledger.transfer)"
    leaves = f"(SELECT string_agg({leaf}, ''::bytea ORDER BY t.timestamp) FROM ledger.journal t)"
    records = "(SELECT string_agg(r.leaf, ''::bytea ORDER BY r.kind, r.key) FROM ledger.record r)"
    made = dict(
        await connection.fetchrow(
            f"SELECT 1::bigint AS seq, 2 AS version, 0::bigint AS from_xact, (SELECT max(xact) + 1 FROM ("
            "SELECT xact FROM ledger.journal UNION ALL SELECT xact FROM ledger.record) x) AS to_xact, "
            f"{leaves} AS leaves, {records} AS records, (SELECT count(*) FROM ledger.journal) AS row_count, "
            "(SELECT count(*) FROM ledger.record) AS record_count, $1::timestamptz AS sealed_at",
            datetime(2026, 3, 5, tzinfo=UTC),
        )
    )
    await connection.execute(
        "INSERT INTO ledger.seal (seq, version, from_xact, to_xact, leaves, records, row_count, record_count, "
        "sealed_at, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", *made.values(), link(GENESIS, made),
    )  # fmt: skip
    assert (await ledger.verify(connection)).problems == []  # the forgery is perfect
    verdict = await ledger.verify(connection, kept=[history.head])
    assert [problem.subject for problem in verdict.problems] == [f"head {history.head}"]
    verdict = await ledger.verify(connection, since=history.head)
    assert (verdict.problems[0].subject, verdict.rows) == (f"head {history.head}", history.rows)


async def test_since_a_head_only_what_came_after_is_read_and_everything_in_it_is_found(books):
    connection, history = books
    await connection.execute("SET LOCAL session_replication_role = origin")
    first = await connection.fetchrow("SELECT hash, row_count FROM ledger.seal WHERE seq = 1")
    verdict = await ledger.verify(connection, since=first["hash"].hex())
    assert verdict.problems == []
    assert verdict.rows == history.rows - first["row_count"] > 0
    last = await ledger.verify(connection, since=history.head)
    assert (last.problems, last.rows, last.seals) == ([], 0, 0)
    for wrong in ("", "abc", "zz" * 32, history.head[:-2]):
        with pytest.raises(InvalidParameter, match="64 hexadecimal digits"):
            await ledger.verify(connection, since=wrong)


LATER = (
    "amount", "reference", "debited account", "balance after", "row forged in a seal", "account balance",
    "limit taken off", "hold posted to voided", "reversal forgotten", "leaves of a seal", "day of a subject",
    "day balance that adds up", "memo entry with its total", "row deleted",
)  # fmt: skip


@pytest.mark.parametrize("kind", LATER)
async def test_since_a_head_tampering_with_what_came_after_is_found(books, kind):
    connection, history = books
    first = await connection.fetchval("SELECT hash FROM ledger.seal WHERE seq = 1")
    statement, check, subject = TAMPERINGS[kind]
    await connection.execute(statement.format(**history.ids))
    verdict = await ledger.verify(connection, since=first.hex())
    named = [(problem.kind, problem.subject) for problem in verdict.problems]
    assert any(kind_ == check and name.startswith(subject.format(**history.ids)) for kind_, name in named), named


async def test_every_wrong_row_is_named_up_to_a_hundred_of_a_kind(books):
    connection, _ = books
    changed = [row["id"] for row in await connection.fetch("UPDATE ledger.transfer SET code = code + 1 RETURNING id")]
    verdict = await ledger.verify(connection)
    named = {problem.subject for problem in verdict.problems if problem.kind == "rows"}
    assert {f"row {number}" for number in changed} <= named
    await connection.execute(
        "INSERT INTO ledger.pending SELECT md5(n::text)::uuid, ledger.nil(), ledger.nil(), 0, 1 "
        "FROM generate_series(1, 500) n"
    )
    verdict = await ledger.verify(connection)
    assert len([problem for problem in verdict.problems if "it has no row" in problem.detail]) == PROBLEMS_MAX


async def test_seals_of_the_first_version_stay_verifiable(books):
    connection, _ = books
    seals = await connection.fetch("SELECT * FROM ledger.seal ORDER BY seq")
    previous = GENESIS
    for number, row in enumerate(seals):
        old = dict(row)
        if number < 2:  # as they were made before there were records; the records go under a later seal
            old |= {"version": 1, "records": b"", "record_count": 0}
            await connection.execute("UPDATE ledger.account_change SET xact = $1 WHERE xact < $2",
                                     seals[2]["from_xact"], row["to_xact"])  # fmt: skip
        elif number == 2:
            records = await connection.fetchrow(
                "SELECT count(*) AS record_count, coalesce(string_agg(leaf, ''::bytea ORDER BY kind, key), '') "
                "AS records FROM ledger.record WHERE xact >= $1 AND xact < $2", row["from_xact"], row["to_xact"],
            )  # fmt: skip
            old |= dict(records)
        previous = link(previous, old)
        await connection.execute(
            "UPDATE ledger.seal SET version = $2, records = $3, record_count = $4, hash = $5 WHERE seq = $1",
            old["seq"], old["version"], old["records"], old["record_count"], previous,
        )  # fmt: skip
    assert (await ledger.verify(connection)).problems == []
    await connection.execute("UPDATE ledger.seal SET leaves = leaves || leaves WHERE seq = 1 AND version = 1")
    assert {problem.subject for problem in (await ledger.verify(connection)).problems} >= {"seal 1"}


async def test_books_of_a_long_random_history_hold(fresh_database_url):
    """Imports on accounts whose holds ran out, closings, chains, failures, reversals, memos, days, archives."""
    rnd = random.Random(SEED)
    async with Database.open(fresh_database_url, size=6) as database:
        history = History(database)
        clock, lg, run = history.clock, history.lg, database.run
        partitions = await run(lambda tx: ledger.make_partitions(tx, now=clock.now(), first_span=timedelta(hours=20)))
        await lg.create_accounts(
            [Account(n, ledger=156, code={3: 4001, 4: 5001}.get(n, 1101 if n % 2 else 2001),
                     flags=LIMITED if n in range(7, 11) else 8) for n in (*range(1, 11), 12, 13, 14)]
        )  # fmt: skip
        for n in (1, 2):
            await run(lambda tx, n=n: finance.add_standing_order(
                tx, UUID(int=history.new("order")), from_account_id=n, to_account_id=14, most_minor=9,
                every=timedelta(hours=1), first_at=clock.now(), by="y"))  # fmt: skip
        booked, holds, heads = [], [], []
        for step in range(160):
            batch = []
            for _ in range(rnd.randint(1, 6)):
                number, (debit, credit) = history.made.new().int, rnd.sample(range(1, 12), 2)
                kind = rnd.random()
                if kind < 0.15 and holds:
                    flags = rnd.choice([POST, VOID])
                    amount = 2**128 - 1 if flags is POST else 0
                    batch.append(Transfer(number, pending_id=rnd.choice(holds), amount=amount, flags=flags))
                    continue
                pending = kind > 0.75
                flags = (PENDING if pending else TransferFlags(0)) | (TransferFlags.LINKED if kind < 0.2 else 0)
                batch.append(Transfer(number, debit, credit, rnd.randint(0, 50), ledger=156, code=10, flags=flags,
                                      timeout=rnd.choice([0, 1, 30, 4000]) if pending else 0))  # fmt: skip
                (holds if pending else booked).append(number)
            await lg.create_transfers(batch)
            clock.advance(timedelta(seconds=rnd.choice([0, 1, 60, 3600])))
            if step % 4 == 0:
                await lg.expire_pending_transfers()
            if step % 9 == 0:
                # Its timestamp lies before the expiries that the last pulse has written.
                past = clock.now_ns() - 1_500_000_000
                sides = rnd.sample(range(1, 7), 2)
                late = Transfer(history.made.new().int, *sides, 3, ledger=156, code=10, timestamp=past,
                                flags=TransferFlags.IMPORTED)  # fmt: skip
                await lg.create_transfers([late])
            if step % 7 == 0:
                some = rnd.sample(booked, min(3, len(booked)))
                await run(lambda tx, s=some: ledger.reverse(tx, s, reason="x", by="y", new_id=history.made.new,
                                                            now=clock.now()))  # fmt: skip
                memo = ledger.Memo("points", UUID(int=rnd.randint(1, 3)), f"{step}", rnd.randint(-9, 9))
                await run(lambda tx, m=memo: ledger.enter_memos(tx, [m], now=clock.now()))
                limit = 40 + step  # what is owed at the end of a day must stay within it
                await run(lambda tx, x=limit: set_overdraft_limit(tx, 8, x, by="y", reason="z", now=clock.now()))
                await history.finance_again()
            if step % 11 == 0:
                await history.cut()
                await history.seal()
                heads.append((await run(ledger.verify)).head)
                assert (await run(lambda tx: ledger.verify(tx, since=rnd.choice(heads)))).problems == []
        imported = await run(lambda tx: tx.fetchval("SELECT count(*) FROM ledger.transfer WHERE flags & 256 <> 0"))
        assert imported > 3
        clock.advance(timedelta(days=3))
        while await lg.expire_pending_transfers():
            pass
        for number in await run(lambda tx: tx.fetch("SELECT id FROM ledger.pending WHERE state = 1")):
            await lg.create_transfers([Transfer(history.made.new().int, pending_id=number["id"].int, flags=VOID)])
        for _ in range(4):
            await history.cut()
        assert len(await history.close_march()) == 2
        await history.seal()
        verdict = await run(ledger.verify)
        assert (verdict.problems, verdict.unsealed) == ([], 0)
        kinds = await run(lambda tx: tx.fetch("SELECT DISTINCT kind FROM ledger.record"))
        assert {"account_closing", "period_carry", "period_closing", "sweep_change", "sweep_run"} <= {
            row["kind"] for row in kinds
        }
        async with Database.open(fresh_database_url, size=1, role=None) as own:
            archive = "SELECT length(ledger.archive_partition($1, $2))"
            assert await own.run(lambda tx: tx.fetchval(archive, partitions[0], clock.now())) == 32
        again = await run(lambda tx: ledger.verify(tx, kept=heads))
        assert (again.problems, again.rows, again.head) == ([], verdict.rows, verdict.head)
        assert (await run(lambda tx: ledger.check_invariants(tx, now=clock.now()))).problems == []
