"""A day is computed from its files and the books, booked whole, and computed again when its inputs change."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path

import pytest
from bill_world import DAY, READY, BillWorld, bill

from hutong.channels import BillState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict
from hutong.reconciliation import files, list_requests, runs
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.exclusion import alone
from hutong.reconciliation.manifest import Manifest

ONE = timedelta(days=1)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> BillWorld:
    clock.advance(READY)
    world = BillWorld(database, clock, tmp_path / "reconciliation")
    await world.register()
    return world


async def cases(world: BillWorld) -> list[tuple[str, str, str, int, int]]:
    async with world.database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT key, class, state, amount_minor, suspense_minor FROM reconciliation.difference "
            "WHERE account_id = $1 ORDER BY key, class",
            world.account_id,
        )
    return [tuple(row) for row in rows]


async def run(world: BillWorld, day: date = DAY, *, again: bool = False) -> list[runs.RunOutcome]:
    return await runs.run_day(world.use, await world.party(), day, again=again)


async def test_a_row_of_theirs_alone_waits_for_the_next_bill_and_then_is_a_case(world: BillWorld) -> None:
    await world.take(bill([1, 2]))
    (outcome,) = await run(world)
    assert outcome.differences is not None
    assert outcome.differences["waiting"] == 2
    assert [case[1:3] for case in await cases(world)] == [("unexpected", "rolled")] * 2
    assert await world.states() == ["matched"]
    world.channel.bills[DAY + ONE] = BillState.EMPTY
    world.clock.advance(ONE)
    await files.fetch_day(world.use, await world.party(), DAY + ONE)
    (outcome,) = await run(world, DAY + ONE)
    assert outcome.differences is not None
    assert outcome.differences["opened"] == 2
    assert [case[1:] for case in await cases(world)] == [("unexpected", "open", 994, 994)] * 2


async def test_a_day_that_stands_on_the_same_things_changes_nothing(world: BillWorld) -> None:
    await world.take(bill([1, 2]))
    await run(world)
    before, folder = await cases(world), RunFolder(world.config.folder, world.name, DAY)
    manifest = folder.manifest.read_bytes()
    (outcome,) = await run(world)
    assert outcome.is_unchanged
    (outcome,) = await run(world, again=True)
    assert not outcome.is_unchanged
    assert outcome.differences is not None
    assert not any(outcome.differences[name] for name in ("opened", "reopened", "changed", "resolved"))
    assert await cases(world) == before
    assert folder.manifest.read_bytes() == manifest


async def test_a_restated_bill_runs_the_days_that_stand_on_it_again(world: BillWorld) -> None:
    await world.take(bill([1, 2]))
    await run(world)
    world.channel.bills[DAY + ONE] = BillState.EMPTY
    world.clock.advance(ONE)
    await files.fetch_day(world.use, await world.party(), DAY + ONE)
    await run(world, DAY + ONE)
    await world.take(bill([1]) + bill([2], amount=1_200))
    outcomes = await run(world)
    assert [outcome.run.day for outcome in outcomes] == [DAY, DAY + ONE]
    assert sorted(case[1:] for case in await cases(world)) == [
        ("unexpected", "open", 994, 994),
        ("unexpected", "open", 1_194, 1_194),
    ]


async def test_a_day_without_a_bill_and_one_that_is_not_over_are_not_run(world: BillWorld) -> None:
    with pytest.raises(Conflict, match="no bill"):
        await run(world)
    with pytest.raises(Conflict, match="complete at"):
        await run(world, DAY + ONE)


async def test_one_process_at_a_time_runs_the_days_of_an_account(world: BillWorld) -> None:
    async with alone(world.config.folder, world.name):
        with pytest.raises(Conflict):
            async with alone(world.config.folder, world.name, patience_s=0.3):
                raise AssertionError("both hold it")
    async with alone(world.config.folder, world.name, patience_s=0.3):
        pass


async def test_requests_are_run_by_the_worker_and_end(world: BillWorld) -> None:
    await world.take(bill([1]))
    async with world.database.transaction() as tx:
        await tx.execute(
            "UPDATE reconciliation.run_request SET done_at = now() WHERE account_id <> $1", world.account_id
        )
    assert await runs.run_due(world.use) == 1
    async with world.database.transaction() as tx:
        (request,) = [each for each in await list_requests(tx, limit=100) if each.account_id == world.account_id]
    assert (request.done_at, request.error, request.stage) == (world.clock.now(), None, None)
    assert await runs.run_due(world.use) == 0


async def test_a_request_whose_run_fails_is_put_off_with_its_reason(world: BillWorld) -> None:
    file = await world.take(bill([1]))
    (kept,) = (world.config.folder / world.name / DAY.isoformat() / "inputs").iterdir()
    kept.unlink()
    for part in (world.config.folder / world.name / DAY.isoformat() / "rows" / "parts").iterdir():
        part.unlink()
    async with world.database.transaction() as tx:
        await tx.execute(
            "UPDATE reconciliation.run_request SET done_at = now() WHERE account_id <> $1", world.account_id
        )
    assert await runs.run_due(world.use) == 0
    async with world.database.transaction() as tx:
        (request,) = [each for each in await list_requests(tx, limit=100) if each.account_id == world.account_id]
    assert request.failures == 1
    assert request.error is not None
    assert file.sha256[:16] in request.error
    assert request.next_at == world.clock.now() + timedelta(minutes=1)


async def test_the_manifest_names_what_the_day_was_computed_from(world: BillWorld) -> None:
    file = await world.take(bill([1, 2, 3]))
    await run(world)
    folder = RunFolder(world.config.folder, world.name, DAY)
    manifest = await asyncio.to_thread(Manifest.read, folder.manifest)
    (entry,) = manifest.inputs
    assert (entry.sha256, entry.layout, entry.size) == (file.sha256, "unionpay_zm", file.size)
    assert (folder.inputs / entry.name).stat().st_size == file.size
