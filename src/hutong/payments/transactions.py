"""One transaction is the truth: state, transfers and events of a whole list, committed together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import orjson

from hutong import db, events, idempotency, ledger
from hutong.clock import Clock
from hutong.ids import Ids
from hutong.payments import postings
from hutong.payments.capture import CaptureResult, RequestCapture, request_capture
from hutong.payments.channel_answers import ChannelReport, PaymentEvent, PaymentEventType, Recorded, record
from hutong.payments.close import CloseResult, RequestClose, claim_expired, request_close
from hutong.payments.documents import CheckoutUrl, Texts, no_texts, payment_document
from hutong.payments.items import funding_of, items_of
from hutong.payments.model import DEFAULT_POLICY, CloseReason, NewPayment, Payment, PollingPolicy
from hutong.payments.refunds.create import give_surplus_back
from hutong.payments.refunds.transactions import RefundTransactions
from hutong.payments.store import Created, Existing, OtherContent, create, find, find_placed

_BOOKED = (PaymentEventType.SUCCEEDED, PaymentEventType.SURPLUS)
ORDER_NO_REUSED = 409
"""The stored status of an order that was refused for its number: the key keeps its one answer, the refusal."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A merchant's order and, if it came with one, the idempotency key that it stands under."""

    new: NewPayment
    claim: idempotency.Claim | None = None


Refused = idempotency.InFlight | idempotency.KeyReused | idempotency.StoredAnswer
Placed = Created | Existing | OtherContent | Refused


@dataclass(frozen=True, slots=True)
class RecordReport:
    """A channel's word, and the idempotency key whose answer becomes final with it."""

    learnt: ChannelReport
    claim: idempotency.Claim | None = None


class PaymentTransactions:
    """The handlers that the coalescers call: each takes a list and commits it in one transaction.

    Args:
        checkout_url: Gives the address of a payment's cashier page.
        policy: When channels are asked.
        texts: What payers may be told of our codes.
    """

    def __init__(
        self,
        database: db.Database,
        *,
        clock: Clock,
        ids: Ids,
        checkout_url: CheckoutUrl,
        policy: PollingPolicy = DEFAULT_POLICY,
        texts: Texts = no_texts,
    ) -> None:
        self._texts = texts
        self._database = database
        self._clock = clock
        self._ids = ids
        self._checkout_url = checkout_url
        self.policy = policy
        self._open_accounts: set[ledger.Opening] = set()
        self.refunds = RefundTransactions(database, clock=clock, ids=ids, checkout_url=checkout_url, texts=texts)

    def render(self, payment: Payment) -> bytes:
        """The payment's document as bytes, as it is answered and stored."""
        return orjson.dumps(payment_document(payment, self._checkout_url, self._texts))

    def checkout_url(self, payment: Payment) -> str:
        """The address of a payment's cashier page."""
        return self._checkout_url(payment)

    async def find(self, payment_ids: Sequence[UUID]) -> list[Payment | None]:
        """Payments as last committed, each None if there is none."""
        async with self._database.transaction() as tx:
            found = await find(tx, payment_ids)
        return [found.get(payment_id) for payment_id in payment_ids]

    async def place(self, commands: Sequence[PlaceOrder]) -> list[Placed]:
        """Claim keys and write orders. An answer that needs no channel is stored at once."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[Placed]:
            claims = [c.claim for c in commands if c.claim is not None]
            outcomes = iter(await idempotency.claim(tx, claims, now=now))
            standing = [idempotency.Claimed() if c.claim is None else next(outcomes) for c in commands]
            free = [c for c, s in zip(commands, standing, strict=True) if isinstance(s, idempotency.Claimed)]
            created = iter(await create(tx, [c.new for c in free], now=now, policy=self.policy) if free else [])
            results: list[Placed] = []
            answers: list[tuple[idempotency.Claim, idempotency.StoredAnswer]] = []
            for command, outcome in zip(commands, standing, strict=True):
                if not isinstance(outcome, idempotency.Claimed):
                    results.append(outcome)
                    continue
                result = next(created)
                results.append(result)
                waits_for_channel = isinstance(result, Created) and command.new.first_attempt is not None
                if command.claim and not waits_for_channel:
                    answers.append((command.claim, self._answer(result)))
            await idempotency.store(tx, answers)
            return results

        return await self._database.run(work)

    def _answer(self, result: Created | Existing | OtherContent) -> idempotency.StoredAnswer:
        if isinstance(result, OtherContent):
            return idempotency.StoredAnswer(ORDER_NO_REUSED, b"")
        return idempotency.StoredAnswer(201 if isinstance(result, Created) else 200, self.render(result.payment))

    async def repeated(self, order: PlaceOrder) -> Placed | None:
        """What was answered for this order or its key before, if anything was; writes nothing."""
        async with self._database.transaction() as tx:
            standing = None
            if order.claim is not None:
                standing = await idempotency.find(tx, order.claim, now=self._clock.now())
            return standing or await find_placed(tx, order.new)

    async def record_reports(self, commands: Sequence[RecordReport]) -> list[Recorded]:
        """Record channels' words, book what they mean, announce it."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[Recorded]:
            results = await self.take_in_within(tx, commands, now=now)
            answers = [
                (place, command.claim, idempotency.StoredAnswer(201, self.render(result.payment)))
                for place, (command, result) in enumerate(zip(commands, results, strict=True))
                if command.claim is not None and result.payment is not None
            ]
            standing = await idempotency.store(tx, [(claim, answer) for _, claim, answer in answers])
            for (place, _, _), answer in zip(answers, standing, strict=True):
                results[place] = replace(results[place], answer=answer)
            return results

        return await self._database.run(work)

    async def take_in_within(self, tx: db.Tx, commands: Sequence[RecordReport], *, now: datetime) -> list[Recorded]:
        """The same in a transaction that does something else as well."""
        results, occurrences = await record(tx, [c.learnt for c in commands], now=now, policy=self.policy)
        await self._book(tx, occurrences, now=now)
        await give_surplus_back(tx, occurrences, new_id=self._ids.new, now=now)
        await self._announce(tx, occurrences, now=now)
        return results

    async def close(
        self, commands: Sequence[RequestClose], *, also: Callable[[db.Tx], Awaitable[None]] | None = None
    ) -> list[CloseResult]:
        """Close what can be closed at once; mark the rest.

        Args:
            also: What else belongs to it, such as writing down who wanted it.
        """
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[CloseResult]:
            results, occurrences = await request_close(tx, commands, now=now)
            await self._announce(tx, occurrences, now=now)
            if also is not None:
                await also(tx)
            return results

        return await self._database.run(work)

    async def capture(self, commands: Sequence[RequestCapture]) -> list[CaptureResult]:
        """Write the intents of captures."""
        now = self._clock.now()
        return await self._database.run(lambda tx: request_capture(tx, commands, now=now))

    async def expire(self, *, limit: int) -> int:
        """Ask for the end of payments that are past theirs; returns how many there were."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> int:
            due = await claim_expired(tx, now=now, limit=limit)
            if due:
                commands = [RequestClose(payment_id, CloseReason.EXPIRED) for payment_id in due]
                _, occurrences = await request_close(tx, commands, now=now)
                await self._announce(tx, occurrences, now=now)
            return len(due)

        return await self._database.run(work)

    async def _book(self, tx: db.Tx, occurrences: Sequence[PaymentEvent], *, now: datetime) -> None:
        succeeded = [o.payment.payment_id for o in occurrences if o.happening is PaymentEventType.SUCCEEDED]
        items = await items_of(tx, succeeded) if succeeded else {}
        chains: list[ledger.Chain] = []
        for occurrence in occurrences:
            if occurrence.happening in _BOOKED and occurrence.attempt is not None:
                payment = occurrence.payment
                platform_minor, channel_minor = funding_of(items, payment.payment_id)
                chains.append(
                    postings.success(
                        payment, occurrence.attempt, platform_minor=platform_minor, channel_minor=channel_minor
                    )
                )
        if chains:
            await ledger.book(tx, chains, now=now, accounts=self._open_accounts)

    async def _announce(self, tx: db.Tx, occurrences: Sequence[PaymentEvent], *, now: datetime) -> None:
        if occurrences:
            await events.record(
                tx,
                [
                    events.Event(
                        event_id=self._ids.new(),
                        type=occurrence.happening.value,
                        merchant_id=occurrence.payment.merchant_id,
                        object_id=occurrence.payment.payment_id,
                        payload=payment_document(occurrence.payment, self._checkout_url, self._texts),
                    )
                    for occurrence in occurrences
                ],
                now=now,
            )
