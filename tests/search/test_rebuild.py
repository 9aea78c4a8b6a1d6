"""A rebuilt store equals the live one byte for byte; one that differs takes its place."""

from __future__ import annotations

import pytest

from hutong import events, search
from hutong.db import Database
from hutong.search.errors import EventsArchived
from hutong.search.projection import LIVE
from hutong.search.rebuild import digest_schema
from support.fixtures.payment_records import PaymentEvents, find_records, open_database, project, record_events


async def rebuild(
    database: Database, owner: Database, payment_events: PaymentEvents, *, swap: bool = True
) -> search.RebuildResult:
    return await search.rebuild_records(
        database,
        owner,
        from_events=True,
        number_events=lambda: events.sequence(database),
        now=payment_events.clock.now(),
        swap=swap,
    )


async def fill(database: Database, payment_events: PaymentEvents) -> None:
    recorded = []
    for number in range(30):
        paid = payment_events.payment(customer={"id": f"u{number % 3}", "name": f"n{number}", "avatar": None})
        recorded += [paid, payment_events.refund(paid)]
    await record_events(database, *recorded)
    await project(database, database, payment_events.clock.now())


async def test_a_rebuild_from_events_equals_the_live_store(
    fresh_database_url: str, payment_events: PaymentEvents
) -> None:
    async with open_database(fresh_database_url) as database, open_database(fresh_database_url, role=None) as owner:
        await fill(database, payment_events)
        done = await rebuild(database, owner, payment_events)
        assert (done.equal, done.swapped, done.live.records) == (True, False, 30)
        assert await digest_schema(database, LIVE) == done.live


async def test_events_recorded_since_are_in_both(fresh_database_url: str, payment_events: PaymentEvents) -> None:
    async with open_database(fresh_database_url) as database, open_database(fresh_database_url, role=None) as owner:
        await fill(database, payment_events)
        await record_events(database, payment_events.payment())
        done = await rebuild(database, owner, payment_events)
        assert (done.equal, done.live.records) == (True, 31)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE search.payment_record SET amount_minor = amount_minor + 1 WHERE merchant_order_no = '{order}'",
        "DELETE FROM search.payment_record WHERE merchant_order_no = '{order}'",
        "UPDATE search.profile SET name = 'other' WHERE customer_id = 'u1'",
        "UPDATE search.refund SET version = version + 1 WHERE payment_id = '{payment}'",
    ],
)
async def test_a_damaged_store_is_found_out_and_replaced(
    fresh_database_url: str, payment_events: PaymentEvents, damage: str
) -> None:
    async with open_database(fresh_database_url) as database, open_database(fresh_database_url, role=None) as owner:
        await fill(database, payment_events)
        whole = await digest_schema(database, LIVE)
        async with database.transaction() as tx:
            record = (await find_records(tx))[7]
        async with owner.transaction() as tx:
            await tx.execute(damage.format(order=record.merchant_order_no, payment=record.payment_id))
        looked = await rebuild(database, owner, payment_events, swap=False)
        assert (looked.equal, looked.swapped) == (False, False)
        assert await digest_schema(database, LIVE) != whole
        done = await rebuild(database, owner, payment_events)
        assert (done.equal, done.swapped) == (False, True)
        assert await digest_schema(database, LIVE) == whole
        await record_events(database, payment_events.payment())
        assert (
            await project(database, database, payment_events.clock.now()) == 1
        )  # from the watermark of the rebuilt store
        async with database.transaction() as tx:
            assert len(await find_records(tx)) == 31


async def test_without_the_first_events_a_rebuild_from_events_is_refused(
    fresh_database_url: str, payment_events: PaymentEvents
) -> None:
    async with open_database(fresh_database_url) as database, open_database(fresh_database_url, role=None) as owner:
        await fill(database, payment_events)
        async with owner.transaction() as tx:
            await tx.execute("DELETE FROM events.stream_entry WHERE no = 1")
        with pytest.raises(EventsArchived):
            await rebuild(database, owner, payment_events)
