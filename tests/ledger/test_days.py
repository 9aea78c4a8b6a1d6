"""Days are dated by the time of their business, closed against the accounts, and do not change afterwards."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY

from hutong import ledger
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter
from hutong.ids import Ids
from hutong.ledger import TransferFlags
from hutong.ledger.accounting.day_cut import DayCutStep, advance_day_cut
from hutong.ledger.accounting.days import list_days, make_rule, set_day_rule
from hutong.ledger.codec import uuid_of
from support.fixtures.books import CNY, Business, create_books

MORNING = datetime(2026, 3, 10, 1, 0, tzinfo=UTC)  # 09:00 in Shanghai
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def march(day):
    return date(2026, 3, day)


@pytest.fixture
def clock():
    return ManualClock(MORNING)


@pytest.fixture
async def shop(server_url, clock):
    async with Database.open(create_books(server_url), size=6) as database:
        yield await Business(database, clock, owners=2).open()


async def cut(shop, day=None):
    return await ledger.run_day_cut(shop.database, now=shop.clock.now(), day=day)


async def close(shop, day):
    found = await cut(shop, day)
    assert (found.day, found.step, found.problem) == (day, DayCutStep.FINISHED, None)


async def test_business_is_dated_by_its_time_however_late_the_cut(shop, clock, capsys):
    for amount in (1, 2, 4, 8):  # on the 10th, 11th, 12th and 13th, with nobody there to close a day
        await shop.receive(amount)
        clock.advance(DAY)
    clock.advance(-DAY)
    await ledger.maintain(shop.database, now=clock.now(), new_id=Ids(clock).new)
    logs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert await shop.movements(1101) == {march(10): (1, 1), march(11): (2, 3), march(12): (4, 7)}
    late = [(entry["day"], entry["late_s"]) for entry in logs if entry["event"] == "day_cut_late"]
    assert late == [("2026-03-10", 57 * 3600), ("2026-03-11", 33 * 3600), ("2026-03-12", 9 * 3600)]
    assert REGISTRY.get_sample_value("hutong_day_cut_late_seconds") == 0
    assert await cut(shop) is None


async def test_days_are_listed_with_their_ends_and_their_delay(shop, clock):
    assert [(day.day, day.state.value) for day in await shop.database.run(lambda tx: list_days(tx, now=clock.now()))] \
        == [(march(10), "open")]  # fmt: skip
    await shop.receive(1)
    clock.advance(2 * DAY)
    await shop.database.run(lambda tx: advance_day_cut(tx, now=clock.now()))
    days = await shop.database.run(lambda tx: list_days(tx, now=clock.now()))
    assert [(day.day, day.state.value, day.late) for day in days] == [
        (march(12), "open", None), (march(11), "due", 9 * HOUR), (march(10), "closing", 33 * HOUR),
    ]  # fmt: skip
    assert days[1].due_at == datetime(2026, 3, 11, 16, 0, tzinfo=UTC)
    await close(shop, march(10))
    clock.advance(timedelta(hours=15, minutes=5))
    await close(shop, march(11))
    await close(shop, march(12))
    days = await shop.database.run(lambda tx: list_days(tx, now=clock.now()))
    assert [(day.day, day.state.value, day.late) for day in days] == [
        (march(13), "open", None), (march(12), "closed", None), (march(11), "closed", 24 * HOUR + timedelta(minutes=5)),
        (march(10), "closed", 33 * HOUR),
    ]  # fmt: skip


async def test_dates_before_the_first_cut_follow_the_zone_and_the_cut_time(shop, clock):
    await shop.database.run(lambda tx: set_day_rule(tx, make_rule(time(17, 0), "America/New_York")))
    first = await shop.receive(1)  # 21:00 of the 9th in New York, after the cut
    clock.advance(19 * HOUR + timedelta(minutes=59))  # 16:59 of the 10th
    second = await shop.receive(2)
    clock.advance(timedelta(minutes=1))
    third = await shop.receive(4)
    assert [await shop.date_of(each) for each in (first, second, third)] == [march(10), march(10), march(11)]
    await close(shop, march(10))
    assert await shop.movements(1101) == {march(10): (3, 3)}


async def test_the_first_day_to_close_is_the_first_with_business(shop, clock):
    await shop.receive(1)
    clock.advance(2 * DAY)
    await shop.receive(2)
    for wrong in (date(2025, 3, 10), march(9), march(11)):
        with pytest.raises(Conflict, match="2026-03-10 must be closed first"):
            await cut(shop, wrong)
    for early in (march(12), date(2027, 3, 10)):
        with pytest.raises(Conflict, match="is not over"):
            await cut(shop, early)
    assert await shop.database.pool.fetchval("SELECT count(*) FROM ledger.day_cut") == 0
    assert (await cut(shop)).day == march(10)
    await close(shop, march(11))
    assert await shop.movements(1101) == {march(10): (1, 1)}


async def test_without_earlier_business_the_day_that_is_over_is_closed_first(shop):
    await shop.receive(1)
    with pytest.raises(Conflict, match="2026-03-09 must be closed first"):
        await cut(shop, date(2025, 3, 9))
    assert (await cut(shop)).day == march(9)
    assert await shop.movements(1101) == {}


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_snapshot_that_does_not_move_cannot_book(shop, clock, isolation):
    async with shop.database.pool.acquire() as connection:
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="READ COMMITTED transactions only"):
            async with connection.transaction(isolation=isolation):
                await ledger.Ledger(connection, clock=clock.now_ns).create_transfers(
                    [shop.transfer(shop.account(1101), shop.account(2001), 5)]
                )
    assert await shop.database.pool.fetchval("SELECT count(*) FROM ledger.transfer") == 0


TAMPERING = {
    "the balance of an account on a closed day": (
        "UPDATE ledger.day_balance SET closing_debits = closing_debits + 1 WHERE account_id = $1", "account {account}"
    ),
    "the balance of a subject on a closed day": (
        "UPDATE ledger.day_subject SET closing_debits = 5 WHERE code = 1101 AND $1::uuid IS NOT NULL",
        "subject 1101 of ledger 156"
    ),
    "a row moved into a closed day": (
        "UPDATE ledger.transfer SET accounting_date = '2026-03-10' WHERE debit_account_id = $1 AND amount = 2",
        "account",
    ),
    "an account that never moved": (
        "UPDATE ledger.account SET debits_posted = 3 WHERE code = 2002 AND $1::uuid IS NOT NULL", "account 07d2"
    ),
    "two accounts that moved and are gone": (
        "DELETE FROM ledger.account WHERE id = $1 OR code = 2001", "subject 1101 of ledger 156"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERING)
async def test_a_cut_that_finds_a_difference_names_it_and_stays_open(shop, clock, what):
    await shop.receive(1)
    clock.advance(DAY)
    await close(shop, march(10))
    await shop.receive(2)
    statement, named = TAMPERING[what]
    account = uuid_of(shop.account(1101))
    async with shop.database.pool.acquire() as connection:
        await connection.execute("SET ROLE NONE")
        await connection.execute("ALTER TABLE ledger.transfer DISABLE TRIGGER USER")
        await connection.execute(statement, account)
        await connection.execute("RESET ROLE")
    clock.advance(DAY)
    for _ in range(2):
        found = await cut(shop)
        assert (found.day, found.step) == (march(11), DayCutStep.DRAINED)
        assert found.problem.startswith(named.format(account=account))
        assert "do not add up" in found.problem
    with pytest.raises(Conflict, match="is not closed"):
        await shop.database.run(lambda tx: ledger.general_ledger(tx, day=march(11)))


async def test_dates_do_not_fall_along_an_account_when_days_end_otherwise(shop, clock):
    clock.advance(14 * HOUR)  # 23:00 of the 10th
    await shop.database.run(lambda tx: set_day_rule(tx, make_rule(time(22, 0), "Asia/Shanghai")))
    first = await shop.receive(1)
    await shop.database.run(lambda tx: set_day_rule(tx, make_rule(time(0, 0), "Asia/Shanghai")))
    second = await shop.receive(2)  # the 10th again, for accounts that have not moved
    other = shop.transfer(shop.account(4001), shop.account(2201), 1)
    await shop.send(other)
    assert [await shop.date_of(each) for each in (first, second, other.id)] == [march(11), march(11), march(10)]
    clock.advance(2 * DAY)
    for day in (march(10), march(11)):
        await close(shop, day)
    assert await shop.movements(1101) == {march(11): (3, 3)}


async def test_a_batch_is_dated_after_its_last_lock(shop, clock, capsys):
    """It posts a hold that another connection is making, so that it learns of two accounts in a second step."""
    clock.advance(14 * HOUR + timedelta(minutes=59))  # 23:59 of the 10th
    p, q, z = shop.account(2001, 1), shop.account(1101, 1), shop.account(4001)
    hold = shop.transfer(q, p, 5, flags=TransferFlags.PENDING)
    posting = shop.transfer(0, 0, 5, pending_id=hold.id, flags=TransferFlags.POST_PENDING_TRANSFER, ledger=0, code=0)
    async with (
        shop.database.pool.acquire() as maker,
        shop.database.pool.acquire() as blocker,
    ):
        making, blocking = maker.transaction(), blocker.transaction()
        await making.start()
        made = await ledger.Ledger(maker, clock=clock.now_ns).create_transfers(
            [hold, shop.transfer(z, shop.account(1101), 1)]
        )
        assert [result.status.name for result in made] == ["CREATED", "CREATED"]
        poster = asyncio.create_task(shop.send(shop.transfer(z, shop.account(1101), 2), posting))
        await asyncio.sleep(0.3)  # it waits for the account that the maker has locked
        await blocking.start()
        waiting = asyncio.create_task(
            blocker.execute("SELECT FROM ledger.account WHERE id = $1 FOR NO KEY UPDATE", uuid_of(p))
        )
        await asyncio.sleep(0.3)
        await making.commit()
        await waiting
        await asyncio.sleep(0.3)  # now the batch has its first date, and waits for the account of the hold
        clock.advance(timedelta(minutes=2))
        await shop.database.run(lambda tx: advance_day_cut(tx, now=clock.now()))
        await shop.database.run(lambda tx: advance_day_cut(tx, now=clock.now()))
        next_day = shop.transfer(shop.account(4001, 1), p, 7)
        assert not poster.done()
        (result,) = await ledger.Ledger(blocker, clock=clock.now_ns).create_transfers([next_day])
        assert result.status.name == "CREATED"
        await blocking.commit()
        assert await poster == ["CREATED", "CREATED"]
        assert "transaction_retried" not in capsys.readouterr().err
    dates = [await shop.date_of(each) for each in (hold.id, next_day.id, posting.id)]
    assert dates == [march(10), march(11), march(11)]
    clock.advance(DAY)
    for day in (march(10), march(11)):
        found = await cut(shop)
        assert (found.day, found.problem) == (day, None)


async def test_imports_into_a_closed_day_need_a_reason_and_change_no_closed_day(shop, clock):
    await shop.receive(100)
    noon = clock.now_ns() + 3_600_000_000_000
    clock.advance(DAY)
    await close(shop, march(10))
    account = shop.account(1101)

    async def of_tenth(**span):
        return await shop.database.run(
            lambda tx: ledger.statement_of_days(tx, account, first=march(10), last=march(10))
        )

    before = await of_tenth()
    late = shop.transfer(account, shop.account(2001), 40, flags=TransferFlags.IMPORTED, timestamp=noon)
    with pytest.raises(Conflict, match="closed up to 2026-03-10") as refused:
        await shop.send(late)
    assert refused.value.param == "late_import_reason"
    assert await shop.date_of(late.id) is None
    assert await shop.send(late, late_import_reason="the channel's file came late") == ["CREATED"]
    assert await shop.date_of(late.id) == march(11)
    kept = await shop.database.pool.fetch("SELECT transfer_id, day, reason FROM ledger.late_import")
    assert [(row[0].int, row[1], row[2]) for row in kept] == [(late.id, march(10), "the channel's file came late")]
    assert await of_tenth() == before
    clock.advance(DAY)
    await close(shop, march(11))
    assert await of_tenth() == before
    assert await shop.movements(1101) == {march(10): (100, 100), march(11): (40, 140)}
    assert (await shop.database.run(ledger.verify)).problems == []


async def test_an_import_into_an_open_day_needs_no_reason(shop, clock):
    clock.advance(DAY)
    await cut(shop)  # the 10th, without business
    clock.advance(HOUR)
    event = shop.transfer(
        shop.account(1101), shop.account(2001), 40, flags=TransferFlags.IMPORTED, timestamp=clock.now_ns() - 10**9
    )
    assert await shop.send(event) == ["CREATED"]
    assert await shop.database.pool.fetchval("SELECT count(*) FROM ledger.late_import") == 0


async def test_statements_by_day_and_by_time_tie_to_the_balances_of_the_day(shop, clock):
    for amount in (1, 2, 4):
        await shop.receive(amount)
        clock.advance(DAY)
    for day in (10, 11, 12):
        await close(shop, march(day))
    account, rule = shop.account(1101), make_rule(time(0), "Asia/Shanghai")
    by_day = await shop.database.run(lambda tx: ledger.statement_of_days(tx, account, first=march(11), last=march(12)))
    by_time = await shop.database.run(
        lambda tx: ledger.statement(tx, account, since=rule.end_of(march(10)), until=rule.end_of(march(12)))
    )
    assert by_day == by_time
    assert (by_day.opening, [line.debit for line in by_day.lines], by_day.closing) == (1, [2, 4], 7)
    listed = by_day.with_balances(march(11), march(12))
    assert [(line.event_en, line.accounting_date, line.balance) for line in listed] == [
            ("opening balance", march(11), 1), ("payment", march(11), 3), ("payment", march(12), 7),
            ("closing balance", march(12), 7),
    ]  # fmt: skip
    movements = await shop.movements(1101)
    assert by_day.closing == movements[march(12)][1]
    for wrong in (
        lambda tx: ledger.statement_of_days(tx, account, first=march(12), last=march(11)),
        lambda tx: ledger.statement(tx, account, since=rule.end_of(march(12)), until=rule.end_of(march(11))),
    ):
        with pytest.raises(InvalidParameter):
            await shop.database.run(wrong)


async def test_an_uneven_day_is_seen(shop, clock):
    await shop.receive(1)
    clock.advance(DAY)
    await close(shop, march(10))
    lines = await shop.database.run(lambda tx: ledger.general_ledger(tx, day=march(10)))
    assert ledger.differences(lines) == []
    async with shop.database.pool.acquire() as connection:
        await connection.execute("SET ROLE NONE")
        await connection.execute("UPDATE ledger.day_subject SET closing_debits = closing_debits + 1 WHERE code = 1101")
        await connection.execute("RESET ROLE")
    lines = await shop.database.run(lambda tx: ledger.general_ledger(tx, day=march(10)))
    assert ledger.differences(lines) == [CNY]
