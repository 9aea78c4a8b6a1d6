"""After a restore: the bills of the lost time, and the end of a catch-up by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from test_catch_up import RestoredWorld, _request, before_and_after
from test_numbers import placed

from hutong import db
from hutong.channels import Bill, BillRow, BillRowKind, BillRule, BillState, ChannelState
from hutong.channels import accounts as channel_accounts
from hutong.channels.bill import exception_row
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.ids import encode
from hutong.payments.restored import (
    BillFindings,
    LostOrder,
    dismiss_number,
    finish_when_complete,
    query_everything_open,
    read_bill,
)
from support import create_database
from support.fixtures.payments import AMOUNT, METHOD
from support.fixtures.refunds import REFUNDS

HOUR = timedelta(hours=1)
RULE = BillRule(("trade",), "test", 10, timedelta(hours=8), timedelta(days=90))


class BilledWorld(RestoredWorld):
    """A restored world whose channel has bills; its account is registered as one at Alipay, with days of Beijing."""

    def __init__(self, restored: RestoredWorld) -> None:
        self.__dict__ = restored.__dict__
        self.rows: dict[date, list[BillRow]] = {}
        self.state = BillState.READY
        self.channel.capabilities = replace(REFUNDS, bill=RULE)
        self.channel.download_bill = self._download  # type: ignore[method-assign]
        self.channel.read_bill = self._read  # type: ignore[method-assign]

    async def _download(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        return Bill(self.state, kind, day, channel_code="THEIR_CODE")

    def _read(self, bill: Bill) -> Iterator[BillRow]:
        yield from self.rows.get(bill.day, [])

    async def begin(self, database: Database, lost_for: timedelta | None) -> None:
        """As `restore`, with the begin of the lost time."""
        self.go_on_with(database)
        self.clock.advance(timedelta(minutes=1))
        now = self.clock.now()

        async def begin(tx: db.Tx) -> None:
            since = None if lost_for is None else now - lost_for
            await db.begin_catch_up(tx, db.CatchUpReason.OPERATOR, now=now, lost_since=since)
            catch_up = await db.open_catch_up(tx)
            assert catch_up is not None
            await query_everything_open(tx, now=now)
            await db.mark_prepared(tx, catch_up, now=now)
            await tx.execute(
                "INSERT INTO channels.account (id, channel, name, sandbox, credentials_sealed, enabled, version, "
                "created_at, updated_at) VALUES ($1, 'alipay', 'lost', false, '\\x00', false, 1, $2, $2)",
                self.account_id,
                now,
            )

        await database.run(begin)
        await db.refresh_catch_up(database)

    async def unread(self) -> list[date]:
        return [date.fromisoformat(bill["day"]) for bill in (await self.status())["bills_unread"]]

    async def read(self, day: date) -> BillFindings:
        accounts: Any = self.new_process().accounts
        return await read_bill(self.database, accounts, self.account_id, day, clock=self.clock)

    async def finish_by_itself(self) -> bool:
        return await finish_when_complete(self.database, now=self.clock.now())


def row(number: str | None, kind: BillRowKind = BillRowKind.PAYMENT, amount_minor: int = AMOUNT) -> BillRow:
    return BillRow(kind, number, "4200", None, amount_minor, "CNY", 0, "SUCCESS", datetime(2026, 11, 20, tzinfo=UTC))


@asynccontextmanager
async def restored(
    server_url: str, template_url: str, clock: ManualClock, prepare: Any, *, lost_for: timedelta | None = HOUR
) -> AsyncIterator[tuple[BilledWorld, str, Any]]:
    """A restored world and the number of an order that was placed and paid in the time that is lost."""
    world, copy, prepared = await before_and_after(server_url, template_url, clock, prepare)
    async with Database.open(create_database(server_url, copy)) as lost:
        world.go_on_with(lost)
        payment = await placed(world, "order-lost")
        number = encode("att", payment.attempts[0].attempt_id)
        world.channel.payer_pays(number)
    world.channel.calls.clear()
    async with Database.open(copy) as database:
        billed = BilledWorld(world)
        await billed.begin(database, lost_for)
        yield billed, number, prepared


async def nothing(_world: RestoredWorld) -> None:
    return None


async def test_an_order_in_a_bill_is_listed_and_adopted_by_the_query_that_proves_it(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing) as (world, number, _):
        days = await world.unread()
        clock.advance(timedelta(days=2))
        world.rows[days[0]] = [row(number), row("of-another-system"), row(None), row("fee", BillRowKind.FEE)]
        world.rows[days[0]].append(exception_row(7, "it has 28 values and 27 columns", "`2026-11-28 …"))
        assert await world.read(days[0]) == BillFindings(3, [number], 2, 1)
        assert await world.read(days[0]) == BillFindings(3, [], 2, 1)
        async with world.database.transaction() as tx:
            (kept,) = await channel_accounts.list_bill_exceptions(tx, account_id=world.account_id, day=days[0])
        assert (kept.line_no, kept.reason, kept.text) == (7, "it has 28 values and 27 columns", "`2026-11-28 …")
        (listed,) = (await world.status())["unknown_numbers"]
        assert (listed["source"], listed["state"], listed["amount_minor"]) == ("bill", "unknown", AMOUNT)
        assert await world.adoption().adopt_known() == 0
        assert await world.waiting() == [number]
        assert world.channel.calls == [], "a bill credits nothing and asks nothing"
        adopted = await world.adoption().adopt_order(number, LostOrder(world.merchant_id, "order-lost", METHOD, 6_000))
        assert (adopted.status, adopted.amount_captured_minor) == ("succeeded", AMOUNT)
        assert world.channel.calls == [("query", number)]
        assert await world.waiting() == []
        await world.books_balance()


@pytest.mark.parametrize("state", [ChannelState.PENDING, ChannelState.CLOSED, ChannelState.UNKNOWN])
async def test_what_the_channel_does_not_confirm_is_not_credited_however_its_bill_reads(
    server_url: str, template_url: str, clock: ManualClock, state: ChannelState
) -> None:
    async with restored(server_url, template_url, clock, nothing) as (world, number, _):
        day = (await world.unread())[0]
        clock.advance(timedelta(days=2))
        world.rows[day] = [row(number)]
        await world.read(day)
        world.channel.orders[number].state = state
        order = LostOrder(world.merchant_id, "order-lost", METHOD, 0)
        with pytest.raises(Conflict, match="does not confirm"):
            await world.adoption().adopt_order(number, order)
        async with world.database.transaction() as tx:
            assert await tx.fetchval("SELECT count(*) FROM payments.payment") == 0
        assert await world.waiting() == [number]


async def test_a_bill_with_another_amount_than_the_channels_answer_is_refused(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing) as (world, number, _):
        day = (await world.unread())[0]
        clock.advance(timedelta(days=2))
        world.rows[day] = [row(number, amount_minor=AMOUNT + 1)]
        await world.read(day)
        with pytest.raises(Conflict, match="another amount"):
            await world.adoption().adopt_order(number, LostOrder(world.merchant_id, "order-lost", METHOD, 0))
        assert await world.waiting() == [number]


async def test_a_number_of_a_bill_whose_merchant_repeats_the_order_is_adopted_by_itself(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing) as (world, number, _):
        day = (await world.unread())[0]
        clock.advance(timedelta(days=2))
        world.rows[day] = [row(number)]
        await world.read(day)
        assert (await placed(world, "order-lost")).status == "succeeded"
        assert await world.adoption().adopt_known() == 1
        assert await world.waiting() == []
        world.rows[day].append(row(number))
        assert (await world.read(day)).unknown == [], "known by now"


async def test_a_refund_in_a_bill_is_adopted_without_sending_anything(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, lambda world: world.paid()) as (world, _, paid):
        number = encode("ref", world.ids.derive("refund", world.merchant_id, "lost-1"))
        day = (await world.unread())[0]
        clock.advance(timedelta(days=2))
        world.rows[day] = [row(number, BillRowKind.REFUND, 700)]
        assert (await world.read(day)).unknown == [number]
        with pytest.raises(Conflict, match="does not confirm"):
            await world.adoption().adopt_refund(number, paid, "lost-1", returns_fee=True)
        assert (await world.again(paid)).amount_refunded_minor == 0
        lost = type("Lost", (), {"number": number, "attempt_id": paid.attempts[0].attempt_id,
                                 "created_at": clock.now(), "amount_minor": 700, "reason": "damaged"})  # fmt: skip
        await world.channel.refund(_request(lost), now=clock.now())
        world.channel.calls.clear()
        await world.adoption().adopt_refund(number, paid, "lost-1", returns_fee=True)
        assert (await world.again(paid)).amount_refunded_minor == 700
        assert (await world.waiting(), world.sent()) == ([], [])


async def test_normal_work_begins_by_itself_only_when_nothing_at_all_is_open(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async def prepare(world: RestoredWorld) -> Any:
        paid = await world.paid()
        await world.intend(paid, 200)
        world.channel.reachable = False
        return await world.payment()

    async with restored(server_url, template_url, clock, _reachable_again(prepare)) as (world, number, _):
        days = await world.unread()
        clock.advance(timedelta(days=3))
        world.rows[days[0]] = [row(number)]
        for day in days:
            assert not await world.finish_by_itself(), "a bill is unread"
            await world.read(day)
        assert await world.unread() == []
        order = LostOrder(world.merchant_id, "order-lost", METHOD, 0)
        assert not await world.finish_by_itself(), "a number waits"
        await world.adoption().adopt_order(number, order)
        assert not await world.finish_by_itself(), "nobody was asked yet"
        world.channel.reachable = False
        for _ in range(3):
            await world.sweep()
            await world.lifecycle.expire()
            await world.lifecycle.sweep()
            clock.advance(HOUR)
        shown = await world.status()
        assert (shown["attempts_unasked"], shown["refunds_unasked"]) == (1, 1), "asked, but not answered"
        assert not await world.finish_by_itself()
        world.channel.reachable = True
        await world.lifecycle.expire()
        await world.lifecycle.sweep()
        assert not await world.finish_by_itself(), "the refund has no answer yet"
        await world.sweep()
        assert world.sent() == []
        assert await world.finish_by_itself()
        assert (await world.status())["mode"] == "normal"
        assert world.database.catching_up_since is None
        assert not await world.finish_by_itself()


def _reachable_again(prepare: Any) -> Any:
    async def run(world: RestoredWorld) -> Any:
        prepared = await prepare(world)
        world.channel.reachable = True
        return prepared

    return run


async def test_while_the_begin_of_the_lost_time_is_unknown_only_an_operator_ends_it(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing, lost_for=None) as (world, _, _none):
        assert (await world.status())["bills_unread"] is None
        assert not await world.finish_by_itself()


async def test_a_bill_that_is_not_made_or_not_given_counts_as_unread(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing) as (world, _number, _none):
        days = await world.unread()
        with pytest.raises(InvalidParameter, match="is made at"):
            await world.read(days[-1])
        clock.advance(timedelta(days=2))
        for state in (BillState.NOT_READY, BillState.UNKNOWN, BillState.REFUSED):
            world.state = state
            with pytest.raises(Conflict, match="THEIR_CODE"):
                await world.read(days[0])
        assert await world.unread() == days
        world.state = BillState.EMPTY
        await world.read(days[0])
        assert await world.unread() == days[1:]


async def test_the_bills_of_every_day_of_the_lost_time_are_wanted_in_the_channels_zone(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing, lost_for=timedelta(days=3)) as (world, _, _none):
        beijing = timedelta(hours=8)
        first = (clock.now() - timedelta(days=3, hours=2) + beijing).date()
        last = (clock.now() + timedelta(hours=2) + beijing).date()
        days = await world.unread()
        assert days == [first + timedelta(days=n) for n in range((last - first).days + 1)]


async def test_a_dismissed_number_stays_off_the_list_until_the_channel_reports_it(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing) as (world, number, _):
        day = (await world.unread())[0]
        clock.advance(timedelta(days=2))
        world.rows[day] = [row(number)]
        await world.read(day)

        async def dismiss(tx: db.Tx) -> None:
            await dismiss_number(tx, number, by="ops", reason="not confirmed", now=clock.now())

        await world.database.run(dismiss)
        await world.read(day)
        assert await world.waiting() == []
        with pytest.raises(NotFound):
            await world.database.run(dismiss)
        await world.reported_by_channel(number)
        (listed,) = (await world.status())["unknown_numbers"]
        assert (listed["source"], listed["state"]) == ("notification", "succeeded")
