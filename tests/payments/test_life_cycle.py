"""Whatever channels say, in whatever order: the payment does what the model does, and its money is booked once."""

from __future__ import annotations

import itertools
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong.channels import ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import Payment, Source, success_id
from hutong.payments.model import CloseReason
from support.fixtures.payments import AMOUNT, Stored, World
from support.models.payments import ModelPayment

WORDS = st.tuples(
    st.just("word"),
    st.integers(0, 3),
    st.sampled_from(ChannelState),
    st.sampled_from(Source),
    st.sampled_from(["none", "right", "right", "wrong amount", "wrong currency"]),
    st.sampled_from([None, None, b"a", b"b"]),
)
STEPS = st.one_of(
    st.lists(WORDS, min_size=1, max_size=4),  # one transaction each
    st.just([("start",)]),
    st.just([("close",)]),
    st.just([("expire",)]),
)
SAID = {
    "none": {"amount_minor": None, "currency": None},
    "right": {"amount_minor": AMOUNT, "currency": "CNY"},
    "wrong amount": {"amount_minor": AMOUNT + 1, "currency": "CNY"},
    "wrong currency": {"amount_minor": AMOUNT, "currency": "JPY"},
}


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, max_size=9), with_attempt=st.booleans())
async def test_any_reports_in_any_order_do_what_the_model_does(
    payments_database: Database, clock: ManualClock, steps: list[list[tuple]], with_attempt: bool
) -> None:
    world = World(payments_database, clock)
    payment = await world.payment(attempt=with_attempt, validity=timedelta(minutes=30), fee_ppm=6_000)
    model = ModelPayment()
    if with_attempt:
        model.start()
    for step in steps:
        await _do(world, model, payment, step)
        check(world, model, await world.see(payment))
    await world.books_balance()


async def _do(world: World, model: ModelPayment, payment: Payment, step: list[tuple]) -> None:
    kind = step[0][0]
    if kind == "start":
        assert (await world.start(payment)).outcome == model.start()
    elif kind == "close":
        (result,) = await world.close(payment)
        assert result.outcome == model.close()
    elif kind == "expire":
        world.clock.advance(timedelta(minutes=31))
        await world.transactions.expire(limit=10_000)
        model.expire()
    else:
        attempts = (await world.see(payment)).payment.attempts
        if not attempts:
            return
        reports, expected = [], []
        for _, number, state, source, amount, key in step:
            attempt = attempts[number % len(attempts)]
            reports.append(world.report(attempt, state, source, key=key, **SAID[amount]))
            wrong = amount if amount.startswith("wrong") else ""
            expected.append(model.report(number % len(attempts), state, wrong=wrong, key=key))
        assert [recorded.outcome for recorded in await world.record(*reports)] == expected


def check(world: World, model: ModelPayment, stored: Stored) -> None:
    """The database says what the model says, and what must hold of every payment holds."""
    payment = stored.payment
    assert payment.status == model.status
    assert [(a.state.value, a.surplus) for a in payment.attempts] == [(a.state, a.surplus) for a in model.attempts]
    # Events are numbered without gaps and tell the story.
    assert stored.events == list(enumerate(model.events, 1))
    # At most one success counts, and then the payment has succeeded.
    counted = [a for a in payment.attempts if a.state == "succeeded" and not a.surplus]
    assert len(counted) == (payment.status == "succeeded")
    # Each success is one transfer under the attempt's number: to the merchant, or to what is given back.
    receivable = world.ledger_account(1101)
    booked = {number: (amount, debit, credit) for number, amount, debit, credit in stored.transfers}
    fee = booked.pop(payment.payment_id, None)
    assert (fee is not None) == (bool(counted) and payment.fee_ppm > 0)
    assert booked == {
        UUID(int=success_id(a.payment_id, a.attempt_id)): (
            AMOUNT,
            receivable,
            world.ledger_account(2202 if a.surplus else 2001),
        )
        for a in payment.attempts
        if a.state == "succeeded"
    }
    # Whatever is open is asked about in time; whatever is final is not.
    for attempt in payment.attempts:
        assert (attempt.next_query_at is not None) == attempt.is_open
        assert (attempt.finished_at is None) == attempt.is_open
    # What shall end and has not ended has an attempt that could still take money.
    assert not (payment.is_open and payment.close_requested_at and not payment.open_attempts)


STEPS_OF_ONE_LIFE = ("submission", "notification", "repeated notification", "query", "close", "expiry")


async def test_every_order_of_the_steps_of_a_life_ends_with_the_money_booked_once(world: World) -> None:
    """All 720 at once: each step of all of them is one list, which also shows that neighbours do not disturb."""
    lives = list(itertools.permutations(STEPS_OF_ONE_LIFE))
    placed = await world.place(*(world.order(validity=timedelta(days=1)) for _ in lives))
    models = [ModelPayment() for _ in lives]
    for model in models:
        model.start()
    for position in range(len(STEPS_OF_ONE_LIFE)):
        for name in STEPS_OF_ONE_LIFE:
            chosen = [number for number, life in enumerate(lives) if life[position] == name]
            await _step(world, name, [placed[number] for number in chosen], [models[number] for number in chosen])
    stored = await world.stored(placed)
    for life, model, found in zip(lives, models, stored, strict=True):
        check(world, model, found)
        assert len(found.transfers) == 1, life
        successes = [event for _, event in found.events if event in ("payment.succeeded", "payment.surplus_received")]
        assert len(successes) == 1, life
        reported = [life.index(name) for name in ("notification", "repeated notification", "query")]
        assert (found.payment.status == "succeeded") == (min(reported) < life.index("close")), life
    await world.books_balance()


async def _step(world: World, name: str, wanted: list[Payment], models: list[ModelPayment]) -> None:
    answers = {
        "submission": (ChannelState.PENDING, Source.SUBMISSION, None),
        "notification": (ChannelState.SUCCEEDED, Source.NOTIFICATION, b"first"),
        "repeated notification": (ChannelState.SUCCEEDED, Source.NOTIFICATION, b"second"),
        "query": (ChannelState.SUCCEEDED, Source.QUERY, None),
        "close": (ChannelState.CLOSED, Source.CLOSE, None),
    }
    if name in ("close", "expiry"):
        await world.close(*wanted, reason=CloseReason.MERCHANT if name == "close" else CloseReason.EXPIRED)
        for model in models:
            model.close()
    if name in answers:
        state, source, key = answers[name]
        unique = [None if key is None else key + payment.payment_id.bytes for payment in wanted]
        await world.record(
            *(
                world.report(payment.attempts[0], state, source, key=one)
                for payment, one in zip(wanted, unique, strict=True)
            )
        )
        for model, one in zip(models, unique, strict=True):
            model.report(0, state, key=one)
