"""The check of the demonstration: every disagreement between channel, books and webhooks is found."""

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
from hutong.demo.scenarios import FinishedPayment, Scenario, Shop
from hutong.payments.close import RequestClose
from hutong.payments.model import CloseReason
from support.fakes.channel import HonestChannel, OneAccount
from support.platform import wired

AMOUNT = 1999


@dataclass
class Demonstration:
    """One paid payment and one closed one, as the merchant, the receiver and the channel saw them."""

    finished: list[FinishedPayment]
    receiver: Receiver
    channel_log: list[dict[str, Any]]

    def claim(self, number: int, **changed: Any) -> None:
        """Change what a merchant sees."""
        old = self.finished[number]
        self.finished[number] = replace(old, payment=old.payment | changed)

    def forget(self, number: int) -> None:
        """Drop a webhook."""
        del self.receiver.events[self.finished[number].payment["id"]]


@pytest.fixture
async def seen(database: Database, clock: ManualClock) -> Demonstration:
    made = ids.Ids(clock)
    account, merchant = made.new(), made.new()
    platform = wired(database, OneAccount(account, HonestChannel()), clock=clock, ids=made)
    transactions = platform.transactions
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
        [FinishedPayment(Scenario.PAID, Shop("tea", "key"), document) for document in documents],
        receiver,
        [{"event": "paid", "order_no": ids.encode("att", paid), "amount_minor": AMOUNT}],
    )


async def run_check(database: Database, seen: Demonstration) -> Report:
    async with database.transaction() as tx:
        return await check(tx, seen.finished, seen.receiver, seen.channel_log, seconds=1.0)


async def test_what_agrees_is_not_broken(database: Database, seen: Demonstration) -> None:
    report = await run_check(database, seen)
    assert report.broken == []
    assert (report.payments, report.succeeded, report.closed, report.unknown) == (2, 1, 1, 0)
    assert report.ledger_transfers == 1


DISAGREEMENTS: dict[str, Callable[[Demonstration], None]] = {
    "payments are neither succeeded nor closed": lambda seen: seen.claim(1, status="processing"),
    "is not booked once with its amount": lambda seen: seen.claim(0, amount_minor=AMOUNT + 1, amount_refunded_minor=1),
    "successes differ between the channel and the books": lambda seen: seen.channel_log.clear(),
    "left at its channel": lambda seen: seen.channel_log.append(
        seen.channel_log[0] | {"event": "refunded_in_portal", "amount_minor": 1}
    ),
    "the channel took money twice": lambda seen: seen.channel_log.append(seen.channel_log[0]),
    "webhooks payment.succeeded have not arrived": lambda seen: seen.forget(0),
    "webhooks payment.closed have not arrived": lambda seen: seen.forget(1),
    "webhooks refund.succeeded have not arrived": lambda seen: seen.finished.__setitem__(
        0, replace(seen.finished[0], scenario=Scenario.PORTAL_REFUND)
    ),
    "webhooks did not verify": lambda seen: setattr(seen.receiver, "refused", 1),
}


@pytest.mark.parametrize("broken", DISAGREEMENTS)
async def test_what_disagrees_is_named(database: Database, seen: Demonstration, broken: str) -> None:
    DISAGREEMENTS[broken](seen)
    report = await run_check(database, seen)
    assert len(report.broken) == 1
    assert broken in report.broken[0]


async def test_a_success_that_is_only_claimed_is_found(database: Database, seen: Demonstration) -> None:
    attempt = seen.finished[1].payment["attempts"][0] | {"state": "succeeded"}
    seen.claim(1, status="succeeded", attempts=[attempt])
    seen.receiver.events["more"] = {"type": "payment.succeeded", "data": {"id": seen.finished[1].payment["id"]}}
    report = await run_check(database, seen)
    assert len(report.broken) == 2, "neither booked nor known to the channel"
