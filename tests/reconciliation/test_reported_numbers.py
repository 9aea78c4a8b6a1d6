"""A number that nothing here has and that its channel has reported: the bill's case takes the report over."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from bill_world import DAY, READY, BillWorld, bill

from hutong import ids
from hutong.channels import About, BillState, ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import exceptions
from hutong.payments.exception_items import ExceptionKind, exception_of
from hutong.payments.exception_store import keep_exceptions
from hutong.payments.model import Source
from hutong.reconciliation import differences, files, runs

ONE = timedelta(days=1)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> BillWorld:
    clock.advance(READY)
    world = BillWorld(database, clock, tmp_path / "reconciliation")
    await world.register()
    return world


async def report(world: BillWorld, number: str, channel_no: str | None = None, account_id: UUID | None = None) -> UUID:
    new = exception_of(
        ChannelAnswer(ChannelState.SUCCEEDED, amount_minor=1_000, currency="CNY", channel_order_no=channel_no),
        ExceptionKind.UNKNOWN_NUMBER,
        exception_id=world.ids.new(),
        account_id=account_id or world.account_id,
        about=About.PAYMENT,
        number=number,
        source=Source.NOTIFICATION,
    )
    await world.database.run(lambda tx: keep_exceptions(tx, [new], now=world.clock.now()))
    return new.exception_id


async def seen(world: BillWorld, exception_id: UUID) -> tuple[str, str | None]:
    async with world.database.transaction() as tx:
        item = await exceptions.find_exception(tx, exception_id)
    assert item is not None
    return item.status.value, item.decision_reason


async def test_a_report_ends_with_the_opening_of_its_case_and_names_it(world: BillWorld) -> None:
    by_ours, by_theirs = await report(world, "00000001"), await report(world, "portal", f"9{2:020d}")
    other, elsewhere = await report(world, "00000009"), await report(world, "00000001", account_id=world.ids.new())
    await world.take(bill([1, 2]))
    await runs.run_day(world.use, await world.party(), DAY)
    assert await seen(world, by_ours) == ("open", None)  # the books may still get its number
    world.channel.bills[DAY + ONE] = BillState.EMPTY
    world.clock.advance(ONE)
    await files.fetch_day(world.use, await world.party(), DAY + ONE)
    late = await report(world, f"9{1:020d}")
    for again in (False, True):
        await runs.run_day(world.use, await world.party(), DAY + ONE, again=again)
        async with world.database.transaction() as tx:
            cases = await differences.list_differences(
                tx, differences.DifferenceFilter(account_id=world.account_id), limit=9
            )
        names = {case.key: ids.encode("dif", case.difference_id) for case in cases}
        assert await seen(world, by_ours) == ("matched", f"the channel's bill has it: {names['00000001']}")
        assert (await seen(world, by_theirs))[1] == f"the channel's bill has it: {names['00000002']}"
        assert (await seen(world, late))[1] == f"the channel's bill has it: {names['00000001']}"
        assert [await seen(world, each) for each in (other, elsewhere)] == [("open", None)] * 2
