"""After a restore the worker fetches the bills of the lost time itself, until each was read or dismissed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from test_catch_up import RestoredWorld
from test_lost_bills import HOUR, RULE, BilledWorld, nothing, restored, row

from hutong.channels import Bill, BillRow, BillState
from hutong.channels.errors import BillRefused
from hutong.clock import ManualClock
from hutong.errors import Conflict, NotFound
from hutong.ids import encode
from hutong.payments.model import QUERY_CADENCE, PollingPolicy
from hutong.payments.restored import LostOrder, dismiss_bill, fetch_lost_bills, fetching, finish_when_complete
from support.fakes.channel import HonestChannel
from support.fixtures.payments import METHOD
from support.fixtures.refunds import REFUNDS

DAY = timedelta(days=1)


@dataclass
class BillingChannel(HonestChannel):
    """A channel that has bills, refuses them, or never answers."""

    rows: dict[date, list[BillRow]] = field(default_factory=dict)
    fetched: Counter[date] = field(default_factory=Counter)
    refuses: bool = False
    hangs: bool = False

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: Any) -> Bill:
        self.fetched[day] += 1
        await asyncio.sleep(0.01)
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            raise BillRefused("the account has no such right")
        return Bill(BillState.READY, kind, day)

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        yield from self.rows.get(bill.day, [])


@dataclass
class Accounts:
    """Several accounts, each with its channel."""

    by_id: dict[UUID, BillingChannel]

    async def get(self, account_id: UUID) -> BillingChannel:
        return self.by_id[account_id]


class FetchingWorld(BilledWorld):
    """A restored world with two accounts at channels that have bills; the second one has no orders."""

    def __init__(self, billed: BilledWorld) -> None:
        self.__dict__ = billed.__dict__
        self.other_id = self.ids.new()
        capabilities = replace(REFUNDS, bill=RULE)
        self.mine, self.other = BillingChannel(capabilities=capabilities), BillingChannel(capabilities=capabilities)
        self.policy = PollingPolicy()

    async def register_other(self) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(
                "INSERT INTO channels.account (id, channel, name, sandbox, credentials_sealed, enabled, version, "
                "created_at, updated_at) VALUES ($1, 'wechat', 'other', false, '\\x00', false, 1, $2, $2)",
                self.other_id,
                self.clock.now(),
            )

    async def fetch(self) -> int:
        accounts: Any = Accounts({self.account_id: self.mine, self.other_id: self.other})
        return await fetch_lost_bills(self.database, accounts, clock=self.clock, policy=self.policy)

    async def open_bills(self) -> list[dict[str, Any]]:
        return (await self.status())["bills_unread"]

    async def dismiss(self, account_id: UUID, day: date, reason: str = "closed in May") -> None:
        now = self.clock.now()
        await self.database.run(lambda tx: dismiss_bill(tx, account_id, day, by="ops", reason=reason, now=now))


@pytest.fixture
async def world(server_url: str, template_url: str, clock: ManualClock) -> AsyncIterator[FetchingWorld]:
    async with restored(server_url, template_url, clock, nothing) as (billed, number, _):
        world = FetchingWorld(billed)
        await world.register_other()
        world.number = number  # type: ignore[attr-defined]
        yield world


def number_of(world: RestoredWorld) -> str:
    return world.number  # type: ignore[attr-defined, no-any-return]


async def test_every_bill_is_fetched_once_when_it_is_made_and_the_catch_up_ends_by_itself(
    world: FetchingWorld, clock: ManualClock
) -> None:
    wanted = await world.open_bills()
    days = sorted({date.fromisoformat(bill["day"]) for bill in wanted})
    assert {bill["account"] for bill in wanted} == {encode("acc", world.account_id), encode("acc", world.other_id)}
    world.mine.rows[days[0]] = [row(number_of(world))]
    assert await world.fetch() == 0, "no bill is made yet"
    assert world.mine.fetched == {}
    clock.advance((days[-1] - days[0]) + 2 * DAY)
    both = await asyncio.gather(*(world.fetch() for _ in range(5)))
    assert sum(both) == 2 * len(days)
    assert world.mine.fetched == world.other.fetched == dict.fromkeys(days, 1)
    clock.advance(30 * DAY)
    assert await world.fetch() == 0
    assert world.mine.fetched == world.other.fetched == dict.fromkeys(days, 1), "nothing is fetched twice"
    assert await world.waiting() == [number_of(world)]
    assert not await world.finish_by_itself(), "a number waits"
    await world.adoption().adopt_order(number_of(world), LostOrder(world.merchant_id, "order-lost", METHOD, 0))
    assert await world.finish_by_itself()
    assert await world.fetch() == 0


async def test_a_bill_that_is_not_given_is_shown_and_fetched_again_with_growing_pauses(
    world: FetchingWorld, clock: ManualClock
) -> None:
    clock.advance(10 * DAY)
    world.other.refuses = True
    assert await world.fetch() == len(world.mine.fetched) > 0
    (first, *_) = open_bills = await world.open_bills()
    assert {bill["account"] for bill in open_bills} == {encode("acc", world.other_id)}, "the other one is read"
    assert (first["fetches"], first["error"]) == (1, "the account has no such right")
    count = len(open_bills)
    for fetches, pause in enumerate(QUERY_CADENCE[:6], 1):
        assert await world.fetch() == 0
        assert sum(world.other.fetched.values()) == count * fetches, "not before the pause is over"
        clock.advance(pause)
        await world.fetch()
        assert sum(world.other.fetched.values()) == count * (fetches + 1)
    assert not await world.finish_by_itself(), "a bill is unread"
    world.other.refuses = False
    clock.advance(HOUR)
    assert await world.fetch() == count
    assert await world.open_bills() == []
    assert await world.finish_by_itself()


async def test_an_account_that_never_answers_keeps_no_other_waiting(
    world: FetchingWorld, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_LIMIT_S", 0.2)
    clock.advance(10 * DAY)
    world.other.hangs = True
    read = await world.fetch()
    assert read == len(world.mine.fetched) > 0
    assert {bill["account"] for bill in await world.open_bills()} == {encode("acc", world.other_id)}
    assert {bill["error"] for bill in await world.open_bills()} == {"TimeoutError()"}


async def test_a_bill_that_a_dead_process_was_fetching_is_fetched_by_another(
    world: FetchingWorld, clock: ManualClock
) -> None:
    clock.advance(10 * DAY)
    world.mine.hangs = world.other.hangs = True
    dying = asyncio.create_task(world.fetch())
    await asyncio.sleep(0.2)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    world.mine.hangs = world.other.hangs = False
    begun = sum(world.mine.fetched.values())
    assert begun == 1, "the days of one account are fetched one after the other"
    await world.fetch()
    assert len(await world.open_bills()) == 2, "another process may still be at it"
    clock.advance(2 * HOUR)
    assert await world.fetch() == 2
    assert await world.open_bills() == []


async def test_a_dismissed_bill_holds_nothing_up_and_is_not_fetched(world: FetchingWorld, clock: ManualClock) -> None:
    clock.advance(10 * DAY)
    world.other.refuses = True
    await world.fetch()
    days = [date.fromisoformat(bill["day"]) for bill in await world.open_bills()]
    for day in days:
        assert not await world.finish_by_itself()
        await world.dismiss(world.other_id, day)
        with pytest.raises(NotFound, match="waits"):
            await world.dismiss(world.other_id, day)
    with pytest.raises(NotFound):
        await world.dismiss(world.account_id, days[0])  # read
    with pytest.raises(NotFound):
        await world.dismiss(world.other_id, days[0] - 30 * DAY)  # of no lost day
    before = world.other.fetched.copy()
    clock.advance(HOUR)
    assert await world.fetch() == 0
    assert world.other.fetched == before
    async with world.database.transaction() as tx:
        kept = await tx.fetch(
            "SELECT dismissed_by, dismiss_reason FROM payments.lost_bill WHERE dismissed_at IS NOT NULL"
        )
    assert [tuple(one) for one in kept] == [("ops", "closed in May")] * len(days)
    assert await finish_when_complete(world.database, now=clock.now())
    with pytest.raises(Conflict):
        await world.dismiss(world.other_id, days[0])


async def test_bills_are_not_fetched_while_the_begin_of_the_lost_time_is_unknown(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with restored(server_url, template_url, clock, nothing, lost_for=None) as (billed, _, _none):
        world = FetchingWorld(billed)
        clock.advance(10 * DAY)
        assert await world.fetch() == 0
        assert world.mine.fetched == {}
        with pytest.raises(NotFound):
            await world.dismiss(world.account_id, clock.now().date())
