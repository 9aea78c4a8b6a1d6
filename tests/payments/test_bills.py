"""Bills of real lives: kept up to date, rebuilt from events and rebuilt from tables, they are the same bytes."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from hutong import events, payments, search
from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.customers import Customer, PutCustomer, put_customers
from hutong.db import Database
from hutong.payments import CaptureMethod
from hutong.payments.capture import RequestCapture
from hutong.payments.store import find
from support.fixtures.refunds import RefundWorld

S = ChannelState


async def live(world: RefundWorld, rng: random.Random, number: int) -> None:
    """One payment goes one of the ways that there are."""
    world.clock.advance(timedelta(microseconds=rng.randint(1, 10**7)))
    customer = Customer(f"u{number % 4}", rng.choice([None, f"名{number}"]), rng.choice([None, f"v{number}"]))
    changed: dict[str, Any] = {"subject": f"第 {number} 单", "customer": rng.choice([None, customer])}
    if rng.random() < 0.3:
        await reserve(world, rng, changed)
        return
    payment = await world.payment(**changed)
    way = rng.choice(["open", "paid", "refused", "again", "closed", "surplus", "refunded", "refunded"])
    if way in ("refused", "again"):
        await world.record(world.report(payment.attempts[0], S.FAILED))
    if way == "again":
        payment = await world.again(payment)
        await world.start(payment)
        payment = await world.again(payment)
        await world.record(world.report(payment.attempts[-1], S.SUCCEEDED))
    if way in ("closed", "surplus"):
        await world.close(payment)
        await world.record(world.report(payment.attempts[0], S.CLOSED))
    if way in ("paid", "surplus", "refunded"):
        await world.record(world.report(payment.attempts[0], S.SUCCEEDED))
    if way == "refunded":
        payment = await world.again(payment)
        for _ in range(rng.randint(1, 3)):
            world.clock.advance(timedelta(milliseconds=1))
            world.channel.verdicts[:] = [rng.choice([ChannelAnswer(S.SUCCEEDED), ChannelAnswer(S.FAILED)])]
            await world.refund(payment, rng.randint(1, 600))


async def reserve(world: RefundWorld, rng: random.Random, changed: dict[str, Any]) -> None:
    payment = await world.payment(capture_method=CaptureMethod.MANUAL, **changed)
    attempt = payment.attempts[0]
    await world.record(world.report(attempt, S.AUTHORIZED, amount_minor=payment.amount_minor, currency="CNY"))
    way = rng.choice(["kept", "captured", "partly", "given up", "lapsed"])
    if way in ("captured", "partly"):
        amount = 700 if way == "partly" else payment.amount_minor
        await world.transactions.capture([RequestCapture(payment.payment_id, amount, partial=True)])
        await world.record(world.report(attempt, S.SUCCEEDED, amount_minor=amount))
    if way == "given up":
        await world.close(payment)
        await world.record(world.report(attempt, S.CLOSED))
    if way == "lapsed":
        await world.record(world.report(attempt, S.FAILED))


async def test_live_rebuilt_from_events_and_rebuilt_from_tables_are_equal(
    fresh_database_url: str, clock: ManualClock, rng: random.Random
) -> None:
    async with (
        Database.open(fresh_database_url, size=8) as database,
        Database.open(fresh_database_url, size=4, role=None) as owner,
    ):
        world = RefundWorld(database, clock)
        for number in range(70):
            await live(world, rng, number)
            if rng.random() < 0.2:
                for name in ("甲", None, f"乙{number}"):  # in one millisecond
                    command = PutCustomer(world.merchant_id, Customer(f"u{number % 4}", name))
                    async with database.transaction() as tx:
                        await put_customers(tx, [command], new_id=world.ids.new, now=clock.now())
            if rng.random() < 0.2:
                await events.sequence(database)
            if rng.random() < 0.2:
                await search.project_events(database, database, now=clock.now())
        for from_events in (True, False):
            done = await search.rebuild_records(
                database,
                owner,
                from_events=from_events,
                number_events=lambda: events.sequence(database),
                now=clock.now(),
            )
            assert (done.equal, done.swapped) == (True, False)
        async with database.transaction() as tx:
            shown = {
                bill.payment_id: bill
                for bill in (await search.search_records(tx, search.RecordQuery(), limit=100)).records
            }
            stored = await find(tx, list(shown))
            closed = [p for p in await payments.list_payments(tx, world.merchant_id, limit=100) if p.closed_at]
        assert len(shown) > 20
        assert {payment.payment_id for payment in closed} <= set(shown)
        for payment_id, bill in shown.items():
            payment = stored[payment_id]
            assert (bill.status.value, bill.amount_captured_minor) == (
                payment.status.value,
                payment.amount_captured_minor,
            )
            assert bill.amount_refunded_minor == payment.amount_refunded_minor
            assert bill.amount_refunded_minor == sum(refund["amount_minor"] for refund in bill.refunds)
        assert any(bill.refunds for bill in shown.values())


async def test_a_store_that_was_lost_is_built_from_tables_while_payments_go_on(
    fresh_database_url: str, clock: ManualClock
) -> None:
    async with (
        Database.open(fresh_database_url, size=8) as database,
        Database.open(fresh_database_url, size=4, role=None) as owner,
    ):
        world = RefundWorld(database, clock)
        first = await world.paid()
        await events.sequence(database)
        await search.project_events(database, database, now=clock.now())
        async with owner.transaction() as tx:
            await tx.execute("TRUNCATE search.payment_record, search.refund, search.profile")
        unnumbered = await world.paid()
        done = await search.rebuild_records(
            database, owner, from_events=False, number_events=lambda: events.sequence(database), now=clock.now()
        )
        assert (done.equal, done.swapped) == (False, True)
        late = await world.paid()
        await events.sequence(database)
        assert await search.project_events(database, database, now=clock.now()) == 1
        async with database.transaction() as tx:
            shown = {
                bill.payment_id for bill in (await search.search_records(tx, search.RecordQuery(), limit=100)).records
            }
        assert shown == {first.payment_id, unnumbered.payment_id, late.payment_id}
