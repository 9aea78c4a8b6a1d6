"""A store built anew is the one in use, byte for byte; one that is not takes its place."""

from __future__ import annotations

import pytest

from hutong import events
from hutong import search as query
from hutong.db import Database
from support.fixtures.payment_records import Bills, follow, found, opened, record


async def rebuild(database: Database, owner: Database, bills: Bills, *, swap: bool = True) -> query.Rebuilt:
    return await query.rebuild(
        database,
        owner,
        from_events=True,
        number_events=lambda: events.sequence(database),
        now=bills.clock.now(),
        swap=swap,
    )


async def fill(database: Database, bills: Bills) -> None:
    told = []
    for number in range(30):
        paid = bills.payment(customer={"id": f"u{number % 3}", "name": f"n{number}", "avatar": None})
        told += [paid, bills.refund(paid)]
    await record(database, *told)
    await follow(database, database, bills.clock.now())


async def test_a_rebuild_from_events_equals_the_store_in_use(fresh_database_url: str, bills: Bills) -> None:
    async with opened(fresh_database_url) as database, opened(fresh_database_url, role=None) as owner:
        await fill(database, bills)
        done = await rebuild(database, owner, bills)
        assert (done.equal, done.swapped, done.live.bills) == (True, False, 30)
        assert await query.digest(database) == done.live


async def test_events_told_since_are_in_both(fresh_database_url: str, bills: Bills) -> None:
    async with opened(fresh_database_url) as database, opened(fresh_database_url, role=None) as owner:
        await fill(database, bills)
        await record(database, bills.payment())
        done = await rebuild(database, owner, bills)
        assert (done.equal, done.live.bills) == (True, 31)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE query.bill SET amount_minor = amount_minor + 1 WHERE merchant_order_no = '{order}'",
        "DELETE FROM query.bill WHERE merchant_order_no = '{order}'",
        "UPDATE query.profile SET name = 'other' WHERE customer_id = 'u1'",
        "UPDATE query.refund SET version = version + 1 WHERE payment_id = '{payment}'",
    ],
)
async def test_a_damaged_store_is_found_out_and_replaced(fresh_database_url: str, bills: Bills, damage: str) -> None:
    async with opened(fresh_database_url) as database, opened(fresh_database_url, role=None) as owner:
        await fill(database, bills)
        whole = await query.digest(database)
        async with database.transaction() as tx:
            bill = (await found(tx))[7]
        async with owner.transaction() as tx:
            await tx.execute(damage.format(order=bill.merchant_order_no, payment=bill.payment_id))
        looked = await rebuild(database, owner, bills, swap=False)
        assert (looked.equal, looked.swapped) == (False, False)
        assert await query.digest(database) != whole
        done = await rebuild(database, owner, bills)
        assert (done.equal, done.swapped) == (False, True)
        assert await query.digest(database) == whole
        await record(database, bills.payment())
        assert await follow(database, database, bills.clock.now()) == 1  # from where the new one is
        async with database.transaction() as tx:
            assert len(await found(tx)) == 31


async def test_without_the_first_events_a_rebuild_from_events_is_refused(fresh_database_url: str, bills: Bills) -> None:
    async with opened(fresh_database_url) as database, opened(fresh_database_url, role=None) as owner:
        await fill(database, bills)
        async with owner.transaction() as tx:
            await tx.execute("DELETE FROM events.stream_entry WHERE no = 1")
        with pytest.raises(query.EventsArchived):
            await rebuild(database, owner, bills)
