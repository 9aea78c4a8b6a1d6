"""What the demonstration calls broken: every way in which channel, books and webhooks can disagree is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from hutong import ids, payments
from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.demo import Receiver
from hutong.demo.check import Report, check
from hutong.demo.scenarios import Ended, Shop, Story
from hutong.payments.close import RequestClose
from hutong.payments.model import CloseReason

AMOUNT = 1999


@dataclass
class Demonstration:
    """One payment that was paid, one that was closed, and what everybody saw of them."""

    ended: list[Ended]
    receiver: Receiver
    truth: list[dict[str, Any]]

    def claim(self, number: int, **changed: Any) -> None:
        """Have a merchant see something else than there is."""
        old = self.ended[number]
        self.ended[number] = replace(old, payment=old.payment | changed)

    def forget(self, number: int) -> None:
        """Have a webhook not arrive."""
        del self.receiver.events[self.ended[number].payment["id"]]


@pytest.fixture
async def seen(database: Database, clock: ManualClock) -> Demonstration:
    made = ids.Ids(clock)
    account, merchant = made.new(), made.new()
    transactions = payments.PaymentTransactions(database, payments.Documents(lambda _: ""), clock=clock, ids=made)
    orders = [
        payments.NewPayment(
            made.new(), merchant, str(number), AMOUNT, "CNY", "tea", clock.now() + timedelta(hours=1), "token",
            first_attempt=payments.NewAttempt(made.new(), account, "test", "test_qr"),
        )
        for number in range(2)
    ]  # fmt: skip
    placed = [
        placed.result.payment
        for placed in await transactions.place([payments.PlaceOrder(order) for order in orders])
        if placed.result is not None and placed.result.payment is not None
    ]
    paid, closed = (payment.attempts[0].attempt_id for payment in placed)
    await transactions.close([RequestClose(placed[1].payment_id, CloseReason.MERCHANT)])
    answers = {
        paid: ChannelAnswer(ChannelState.SUCCEEDED, amount_minor=AMOUNT, currency="CNY"),
        closed: ChannelAnswer(ChannelState.CLOSED),
    }
    recorded = await transactions.reports.record(
        [
            payments.RecordReport(payments.ChannelReport(attempt, account, answer, payments.Source.QUERY))
            for attempt, answer in answers.items()
        ]
    )
    documents = [transactions.documents.payment(r.payment) for r in recorded if r.payment is not None]
    receiver = Receiver()
    for document in documents:
        receiver.events[document["id"]] = {"type": f"payment.{document['status']}", "data": document}
    return Demonstration(
        [Ended(Story.PAID, Shop("tea", "key"), document) for document in documents],
        receiver,
        [{"event": "paid", "order_no": ids.encode("att", paid)}],
    )


async def judge(database: Database, seen: Demonstration) -> Report:
    async with database.transaction() as tx:
        return await check(tx, seen.ended, seen.receiver, seen.truth, seconds=1.0)


async def test_what_agrees_is_not_broken(database: Database, seen: Demonstration) -> None:
    report = await judge(database, seen)
    assert report.broken == []
    assert (report.payments, report.succeeded, report.closed, report.unknown) == (2, 1, 1, 0)
    assert report.ledger_transfers == 1


DISAGREEMENTS: dict[str, Callable[[Demonstration], None]] = {
    "payments are neither succeeded nor closed": lambda seen: seen.claim(1, status="processing"),
    "is not booked once with its amount": lambda seen: seen.claim(0, amount_minor=AMOUNT + 1),
    "successes differ between the channel and the books": lambda seen: seen.truth.clear(),
    "the channel took money twice": lambda seen: seen.truth.append(seen.truth[0]),
    "webhooks payment.succeeded have not arrived": lambda seen: seen.forget(0),
    "webhooks payment.closed have not arrived": lambda seen: seen.forget(1),
    "webhooks did not verify": lambda seen: setattr(seen.receiver, "refused", 1),
}


@pytest.mark.parametrize("broken", DISAGREEMENTS)
async def test_what_disagrees_is_named(database: Database, seen: Demonstration, broken: str) -> None:
    DISAGREEMENTS[broken](seen)
    report = await judge(database, seen)
    assert len(report.broken) == 1
    assert broken in report.broken[0]


async def test_a_success_that_is_only_claimed_is_found(database: Database, seen: Demonstration) -> None:
    attempt = seen.ended[1].payment["attempts"][0] | {"state": "succeeded"}
    seen.claim(1, status="succeeded", attempts=[attempt])
    seen.receiver.events["more"] = {"type": "payment.succeeded", "data": {"id": seen.ended[1].payment["id"]}}
    report = await judge(database, seen)
    assert len(report.broken) == 2, "neither booked nor known to the channel"
