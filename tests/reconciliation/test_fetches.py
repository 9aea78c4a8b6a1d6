"""Bills are fetched at the channel's hour, again until they come, and given up at the end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from bill_world import DAY, READY, BillWorld, bill

from hutong.channels import BillState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import InvalidParameter
from hutong.reconciliation import files
from hutong.reconciliation.files import Fetch

ONE = timedelta(days=1)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> BillWorld:
    world = BillWorld(database, clock, tmp_path / "reconciliation")
    await world.register()
    return world


async def fetches(world: BillWorld) -> list[Fetch]:
    async with world.database.transaction() as tx:
        return await files.list_fetches(tx, account_id=world.account_id, limit=100)


async def test_a_bill_is_fetched_at_its_hour_and_never_again(world: BillWorld) -> None:
    world.channel.bills[DAY] = bill(range(3))
    world.clock.advance(READY - timedelta(minutes=1))
    await files.fetch_due(world.use)
    assert DAY not in world.channel.asked, "its hour has not come"
    world.clock.advance(timedelta(minutes=1))
    for _ in range(3):
        await files.fetch_due(world.use)
    assert world.channel.asked.count(DAY) == 1
    assert await world.states() == ["parsed"]
    assert next(fetch for fetch in await fetches(world) if fetch.day == DAY).done_at == world.clock.now()


async def test_an_empty_day_has_come_without_a_file(world: BillWorld) -> None:
    world.channel.bills[DAY] = BillState.EMPTY
    world.clock.advance(READY)
    assert await files.fetch_due(world.use) == 1
    assert (await fetches(world))[0].error is None
    assert await world.states() == []


async def test_a_bill_that_is_late_is_fetched_less_and_less_often_and_then_given_up(world: BillWorld) -> None:
    world.clock.advance(READY)
    gaps, last = [], world.clock.now()
    while (fetch := (await fetches(world) or [None])[-1]) is None or fetch.done_at is None:
        await files.fetch_due(world.use)
        due = next(each for each in await fetches(world) if each.day == DAY)
        gaps.append(int((due.next_at - world.clock.now()).total_seconds() // 60))
        world.clock.advance(max(due.next_at - world.clock.now(), timedelta(minutes=1)))
        assert world.clock.now() - last < timedelta(days=16)
        if len(gaps) == 12:
            world.clock.advance(timedelta(days=14))
    assert gaps[:10] == [5, 5, 10, 10, 10, 20, 30, 60, 60, 60]
    assert fetch.error == "the channel has not given the bill (not_ready: no_bill)"


async def test_days_that_were_missed_are_caught_up(world: BillWorld) -> None:
    world.clock.advance(READY)
    world.channel.bills = {DAY + ONE * distance: BillState.EMPTY for distance in range(-3, 5)}
    await files.fetch_due(world.use)
    assert world.channel.asked == [DAY], "a new account begins with the last bill there is"
    world.clock.advance(ONE * 3)
    await files.fetch_due(world.use)
    assert world.channel.asked == [DAY + ONE * distance for distance in range(4)]


async def test_two_workers_fetch_a_bill_once(world: BillWorld) -> None:
    world.channel.bills[DAY] = bill(range(3))
    world.clock.advance(READY)
    assert sum(await asyncio.gather(*(files.fetch_due(world.use) for _ in range(4)))) == 1
    assert world.channel.asked == [DAY]


async def test_a_day_is_fetched_on_demand_and_not_before_its_bill_is_made(world: BillWorld) -> None:
    world.channel.bills[DAY - ONE] = bill(range(3))
    party = await world.party()
    fetched = await files.fetch_day(world.use, party, DAY - ONE)
    assert (fetched.done_at, fetched.error) == (world.clock.now(), None)
    assert (await files.fetch_day(world.use, party, DAY - ONE * 2)).error is not None
    with pytest.raises(InvalidParameter, match="made at"):
        await files.fetch_day(world.use, party, DAY)


async def test_a_bill_that_is_refused_is_fetched_again_until_a_good_one_comes(world: BillWorld) -> None:
    world.channel.bills[DAY] = b"<html>"
    world.clock.advance(READY)
    for _ in range(2):
        assert await files.fetch_due(world.use) == 0
        world.clock.advance(timedelta(minutes=5))
    assert await world.states() == ["refused"]
    assert "the bill is refused" in str((await fetches(world))[0].error)
    world.channel.bills[DAY] = bill(range(3))
    assert await files.fetch_due(world.use) == 1
    assert await world.states() == ["refused", "parsed"]
