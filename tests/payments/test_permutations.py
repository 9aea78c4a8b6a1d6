"""Every order of the steps that a payment's life can take: 10,080 lives, each step of all of them in lists."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import pytest

from hutong.channels import ChannelAnswer, ChannelState, RefundRule
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import ChannelReport, Payment, RecordReport, Source, success_id
from hutong.payments.model import CloseReason
from hutong.payments.refunds.create import NewRefund, RefundRefusal
from hutong.payments.refunds.model import RefundMethod
from hutong.payments.refunds.transactions import PlaceRefund
from hutong.payments.store import find
from support.fakes.channel import CAPABILITIES
from support.fixtures.payments import AMOUNT, World

STEPS = ("pay", "notify", "notify", "query", "close", "expire", "refund", "refund")
REFUND = 1200
"""Of 1,999: the first fits, the second does not."""
AT_ONCE = 2000
CAN = replace(CAPABILITIES, refund=RefundRule(timedelta(days=365)))
REPORTED = {
    "pay": (ChannelState.PENDING, Source.SUBMISSION),
    "notify": (ChannelState.SUCCEEDED, Source.NOTIFICATION),
    "query": (ChannelState.SUCCEEDED, Source.QUERY),
    "close": (ChannelState.CLOSED, Source.CLOSE),
}


@dataclass
class Life:
    """What should come of one order of the steps, by the rules in a few lines."""

    steps: Sequence[str]
    payment: Payment
    status: str = "processing"
    attempt: str = "created"
    surplus: bool = False
    closing: bool = False
    refunded: int = 0
    events: list[str] = field(default_factory=list)
    refusals: list[RefundRefusal] = field(default_factory=list)

    def take(self, step: str) -> None:
        if step in ("close", "expire") and self.status == "processing":
            self.closing = True
        if step in REPORTED:
            self._report(REPORTED[step][0])
        if step == "refund":
            self._refund()

    def _report(self, state: ChannelState) -> None:
        if state is ChannelState.PENDING and self.attempt == "created":
            self.attempt = "submitted"
        elif state is ChannelState.CLOSED and self.attempt in ("created", "submitted"):
            self.attempt = self.status = "closed"
            self.events.append("payment.closed")
        elif state is ChannelState.SUCCEEDED and self.attempt != "succeeded":
            self.surplus = self.attempt == "closed"
            self.attempt = "succeeded"
            self.events.append("payment.surplus_received" if self.surplus else "payment.succeeded")
            self.status = "closed" if self.surplus else "succeeded"

    def _refund(self) -> None:
        if self.status != "succeeded":
            self.refusals.append(RefundRefusal.NOT_REFUNDABLE)
        elif self.refunded:
            self.refusals.append(RefundRefusal.EXCEEDS_AVAILABLE)
        else:
            self.refunded = REFUND


@pytest.fixture
async def lives(fresh_database_url: str, clock: ManualClock) -> AsyncIterator[tuple[World, list[Life]]]:
    async with Database.open(fresh_database_url, size=2) as database:
        world = World(database, clock)
        orders = sorted(set(itertools.permutations(STEPS)))
        placed: list[Payment] = []
        for _ in _parts(orders):
            placed += await world.place(*(world.order(validity=timedelta(days=1)) for _ in _))
        yield world, [Life(steps, payment) for steps, payment in zip(orders, placed, strict=True)]


async def test_every_order_of_the_steps_ends_as_the_rules_say(lives: tuple[World, list[Life]]) -> None:
    world, all_lives = lives
    assert len(all_lives) == 10_080
    refusals: dict[int, list[RefundRefusal]] = defaultdict(list)
    for position in range(len(STEPS)):
        chosen: dict[str, list[Life]] = defaultdict(list)
        for life in all_lives:
            chosen[life.steps[position]].append(life)
        for step, those in chosen.items():
            for part in _parts(those):
                await _step(world, step, part, position, refusals)
            for life in those:
                life.take(step)
    await _compare(world, all_lives, refusals)
    await world.books_balance()


async def _step(
    world: World, step: str, those: Sequence[Life], position: int, refusals: dict[int, list[RefundRefusal]]
) -> None:
    if step in ("close", "expire"):
        reason = CloseReason.MERCHANT if step == "close" else CloseReason.EXPIRED
        await world.close(*(life.payment for life in those), reason=reason)
    if step in REPORTED:
        state, source = REPORTED[step]
        notice = source is Source.NOTIFICATION
        keys = [b"%d" % position + life.payment.payment_id.bytes if notice else None for life in those]
        reports = [
            world.report(life.payment.attempts[0], state, source, key=key)
            for life, key in zip(those, keys, strict=True)
        ]
        await world.record(*reports)
    if step == "refund":
        await _refund(world, those, position, refusals)


async def _refund(world: World, those: Sequence[Life], position: int, refusals: dict[int, list[RefundRefusal]]) -> None:
    commands = [
        PlaceRefund(
            NewRefund(
                world.ids.new(), world.ids.new(), life.payment.payment_id, world.merchant_id,
                f"{life.payment.payment_id}-{position}",
                REFUND, "x", CAN,
            )
        )
        for life in those
    ]  # fmt: skip
    answers = await world.transactions.refunds.place(commands)
    given = []
    for life, answer in zip(those, answers, strict=True):
        result = answer.result
        assert result is not None
        if result.refund is not None:
            reply = ChannelAnswer(ChannelState.SUCCEEDED, REFUND, "CNY")
            refund_id = result.refund.refund_id
            given.append(
                RecordReport(
                    ChannelReport(refund_id, world.account_id, reply, Source.SUBMISSION, method=RefundMethod.ORIGINAL)
                )
            )
        else:
            assert result.refusal is not None
            refusals[id(life)].append(result.refusal)
    if given:
        await world.transactions.refunds.reports.record(given)


async def _compare(world: World, lives: Sequence[Life], refusals: dict[int, list[RefundRefusal]]) -> None:
    numbers = [life.payment.payment_id for life in lives]
    async with world.database.transaction() as tx:
        found = await find(tx, numbers)
        events: dict[object, list[tuple[int, str]]] = defaultdict(list)
        for row in await tx.fetch(
            "SELECT object_id, object_seq, type FROM events.outbox ORDER BY object_id, object_seq"
        ):
            events[row["object_id"]].append((row["object_seq"], row["type"]))
        booked = {row["id"]: row["amount"] for row in await tx.fetch("SELECT id, amount FROM ledger.transfer")}
        surplus = {
            row["attempt_id"] for row in await tx.fetch("SELECT attempt_id FROM payments.refund WHERE kind = 'surplus'")
        }
    for life in lives:
        payment = found[life.payment.payment_id]
        (attempt,) = payment.attempts
        assert (payment.status, attempt.state, attempt.surplus) == (life.status, life.attempt, life.surplus), life.steps
        assert payment.amount_captured_minor == (0 if life.surplus else AMOUNT), life.steps
        assert payment.amount_refunded_minor == life.refunded, life.steps
        assert events[payment.payment_id] == list(enumerate(life.events, 1)), life.steps
        assert booked[UUID(int=success_id(payment.payment_id, attempt.attempt_id))] == AMOUNT, life.steps
        assert (attempt.attempt_id in surplus) == life.surplus, life.steps
        assert refusals[id(life)] == life.refusals, life.steps


def _parts(rows: Sequence) -> Iterable[Sequence]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
