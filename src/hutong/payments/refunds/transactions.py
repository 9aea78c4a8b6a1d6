"""Refunds, their holds in the books and their events, committed together: lists in, one transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from hutong import db, events, idempotency
from hutong.clock import Clock
from hutong.ids import Ids
from hutong.payments.documents import CheckoutUrl, Texts, no_texts, payment_document
from hutong.payments.refunds.channel_answers import (
    RefundEvent,
    RefundEventType,
    RefundRecorded,
    RefundReport,
    SettleManually,
    record_refunds,
    settle_manually,
)
from hutong.payments.refunds.create import (
    CreatedRefund,
    ExistingRefund,
    NewRefund,
    RefundRefusal,
    RefundResult,
    create_refunds,
)
from hutong.payments.refunds.documents import refund_document
from hutong.payments.refunds.fallback import SwitchMethodOutcome, SwitchRefundMethod, switch_refund_methods
from hutong.payments.refunds.model import Refund

REFUSED = 409
"""The stored status of a refund that was not taken on: the key keeps its one answer, the refusal."""


@dataclass(frozen=True, slots=True)
class PlaceRefund:
    """A merchant's wish and, if it came with one, the idempotency key that it stands under."""

    new: NewRefund
    claim: idempotency.Claim | None = None


@dataclass(frozen=True, slots=True)
class RecordRefundReport:
    """A channel's word about a refund, and the idempotency key whose answer becomes final with it."""

    word: RefundReport
    claim: idempotency.Claim | None = None


PlacedRefund = RefundResult | idempotency.InFlight | idempotency.KeyReused | idempotency.StoredAnswer


class RefundTransactions:
    """The handlers that the coalescers call: each takes a list and commits it in one transaction."""

    def __init__(
        self, database: db.Database, *, clock: Clock, ids: Ids, checkout_url: CheckoutUrl, texts: Texts = no_texts
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._checkout_url = checkout_url
        self._texts = texts

    async def place(self, commands: Sequence[PlaceRefund]) -> list[PlacedRefund]:
        """Claim keys, reserve money and write refunds. An answer that needs no channel is stored at once."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[PlacedRefund]:
            claims = [c.claim for c in commands if c.claim is not None]
            outcomes = iter(await idempotency.claim(tx, claims, now=now))
            standing = [idempotency.Claimed() if c.claim is None else next(outcomes) for c in commands]
            free = [c for c, s in zip(commands, standing, strict=True) if isinstance(s, idempotency.Claimed)]
            created = iter(await create_refunds(tx, [c.new for c in free], now=now) if free else [])
            results: list[PlacedRefund] = []
            answers: list[tuple[idempotency.Claim, idempotency.StoredAnswer]] = []
            for command, outcome in zip(commands, standing, strict=True):
                result = next(created) if isinstance(outcome, idempotency.Claimed) else outcome
                results.append(result)
                if command.claim and isinstance(outcome, idempotency.Claimed):
                    answers += [(command.claim, answer) for answer in stored_answer(result)]
            await idempotency.store(tx, answers)
            return results

        return await self._database.run(work)

    async def record_reports(self, commands: Sequence[RecordRefundReport]) -> list[RefundRecorded]:
        """Record channels' words about refunds, book what they mean, announce it."""
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[RefundRecorded]:
            results, occurrences = await record_refunds(tx, [c.word for c in commands], new_id=self._ids.new, now=now)
            await self.announce(tx, occurrences)
            answers = [
                (place, command.claim, idempotency.StoredAnswer(201, render_refund(result.refund)))
                for place, (command, result) in enumerate(zip(commands, results, strict=True))
                if command.claim is not None and result.refund is not None
            ]
            standing = await idempotency.store(tx, [(claim, answer) for _, claim, answer in answers])
            for (place, _, _), answer in zip(answers, standing, strict=True):
                results[place] = replace(results[place], answer=answer)
            return results

        return await self._database.run(work)

    async def convert(self, tx: db.Tx, command: SwitchRefundMethod) -> SwitchMethodOutcome:
        """Send a failed refund by its next way, in the transaction of whoever decides that."""
        (outcome,) = await switch_refund_methods(tx, [command], new_id=self._ids.new, now=self._clock.now())
        return outcome

    async def settle(self, tx: db.Tx, command: SettleManually) -> Refund | None:
        """Take in what a person did about a refund, in the transaction of whoever says so; None if it is not manual."""
        (refund,), occurrences = await settle_manually(tx, [command], now=self._clock.now())
        await self.announce(tx, occurrences)
        return refund

    async def announce(self, tx: db.Tx, occurrences: Sequence[RefundEvent]) -> None:
        """Write the events of what has happened, in the transaction that makes it true."""
        await events.record(tx, [self._event(occurrence) for occurrence in occurrences], now=self._clock.now())

    def _event(self, occurrence: RefundEvent) -> events.Event:
        about_payment = occurrence.happening is RefundEventType.SURPLUS_REFUNDED
        refund = occurrence.refund
        if about_payment:
            payload = payment_document(occurrence.payment, self._checkout_url, self._texts)
        else:
            payload = refund_document(refund)
        return events.Event(
            event_id=self._ids.new(),
            type=occurrence.happening.value,
            merchant_id=refund.merchant_id,
            object_id=occurrence.payment.payment_id if about_payment else refund.refund_id,
            payload=payload,
        )


def stored_answer(result: PlacedRefund) -> list[idempotency.StoredAnswer]:
    """The answer that is final already, if it is: a new refund's waits for its channel."""
    if isinstance(result, RefundRefusal):
        return [idempotency.StoredAnswer(REFUSED, result.encode())]
    if isinstance(result, ExistingRefund):
        return [idempotency.StoredAnswer(200, render_refund(result.refund))]
    assert isinstance(result, CreatedRefund)
    return []


def render_refund(refund: Refund) -> bytes:
    """A refund's document as bytes, as it is answered and stored."""
    return orjson.dumps(refund_document(refund))
