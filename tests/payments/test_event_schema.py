"""Every type of event, as it is really written, has the form that is published for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from hutong import api, customers, events, payments, reconciliation
from hutong.channels import ChannelAnswer, ChannelState
from hutong.channels.disputes import DisputeState
from hutong.payments import CaptureMethod, Payments
from support.event_forms import EventForms
from support.fakes.channel import HonestChannel
from support.fixtures.disputes import DisputeWorld, watch
from support.fixtures.exceptions import approve, propose
from support.fixtures.payments import World, number, placed
from support.fixtures.refunds import RefundWorld

FAILED = ChannelAnswer(ChannelState.FAILED, channel_code="ACCOUNT_EMPTY")


async def written(shop: World) -> list[dict[str, Any]]:
    """The merchant's events, as they are sent."""
    async with shop.database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT type, object_id, object_seq, data FROM events.outbox WHERE merchant_id = $1 ORDER BY event_id",
            shop.merchant_id,
        )
    return [{**row, "data": orjson.loads(row["data"])} for row in rows]


async def all_that_can_happen(shop: RefundWorld, world: World, lifecycle: Payments, channel: HonestChannel) -> None:
    paid = await shop.paid(metadata={"basket": "7"})
    shop.channel.verdicts = [ChannelAnswer(ChannelState.SUCCEEDED), FAILED]
    await shop.refund(paid, 500)
    await shop.refund(paid, 300)
    shop.channel.verdicts = [ChannelAnswer(ChannelState.FAILED, code="already_refunded")]
    await shop.refund(paid, 200)
    (returned,) = [refund for refund in await shop.refunds(paid) if refund.state == "succeeded"]
    shop.channel.outcomes[returned.number] = FAILED
    await shop.notify(shop.channel.refund_notice(returned.number))
    refused = await shop.payment()
    await shop.record(shop.report(refused.attempts[0], ChannelState.FAILED, channel_code="NOTENOUGH"))
    late = await shop.payment()
    await shop.close(late)
    await shop.record(shop.report(late.attempts[0], ChannelState.CLOSED))
    await shop.record(shop.report(late.attempts[0], ChannelState.SUCCEEDED))
    shop.channel.verdicts = [FAILED]
    for _ in range(3):
        await shop.sweep(timedelta(hours=2))
    reserved = await placed(world, lifecycle, capture_method=CaptureMethod.MANUAL)
    channel.payer_pays(number(reserved))
    await lifecycle.notify(world.account_id, {"x-proof": "genuine"}, number(reserved).encode())
    await lifecycle.capture((await world.see(reserved)).payment)
    await lifecycle.report_no_method(reserved.payment_id)  # it is over: nothing is written
    await change_metadata(world, reserved)
    misfit = await placed(world, lifecycle)
    await lifecycle.report_no_method(misfit.payment_id)
    channel.orders[number(misfit)].captured_minor = 1
    channel.payer_pays(number(misfit))
    await lifecycle.notify(world.account_id, {"x-proof": "genuine"}, number(misfit).encode())
    async with world.database.transaction() as tx:
        (item,) = await payments.exceptions.list_exceptions(tx, payment_id=misfit.payment_id)
    await approve(world, await propose(world, item, payments.exceptions.ExceptionDecision.IGNORE))


async def change_metadata(world: World, payment: payments.Payment) -> None:
    async with world.database.transaction() as tx:
        await payments.change_metadata(
            tx, payment.payment_id, {"table": "4"},
            documents=world.transactions.documents, new_id=world.ids.new, now=world.clock.now(),
        )  # fmt: skip


async def all_disputes(court: DisputeWorld) -> None:
    for end in (DisputeState.WON, DisputeState.LOST, DisputeState.ACCEPTED):
        dispute = await court.disputed(await court.paid(), due_at=court.clock.now() + timedelta(days=1))
        await watch(court).remind()
        court.clock.advance(timedelta(days=1))
        await watch(court).remind()
        await court.changes(dispute, state=DisputeState.UNDER_REVIEW)
        await court.changes(dispute, state=end)


async def test_every_type_is_written_in_its_published_form(
    shop: RefundWorld, court: DisputeWorld, world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    await all_that_can_happen(shop, world, lifecycle, channel)
    await all_disputes(court)
    seen = {event["type"] for event in [*await written(shop), *await written(world), *await written(court)]}
    elsewhere = {events.ENDPOINT_DISABLED, customers.CUSTOMER_UPDATED, *reconciliation.runs.ReconciliationEventType}
    assert seen == {one.name for one in api.EVENT_TYPES} - elsewhere
    _, faults = await EventForms().recorded(shop.database)
    assert faults == []


async def test_the_last_event_tells_the_row_that_was_committed_with_it(shop: RefundWorld) -> None:
    payment = await shop.paid()
    await shop.refund(payment, 500)
    (*_, last) = [event for event in await written(shop) if event["object_id"] == payment.payment_id]
    payment = (await shop.see(payment)).payment
    (refund,) = await shop.refunds(payment)
    sent_events = [event for event in await written(shop) if event["object_id"] == refund.refund_id]
    assert sent_events[-1]["data"] == payments.Documents("https://pay.example").refund(refund)
    same = {"amount_refunded_minor": 0, "amount_refunding_minor": 0}  # what the refund changed afterwards
    assert last["data"] == payments.Documents("https://pay.example").payment(payment) | same


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"amount_minor": 19.99}, "amount_minor"),
        ({"currency": None}, "currency"),
        ({"status": "paid"}, "status"),
        ({"not_published": 1}, "not_published"),
    ],
)
async def test_another_form_is_noticed(shop: RefundWorld, changed: dict[str, Any], fault: str) -> None:
    await shop.paid()
    (event,) = await written(shop)
    sent = {
        "id": "evt_01kanf3b9mfwr8whv2x26xq1fm",
        "type": event["type"],
        "version": 1,
        "created_at": "2026-01-01T00:00:00.000Z",
        "object_seq": 1,
        "data": event["data"],
    }
    assert EventForms().faults(sent) == []
    (problem,) = EventForms().faults(sent | {"data": event["data"] | changed})
    assert fault in problem
