"""Taking in what channels say about refunds: whatever way it came, under the payment's lock, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.channels import ChannelAnswer, ChannelState
from hutong.payments import refund_books
from hutong.payments.model import QUERY_CADENCE, Payment, Source
from hutong.payments.outcome import Effect, spend, storable
from hutong.payments.payment import lock, sql
from hutong.payments.refund import (
    REFUND_TRANSITIONS,
    RETRY_DELAYS,
    Refund,
    RefundKind,
    RefundRoute,
    RefundState,
    find_refunds,
    save_refunds,
)
from hutong.payments.refund_create import available_minor, save_sums

_S, _R = RefundState, RefundRoute
_NEEDS_NO_NEW_RESERVE = {_R.VOID: _R.ORIGINAL}


class RefundHappening(StrEnum):
    """Events of a refund that others are told of."""

    SUCCEEDED = "refund.succeeded"
    FAILED = "refund.failed"
    NEEDS_ATTENTION = "refund.needs_attention"
    SURPLUS_REFUNDED = "payment.surplus_refunded"


@dataclass(frozen=True, slots=True)
class RefundOccurrence:
    """One happening, with the refund it is about and its payment."""

    happening: RefundHappening
    payment: Payment
    refund: Refund


@dataclass(frozen=True, slots=True)
class RefundWord:
    """A channel's word about one refund.

    Attributes:
        account_id: The account it came through; another account's refunds are out of its reach.
        route: Which way of the refund it is about.
        replay_key: What identifies the very message, if it must be taken once only.
    """

    refund_id: UUID
    account_id: UUID
    route: RefundRoute
    answer: ChannelAnswer
    source: Source
    replay_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class RefundRecorded:
    """The effect of one word, and the refund and payment as they are now."""

    effect: Effect
    payment: Payment | None
    refund: Refund | None


@dataclass(slots=True)
class _Round:
    """What one list of words brings about."""

    now: datetime
    occurrences: list[RefundOccurrence] = field(default_factory=list)
    chains: list[refund_books.Chain] = field(default_factory=list)
    touched: dict[UUID, tuple[Refund, str | None]] = field(default_factory=dict)
    sums: dict[UUID, Payment] = field(default_factory=dict)

    def tell(self, happening: RefundHappening, payment: Payment, refund: Refund) -> None:
        self.occurrences.append(RefundOccurrence(happening, payment, refund))


async def record_refunds(
    tx: db.Tx, words: Sequence[RefundWord], *, now: datetime
) -> tuple[list[RefundRecorded], list[RefundOccurrence]]:
    """Apply channels' words to their refunds, in order.

    Effects:
        Writes refunds, what has gone back of their payments, and the books. The caller announces the occurrences in
        the same transaction.

    Repeat:
        A word that says nothing new changes nothing; what is refused writes nothing at all.

    Returns:
        One result per word, in order, and what has happened, in order.
    """
    payments, refunds = await lock_refunds(tx, [word.refund_id for word in words])
    refusals = [_refusal(refunds.get(word.refund_id), word) for word in words]
    good = [word for word, refusal in zip(words, refusals, strict=True) if refusal is None]
    fresh = iter(await spend(tx, [(word.account_id, word.replay_key) for word in good], now=now))
    results: list[RefundRecorded] = []
    this = _Round(now)
    for word, refusal in zip(words, refusals, strict=True):
        refund = refunds.get(word.refund_id)
        if refund is None or refusal is Effect.NO_SUCH_ATTEMPT:
            results.append(RefundRecorded(Effect.NO_SUCH_ATTEMPT, None, None))
            continue
        payment = payments[refund.payment_id]
        if refusal is not None or not next(fresh):
            results.append(RefundRecorded(refusal or Effect.REPLAYED, payment, refund))
            continue
        moved = _apply(payment, refund, word, this)
        results.append(RefundRecorded(Effect.APPLIED if moved else Effect.UNCHANGED, payment, refund))
    await refund_books.book(tx, this.chains, now=now)
    await save_refunds(tx, list(this.touched.values()))
    await save_sums(tx, list(this.sums.values()))
    return results, this.occurrences


async def lock_refunds(tx: db.Tx, refund_ids: Sequence[UUID]) -> tuple[dict[UUID, Payment], dict[UUID, Refund]]:
    """Refunds and their payments, locked by the payments in id order, and read under the lock."""
    owners = [row["payment_id"] for row in await sql.payments_of_refunds.fetch(tx, refund_ids)]
    payments = await lock(tx, owners)
    return payments, await find_refunds(tx, refund_ids)


def _refusal(refund: Refund | None, word: RefundWord) -> Effect | None:
    if refund is None:
        return Effect.NO_SUCH_ATTEMPT
    own = refund.payout_account_id if word.route is _R.PAYOUT else refund.account_id
    if own != word.account_id:
        return Effect.NO_SUCH_ATTEMPT
    answer = word.answer
    wrong = (answer.amount_minor is not None and answer.amount_minor != refund.amount_minor) or (
        answer.currency is not None and answer.currency != refund.currency
    )
    return Effect.MISMATCH if wrong else None


def _apply(payment: Payment, refund: Refund, word: RefundWord, this: _Round) -> bool:
    """Move one refund; returns whether anything moved."""
    before = (refund.state, refund.route, refund.tries, refund.late_success_at)
    answer, final = word.answer, refund.finished_at is not None
    current = word.route is refund.route and refund.state is not _S.MANUAL
    if current and not final:
        refund.channel_refund_no = storable(answer.channel_order_no) or refund.channel_refund_no
        refund.channel_code = storable(answer.channel_code) or refund.channel_code
        refund.channel_message = storable(answer.channel_message) or refund.channel_message
        refund.next_query_at = this.now + QUERY_CADENCE[min(refund.queries, len(QUERY_CADENCE) - 1)]
        _move(payment, refund, answer, this)
    elif answer.state is ChannelState.SUCCEEDED and not (refund.state is _S.SUCCEEDED and current):
        _late(payment, refund, this)
    moved = before != (refund.state, refund.route, refund.tries, refund.late_success_at)
    if moved or (current and not final):
        this.touched[refund.refund_id] = (refund, word.source)
    return moved


def _move(payment: Payment, refund: Refund, answer: ChannelAnswer, this: _Round) -> None:
    if answer.state is ChannelState.SUCCEEDED:
        succeed(payment, refund, this)
    elif answer.state in (ChannelState.FAILED, ChannelState.CLOSED):
        _refused(payment, refund, answer, this)
    elif answer.state is ChannelState.PENDING:
        _go(refund, _S.SUBMITTED)
    elif answer.state is ChannelState.UNKNOWN and refund.state is _S.HELD:
        _go(refund, _S.UNKNOWN)


def _go(refund: Refund, target: RefundState) -> None:
    if target in REFUND_TRANSITIONS[refund.state]:
        refund.state = target


def succeed(payment: Payment, refund: Refund, this: _Round, *, from_bank: bool = False) -> None:
    """The money is back."""
    refund.state, refund.finished_at, refund.next_query_at = _S.SUCCEEDED, this.now, None
    this.chains.append(refund_books.success(refund, from_bank=from_bank))
    if refund.kind is RefundKind.SURPLUS:
        this.tell(RefundHappening.SURPLUS_REFUNDED, payment, refund)
        return
    payment.amount_refunding_minor -= refund.amount_minor
    payment.amount_refunded_minor += refund.amount_minor
    this.sums[payment.payment_id] = payment
    this.tell(RefundHappening.SUCCEEDED, payment, refund)


def _refused(payment: Payment, refund: Refund, answer: ChannelAnswer, this: _Round) -> None:
    """The channel has proven that this way did not work: by the next one, again later, or not at all."""
    following = _NEEDS_NO_NEW_RESERVE.get(refund.route)
    if following is not None:
        refund.route, refund.state, refund.next_query_at = following, _S.HELD, this.now
        return
    again = refund.kind is RefundKind.SURPLUS or answer.retryable
    if refund.state is not _S.PAYOUT and again and refund.tries < len(RETRY_DELAYS):
        refund.state, refund.next_query_at = _S.HELD, this.now + RETRY_DELAYS[refund.tries]
        refund.tries += 1
        if refund.kind is RefundKind.SURPLUS:
            this.tell(RefundHappening.NEEDS_ATTENTION, payment, refund)
        return
    refund.state, refund.finished_at, refund.next_query_at = _S.FAILED, this.now, None
    this.chains.append(refund_books.failure(refund))
    if refund.kind is RefundKind.SURPLUS:
        this.tell(RefundHappening.NEEDS_ATTENTION, payment, refund)
        return
    payment.amount_refunding_minor -= refund.amount_minor
    this.sums[payment.payment_id] = payment
    this.tell(RefundHappening.FAILED, payment, refund)


def _late(payment: Payment, refund: Refund, this: _Round) -> None:
    """Money left by a way that was proven failed. It is booked as unexplained and never lost; people must look."""
    if refund.late_success_at is not None:
        return
    refund.late_success_at = this.now
    this.chains.append(refund_books.late_success(refund))
    if not refund.counts and refund.kind is RefundKind.REFUND:
        # What has gone back cannot be given back again, as far as anything is left.
        payment.amount_refunded_minor += min(refund.amount_minor, available_minor(payment))
        this.sums[payment.payment_id] = payment
    this.tell(RefundHappening.NEEDS_ATTENTION, payment, refund)
