"""The life cycle on the newest and on the oldest PostgreSQL that is supported."""

from __future__ import annotations

from hutong.channels import ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import PaymentStatus
from support import migrated_database
from support.fixtures.payments import AMOUNT, World


async def test_success_surplus_close_and_expiry(each_server_url: str, clock: ManualClock) -> None:
    url = migrated_database(each_server_url)
    async with Database.open(url, size=4) as database:
        world = World(database, clock)
        paid, late, unpaid, forgotten = await world.place(
            world.order(), world.order(), world.order(attempt=False), world.order(attempt=False)
        )
        await world.record(world.report(paid.attempts[0], ChannelState.SUCCEEDED, key=b"one"))
        await world.record(world.report(late.attempts[0], ChannelState.FAILED))
        await world.close(late, unpaid)
        await world.record(world.report(late.attempts[0], ChannelState.SUCCEEDED, key=b"two"))
        clock.advance(forgotten.expires_at - clock.now())
        assert await world.transactions.expire(limit=10) == 1
        stored = await world.stored([paid, late, unpaid, forgotten])
        assert [s.payment.status for s in stored] == [PaymentStatus.SUCCEEDED, *[PaymentStatus.CLOSED] * 3]
        assert [[kind for _, kind in s.events] for s in stored] == [
            ["payment.succeeded"],
            ["payment.attempt_failed", "payment.closed", "payment.surplus_received"],
            ["payment.closed"],
            ["payment.closed"],
        ]
        assert [[amount for _, amount, _, _ in s.transfers] for s in stored] == [[AMOUNT], [AMOUNT], [], []]
        await world.books_balance()
