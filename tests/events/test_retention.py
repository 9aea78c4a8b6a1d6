"""Events are kept for their time and then in files, and nobody who still waits for one loses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import duckdb
import psycopg
import pytest

from hutong import events
from hutong.db import Database
from hutong.errors import NotFound
from hutong.events import ReplayRequest, RetentionResult
from hutong.events.archive import EventArchived
from hutong.events.model import NewEndpoint
from hutong.events.partitions import detach_partitions, make_partitions
from hutong.events.webhooks.worker import DeliveryCounts
from support import migrated_database
from support.fixtures.webhooks import Receiver, World

DAY = timedelta(days=1)
KEEP = timedelta(days=30)
TABLES = ["delivery", "delivery_try", "outbox", "stream_entry"]


@pytest.fixture
async def world(world: World, each_server_url: str) -> AsyncIterator[World]:
    """A world on the newest and on the oldest server, in a database of its own."""
    url = migrated_database(each_server_url)
    async with Database.open(url, size=8) as world.database:
        world.owner_url = url  # type: ignore[attr-defined]
        yield world


async def rows(world: World, query: str) -> list[Any]:
    async with world.database.transaction() as tx:
        return [tuple(row) for row in await tx.fetch(query)]


async def partitions(world: World) -> dict[str, int]:
    """How many rows each partition of the journal holds; the tables that do not hold any are left out."""
    found = await rows(world, "SELECT tableoid::regclass::text, count(*) FROM events.outbox GROUP BY 1")
    return {name.removeprefix("events."): count for name, count in found}


async def keep(world: World, folder: Path | None = None, *, published: bool = False) -> RetentionResult:
    """What the worker does, with all events numbered."""
    await events.sequence(world.database)
    now = world.clock.now()
    return await events.apply_retention(world.database, now=now, keep=KEEP, folder=folder, published=published)


async def replayed(world: World, endpoint: NewEndpoint, wanted: ReplayRequest) -> events.ReplayResult:
    async with world.database.transaction() as tx:
        identifier = endpoint.endpoint.endpoint_id
        return await events.replay(tx, world.merchant, identifier, wanted, now=world.clock.now())


async def test_what_is_there_becomes_the_first_partition_and_weeks_lie_ready(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    await world.happens(count=3)
    made = await make_partitions(world.database, now=world.clock.now())
    assert len(made) == 2 * len(TABLES)
    assert await make_partitions(world.database, now=world.clock.now()) == []
    assert await partitions(world) == {"outbox_first": 3}
    world.clock.advance(8 * DAY)
    await world.happens(count=2)
    assert sorted((await partitions(world)).values()) == [2, 3]
    assert "outbox_rest" not in await partitions(world)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=5, failed=0, dead=0)
    more = await make_partitions(world.database, now=world.clock.now())
    assert len(more) == 2 * len(TABLES)
    stored = await rows(
        world,
        "SELECT DISTINCT reloptions::text FROM pg_class WHERE relkind = 'r' AND relname ~ '^delivery_(first|0|rest)'",
    )
    assert len(stored) == 1
    assert "fillfactor=70" in stored[0][0]


async def test_a_partition_of_events_takes_every_index_of_the_journal(world: World) -> None:
    await make_partitions(world.database, now=world.clock.now())
    counted = await rows(
        world,
        "SELECT i.inhparent::regclass::text, count(x.indexrelid) FROM pg_inherits i "
        "JOIN pg_index x ON x.indrelid = i.inhrelid AND x.indisvalid "
        "WHERE i.inhparent::regclass::text = ANY (string_to_array('"
        + ",".join(f"events.{name}" for name in TABLES)
        + "', ',')) "
        "GROUP BY i.inhparent, i.inhrelid",
    )
    assert set(counted) == {
        ("events.outbox", 5),
        ("events.delivery", 4),
        ("events.delivery_try", 1),
        ("events.stream_entry", 2),
    }


async def test_old_events_go_into_files_and_are_read_back_to_the_byte(
    world: World, receiver: Receiver, tmp_path: Path
) -> None:
    await world.endpoint()
    await make_partitions(world.database, now=world.clock.now())
    hostile = world.event(uuid4(), text='=1,"quoted"\nand \\N 中文', nothing=None)
    await world.record(hostile, world.event(uuid4()))
    await world.deliverer().run_once()
    text = "event_id::text, data::text, (extract(epoch FROM created_at) * 1000000)::bigint"
    before = await rows(world, f"SELECT {text} FROM events.outbox ORDER BY 1")
    world.clock.advance(5 * DAY)
    assert (await keep(world, tmp_path)).files == []
    world.clock.advance(KEEP)
    done = await keep(world, tmp_path)
    assert sorted(file.name for file in done.files) == [f"{name}_first.parquet" for name in TABLES]
    assert await rows(world, "SELECT event_id FROM events.outbox") == []
    read = duckdb.read_parquet(str(tmp_path / "outbox_first.parquet"))
    assert read.project("event_id, data, epoch_us(created_at)").order("event_id").fetchall() == before
    attempts = duckdb.read_parquet(str(tmp_path / "delivery_try_first.parquet"))
    assert attempts.project("state, status").fetchall() == [("delivered", 200)] * 2
    assert (await keep(world, tmp_path)).files == []
    assert await rows(world, "SELECT tablename FROM pg_tables WHERE schemaname = 'events_archive'") == []
    [(name, count)] = await rows(world, "SELECT name, row_count FROM events.partition WHERE file LIKE '%/outbox%'")
    assert (name, count) == ("outbox_first", 2)


async def test_without_a_folder_old_events_stay_readable_beside_the_journal(world: World) -> None:
    await make_partitions(world.database, now=world.clock.now())
    await world.happens(count=2)
    world.clock.advance(KEEP + 5 * DAY)
    assert sorted((await keep(world)).detached) == [f"{name}_first" for name in TABLES]
    assert await rows(world, "SELECT count(*) FROM events_archive.outbox_first") == [(2,)]
    with psycopg.connect(world.owner_url, autocommit=True) as owner:  # type: ignore[attr-defined]
        owner.execute("SET ROLE hutong_worker")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("DELETE FROM events_archive.outbox_first")


async def test_events_that_somebody_waits_for_are_not_archived(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    await make_partitions(world.database, now=world.clock.now())
    await world.happens()
    world.clock.advance(KEEP + 5 * DAY)
    done = await keep(world)
    assert done.detached == []
    assert done.held == {
        "outbox_first": "deliveries_pending",
        "delivery_first": "events_not_archived",
        "delivery_try_first": "events_not_archived",
        "stream_entry_first": "events_not_archived",
    }
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
    assert len((await keep(world)).detached) == len(TABLES)


async def test_a_replay_that_is_being_made_holds_its_events(world: World, receiver: Receiver) -> None:
    """The replay is not committed yet when the archive looks: it waits, and then sees what hangs on the events."""
    endpoint = await world.endpoint()
    await make_partitions(world.database, now=world.clock.now())
    await world.happens()
    receiver.fail()
    await world.deliverer().run_once()
    await dead(world)
    world.clock.advance(KEEP + 5 * DAY)
    receiver.succeed()
    for wanted in (ReplayRequest(failed=True), ReplayRequest()):
        async with world.database.transaction() as tx:
            identifier = endpoint.endpoint.endpoint_id
            done = await events.replay(tx, world.merchant, identifier, wanted, now=world.clock.now())
            assert done.count == 1
            archiving = asyncio.create_task(keep(world))
            await asyncio.sleep(0.2)
        assert (await archiving).held["outbox_first"] in {"deliveries_pending", "in_use"}
        assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
    assert len((await keep(world)).detached) == len(TABLES)
    assert (await replayed(world, endpoint, ReplayRequest(failed=True))).seen == 0


async def dead(world: World) -> None:
    with psycopg.connect(world.owner_url, autocommit=True) as owner:  # type: ignore[attr-defined]
        owner.execute("UPDATE events.delivery SET state = 'dead', next_at = NULL")


async def test_a_dead_delivery_of_an_archived_event_is_not_sent_again(world: World, receiver: Receiver) -> None:
    """Between the journal's partition and the deliveries' there is a moment; a replay falls into it."""
    endpoint = await world.endpoint()
    await make_partitions(world.database, now=world.clock.now())
    await world.happens()
    await dead(world)
    world.clock.advance(KEEP + 5 * DAY)
    async with world.database.transaction() as tx:
        await tx.fetchval("SELECT events.detach_partition('outbox_first', $1)", world.clock.now())
    assert (await replayed(world, endpoint, ReplayRequest(failed=True))).count == 0
    assert sorted((await keep(world)).detached) == ["delivery_first", "delivery_try_first", "stream_entry_first"]


async def test_a_replay_of_an_archived_event_names_its_archive(
    world: World, receiver: Receiver, tmp_path: Path
) -> None:
    endpoint = await world.endpoint()
    await make_partitions(world.database, now=world.clock.now())
    [event] = await world.happens()
    await world.deliverer().run_once()
    async with world.database.transaction() as tx:
        public_id = (await events.history.find_event(tx, event.event_id)).public_id
        assert public_id is not None
        assert (await events.history.find_event(tx, public_id)).event_id == event.event_id
    world.clock.advance(KEEP + 5 * DAY)
    await keep(world)
    for event_id in (event.event_id, public_id):
        with pytest.raises(EventArchived, match=r"in the archive: the table events_archive\.outbox_first"):
            await find(world, event_id)
    with pytest.raises(EventArchived):
        await replayed(world, endpoint, ReplayRequest.one(public_id))
    await keep(world, tmp_path)
    for event_id in (event.event_id, public_id):
        with pytest.raises(EventArchived, match=r"outbox_first\.parquet"):
            await find(world, event_id)
    with pytest.raises(NotFound, match="no event has this id"):
        await find(world, world.ids.derive("event", "x"))
    with pytest.raises(NotFound, match="no event has this id"):
        await find(world, world.ids.new())
    with pytest.raises(EventArchived):
        await replayed(world, endpoint, ReplayRequest.one(event.event_id))
    with pytest.raises(EventArchived):
        await replayed(world, endpoint, ReplayRequest.between(world.clock.now() - KEEP - 5 * DAY, None))
    [young] = await world.happens()
    assert (await replayed(world, endpoint, ReplayRequest.one(young.event_id))).seen == 1
    assert (await replayed(world, endpoint, ReplayRequest())).seen == 1


async def find(world: World, event_id: UUID) -> events.RecordedEvent:
    async with world.database.transaction() as tx:
        return await events.history.find_event(tx, event_id)


async def test_an_objects_numbers_go_on_after_its_events_are_archived(world: World, tmp_path: Path) -> None:
    await make_partitions(world.database, now=world.clock.now())
    payment = uuid4()
    await world.happens(payment, 3)
    world.clock.advance(KEEP + 5 * DAY)
    await keep(world, tmp_path)
    await world.happens(payment)
    assert await world.numbers(payment) == [4]


async def test_a_file_that_does_not_hold_every_row_drops_nothing(world: World) -> None:
    await make_partitions(world.database, now=world.clock.now())
    await world.happens(count=2)
    world.clock.advance(KEEP + 5 * DAY)
    await keep(world)
    with pytest.raises(asyncpg.CheckViolationError):
        await rows(world, "SELECT events.drop_archived('outbox_first', 1, '/x', now())")
    assert await rows(world, "SELECT count(*) FROM events_archive.outbox_first") == [(2,)]
    with pytest.raises(asyncpg.NoDataFoundError):
        await rows(world, "SELECT events.drop_archived('outbox_rest', 0, '/x', now())")


async def test_a_file_that_was_left_behind_by_a_killed_worker_is_written_again(world: World, tmp_path: Path) -> None:
    await make_partitions(world.database, now=world.clock.now())
    await world.happens(count=2)
    world.clock.advance(KEEP + 5 * DAY)
    await keep(world)
    (tmp_path / "outbox_first.parquet").write_bytes(b"half a file")
    await keep(world, tmp_path)
    assert len(duckdb.read_parquet(str(tmp_path / "outbox_first.parquet")).project("event_id").fetchall()) == 2


async def test_events_without_a_number_or_unpublished_are_not_archived(world: World) -> None:
    await make_partitions(world.database, now=world.clock.now())
    payment = uuid4()
    await world.happens(payment, 2)
    world.clock.advance(KEEP + 5 * DAY)
    done = await detach_partitions(world.database, now=world.clock.now(), keep=KEEP)
    assert done.held["outbox_first"] == "not_numbered"
    await events.sequence(world.database)
    await world.happens()
    done = await keep(world, published=True)
    assert done.held["outbox_first"] == "not_published"
    await rows(world, "UPDATE events.stream SET published_no = 1")
    assert (await keep(world, published=True)).held["outbox_first"] == "not_published"
    await rows(world, "UPDATE events.stream SET published_no = 2")
    assert len((await keep(world, published=True)).detached) == len(TABLES)
    assert await rows(world, "SELECT no FROM events.stream_entry") == [(3,)]


async def test_a_partition_that_is_held_is_not_locked(world: World) -> None:
    """A reader holds both tables; what must stay anyway is found out without waiting for it."""
    await world.endpoint()
    await make_partitions(world.database, now=world.clock.now())
    await world.happens()
    world.clock.advance(KEEP + 5 * DAY)
    async with world.database.transaction() as tx:
        await tx.fetch("SELECT event_id FROM events.outbox UNION SELECT event_id FROM events.delivery")
        done = await keep(world)
    assert set(done.held.values()) == {"deliveries_pending", "events_not_archived"}


async def test_where_nobody_listens_a_broker_of_later_begins_after_what_is_archived(world: World) -> None:
    await make_partitions(world.database, now=world.clock.now())
    await world.happens(count=2)
    world.clock.advance(KEEP + 5 * DAY)
    await events.sequence(world.database)
    await world.happens()
    assert len((await keep(world)).detached) == len(TABLES)
    assert await rows(world, "SELECT last_no, published_no, digested_no FROM events.stream") == [(3, 2, 2)]


async def test_a_reader_in_the_way_puts_the_archive_off_and_stops_nobody(world: World) -> None:
    await make_partitions(world.database, now=world.clock.now())
    await world.happens()
    world.clock.advance(KEEP + 5 * DAY)
    async with world.database.transaction() as tx:
        await tx.fetch("SELECT count(*) FROM events.outbox")
        done = await keep(world)
        assert done.held["outbox_first"] == "in_use"
        await world.happens()
    assert len((await keep(world)).detached) == len(TABLES)


async def test_many_workers_keep_the_journal_at_once(world: World, tmp_path: Path) -> None:
    await world.happens(count=5)
    await asyncio.gather(*(make_partitions(world.database, now=world.clock.now()) for _ in range(4)))
    world.clock.advance(KEEP + 5 * DAY)
    await asyncio.gather(*(keep(world, tmp_path) for _ in range(4)))
    await keep(world, tmp_path)
    assert len(duckdb.read_parquet(str(tmp_path / "outbox_first.parquet")).project("event_id").fetchall()) == 5
    assert await rows(world, "SELECT event_id FROM events.outbox") == []


async def test_rows_of_the_future_keep_the_journal_as_it_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.clock.advance(DAY)
    await world.happens()
    assert len(await make_partitions(world.database, now=world.clock.now() - DAY)) == 2 * (len(TABLES) - 1)
    await world.happens()
    assert len(await partitions(world)) == 1
