"""What a word leaves behind, and what it does not."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from hutong import ledger
from hutong.channels import ActionKind, ChannelState, PayerAction
from hutong.errors import InvariantBroken
from hutong.payments import Source, success_id
from hutong.payments.channel_reports import RecordOutcome
from support.fixtures.payments import AMOUNT, World


async def test_success_after_close_is_surplus_and_is_reported(world: World) -> None:
    payment = await world.payment(fee_ppm=6_000)
    (attempt,) = payment.attempts
    await world.close(payment)
    await world.record(world.report(attempt, ChannelState.CLOSED, Source.CLOSE))
    (recorded,) = await world.record(world.report(attempt, ChannelState.SUCCEEDED, Source.NOTIFICATION, key=b"late"))
    assert recorded.outcome is RecordOutcome.APPLIED
    stored = await world.see(payment)
    assert stored.payment.status == "closed"
    assert (stored.payment.attempts[0].state, stored.payment.attempts[0].surplus) == ("succeeded", True)
    assert stored.events == [(1, "payment.closed"), (2, "payment.surplus_received")]
    # Nothing to the merchant and no fee: all of it waits to be given back.
    booked = UUID(int=success_id(payment.payment_id, attempt.attempt_id))
    assert stored.transfers == [(booked, 1999, world.ledger_account(1101), world.ledger_account(2202))]


async def test_success_of_an_attempt_that_had_failed_is_surplus_although_the_payment_is_open(world: World) -> None:
    payment = await world.payment()
    (attempt,) = payment.attempts
    await world.record(world.report(attempt, ChannelState.FAILED))
    assert (await world.start(payment)).outcome == "started"
    await world.record(world.report(attempt, ChannelState.SUCCEEDED))
    stored = await world.see(payment)
    assert stored.payment.status == "processing"
    assert [a.surplus for a in stored.payment.attempts] == [True, False]
    await world.record(world.report(stored.payment.attempts[1], ChannelState.SUCCEEDED))
    stored = await world.see(payment)
    assert stored.payment.status == "succeeded"
    assert [event for _, event in stored.events] == [
        "payment.attempt_failed", "payment.surplus_received", "payment.succeeded",
    ]  # fmt: skip


async def test_a_wrong_amount_books_nothing_whatever_else_is_in_the_list(world: World) -> None:
    first, second = await world.place(world.order(), world.order())
    before = await world.see(first)
    wrong = world.report(
        first.attempts[0], ChannelState.SUCCEEDED, Source.NOTIFICATION, key=b"wrong amount", amount_minor=1998
    )
    right = world.report(second.attempts[0], ChannelState.SUCCEEDED)
    assert [r.outcome for r in await world.record(wrong, right)] == [RecordOutcome.MISMATCH, RecordOutcome.APPLIED]
    stored = await world.see(first)
    assert (stored.payment.status, stored.transfers) == (before.payment.status, before.transfers)
    assert stored.events == [*before.events, (1, "payment.exception_opened")]
    # Nor is the message spent: it was never taken.
    assert [r.outcome for r in await world.record(wrong)] == [RecordOutcome.MISMATCH]
    async with world.database.transaction() as tx:
        assert await tx.fetchval("SELECT count(*) FROM payments.notice WHERE account_id = $1", world.account_id) == 0


@pytest.mark.parametrize("state", [ChannelState.SUCCEEDED, ChannelState.PENDING, ChannelState.FAILED])
async def test_text_of_a_channel_that_the_database_cannot_hold_stops_nothing(world: World, state: ChannelState) -> None:
    payment = await world.payment()
    nasty = "a\x00b\ud800"
    action = PayerAction(ActionKind.QR_CODE, nasty) if state is ChannelState.PENDING else None
    report = world.report(
        payment.attempts[0], state, channel_order_no=nasty, channel_code=nasty, channel_message=nasty, action=action
    )
    (recorded,) = await world.record(report)
    assert recorded.outcome is RecordOutcome.APPLIED
    attempt = (await world.see(payment)).payment.attempts[0]
    assert attempt.channel_message == "a\ufffdb?"
    assert attempt.channel_order_no == "a\ufffdb?"


async def test_a_repeated_report_about_a_final_attempt_rewrites_no_row(world: World) -> None:
    payment = await world.payment()
    await world.record(world.report(payment.attempts[0], ChannelState.SUCCEEDED, Source.NOTIFICATION))

    async def rows() -> list:
        async with world.database.transaction() as tx:
            return [
                *await tx.fetch("SELECT xmin, source FROM payments.attempt WHERE payment_id = $1", payment.payment_id),
                *await tx.fetch("SELECT xmin, status FROM payments.payment WHERE id = $1", payment.payment_id),
            ]

    before = await rows()
    assert before[0]["source"] == "notification"
    await world.record(world.report(payment.attempts[0], ChannelState.SUCCEEDED, Source.QUERY))
    assert await rows() == before


async def test_the_longer_nothing_is_known_the_rarer_it_is_asked(world: World) -> None:
    payment = await world.payment()
    waits = []
    for _ in range(11):
        (attempt,) = (await world.see(payment)).payment.attempts
        waits.append((attempt.next_query_at - world.clock.now()).total_seconds())
        world.clock.advance(attempt.next_query_at - world.clock.now())
        async with world.database.transaction() as tx:
            await tx.execute("UPDATE payments.attempt SET queries = queries + 1 WHERE id = $1", attempt.attempt_id)
        await world.record(world.report(attempt, ChannelState.PENDING, action=PayerAction(ActionKind.QR_CODE, "qr")))
    assert waits == [5, 10, 30, 60, 120, 300, 600, 1800, 3600, 3600, 3600]


async def test_a_payer_who_has_nothing_to_scan_yet_does_not_wait_long(world: World) -> None:
    payment = await world.payment()
    async with world.database.transaction() as tx:
        await tx.execute("UPDATE payments.attempt SET queries = 9 WHERE payment_id = $1", payment.payment_id)
    await world.record(world.report(payment.attempts[0], ChannelState.UNKNOWN))
    (attempt,) = (await world.see(payment)).payment.attempts
    assert attempt.next_query_at == world.clock.now() + timedelta(seconds=10)


async def test_only_open_payments_past_their_end_are_expired_and_only_once(world: World) -> None:
    due, later, paid, closing = await world.place(
        world.order(attempt=False, validity=timedelta(minutes=1)),
        world.order(attempt=False, validity=timedelta(minutes=10)),
        world.order(validity=timedelta(minutes=1)),
        world.order(validity=timedelta(minutes=1)),
    )
    await world.record(world.report(paid.attempts[0], ChannelState.SUCCEEDED))
    await world.close(closing)
    world.clock.advance(timedelta(minutes=2))
    await world.transactions.expire(limit=10_000)
    states = [(s.payment.status, s.payment.close_reason) for s in await world.stored([due, later, paid, closing])]
    assert states == [
        ("closed", "expired"), ("requires_payment", None), ("succeeded", None), ("processing", "merchant")
    ]  # fmt: skip
    assert await world.transactions.expire(limit=10_000) == 0


async def test_nothing_is_written_when_the_ledger_refuses_the_transfers(world: World) -> None:
    first, second = await world.place(world.order(), world.order())
    await world.record(world.report(first.attempts[0], ChannelState.SUCCEEDED))  # opens the accounts
    other = ledger.Transfer(
        id=success_id(second.payment_id, second.attempts[0].attempt_id),
        debit_account_id=world.ledger_account(1101).int,
        credit_account_id=world.ledger_account(2001).int,
        amount=AMOUNT - 1,
        ledger=156,
        code=1,
    )
    async with world.database.transaction() as tx:
        await ledger.Ledger(tx, clock=world.clock.now_ns).create_transfers([other])
    with pytest.raises(InvariantBroken, match="EXISTS_WITH_DIFFERENT"):
        await world.record(world.report(second.attempts[0], ChannelState.SUCCEEDED))
    stored = await world.see(second)
    assert (stored.payment.status, stored.payment.attempts[0].state) == ("processing", "created")
    assert (stored.events, stored.transfers) == ([], [])


async def test_no_attempt_is_started_from_the_very_instant_of_the_end_on(world: World) -> None:
    payment = await world.payment(attempt=False)
    world.clock.advance(payment.expires_at - world.clock.now() - timedelta(milliseconds=1))
    assert (await world.start(payment)).outcome == "not_payable"  # `start` lets the last millisecond pass
    assert (await world.see(payment)).payment.attempts == []


async def test_another_cadence_is_kept_from_the_first_question_on(world: World) -> None:
    world.restart(query_cadence="2,7")
    payment = await world.payment()
    (attempt,) = payment.attempts
    waits = [attempt.next_query_at - world.clock.now()]
    for _ in range(3):
        async with world.database.transaction() as tx:
            await tx.execute("UPDATE payments.attempt SET queries = queries + 1 WHERE id = $1", attempt.attempt_id)
        await world.record(world.report(attempt, ChannelState.PENDING, action=PayerAction(ActionKind.QR_CODE, "qr")))
        (attempt,) = (await world.see(payment)).payment.attempts
        waits.append(attempt.next_query_at - world.clock.now())
    assert [wait.total_seconds() for wait in waits] == [2, 7, 7, 7]
