"""The projector: nothing is left out, nothing is applied without its watermark, several may run at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import asyncpg
import pytest

from hutong import db, events, search
from hutong.db import Database, Tx
from hutong.errors import Unavailable
from support import create_database
from support.fixtures.payment_records import PaymentEvents, find_records, open_database, project, record_events

DOWN = "postgresql://nobody@127.0.0.1:9/none"


async def count(database: Database) -> int:
    async with database.transaction() as tx:
        return len(await find_records(tx))


async def test_events_are_shown_and_the_lag_is_known(fresh_database_url: str, payment_events: PaymentEvents) -> None:
    async with open_database(fresh_database_url) as database:
        paid = payment_events.payment()
        await record_events(database, paid, payment_events.payment(), payment_events.refund(paid))
        now = payment_events.clock.advance(timedelta(seconds=30))
        before = await search.read_progress(database, database, now=now)
        assert [(one.source, one.lag) for one in before] == [("hutong.payment.0", 2), ("hutong.refund.0", 1)]
        assert all(29 < one.lag_s <= 30.1 for one in before)
        assert await project(database, database, now) == 3
        assert await project(database, database, now) == 0
        after = await search.read_progress(database, database, now=now)
        assert [(one.no, one.lag, one.lag_s) for one in after] == [(2, 0, 0.0), (1, 0, 0.0)]
        async with database.transaction() as tx:
            assert [record.amount_refunded_minor for record in await find_records(tx)] == [0, 500]


async def test_the_watermark_moves_only_with_the_data(fresh_database_url: str, payment_events: PaymentEvents) -> None:
    async with open_database(fresh_database_url) as database, open_database(fresh_database_url, role=None) as owner:
        await record_events(database, payment_events.payment(), payment_events.payment())
        async with owner.transaction() as tx:
            await tx.execute(
                "ALTER TABLE search.profile RENAME TO away; REVOKE INSERT ON search.payment_record FROM hutong_app"
            )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await project(database, database, payment_events.clock.now())
        (progress,) = await search.read_progress(database, database, now=payment_events.clock.now())
        assert progress.no == 0
        async with owner.transaction() as tx:
            await tx.execute(
                "ALTER TABLE search.away RENAME TO profile; GRANT INSERT ON search.payment_record TO hutong_app"
            )
        assert await project(database, database, payment_events.clock.now()) == 2
        assert await count(database) == 2


async def test_several_projectors_at_once_apply_everything_once(
    fresh_database_url: str, payment_events: PaymentEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["hutong.search.projector"], "BATCH", 7)
    async with open_database(fresh_database_url) as database:
        recorded = []
        for _ in range(40):
            paid = payment_events.payment()
            recorded += [paid, payment_events.refund(paid)]
        await record_events(database, *recorded)
        applied = 0
        while any(one.lag for one in await search.read_progress(database, database, now=payment_events.clock.now())):
            applied += sum(
                await asyncio.gather(*(project(database, database, payment_events.clock.now()) for _ in range(3)))
            )
        assert applied == 80
        async with database.transaction() as tx:
            assert [record.amount_refunded_minor for record in await find_records(tx)] == [500] * 40


async def test_archived_events_stop_the_projection_instead_of_being_left_out(
    fresh_database_url: str, payment_events: PaymentEvents
) -> None:
    async with open_database(fresh_database_url) as database, open_database(fresh_database_url, role=None) as owner:
        first = payment_events.payment()
        await record_events(database, first, payment_events.payment())
        async with owner.transaction() as tx:
            await tx.execute("DELETE FROM events.stream_entry WHERE event_id = $1", first.event_id)
        assert await project(database, database, payment_events.clock.now()) == 0
        assert await count(database) == 0


async def test_the_store_may_be_another_database(
    fresh_database_url: str, server_url: str, payment_events: PaymentEvents
) -> None:
    url = create_database(server_url)
    applied = await asyncio.to_thread(partial(db.migrate, url, packages=search.SCHEMA_PACKAGES))
    assert applied[0].startswith("db-")
    assert {name.partition("-")[0] for name in applied} == set(search.SCHEMA_PACKAGES)
    async with open_database(fresh_database_url) as source, open_database(url) as store:
        paid = payment_events.payment()
        await record_events(source, paid, payment_events.refund(paid))
        assert await project(source, store, payment_events.clock.now()) == 2
        assert (await count(source), await count(store)) == (0, 1)


async def test_a_store_that_is_down_stops_nothing_and_is_caught_up_with(
    fresh_database_url: str, payment_events: PaymentEvents
) -> None:
    async with open_database(fresh_database_url) as source:
        async with Database.open(DOWN, size=2, eager=False) as store:
            await record_events(source, payment_events.payment())
            with pytest.raises(Unavailable):
                await project(source, store, payment_events.clock.now())
        async with source.transaction() as tx:
            assert [(one.stream, one.last_no) for one in await events.list_streams(tx)] == [("hutong.payment.0", 1)]
        assert await project(source, source, payment_events.clock.now()) == 1


async def test_a_store_that_was_away_at_the_start_is_made_ready_later(
    fresh_database_url: str, server_url: str, payment_events: PaymentEvents
) -> None:
    url = create_database(server_url)
    async with open_database(fresh_database_url) as source, Database.open(url, size=2, eager=False) as store:
        await record_events(source, payment_events.payment())
        away = search.ProjectionWorker(source, store, clock=payment_events.clock, own_url=DOWN)
        with pytest.raises(Unavailable):
            await away.run_once()
        assert await away.run_once() == 0  # a pause follows a failure
        payment_events.clock.advance(timedelta(seconds=5))
        with pytest.raises(Unavailable):
            await away.run_once()
        worker = search.ProjectionWorker(source, store, clock=payment_events.clock, own_url=url)
        assert [await worker.run_once(), await worker.run_once()] == [1, 0]
        assert await count(store) == 1


class Overtaken(Database):
    """A store whose second transaction, the applying one, is preceded by all that another projector does."""

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
    fresh_database_url: str, payment_events: PaymentEvents
) -> None:
    async with open_database(fresh_database_url) as database:
        await record_events(database, payment_events.payment(), payment_events.payment())
        overtaken = Overtaken(database, lambda: project(database, database, payment_events.clock.now()))
        assert await project(database, overtaken, payment_events.clock.now()) == 0
        (progress,) = await search.read_progress(database, database, now=payment_events.clock.now())
        assert (progress.no, await count(database)) == (2, 2)
