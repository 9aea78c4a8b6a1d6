"""Every committed event gets one number in its stream: none is skipped, however late it commits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong import events
from hutong.clock import SystemClock
from hutong.db import CatchUpReason, Database, begin_catch_up, load_statements
from hutong.events import Event
from hutong.ids import Ids
from support import migrated_database
from support.fixtures.webhooks import World

PAYMENTS = "hutong.payment.0"
ENTRIES = """
    SELECT e.stream, e.no, e.event_id, o.object_id, o.object_seq
    FROM events.stream_entry e JOIN events.outbox o ON o.event_id = e.event_id ORDER BY e.stream, e.no
"""


async def entries(world: World, stream: str = PAYMENTS) -> list[UUID]:
    """The ids of a stream's events; their numbers run from 1 without a gap."""
    found = [row for row in await world.database.pool.fetch(ENTRIES) if row["stream"] == stream]
    assert [row["no"] for row in found] == list(range(1, len(found) + 1))
    last = await world.database.pool.fetchval("SELECT last_no FROM events.stream WHERE stream = $1", stream)
    assert (last or 0) == len(found)
    return [row["event_id"] for row in found]


async def number(world: World) -> int:
    return await events.sequence(world.database)


class Open:
    """A transaction that stays open while others go on."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def __aenter__(self) -> Open:
        self.connection = await self.world.database.pool.acquire()
        self.transaction = self.connection.transaction()
        await self.transaction.start()
        return self

    async def record(self, *given: Event) -> list[UUID]:
        await events.record(self.connection, given, now=self.world.clock.now())
        return [event.event_id for event in given]

    async def commit(self) -> None:
        await self.transaction.commit()

    async def __aexit__(self, *_: object) -> None:
        if self.connection.is_in_transaction():
            await self.transaction.rollback()
        await self.world.database.pool.release(self.connection)


async def test_transactions_that_commit_in_reverse_order_are_both_numbered(world: World) -> None:
    async with Open(world) as first, Open(world) as second:
        early = await first.record(world.event(uuid4()))
        late = await second.record(world.event(uuid4()))
        await second.commit()
        assert await number(world) == 1
        assert await entries(world) == late
        await first.commit()
        assert await number(world) == 1
        assert await entries(world) == late + early
        assert await number(world) == 0


async def test_nobody_waits_for_a_long_transaction_and_it_is_not_lost(world: World) -> None:
    async with Open(world) as long:
        held = await long.record(world.event(uuid4()))
        recorded: list[UUID] = []
        for _ in range(5):
            recorded += [event.event_id for event in await world.happens()]
            assert await number(world) == 1
            assert await entries(world) == recorded
        await long.commit()
    assert await number(world) == 1
    assert await entries(world) == recorded + held


async def test_a_rollback_leaves_no_gap(world: World) -> None:
    async with Open(world) as lost:
        await lost.record(world.event(uuid4()))
        before = await world.happens()
        await number(world)
    after = await world.happens()
    await number(world)
    assert await entries(world) == [event.event_id for event in before + after]


async def test_what_a_savepoint_kept_is_numbered_and_what_it_undid_is_not(world: World) -> None:
    async with Open(world) as outer:
        kept = await outer.record(world.event(uuid4()))
        inner = outer.connection.transaction()
        await inner.start()
        kept += await outer.record(world.event(uuid4()))
        await inner.commit()
        undone = outer.connection.transaction()
        await undone.start()
        await outer.record(world.event(uuid4()))
        await undone.rollback()
        await world.happens()
        assert await number(world) == 1
        await outer.commit()
    assert await number(world) == 2
    assert (await entries(world))[1:] == sorted(kept)


async def test_each_topic_is_a_stream_of_its_own(world: World) -> None:
    payment, refund = world.event(uuid4(), "payment.succeeded"), world.event(uuid4(), "refund.succeeded")
    await world.record(payment, refund)
    assert await events.sequence(world.database, source="shop", zone=7) == 2
    assert await entries(world, "shop.payment.7") == [payment.event_id]
    assert await entries(world, "shop.refund.7") == [refund.event_id]


async def test_an_objects_events_keep_their_order_even_if_their_ids_do_not(world: World) -> None:
    ids = sorted(world.ids.new() for _ in range(6))
    one, other = uuid4(), uuid4()
    # The object's events were made in the order 5, 1, 3 of the ids, the other's in the order 4, 0, 2.
    made = [
        Event(ids[place], "payment.x", world.merchant, owner, {})
        for place, owner in ((5, one), (4, other), (1, one), (0, other), (3, one), (2, other))
    ]
    await world.record(*made)
    await number(world)
    recorded = await entries(world)
    assert [e for e in recorded if e in {ids[5], ids[1], ids[3]}] == [ids[5], ids[1], ids[3]]
    assert [e for e in recorded if e in {ids[4], ids[0], ids[2]}] == [ids[4], ids[0], ids[2]]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("obcrn"), st.integers(0, 3), st.integers(0, 2)), max_size=25))
async def test_whatever_is_open_in_whatever_order_all_that_commits_is_numbered_once(
    world: World, steps: Sequence[tuple[str, int, int]]
) -> None:
    """o and b record, c commits, r rolls back, n numbers; each transaction has objects of its own."""
    before = len(await entries(world))
    running: dict[int, tuple[Open, list[UUID]]] = {}
    objects = {slot: [uuid4() for _ in range(3)] for slot in range(4)}
    committed: list[UUID] = []

    async def end(slot: int, *, commit: bool) -> None:
        transaction, made = running.pop(slot)
        if commit:
            await transaction.commit()
            committed.extend(made)
        await transaction.__aexit__()

    for what, slot, which in steps:
        if what == "n":
            await number(world)
        elif what in "ob":
            if slot not in running:
                running[slot] = (await Open(world).__aenter__(), [])
            transaction, made = running[slot]
            made += await transaction.record(world.event(objects[slot][which]))
        elif slot in running:
            await end(slot, commit=what == "c")
    for slot in list(running):
        await end(slot, commit=True)
    await number(world)
    assert sorted((await entries(world))[before:]) == sorted(committed)
    await in_order(world)


async def in_order(world: World) -> None:
    seen: dict[UUID, int] = {}
    for row in await world.database.pool.fetch(ENTRIES):
        assert row["object_seq"] == seen.get(row["object_id"], 0) + 1
        seen[row["object_id"]] = row["object_seq"]


async def test_many_writers_and_two_sequencers_at_once(world: World, rng: random.Random) -> None:
    """Ids are made before the rows are locked, so they are often not in the order of the commits."""
    payments, new, done, committed = [uuid4() for _ in range(8)], Ids(SystemClock()).new, asyncio.Event(), 0

    async def write() -> None:
        nonlocal committed
        for _ in range(25):
            chosen = rng.choices(payments, k=rng.randint(1, 5))
            made = [Event(new(), "payment.x", world.merchant, one, {}) for one in chosen]
            rng.shuffle(made)
            try:
                async with world.database.transaction() as tx:
                    await events.record(tx, made, now=world.clock.now())
                    await asyncio.sleep(rng.random() / 200)
                    if rng.random() < 0.2:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                continue
            committed += len(made)

    async def sequence() -> int:
        total = 0
        while not done.is_set():
            total += await number(world)
        return total

    sequencers = [asyncio.create_task(sequence()) for _ in range(2)]
    await asyncio.gather(*(write() for _ in range(5)))
    done.set()
    assert sum(await asyncio.gather(*sequencers)) + await number(world) == committed
    assert len(await entries(world)) == committed
    await in_order(world)


async def test_a_second_sequencer_does_not_wait_for_the_first(world: World) -> None:
    await world.happens()
    async with Open(world) as first:
        await load_statements("hutong.events").lock_sequencer.fetchval(first.connection)
        async with asyncio.timeout(120):
            assert await number(world) == 0
    assert await number(world) == 1


async def test_a_sequencer_that_dies_gives_no_number_away(world: World) -> None:
    made = await world.happens(count=3)
    sql = load_statements("hutong.events")
    async with Open(world) as dying:
        await sql.lock_sequencer.fetchval(dying.connection)
        assert await sql.number_new.fetchval(dying.connection, "hutong", 0) == 3
    assert await entries(world) == []
    assert await number(world) == 3
    assert len(await entries(world)) == len(made)


@pytest.mark.parametrize("moved", ["cluster = cluster + 1", "snapshot = '900000000000:900000000000:'"])
@pytest.mark.parametrize("ahead", [False, True])
async def test_in_another_cluster_what_has_no_number_gets_one_and_nothing_gets_two(
    world: World, events_url: str, moved: str, ahead: bool
) -> None:
    """Rows restored from a dump bear the other cluster's transaction ids, lower or higher than any here."""
    numbered = [event.event_id for event in await world.happens(count=3)]
    await number(world)
    left = [event.event_id for event in await world.happens(count=2)]
    with psycopg.connect(events_url, autocommit=True) as owner:
        base = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        restored = f"({base} + 3)" if ahead else "3"
        owner.execute(f"UPDATE events.outbox SET transaction_id = ({restored})::text::xid8")  # type: ignore[call-overload]
        owner.execute(f"UPDATE events.sequencer SET {moved}")  # type: ignore[call-overload]
    assert await number(world) == 2
    assert await entries(world) == sorted(numbered) + sorted(left)
    for _ in range(5):  # the ids given here pass those of the restored rows
        fresh = [event.event_id for event in await world.happens()]
        assert await number(world) == 1
        assert (await entries(world))[-1:] == fresh
    assert await number(world) == 0


async def test_every_supported_server_numbers(each_server_url: str, clock: SystemClock) -> None:
    url = migrated_database(each_server_url)
    new = Ids(clock).new
    async with Database.open(url, size=2) as database:
        for expected in (2, 3):
            made = [Event(new(), "payment.x", new(), uuid4(), {}) for _ in range(expected)]
            async with database.transaction() as tx:
                await events.record(tx, made, now=clock.now())
            assert await events.sequence(database) == expected
            assert await events.sequence(database) == 0


async def test_a_round_reads_what_is_new_and_no_more(world: World) -> None:
    """Not the journal, not even what came since a transaction that is still open began."""
    sql = load_statements("hutong.events")
    async with Open(world) as long:
        await long.record(world.event(uuid4()))
        await world.record(*(world.event(uuid4()) for _ in range(2_000)))
        await number(world)
        await world.happens(count=3)
        async with world.database.transaction() as tx:
            await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            for statement, arguments in ((sql.anything_new, ()), (sql.number_new, ("hutong", 0))):
                explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement.text.rstrip().rstrip(";")
                [[text]] = await tx.fetch(explain, *arguments)
                rows = [
                    (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                    for node in nodes(orjson.loads(text)[0]["Plan"])
                    if str(node.get("Relation Name", "")).startswith("outbox")
                ]
                assert sum(rows) <= 3, statement


def nodes(node: dict[str, object]) -> list[dict[str, object]]:
    below: list[dict[str, object]] = node.get("Plans", [])  # type: ignore[assignment]
    return [node, *(found for child in below for found in nodes(child))]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE events.stream_entry SET no = no + 1", "DELETE FROM events.stream_entry", "DELETE FROM events.stream"],
)
async def test_the_application_cannot_give_a_number_again(world: World, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.database.pool.execute(statement)


async def test_after_a_restore_numbers_are_those_of_a_new_epochs_stream(server_url: str, clock: SystemClock) -> None:
    """No number is given to another event than before; what had its number keeps it."""
    url = migrated_database(server_url)
    new = Ids(clock).new
    async with Database.open(url, size=2) as database:
        for epoch in (1, 2, 3):
            made = [Event(new(), kind, new(), uuid4(), {}) for kind in ("payment.x", "payment.y", "refund.x")]
            async with database.transaction() as tx:
                await events.record(tx, made, now=clock.now())
            assert await events.sequence(database, zone=7) == 3
            async with database.transaction() as tx:
                last = {stream.stream: stream.last_no for stream in await events.list_streams(tx)}
            mark = "" if epoch == 1 else f"-{epoch}"
            assert {name: last[name] for name in (f"hutong.payment.7{mark}", f"hutong.refund.7{mark}")} == {
                f"hutong.payment.7{mark}": 2,
                f"hutong.refund.7{mark}": 1,
            }
            assert len(last) == 2 * epoch
            await database.run(lambda tx: begin_catch_up(tx, CatchUpReason.OPERATOR, now=clock.now()))
