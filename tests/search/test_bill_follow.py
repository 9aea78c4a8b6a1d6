"""Following the streams: nothing is left out, nothing is applied without its watermark, two may do it at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import asyncpg
import pytest

from hutong import db, events
from hutong import search as query
from hutong.db import Database, Tx
from hutong.errors import Unavailable
from support import create_database
from support.fixtures.payment_records import Bills, follow, found, opened, record

DOWN = "postgresql://nobody@127.0.0.1:9/none"


async def count(database: Database) -> int:
    async with database.transaction() as tx:
        return len(await found(tx))


async def test_what_is_told_is_shown_and_the_lag_is_known(fresh_database_url: str, bills: Bills) -> None:
    async with opened(fresh_database_url) as database:
        paid = bills.payment()
        await record(database, paid, bills.payment(), bills.refund(paid))
        now = bills.clock.advance(timedelta(seconds=30))
        before = await query.progress(database, database, now=now)
        assert [(one.source, one.lag) for one in before] == [("hutong.payment.0", 2), ("hutong.refund.0", 1)]
        assert all(29 < one.lag_s <= 30.1 for one in before)
        assert await follow(database, database, now) == 3
        assert await follow(database, database, now) == 0
        after = await query.progress(database, database, now=now)
        assert [(one.no, one.lag, one.lag_s) for one in after] == [(2, 0, 0.0), (1, 0, 0.0)]
        async with database.transaction() as tx:
            assert [bill.amount_refunded_minor for bill in await found(tx)] == [0, 500]


async def test_the_watermark_moves_only_with_the_data(fresh_database_url: str, bills: Bills) -> None:
    async with opened(fresh_database_url) as database, opened(fresh_database_url, role=None) as owner:
        await record(database, bills.payment(), bills.payment())
        async with owner.transaction() as tx:
            await tx.execute("ALTER TABLE query.profile RENAME TO away; REVOKE INSERT ON query.bill FROM hutong_app")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await follow(database, database, bills.clock.now())
        (progress,) = await query.progress(database, database, now=bills.clock.now())
        assert progress.no == 0
        async with owner.transaction() as tx:
            await tx.execute("ALTER TABLE query.away RENAME TO profile; GRANT INSERT ON query.bill TO hutong_app")
        assert await follow(database, database, bills.clock.now()) == 2
        assert await count(database) == 2


async def test_two_appliers_at_once_apply_everything_once(
    fresh_database_url: str, bills: Bills, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["hutong.search.projector"], "BATCH", 7)
    async with opened(fresh_database_url) as database:
        told = []
        for _ in range(40):
            paid = bills.payment()
            told += [paid, bills.refund(paid)]
        await record(database, *told)
        applied = 0
        while any(one.lag for one in await query.progress(database, database, now=bills.clock.now())):
            applied += sum(await asyncio.gather(*(follow(database, database, bills.clock.now()) for _ in range(3))))
        assert applied == 80
        async with database.transaction() as tx:
            assert [bill.amount_refunded_minor for bill in await found(tx)] == [500] * 40


async def test_events_that_were_archived_stop_the_following_instead_of_being_left_out(
    fresh_database_url: str, bills: Bills
) -> None:
    async with opened(fresh_database_url) as database, opened(fresh_database_url, role=None) as owner:
        first = bills.payment()
        await record(database, first, bills.payment())
        async with owner.transaction() as tx:
            await tx.execute("DELETE FROM events.stream_entry WHERE event_id = $1", first.event_id)
        assert await follow(database, database, bills.clock.now()) == 0
        assert await count(database) == 0


async def test_the_store_may_be_another_database(fresh_database_url: str, server_url: str, bills: Bills) -> None:
    url = create_database(server_url)
    applied = await asyncio.to_thread(partial(db.migrate, url, rooms=query.SCHEMAS))
    assert applied[0].startswith("db-")
    assert {name.partition("-")[0] for name in applied} == set(query.SCHEMAS)
    async with opened(fresh_database_url) as source, opened(url) as store:
        paid = bills.payment()
        await record(source, paid, bills.refund(paid))
        assert await follow(source, store, bills.clock.now()) == 2
        assert (await count(source), await count(store)) == (0, 1)


async def test_a_store_that_is_down_stops_nothing_and_is_caught_up_with(fresh_database_url: str, bills: Bills) -> None:
    async with opened(fresh_database_url) as source:
        async with Database.open(DOWN, size=2, eager=False) as store:
            await record(source, bills.payment())
            with pytest.raises(Unavailable):
                await follow(source, store, bills.clock.now())
        async with source.transaction() as tx:
            assert [(one.stream, one.last_no) for one in await events.list_streams(tx)] == [("hutong.payment.0", 1)]
        assert await follow(source, source, bills.clock.now()) == 1


async def test_a_store_that_was_away_at_the_start_is_made_ready_later(
    fresh_database_url: str, server_url: str, bills: Bills
) -> None:
    url = create_database(server_url)
    async with opened(fresh_database_url) as source, Database.open(url, size=2, eager=False) as store:
        await record(source, bills.payment())
        away = query.ProjectionWorker(source, store, clock=bills.clock, own_url=DOWN)
        with pytest.raises(Unavailable):
            await away.follow()
        assert await away.follow() == 0  # it is left alone for a while
        bills.clock.advance(timedelta(seconds=5))
        with pytest.raises(Unavailable):
            await away.follow()
        follower = query.ProjectionWorker(source, store, clock=bills.clock, own_url=url)
        assert [await follower.follow(), await follower.follow()] == [1, 0]
        assert await count(store) == 1


class Overtaken(Database):
    """A store whose second transaction, the applying one, is preceded by all that another follower does."""

    def __init__(self, store: Database, others: Callable[[], Awaitable[int]]) -> None:
        super().__init__(store.pool)
        self._others = others
        self._begun = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self._begun += 1
        if self._begun == 2:
            await self._others()
        async with super().transaction() as tx:
            yield tx


async def test_what_another_has_applied_since_it_was_read_is_not_applied_again(
    fresh_database_url: str, bills: Bills
) -> None:
    async with opened(fresh_database_url) as database:
        await record(database, bills.payment(), bills.payment())
        overtaken = Overtaken(database, lambda: follow(database, database, bills.clock.now()))
        assert await follow(database, overtaken, bills.clock.now()) == 0
        (progress,) = await query.progress(database, database, now=bills.clock.now())
        assert (progress.no, await count(database)) == (2, 2)
