"""Refunds from outside: reserve, commit, call the channel, write the outcome.

Whatever dies between two of these steps is found again by the sweep, since the intent says when to see to it next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from prometheus_client import Counter

from hutong import channels, db, idempotency, ids
from hutong.clock import Clock
from hutong.errors import InvalidParameter, NotFound
from hutong.payments import errors
from hutong.payments.channel_answers import RecordOutcome
from hutong.payments.channel_calls import order_of
from hutong.payments.model import Payment, Source
from hutong.payments.refunds.channel_answers import RefundRecorded, RefundReport
from hutong.payments.refunds.create import (
    CreatedRefund,
    ExistingRefund,
    NewRefund,
    RefundRefusal,
    counted_attempt,
)
from hutong.payments.refunds.errors import refusal_error
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod, RefundState, find_refunds, read_number
from hutong.payments.refunds.payee import payout_account, payout_request, seal_payee
from hutong.payments.refunds.transactions import (
    PlacedRefund,
    PlaceRefund,
    RecordRefundReport,
    RefundTransactions,
    render_refund,
)
from hutong.payments.statements import sql
from hutong.payments.store import find
from hutong.telemetry import get_logger
from hutong.vault import Vault

_log = get_logger(__name__)
_ANSWERS = Counter("hutong_refund_answers_total", "What channels said about refunds.", ["channel", "source", "state"])
_REFUSED = Counter(
    "hutong_surplus_refunds_refused_total", "Refusals of refunds of surplus money, by channel.", ["channel"]
)
_LATE = Counter("hutong_late_refunds_total", "Refunds that succeeded by a way that was proven failed.", ["channel"])

_CLAIM_LEASE = timedelta(seconds=15)
"""How long a worker keeps others from seeing to the same refund. Two that do do no harm; a dead one delays."""
_ALARMS = (8, 31)
"""After which questions without an answer a person should look: after most of an hour, and after a day."""
_SWEEP_LIMIT = 200
_SWEEP_WIDTH = 16


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A merchant's wish as the edge takes it.

    Attributes:
        payee: Who receives a payout if the original way fails, by the names in `Capabilities.payee_requires`.
    """

    merchant_refund_no: str
    amount_minor: int | None
    reason: str
    returns_fee: bool = False
    payee: Mapping[str, str] | None = None
    items: tuple[tuple[str, int], ...] = ()


class Refunds:
    """What the API and the worker ask of refunds.

    Args:
        accounts: Gives ready channel adapters.
        public_url: The address under which channels reach this installation.
        queue_limit: The most commands that may wait for a batch.
        vault: Seals who receives payouts; without one there are none.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        transactions: RefundTransactions,
        *,
        clock: Clock,
        ids: ids.Ids,
        public_url: str,
        queue_limit: int = 4096,
        vault: Vault | None = None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._vault = vault
        self._clock = clock
        self._ids = ids
        self._public_url = public_url.rstrip("/")
        self._places: db.Coalescer[PlaceRefund, PlacedRefund] = db.Coalescer(
            transactions.place, name="place_refund", queue_limit=queue_limit
        )
        self._words: db.Coalescer[RecordRefundReport, RefundRecorded] = db.Coalescer(
            transactions.record_reports, name="take_in_refund", queue_limit=queue_limit
        )

    async def place(
        self, payment: Payment, order: RefundOrder, *, claim: idempotency.Claim | None = None
    ) -> tuple[int, bytes]:
        """Give money of a payment back.

        Repeat:
            Answers 200 with the refund that stands under the number; a repeated idempotency key gets the first
            answer, byte for byte.

        Returns:
            The HTTP status and the body.

        Errors:
            Every refusal of RefundRefusal under its own code; KeyReused, KeyInFlight.
        """
        attempt = counted_attempt(payment)
        if attempt is None:
            raise refusal_error(RefundRefusal.NOT_REFUNDABLE)
        channel = await self._accounts.get(attempt.account_id)
        refund_id = self._ids.new()
        new = NewRefund(
            refund_id,
            payment.payment_id,
            payment.merchant_id,
            order.merchant_refund_no,
            order.amount_minor,
            order.reason,
            channel.capabilities,
            order.returns_fee,
            payout_account(attempt, channel.capabilities, order.payee),
            None if order.payee is None else seal_payee(self._vault, refund_id, order.payee),
            order.items,
        )
        placed = await self._places.submit(PlaceRefund(new, claim))
        match placed:
            case idempotency.StoredAnswer():
                if placed.status >= 400:
                    raise refusal_error(placed.body.decode())
                return placed.status, placed.body
            case idempotency.InFlight():
                raise errors.KeyInFlight("a request with this key is being worked on", param="Idempotency-Key")
            case idempotency.KeyReused():
                raise errors.KeyReused("this key stands for another request", param="Idempotency-Key")
            case RefundRefusal():
                raise refusal_error(placed)
            case ExistingRefund():
                return 200, render_refund(placed.refund)
            case CreatedRefund():
                recorded = await self._submit(placed.payment, placed.refund, claim=claim)
                if recorded.answer is not None:
                    return recorded.answer.status, recorded.answer.body
                assert recorded.refund is not None, "refunds are never deleted"
                return 201, render_refund(recorded.refund)

    async def heard(self, account_id: UUID, notice: channels.Notification) -> None:
        """Record a verified message about a refund or its payout.

        Errors:
            NotificationMismatch, NotificationReplayed; NotFound: no such refund of this account.
        """
        route, refund_id = read_number(notice.number)
        word = RefundReport(refund_id, account_id, route, notice.answer, Source.NOTIFICATION, notice.replay_key)
        recorded = await self._learn(word)
        if recorded.effect is RecordOutcome.NO_SUCH_ATTEMPT:
            raise NotFound("no refund of this account has this number")
        if recorded.effect is RecordOutcome.REPLAYED:
            raise errors.NotificationReplayed("this very message has been taken before")
        if recorded.effect is RecordOutcome.MISMATCH:
            raise errors.NotificationMismatch("the message is not about the amount of the refund", param="amount")

    async def resolve(self, refund_id: UUID) -> None:
        """See to one refund that is open at its channel: send it, or ask what became of it."""
        async with self._database.transaction() as tx:
            refund = (await find_refunds(tx, [refund_id]))[refund_id]
            payment = (await find(tx, [refund.payment_id]))[refund.payment_id]
        if refund.next_query_at is None:
            return
        if refund.state in (RefundState.UNKNOWN, RefundState.PAYOUT) and refund.queries in _ALARMS:
            age_s = int((self._clock.now() - refund.created_at).total_seconds())
            _log.error("refund_in_doubt", refund=refund.number, state=refund.state.value, age_s=age_s)
        if refund.state is RefundState.HELD:
            await self._submit(payment, refund)
            return
        if refund.state is RefundState.PAYOUT:
            await self._pay_out(payment, refund)
            return
        channel, request = await self._request(payment, refund)
        answer = await channel.query_refund(request, now=self._clock.now())
        # Sending the same number again is safe, and the only way on where the channel has never heard of it.
        if answer.state is channels.ChannelState.NOT_FOUND:
            await self._submit(payment, refund)
        else:
            await self._learn(_word(refund, answer, Source.QUERY))

    async def sweep(self) -> int:
        """One round: see to the refunds that are due; returns how many there were."""
        now = self._clock.now()

        async def claim(tx: db.Tx) -> list[UUID]:
            rows = await sql.claim_due_refunds.fetch(tx, now, now + _CLAIM_LEASE, _SWEEP_LIMIT)
            return [row["id"] for row in rows]

        due = await self._database.run(claim)
        width = asyncio.Semaphore(_SWEEP_WIDTH)

        async def one(refund_id: UUID) -> None:
            async with width:
                try:
                    await self.resolve(refund_id)
                except Exception as error:  # noqa: BLE001 - one refund's trouble must not stop others
                    _log.warning("refund_not_resolved", refund=str(refund_id), reason=repr(error))

        await asyncio.gather(*(one(refund_id) for refund_id in due))
        return len(due)

    async def stop(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await asyncio.gather(self._places.close(), self._words.close())

    async def _submit(
        self, payment: Payment, refund: Refund, *, claim: idempotency.Claim | None = None
    ) -> RefundRecorded:
        if refund.amount_minor == 0:
            # Nothing to send: what these units cost the payer has rounded to nothing so far.
            nothing = channels.ChannelAnswer(channels.ChannelState.SUCCEEDED)
            return await self._learn(_word(refund, nothing, Source.SUBMISSION), claim)
        try:
            channel, request = await self._request(payment, refund)
            now = self._clock.now()
            send = channel.void if refund.route is RefundMethod.VOID else channel.refund
            answer = await send(request, now=now)
        except (channels.NotOffered, InvalidParameter) as error:
            # Nothing was sent, and it never will be.
            answer = channels.ChannelAnswer(
                channels.ChannelState.FAILED, channel_code=error.code, channel_message=error.detail[:256]
            )
        return await self._learn(_word(refund, answer, Source.SUBMISSION), claim)

    async def _pay_out(self, payment: Payment, refund: Refund) -> None:
        """Ask what became of a payout; send it where the channel has none, once the original way is proven dead."""
        assert refund.payout_account_id is not None, "the database refuses a payout without an account"
        channel = await self._accounts.get(refund.payout_account_id)
        request = payout_request(self._vault, refund, notify_url=self._notify_url(refund.payout_account_id))
        answer = await channel.query_payout(request, now=self._clock.now())
        if answer.state is channels.ChannelState.NOT_FOUND:
            original = await self._ask_original(payment, refund)
            if original is channels.ChannelState.SUCCEEDED:
                answer = channels.ChannelAnswer(channels.ChannelState.FAILED, channel_code="original_succeeded")
            elif original in (channels.ChannelState.UNKNOWN, channels.ChannelState.PENDING):
                answer = channels.ChannelAnswer(channels.ChannelState.UNKNOWN, channel_code="original_in_doubt")
            else:
                answer = await channel.payout(request, now=self._clock.now())
        word = RefundReport(refund.refund_id, refund.payout_account_id, RefundMethod.PAYOUT, answer, Source.QUERY)
        await self._learn(word)

    async def _ask_original(self, payment: Payment, refund: Refund) -> channels.ChannelState:
        """What the channel says now of the way that had failed; a success is recorded as late."""
        channel, request = await self._request(payment, replace(refund, route=RefundMethod.ORIGINAL))
        try:
            answer = await channel.query_refund(replace(request, channel_refund_no=None), now=self._clock.now())
        except channels.NotOffered:
            return channels.ChannelState.FAILED
        if answer.state is channels.ChannelState.SUCCEEDED:
            await self._learn(
                RefundReport(refund.refund_id, refund.account_id, RefundMethod.ORIGINAL, answer, Source.QUERY)
            )
        return answer.state

    def _notify_url(self, account_id: UUID) -> str:
        return f"{self._public_url}/channels/{ids.encode('acc', account_id)}/notifications"

    async def _request(self, payment: Payment, refund: Refund) -> tuple[channels.Channel, channels.RefundRequest]:
        attempt = next(a for a in payment.attempts if a.attempt_id == refund.attempt_id)
        channel = await self._accounts.get(refund.account_id)
        return channel, channels.RefundRequest(
            refund_no=refund.number,
            order=replace(
                order_of(payment, attempt), amount_minor=attempt.amount_captured_minor or payment.amount_minor
            ),
            amount_minor=refund.amount_minor,
            reason=refund.reason,
            notify_url=self._notify_url(refund.account_id),
            created_at=refund.created_at,
            channel_refund_no=refund.channel_refund_no,
        )

    async def _learn(self, word: RefundReport, claim: idempotency.Claim | None = None) -> RefundRecorded:
        recorded = await self._words.submit(RecordRefundReport(word, claim))
        refund = recorded.refund
        if refund is None:
            return recorded
        state = word.answer.state
        _ANSWERS.labels(refund.channel, word.source, state).inc()
        name = ids.encode("ref", refund.refund_id)
        refused = state in (channels.ChannelState.FAILED, channels.ChannelState.CLOSED)
        if recorded.effect is RecordOutcome.MISMATCH:
            _log.error("refund_answer_mismatch", refund=name, source=word.source.value)
        elif refused and recorded.effect is RecordOutcome.APPLIED and refund.kind is RefundKind.SURPLUS:
            _REFUSED.labels(refund.channel).inc()
            _log.error("surplus_refund_refused", refund=name, state=refund.state.value, tries=refund.tries)
        elif refused and refund.state is RefundState.SUCCEEDED:
            _log.error("refund_contradicted", refund=name, channel_code=word.answer.channel_code)
        elif (
            recorded.effect is RecordOutcome.APPLIED
            and state is channels.ChannelState.SUCCEEDED
            and refund.late_success_at
        ):
            _LATE.labels(refund.channel).inc()
            _log.error("refund_succeeded_late", refund=name, state=refund.state.value, route=word.route.value)
        return recorded


def _word(refund: Refund, answer: channels.ChannelAnswer, source: Source) -> RefundReport:
    return RefundReport(refund.refund_id, refund.account_id, refund.route, answer, source)
