"""A run states what it has found once: to the platform's own systems, and to each merchant whose rows it changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import orjson
import pytest
from bill_world import DAY, READY, BillWorld, bill
from test_batches import write_rows

from hutong import api, ids
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.events.streams.messages import message_body
from hutong.reconciliation import runs
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.expected import export_sides
from hutong.reconciliation.layers import SideSource
from support.event_forms import EventForms

COMPLETED, READY_ROWS = "reconciliation.completed", "reconciliation.statement_ready"


class AnnouncedWorld(BillWorld):
    """An account whose books have payments of merchants."""

    async def expect(self, *payments: tuple[int, UUID]) -> None:
        """Freeze our side of the day: payments of 10.00 by their numbers, each of a merchant."""
        folder = RunFolder(self.config.folder, self.name, DAY)
        folder.rows(SideSource.JOURNAL).parent.mkdir(parents=True, exist_ok=True)
        window = (await self.party()).window
        await export_sides(self.database, folder, self.account_id, window, DAY, self.clock.now())
        rows = [
            {
                "key": f"{number:08d}", "day": DAY, "ordered": 1_000, "paid": 1_000, "settled": 1_000, "file": -1,
                "merchant": ids.encode("mer", merchant), "reference": ids.encode("pay", UUID(int=number)), "line": line,
            }
            for line, (number, merchant) in enumerate(payments)
        ]  # fmt: skip
        write_rows(folder.rows(SideSource.JOURNAL), rows)

    async def run(self, *, again: bool = False) -> None:
        await runs.run_day(self.use, await self.party(), DAY, again=again)

    async def emitted(self, merchant_id: UUID | None = None) -> list[dict[str, Any]]:
        """The account's own events, or those of a merchant, in order."""
        async with self.database.transaction() as tx:
            rows = await tx.fetch(
                "SELECT type, merchant_id, object_seq, data FROM events.outbox WHERE type LIKE 'reconciliation.%' "
                "AND (data ->> 'account_id' = $1 OR merchant_id = $2) ORDER BY object_seq",
                self.name,
                merchant_id,
            )
        found = [{**row, "data": orjson.loads(row["data"])} for row in rows]
        return [event for event in found if event["merchant_id"] == merchant_id]


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AnnouncedWorld:
    clock.advance(READY)
    world = AnnouncedWorld(database, clock, tmp_path / "reconciliation")
    await world.register()
    return world


def rows(event: dict[str, Any]) -> tuple[int, int, int, int]:
    data = event["data"]
    return data["rows"], data["reconciled"], data["pending"], data["different"]


async def test_a_day_is_announced_once_and_again_when_a_corrected_bill_changes_it(world: AnnouncedWorld) -> None:
    first, second = world.ids.new(), world.ids.new()
    await world.expect((1, first), (2, first), (3, second))
    await world.take(bill([1, 2, 3]))
    await world.run()
    (event,) = await world.emitted()
    assert (event["type"], event["object_seq"]) == (COMPLETED, 1)
    assert event["data"]["matched"] == [{"layer": "payment_bill", "currency": "CNY", "count": 3, "net_minor": 2_982}]
    assert (event["data"]["differences"], event["data"]["channel"]) == ([], "test")
    (share,) = event["data"]["explained"]
    assert (share["volume_minor"], share["explained_percent"]) == (3_000, "100.000000000000")
    assert [rows(each) for each in await world.emitted(first)] == [(2, 2, 0, 0)]
    assert [rows(each) for each in await world.emitted(second)] == [(1, 1, 0, 0)]

    await world.run(again=True)
    assert len(await world.emitted()) == len(await world.emitted(first)) == len(await world.emitted(second)) == 1

    await world.take(bill([1, 3]) + bill([2], amount=1_200))
    await world.run()
    event = (await world.emitted())[-1]
    assert event["object_seq"] == 2
    assert event["data"]["changes"] == {"opened": 1, "reopened": 0, "changed": 0, "resolved": 0}
    (case,) = event["data"]["differences"]
    assert (case["class"], case["count"], case["long_minor"], case["short_minor"]) == ("mismatch", 1, 200, 0)
    assert [rows(each) for each in await world.emitted(first)] == [(2, 2, 0, 0), (2, 1, 0, 1)]
    assert [each["object_seq"] for each in await world.emitted(first)] == [1, 2]
    assert len(await world.emitted(second)) == 1


async def test_a_statement_counts_the_rows_of_all_channels_and_those_that_are_gone(world: AnnouncedWorld) -> None:
    merchant = world.ids.new()
    other = AnnouncedWorld(world.database, world.clock, world.config.folder)
    await other.register()
    for each, numbers in ((world, (1, 2)), (other, (7,))):
        await each.expect(*((number, merchant) for number in numbers))
        await each.take(bill(numbers))
        await each.run()
    assert [rows(each) for each in await world.emitted(merchant)] == [(2, 2, 0, 0), (3, 3, 0, 0)]
    await world.expect()
    await world.run(again=True)
    assert [rows(each) for each in await world.emitted(merchant)][2:] == [(1, 1, 0, 0)]


async def test_the_events_have_their_forms_and_only_the_merchants_is_delivered(world: AnnouncedWorld) -> None:
    merchant = world.ids.new()
    await world.expect((1, merchant))
    await world.take(bill([1, 2]))
    await world.run()
    types, faults = await EventForms().recorded(world.database)
    assert faults == []
    assert {COMPLETED, READY_ROWS} <= types
    assert COMPLETED not in {one.name for one in api.EVENT_TYPES}
    from hutong.events.outbox import read_event

    async with world.database.transaction() as tx:
        row = await tx.fetchrow(
            "SELECT event_id, type, version, merchant_id, object_id, object_seq, data, created_at, public_id "
            "FROM events.outbox WHERE data ->> 'account_id' = $1",
            world.name,
        )
    document = api.asyncapi()
    payload = document["components"]["messages"][f"stream.{COMPLETED}.v1"]["payload"]
    described = jsonschema_rs.validator_for({**payload, "components": document["components"]})
    message = orjson.loads(message_body("hutong.reconciliation.0", 7, read_event(row)))
    assert [str(error) for error in described.iter_errors(message)] == []
    assert message["merchant_id"] is None


async def test_a_difference_that_persons_have_not_touched_waits_without_a_second_event(world: AnnouncedWorld) -> None:
    await world.take(bill([1]))
    await world.run()
    (event,) = await world.emitted()
    assert [(case["class"], case["count"]) for case in event["data"]["differences"]] == [("pending", 1)]
    world.clock.advance(timedelta(hours=1))
    await world.run(again=True)
    assert len(await world.emitted()) == 1
