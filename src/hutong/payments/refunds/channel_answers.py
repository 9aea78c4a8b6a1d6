"""Taking in what channels say about refunds: whatever way it came, under the payment's lock, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db, ledger
from hutong.channels import ChannelAnswer, ChannelState
from hutong.errors import InvariantBroken
from hutong.idempotency import StoredAnswer
from hutong.payments.channel_answers import RecordOutcome, claim_notifications, storable
from hutong.payments.model import QUERY_CADENCE, Payment, Source
from hutong.payments.refunds import postings as refund_books
from hutong.payments.refunds.create import available_minor, save_sums
from hutong.payments.refunds.fallback import SwitchMethodOutcome, SwitchRefundMethod, lock_refunds, switch_locked
from hutong.payments.refunds.model import (
    REFUND_TRANSITIONS,
    RETRY_DELAYS,
    Refund,
    RefundKind,
    RefundMethod,
    RefundState,
    save_refunds,
)
from hutong.payments.timeline import TimelineEntry, write_timeline

_S, _R = RefundState, RefundMethod
_NEEDS_NO_NEW_RESERVE = {_R.VOID: _R.ORIGINAL}


class RefundEventType(StrEnum):
    """Events of a refund that others are told of."""

    SUCCEEDED = "refund.succeeded"
    FAILED = "refund.failed"
    NEEDS_ATTENTION = "refund.needs_attention"
    SURPLUS_REFUNDED = "payment.surplus_refunded"


@dataclass(frozen=True, slots=True)
class RefundEvent:
    """One happening, with the refund it is about and its payment."""

    happening: RefundEventType
    payment: Payment
    refund: Refund


@dataclass(frozen=True, slots=True)
class RefundReport:
    """A channel's word about one refund.

    Attributes:
        account_id: The account it came through; another account's refunds are out of its reach.
        route: Which way of the refund it is about.
        replay_key: What identifies the very message, if it must be taken once only.
    """

    refund_id: UUID
    account_id: UUID
    route: RefundMethod
    answer: ChannelAnswer
    source: Source
    replay_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class RefundRecorded:
    """The effect of one word, and the refund and payment as they are now.

    Attributes:
        answer: What stands under the idempotency key that it came with.
    """

    effect: RecordOutcome
    payment: Payment | None
    refund: Refund | None
    answer: StoredAnswer | None = None


@dataclass(slots=True)
class _Round:
    """What one list of words brings about."""

    now: datetime
    occurrences: list[RefundEvent] = field(default_factory=list)
    chains: list[refund_books.Chain] = field(default_factory=list)
    touched: dict[UUID, tuple[Refund, str | None]] = field(default_factory=dict)
    sums: dict[UUID, Payment] = field(default_factory=dict)
    to_payout: list[Refund] = field(default_factory=list)
    story: list[TimelineEntry] = field(default_factory=list)

    def tell(self, happening: RefundEventType, payment: Payment, refund: Refund) -> None:
        self.occurrences.append(RefundEvent(happening, payment, refund))


async def record_refunds(
    tx: db.Tx, words: Sequence[RefundReport], *, new_id: Callable[[], UUID], now: datetime
) -> tuple[list[RefundRecorded], list[RefundEvent]]:
    """Apply channels' words to their refunds, in order.

    Effects:
        Writes refunds, what has gone back of their payments, and the books. What failed by the original way and has
        a payout to go on with goes on with it at once. The caller announces the occurrences in the same transaction.

    Repeat:
        A word that says nothing new changes nothing; what is refused writes nothing at all.

    Returns:
        One result per word, in order, and what has happened, in order.
    """
    payments, refunds = await lock_refunds(tx, [word.refund_id for word in words])
    refusals = [_refusal(refunds.get(word.refund_id), word) for word in words]
    good = [word for word, refusal in zip(words, refusals, strict=True) if refusal is None]
    fresh = iter(await claim_notifications(tx, [(word.account_id, word.replay_key) for word in good], now=now))
    results: list[RefundRecorded] = []
    this = _Round(now)
    for word, refusal in zip(words, refusals, strict=True):
        refund = refunds.get(word.refund_id)
        if refund is None or refusal is RecordOutcome.NO_SUCH_ATTEMPT:
            results.append(RefundRecorded(RecordOutcome.NO_SUCH_ATTEMPT, None, None))
            continue
        payment = payments[refund.payment_id]
        if refusal is not None or not next(fresh):
            results.append(RefundRecorded(refusal or RecordOutcome.REPLAYED, payment, refund))
            continue
        moved = _apply(payment, refund, word, this)
        results.append(RefundRecorded(RecordOutcome.APPLIED if moved else RecordOutcome.UNCHANGED, payment, refund))
    await _write(tx, this)
    if this.to_payout:
        commands = [SwitchRefundMethod(refund.refund_id, _R.PAYOUT) for refund in this.to_payout]
        outcomes = await switch_locked(tx, commands, payments, refunds, new_id=new_id, now=now)
        # The reserve was released a moment ago, under the same lock: nobody can have taken it.
        if any(outcome is not SwitchMethodOutcome.CONVERTED for outcome in outcomes):
            raise InvariantBroken(f"a failed refund could not go on by payout: {outcomes}")
    return results, this.occurrences


@dataclass(frozen=True, slots=True)
class SettleManually:
    """A person's word about a refund that is paid by hand.

    Attributes:
        reference: Where the payment can be found, such as a bank's or the channel portal's number; None gives the
            refund up.
        from_bank: Whether it was paid from our bank account; otherwise it was entered at the channel's portal.
    """

    refund_id: UUID
    reference: str | None
    from_bank: bool = False


async def settle_manually(
    tx: db.Tx, commands: Sequence[SettleManually], *, now: datetime
) -> tuple[list[Refund | None], list[RefundEvent]]:
    """Take in what people did about refunds in state `manual`.

    Effects:
        As `record_refunds`.

    Repeat:
        Only a refund that is `manual` can be settled; what is final stays.

    Returns:
        The refund for each command, in order, None where it is not waiting for a person; and what has happened.
    """
    payments, refunds = await lock_refunds(tx, [command.refund_id for command in commands])
    this = _Round(now)
    results: list[Refund | None] = []
    for command in commands:
        refund = refunds.get(command.refund_id)
        if refund is None or refund.state is not _S.MANUAL:
            results.append(None)
            continue
        payment = payments[refund.payment_id]
        refund.reference = command.reference
        if command.reference is None:
            _fail(payment, refund, this)
        else:
            succeed(payment, refund, this, from_bank=command.from_bank)
        this.touched[refund.refund_id] = (refund, "operator")
        results.append(refund)
    await _write(tx, this)
    return results, this.occurrences


async def _write(tx: db.Tx, this: _Round) -> None:
    await ledger.book(tx, this.chains, now=this.now)
    await save_refunds(tx, list(this.touched.values()))
    await save_sums(tx, list(this.sums.values()))
    await write_timeline(tx, this.story, now=this.now)


def _refusal(refund: Refund | None, word: RefundReport) -> RecordOutcome | None:
    if refund is None:
        return RecordOutcome.NO_SUCH_ATTEMPT
    own = refund.payout_account_id if word.route is _R.PAYOUT else refund.account_id
    if own != word.account_id:
        return RecordOutcome.NO_SUCH_ATTEMPT
    answer = word.answer
    wrong = (answer.amount_minor is not None and answer.amount_minor != refund.amount_minor) or (
        answer.currency is not None and answer.currency != refund.currency
    )
    return RecordOutcome.MISMATCH if wrong else None


def _apply(payment: Payment, refund: Refund, word: RefundReport, this: _Round) -> bool:
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
    if moved:
        what = "refund.succeeded_late" if refund.late_success_at == this.now else f"refund.{refund.state.value}"
        code = storable(answer.channel_code)
        this.story.append(TimelineEntry(payment.payment_id, what, None, word.source.value, code, refund.amount_minor))
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
    refund.payee_sealed = None  # who it went to is not kept longer than it is needed
    this.chains.append(refund_books.success(refund, from_bank=from_bank))
    if refund.kind is RefundKind.SURPLUS:
        this.tell(RefundEventType.SURPLUS_REFUNDED, payment, refund)
        return
    payment.amount_refunding_minor -= refund.amount_minor
    payment.amount_refunded_minor += refund.amount_minor
    this.sums[payment.payment_id] = payment
    this.tell(RefundEventType.SUCCEEDED, payment, refund)


def _refused(payment: Payment, refund: Refund, answer: ChannelAnswer, this: _Round) -> None:
    """The channel has proven that this way did not work: by the next one, again later, or not at all."""
    following = _NEEDS_NO_NEW_RESERVE.get(refund.route)
    # A refusal that may pass proves nothing for good: another copy of the call may still be answered otherwise.
    if following is not None and not answer.retryable:
        refund.route, refund.state, refund.next_query_at = following, _S.HELD, this.now
        return
    again = refund.kind is RefundKind.SURPLUS or answer.retryable
    if refund.state is not _S.PAYOUT and again and refund.tries < len(RETRY_DELAYS):
        refund.state, refund.next_query_at = _S.HELD, this.now + RETRY_DELAYS[refund.tries]
        refund.tries += 1
        if refund.kind is RefundKind.SURPLUS:
            this.tell(RefundEventType.NEEDS_ATTENTION, payment, refund)
        return
    _fail(payment, refund, this)


def _fail(payment: Payment, refund: Refund, this: _Round) -> None:
    """No money went back: the reserve is released, or the next way begins."""
    refund.state, refund.finished_at, refund.next_query_at = _S.FAILED, this.now, None
    this.chains.append(refund_books.failure(refund))
    if refund.kind is RefundKind.SURPLUS:
        this.tell(RefundEventType.NEEDS_ATTENTION, payment, refund)
        return
    payment.amount_refunding_minor -= refund.amount_minor
    this.sums[payment.payment_id] = payment
    if refund.late_success_at is not None:
        _gone(payment, refund)
    elif refund.route is _R.ORIGINAL and refund.payout_account_id is not None and refund.payee_sealed is not None:
        this.to_payout.append(refund)
        return
    this.tell(RefundEventType.FAILED, payment, refund)


def _late(payment: Payment, refund: Refund, this: _Round) -> None:
    """Money left by a way that was proven failed. It is booked as unexplained and never lost; people must look."""
    if refund.late_success_at is not None:
        return
    refund.late_success_at = this.now
    this.chains.append(refund_books.late_success(refund))
    if not refund.counts and refund.kind is RefundKind.REFUND:
        _gone(payment, refund)
        this.sums[payment.payment_id] = payment
    this.tell(RefundEventType.NEEDS_ATTENTION, payment, refund)


def _gone(payment: Payment, refund: Refund) -> None:
    """What has gone back cannot be given back again, as far as anything is left."""
    payment.amount_refunded_minor += min(refund.amount_minor, available_minor(payment))
