"""A merchant, its payments, and the words that reach them, on real PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from hutong import ledger, payments
from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import Ids, decode, encode
from hutong.payments import (
    Attempt,
    ChannelReport,
    CloseReason,
    CloseResult,
    NewAttempt,
    NewPayment,
    Payment,
    Payments,
    PaymentTransactions,
    PlaceOrder,
    Recorded,
    RecordReport,
    RequestClose,
    Source,
    StartAttempt,
)

AMOUNT = 1999
METHOD = "test_qr"
_orders = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything the database holds about one payment."""

    payment: Payment
    events: list[tuple[int, str]]
    """Number and type, in order of the numbers."""
    transfers: list[tuple[UUID, int, UUID, UUID]]
    """Id, amount, debit account, credit account."""


class World:
    """One merchant and one channel account."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.ids = Ids(clock)
        self.merchant_id = self.ids.new()
        self.account_id = self.ids.new()
        self.transactions = PaymentTransactions(
            database, clock=clock, ids=self.ids, checkout_url=lambda p: f"/{p.checkout_token}"
        )

    def order(self, *, attempt: bool = True, validity: timedelta = timedelta(hours=1), **changed: Any) -> NewPayment:
        fields: dict[str, Any] = {
            "payment_id": self.ids.new(),
            "merchant_id": self.merchant_id,
            "merchant_order_no": f"order-{next(_orders)}",
            "amount_minor": AMOUNT,
            "currency": "CNY",
            "subject": "糖醋排骨",
            "expires_at": self.clock.now() + validity,
            "checkout_token": "unguessable",
            "first_attempt": self.new_attempt() if attempt else None,
        }
        return NewPayment(**fields | changed)

    def new_attempt(self, method: str = METHOD) -> NewAttempt:
        return NewAttempt(
            self.ids.new(),
            self.account_id,
            "test",
            method,
            expiry_min=timedelta(minutes=1),
            expiry_max=timedelta(hours=2),
            authorization_kept=timedelta(days=7),
        )

    async def place(self, *orders: NewPayment) -> list[Payment]:
        results = await self.transactions.place([PlaceOrder(order) for order in orders])
        assert all(isinstance(result, payments.Created) for result in results)
        return [result.payment for result in results]  # type: ignore[union-attr]

    async def payment(self, **changed: Any) -> Payment:
        (payment,) = await self.place(self.order(**changed))
        return payment

    def word(
        self,
        attempt: Attempt,
        state: ChannelState,
        source: Source = Source.QUERY,
        *,
        key: bytes | None = None,
        **said: Any,
    ) -> RecordReport:
        """What the channel says; by default it tells the right amount where money has moved."""
        if state is ChannelState.SUCCEEDED:
            said = {"amount_minor": AMOUNT, "currency": "CNY", "channel_order_no": "4200001"} | said
        return RecordReport(
            ChannelReport(attempt.attempt_id, attempt.account_id, ChannelAnswer(state, **said), source, key)
        )

    async def hear(self, *words: RecordReport) -> list[Recorded]:
        return await self.transactions.record_reports(words)

    async def start(self, payment: Payment, method: str = METHOD) -> Any:
        self.clock.advance(timedelta(milliseconds=1))  # attempts are ordered by their ids, which are ordered by time
        wish = StartAttempt(payment.payment_id, self.new_attempt(method))
        (result,) = await self.database.run(lambda tx: payments.start_attempts(tx, [wish], now=self.clock.now()))
        return result

    async def close(self, *wanted: Payment, reason: CloseReason = CloseReason.MERCHANT) -> list[CloseResult]:
        return await self.transactions.close([RequestClose(payment.payment_id, reason) for payment in wanted])

    async def stored(self, wanted: Sequence[Payment]) -> list[Stored]:
        """What the database holds about these payments, in order."""
        numbers = [payment.payment_id for payment in wanted]
        async with self.database.transaction() as tx:
            found = await payments.find(tx, numbers)
            events = await tx.fetch(
                "SELECT object_id, object_seq, type FROM events.outbox WHERE object_id = ANY ($1) ORDER BY object_seq",
                numbers,
            )
            transfers = await tx.fetch(
                "SELECT id, amount, debit_account_id, credit_account_id, user_data_128 FROM ledger.transfer "
                "WHERE user_data_128 = ANY ($1)",
                numbers,
            )
        return [
            Stored(
                found[number],
                [(row["object_seq"], row["type"]) for row in events if row["object_id"] == number],
                [tuple(row)[:4] for row in transfers if row["user_data_128"] == number],  # type: ignore[misc]
            )
            for number in numbers
        ]

    async def see(self, payment: Payment) -> Stored:
        (stored,) = await self.stored([payment])
        return stored

    def ledger_account(self, code: int, owner: UUID | None = None) -> UUID:
        """The id of an account of the chart: 1101 and 2202 of the channel account, 2001 of the merchant."""
        own = {1101: self.account_id, 2202: self.account_id, 2001: self.merchant_id}
        return UUID(int=ledger.account_id(code, owner or own[code], "CNY"))

    async def books_balance(self) -> None:
        async with self.database.transaction() as tx:
            for row in await ledger.trial_balance(tx):
                assert row["debits_posted"] == row["credits_posted"]
                assert row["debits_pending"] == row["credits_pending"]


def number(payment: Payment) -> str:
    """Our number of its last try at the channel."""
    return encode("att", payment.attempts[-1].attempt_id)


async def sweep(world: World, lifecycle: Payments, after: timedelta = timedelta(seconds=61)) -> None:
    world.clock.advance(after)
    await lifecycle.sweep()


async def placed(world: World, lifecycle: Payments, **changed: Any) -> Payment:
    """A payment whose first try the channel has been asked to make."""
    status, body = await lifecycle.place(PlaceOrder(world.order(**changed)))
    assert status == 201
    document = orjson.loads(body)
    async with world.database.transaction() as tx:
        (payment,) = (await payments.find(tx, [decode("pay", document["id"])])).values()
    return payment
