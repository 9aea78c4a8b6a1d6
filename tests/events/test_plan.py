"""The statements that run all day read indexes, and no more of them than they need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from hutong import events
from hutong.db import Database, Tx, load_statements
from hutong.db.statements import Statement
from support.fixtures.webhooks import World, recorded_events

BACKLOG = 10_000
SQL = load_statements("hutong.events")


@pytest.fixture
async def world(world: World, fresh_database_url: str) -> AsyncIterator[World]:
    """A world in a database that no statistics were ever taken of."""
    async with Database.open(fresh_database_url, size=8) as world.database:
        yield world


def claim(now: datetime) -> dict[str, Any]:
    """The parameters of a claim of a worker that has nothing in flight."""
    return {
        "now": now,
        "until": now + timedelta(seconds=20),
        "free": 512,
        "first_id": UUID(int=0),
        "endpoint_slots": 32,
        "endpoint_ids": [],
        "in_flight": [],
        "slots": [],
    }


async def plan(tx: Tx, statement: Statement, *arguments: object, **named: object) -> list[dict[str, Any]]:
    """Run the statement as PostgreSQL keeps it for repeated use, and return the nodes of its plan."""
    await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    text = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement.text.rstrip().rstrip(";")
    [[text]] = await tx.fetch(text, *statement.values(*arguments, **named))
    return list(_nodes(orjson.loads(text)[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def reads(nodes: list[dict[str, Any]], relation: str) -> list[dict[str, Any]]:
    return [node for node in nodes if node.get("Relation Name") == relation and "Scan" in node["Node Type"]]


async def backlog(world: World, *, analyze: str, owner_url: str) -> None:
    """Ten thousand deliveries due at one endpoint, and statistics taken before, after, or never."""
    await world.endpoint()
    if analyze == "before":
        await world.happens()
        await world.deliverer().run_once()
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute("ANALYZE")
    for _ in range(10):
        await world.record(*(world.event(uuid4()) for _ in range(BACKLOG // 10)))
    if analyze == "after":
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute("ANALYZE")


@pytest.mark.parametrize("analyze", ["after", "before", "never"])
async def test_a_claim_reads_what_it_takes_and_not_the_backlog(
    world: World, fresh_database_url: str, analyze: str
) -> None:
    await backlog(world, analyze=analyze, owner_url=fresh_database_url)
    now = world.clock.now()
    async with world.database.transaction() as tx:
        await SQL.keep_to_indexes.execute(tx)
        nodes = await plan(tx, SQL.claim_deliveries, **claim(now))
    assert nodes[0]["Actual Rows"] == 32
    used = {node["Index Name"] for node in reads(nodes, "delivery_first")}
    assert used == {
        "delivery_first_endpoint_id_next_at_idx",
        "delivery_first_endpoint_id_object_id_object_seq_idx",
        "delivery_first_pkey",
    }
    for node in [*reads(nodes, "delivery_first"), *reads(nodes, "outbox_first")]:
        assert node["Node Type"] in {"Index Scan", "Index Only Scan"}
        assert (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] <= 33


async def test_an_idle_poll_reads_nothing_of_what_is_done(world: World, fresh_database_url: str) -> None:
    await backlog(world, analyze="after", owner_url=fresh_database_url)
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute("UPDATE events.delivery SET state = 'delivered', next_at = NULL")
        owner.execute("VACUUM ANALYZE events.delivery")
    now = world.clock.now()
    async with world.database.transaction() as tx:
        await SQL.keep_to_indexes.execute(tx)
        nodes = await plan(tx, SQL.claim_deliveries, **claim(now))
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in reads(nodes, "delivery_first")) == 0
    assert {node["Node Type"] for node in reads(nodes, "delivery_first")} <= {"Index Scan", "Index Only Scan"}


async def test_recording_results_goes_by_key(world: World, fresh_database_url: str) -> None:
    await backlog(world, analyze="after", owner_url=fresh_database_url)
    async with world.database.transaction() as tx:
        event_ids = [event.event_id for event in (await recorded_events(tx, world.merchant))[:20]]
        [endpoint] = await events.list_endpoints(tx, world.merchant)
        now, count = world.clock.now(), len(event_ids)
        nodes = await plan(
            tx,
            SQL.finish_deliveries,
            event_id=event_ids,
            endpoint_id=[endpoint.endpoint_id] * count,
            claimed_until=[now] * count,
            state=["delivered"] * count,
            next_at=[None] * count,
            last_at=[now] * count,
            status=[200] * count,
            error=[None] * count,
            duration_ms=[1] * count,
        )
    assert [node["Index Name"] for node in reads(nodes, "delivery_first")] == ["delivery_first_pkey"]
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}


@pytest.mark.parametrize("analyze", ["after", "before", "never"])
async def test_recording_does_not_read_the_backlog(world: World, fresh_database_url: str, analyze: str) -> None:
    await backlog(world, analyze=analyze, owner_url=fresh_database_url)
    async with world.database.transaction() as tx:
        [first, *_] = await recorded_events(tx, world.merchant)
        batch = [world.event(first.object_id), *(world.event(uuid4()) for _ in range(49))]
        nodes = await plan(
            tx,
            SQL.record_events,
            event_id=[event.event_id for event in batch],
            type=[event.type for event in batch],
            merchant_id=[event.merchant_id for event in batch],
            object_id=[event.object_id for event in batch],
            data=["{}" for _ in batch],
            version=[1 for _ in batch],
            now=world.clock.now(),
        )
    for node in reads(nodes, "delivery_first"):
        assert node["Index Name"] == "delivery_first_endpoint_id_object_id_object_seq_idx"
        assert node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0) <= 1


async def test_the_log_and_a_replay_read_one_page_each(world: World, fresh_database_url: str) -> None:
    await backlog(world, analyze="after", owner_url=fresh_database_url)
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute("UPDATE events.delivery SET state = 'dead', next_at = NULL")
        owner.execute(
            "INSERT INTO events.delivery_try (try_id, endpoint_id, event_id, number, state, tried_at, duration_ms) "
            "SELECT event_id, endpoint_id, event_id, 1, 'dead', now(), 1 FROM events.delivery"
        )
        owner.execute("VACUUM ANALYZE")
    async with world.database.transaction() as tx:
        [endpoint] = await events.list_endpoints(tx, world.merchant)
        first, last = UUID(int=0), UUID(int=2**128 - 1)
        log = await plan(tx, SQL.list_delivery_attempts, endpoint.endpoint_id, None, None, None, 20)
        dead = await plan(tx, SQL.replay_dead, endpoint.endpoint_id, first, last, 20, world.clock.now())
        page = await plan(
            tx, SQL.replay_events, world.merchant, endpoint.endpoint_id, first, last, [], 20, world.clock.now()
        )
    assert [node["Index Name"] for node in reads(log, "delivery_try_first")] == ["delivery_try_first_pkey"]
    assert "delivery_first_endpoint_id_event_id_idx" in [
        node.get("Index Name") for node in reads(dead, "delivery_first")
    ]
    for nodes in (log, dead, page):
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}
        for node in nodes:
            assert node["Actual Rows"] * node["Actual Loops"] <= 20
