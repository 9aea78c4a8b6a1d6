"""After a restore: nothing of before is sent blindly, and what the channels know is listed and adopted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from test_numbers import Remembering, placed

from hutong import db, ledger, payments
from hutong.channels import ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.ids import encode
from hutong.payments.refunds.model import RefundState
from hutong.payments.restored import Adoption, LostOrder, catch_up_document, query_everything_open
from support import create_database
from support.fixtures.payments import AMOUNT, METHOD
from support.fixtures.refunds import REFUNDS, RefundWorld

MINUTE = timedelta(minutes=1)


class RestoredWorld(RefundWorld):
    """A merchant and a channel that go on while the database is restored to an earlier time."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        super().__init__(database, clock)
        self.channel = Remembering(capabilities=REFUNDS)
        self.restart()

    async def restore(self, database: Database) -> None:
        """Go on with a copy of the database of an earlier time, as the platform does when it notices that."""
        self.go_on_with(database)
        self.clock.advance(MINUTE)
        now = self.clock.now()

        async def begin(tx: db.Tx) -> None:
            await db.begin_catch_up(tx, db.CatchUpReason.OPERATOR, now=now)
            await query_everything_open(tx, now=now)

        await database.run(begin)
        await db.refresh_catch_up(database)

    def go_on_with(self, database: Database) -> None:
        """Start the process again, on another database."""
        self.database = database
        self.restart()

    def adoption(self) -> Adoption:
        return self.new_process().adoption

    async def finish(self) -> None:
        now = self.clock.now()
        assert await self.database.run(lambda tx: db.finish_catch_up(tx, by="ops", reason="done", now=now))
        await db.refresh_catch_up(self.database)

    async def reported_by_channel(self, number: str) -> None:
        await self.lifecycle.notify(self.account_id, {"x-proof": "genuine"}, number.encode())

    async def status(self) -> dict[str, Any]:
        async with self.database.transaction() as tx:
            return await catch_up_document(tx)

    async def waiting(self) -> list[str]:
        return [unknown["number"] for unknown in (await self.status())["unknown_numbers"]]

    def sent(self) -> list[str]:
        return [verb for verb, _ in self.channel.calls if not verb.startswith("query")]


async def before_and_after(
    server_url: str, template_url: str, clock: ManualClock, prepare: Any
) -> tuple[RestoredWorld, str, Any]:
    """Do something in a database, and copy it; returns the world, the copy's URL and what `prepare` returned."""
    url = create_database(server_url, template_url)
    async with Database.open(url) as database:
        world = RestoredWorld(database, clock)
        prepared = await prepare(world)
    return world, create_database(server_url, url), prepared


async def test_a_refund_from_before_the_restore_is_asked_about_and_only_sent_when_normal_work_begins(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async def prepare(world: RestoredWorld) -> Any:
        paid = await world.paid()
        known, unknown = (await world.intend(paid, 300))[0], (await world.intend(paid, 200))[0]
        return paid, known.refund, unknown.refund

    world, copy, (paid, known, unknown) = await before_and_after(server_url, template_url, clock, prepare)
    # In the time that is lost the first one was sent.
    await world.channel.refund(_request(known), now=clock.now())
    world.channel.calls.clear()
    async with Database.open(copy) as database:
        await world.restore(database)
        await world.sweep()
        states = {refund.refund_id: refund.state for refund in await world.refunds(paid)}
        assert states == {known.refund_id: RefundState.SUCCEEDED, unknown.refund_id: RefundState.HELD}
        assert world.sent() == []
        assert (await world.status())["refunds_unasked"] == 0
        await world.finish()
        await world.sweep()
        assert {refund.state for refund in await world.refunds(paid)} == {RefundState.SUCCEEDED}
        assert world.sent() == ["refund"]
        assert world.channel.returned_minor == 500


def _request(refund: Any) -> Any:
    from hutong.channels import OrderReference, RefundRequest

    at = refund.created_at
    order = OrderReference(encode("att", refund.attempt_id), METHOD, AMOUNT, "CNY", at, None, None)
    return RefundRequest(refund.number, order, refund.amount_minor, refund.reason, "", at)


async def test_a_refund_asked_for_again_while_catching_up_is_the_one_that_the_channel_made(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    world, copy, paid = await before_and_after(server_url, template_url, clock, lambda world: world.paid())
    refund_id = world.ids.derive("refund", world.merchant_id, "back")
    lost = type("Lost", (), {"number": encode("ref", refund_id), "attempt_id": paid.attempts[0].attempt_id,
                             "created_at": clock.now(), "amount_minor": 500, "reason": "damaged"})  # fmt: skip
    await world.channel.refund(_request(lost), now=clock.now())
    world.channel.calls.clear()
    async with Database.open(copy) as database:
        await world.restore(database)
        assert (await world.refund(paid, 500, merchant_refund_no="back"))["state"] == "succeeded"
        assert world.sent() == []
        assert world.channel.returned_minor == 500


async def test_an_open_order_from_before_the_restore_is_asked_about_and_nothing_else(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async def prepare(world: RestoredWorld) -> Any:
        world.channel.reachable = False
        return [await world.payment() for _ in range(2)]

    world, copy, (paid, absent) = await before_and_after(server_url, template_url, clock, prepare)
    world.channel.reachable = True
    await world.channel.pay(_order(world, paid), now=clock.now())
    world.channel.payer_pays(encode("att", paid.attempts[0].attempt_id))
    world.channel.calls.clear()
    async with Database.open(copy) as database:
        await world.restore(database)
        await world.lifecycle.sweep()
        assert (await world.again(paid)).status == "succeeded"
        assert (await world.again(absent)).status == "processing"
        assert world.sent() == []
        await world.finish()
        clock.advance(timedelta(seconds=61))
        await world.lifecycle.sweep()
        assert world.sent() == ["pay"]


def _order(world: RestoredWorld, payment: Any) -> Any:
    from hutong.channels import PayRequest

    number = encode("att", payment.attempts[0].attempt_id)
    return PayRequest(number, METHOD, AMOUNT, "CNY", "x", payment.expires_at, "")


async def test_a_lost_order_is_kept_listed_and_adopted_by_proof_of_its_number(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    world, copy, _ = await before_and_after(server_url, template_url, clock, lambda world: world.payment())
    async with Database.open(create_database(server_url, copy)) as lost:
        world.go_on_with(lost)
        payment = await placed(world, "order-lost")
        (number,) = [encode("att", attempt.attempt_id) for attempt in payment.attempts]
        world.channel.payer_pays(number)
    async with Database.open(copy) as database:
        await world.restore(database)
        await world.reported_by_channel(number)
        await world.reported_by_channel(number)
        assert await world.waiting() == [number]
        order = LostOrder(world.merchant_id, "order-lost", METHOD, 6_000)
        for wrong in (LostOrder(world.merchant_id, "order-other", METHOD, 0),
                      LostOrder(world.ids.new(), "order-lost", METHOD, 0)):  # fmt: skip
            with pytest.raises(InvalidParameter, match="does not belong"):
                await world.adoption().adopt_order(number, wrong)
        adopted = await world.adoption().adopt_order(number, order)
        assert (adopted.status, adopted.amount_captured_minor) == ("succeeded", AMOUNT)
        assert encode("att", adopted.attempts[0].attempt_id) == number
        assert await world.waiting() == []
        with pytest.raises(NotFound):
            await world.adoption().adopt_order(number, order)
        assert world.sent() == ["pay"], "sent once, in the time that was lost"
        await world.books_balance()
        async with database.transaction() as tx:
            assert (await ledger.check_invariants(tx, now=clock.now())).problems == []


async def test_a_number_that_has_become_known_is_adopted_by_itself(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    world, copy, _ = await before_and_after(server_url, template_url, clock, lambda world: world.payment())
    async with Database.open(create_database(server_url, copy)) as lost:
        world.go_on_with(lost)
        await placed(world, "order-again")
    (number,) = list(world.channel.orders)[-1:]
    world.channel.payer_pays(number)
    async with Database.open(copy) as database:
        await world.restore(database)
        await world.reported_by_channel(number)
        assert await world.adoption().adopt_known() == 0
        again = await placed(world, "order-again")
        assert again.status == "succeeded"
        assert await world.adoption().adopt_known() == 1
        assert await world.waiting() == []


async def test_a_lost_refund_is_adopted_without_sending_anything(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    world, copy, paid = await before_and_after(server_url, template_url, clock, lambda world: world.paid())
    refund_id = world.ids.derive("refund", world.merchant_id, "lost-1")
    number = encode("ref", refund_id)
    lost = type("Lost", (), {"number": number, "attempt_id": paid.attempts[0].attempt_id,
                             "created_at": clock.now(), "amount_minor": 700, "reason": "damaged"})  # fmt: skip
    await world.channel.refund(_request(lost), now=clock.now())
    notice = world.channel.refund_notice(number)
    world.channel.calls.clear()
    async with Database.open(copy) as database:
        await world.restore(database)
        world.channel.parse_notification = lambda *_args, **_named: notice  # type: ignore[method-assign]
        await world.reported_by_channel(number)
        assert await world.waiting() == [number]
        with pytest.raises(InvalidParameter, match="does not belong"):
            await world.adoption().adopt_refund(number, paid, "lost-2", returns_fee=True)
        await world.adoption().adopt_refund(number, paid, "lost-1", returns_fee=True)
        assert (await world.again(paid)).amount_refunded_minor == 700
        assert (await world.waiting(), world.sent()) == ([], [])


async def test_an_unknown_number_waits_for_no_adoption_in_normal_work(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    world, copy, _ = await before_and_after(server_url, template_url, clock, lambda world: world.payment())
    async with Database.open(copy) as database:
        await world.restore(database)
        await world.finish()
        await world.reported_by_channel(encode("att", world.ids.derive("attempt", 1)))
        assert await world.waiting() == []
        async with database.transaction() as tx:
            (item,) = await payments.exceptions.list_exceptions(tx)
        assert item.kind == "unknown_number"


async def test_an_authorization_that_was_captured_in_the_lost_time_is_not_captured_again(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    from hutong.payments import CaptureMethod

    async def prepare(world: RestoredWorld) -> Any:
        payment = await world.payment(capture_method=CaptureMethod.MANUAL)
        await world.record(world.report(payment.attempts[0], ChannelState.AUTHORIZED))
        return payment

    world, copy, payment = await before_and_after(server_url, template_url, clock, prepare)
    number = encode("att", payment.attempts[0].attempt_id)
    await world.channel.pay(_order(world, payment), now=clock.now())
    world.channel.orders[number].state = ChannelState.SUCCEEDED
    world.channel.calls.clear()
    async with Database.open(copy) as database:
        await world.restore(database)
        after = await world.lifecycle.capture(await world.again(payment))
        assert (after.status, after.amount_captured_minor) == ("succeeded", AMOUNT)
        assert world.sent() == []


async def test_nothing_expires_while_its_lost_attempt_may_have_been_paid(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    world, copy, payment = await before_and_after(
        server_url, template_url, clock, lambda world: world.payment(attempt=False)
    )
    async with Database.open(create_database(server_url, copy)) as lost:
        world.go_on_with(lost)
        (number,) = [encode("att", a.attempt_id) for a in (await world.lifecycle.start(payment, METHOD)).attempts]
        world.channel.payer_pays(number)
    async with Database.open(copy) as database:
        await world.restore(database)
        clock.advance(timedelta(hours=2))
        await world.lifecycle.sweep()
        await world.reported_by_channel(number)
        order = LostOrder(world.merchant_id, payment.merchant_order_no, METHOD, 0)
        adopted = await world.adoption().adopt_order(number, order)
        assert (adopted.payment_id, adopted.status) == (payment.payment_id, "succeeded")
        await world.finish()
        await world.lifecycle.sweep()
        assert (await world.again(payment)).amount_captured_minor == AMOUNT


async def test_a_report_about_another_amount_stays_on_the_list(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    world, copy, _ = await before_and_after(server_url, template_url, clock, lambda world: world.payment())
    async with Database.open(create_database(server_url, copy)) as lost:
        world.go_on_with(lost)
        await placed(world, "order-again")
    number = list(world.channel.orders)[-1]
    world.channel.payer_pays(number)
    async with Database.open(copy) as database:
        await world.restore(database)
        await world.reported_by_channel(number)
        await placed(world, "order-again", amount_minor=AMOUNT + 1)
        adoption = world.adoption()
        assert [await adoption.adopt_known() for _ in range(2)] == [0, 0]
        assert await world.waiting() == [number]
        with pytest.raises(Conflict, match="another amount"):
            await adoption.adopt_order(number, LostOrder(world.merchant_id, "order-again", METHOD, 0))
