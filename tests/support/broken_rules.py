"""Rules of the life cycle, each broken at one named point, to see whether the simulation notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from hutong import channels
from hutong.ids import encode
from hutong.payments import channel_answers, channel_calls, postings, resolution
from hutong.payments.attempt_lifecycle import AttemptLifecycle
from hutong.payments.channel_reports import Recorder
from hutong.payments.disputes import record as dispute_record
from hutong.payments.documents import Documents
from hutong.payments.model import AttemptState, Payment, PaymentEvent, PaymentEventType, Source
from hutong.payments.refunds import channel_answers as refund_answers
from hutong.payments.refunds import create as refund_create
from hutong.payments.refunds import lifecycle as refund_lifecycle
from hutong.payments.refunds import portal
from hutong.payments.refunds.portal import PortalOutcome, PortalRefunds, PortalResult
from hutong.payments.store import find

Patch = pytest.MonkeyPatch


def close_without_asking(patch: Patch) -> None:
    """What shall end is ended here, whatever its channel knows."""
    bring_on = AttemptLifecycle.bring_on

    async def ends(self: Any, attempt: Any) -> Any:
        payment = await self._find(attempt.payment_id)
        if not payment.wants_end(attempt):
            return await bring_on(self, attempt)
        closed = channels.ChannelAnswer(channels.ChannelState.CLOSED)
        await self._record_answer(attempt, closed, Source.CLOSE)
        return closed

    patch.setattr(AttemptLifecycle, "bring_on", ends)


def refund_without_a_lock(patch: Patch) -> None:
    """What can be given back is read, and not held until it is written."""
    patch.setattr(refund_create, "lock", find)


def send_again_under_a_new_number(patch: Patch) -> None:
    """A try whose fate is not known is made once more as another one."""
    seen: set[str] = set()

    class Channels:
        def __getattr__(self, name: str) -> Any:
            return getattr(channels, name)

        def PayRequest(self, **fields: Any) -> channels.PayRequest:  # noqa: N802 - stands for the class
            request = channels.PayRequest(**fields)
            if request.attempt_no in seen:
                return replace(request, attempt_no=encode("att", UUID(int=7 << 76 | 2 << 62 | len(seen))))
            seen.add(request.attempt_no)
            return request

    patch.setattr(channel_calls, "channels", Channels())


def credit_again(patch: Patch) -> None:
    """A success that is told again is booked again."""
    apply, success, booked_before = channel_answers._apply, postings.success, set[UUID]()

    def applied(payment: Any, attempt: Any, report: Any, now: Any, policy: Any) -> Any:
        change = apply(payment, attempt, report, now, policy)
        again = report.answer.state is channels.ChannelState.SUCCEEDED and attempt.state is AttemptState.SUCCEEDED
        if again and not change.moved and not attempt.surplus:
            change.events.append(PaymentEvent(PaymentEventType.SUCCEEDED, payment, attempt))
        return change

    def booked(payment: Any, attempt: Any, **funding: Any) -> Any:
        chain = success(payment, attempt, **funding)
        if attempt.attempt_id in booked_before:
            again = f":{len(booked_before)}"
            chain = replace(chain, postings=[replace(each, name=each.name + again) for each in chain.postings])
        booked_before.add(attempt.attempt_id)
        return chain

    patch.setattr(channel_answers, "_apply", applied)
    patch.setattr(postings, "success", booked)


def believe_any_amount(patch: Patch) -> None:
    """A genuine message is taken without a look at the amount."""
    patch.setattr(channel_answers, "_mismatch", lambda *_: False)


def publish_before_the_commit(patch: Patch) -> None:
    """Events are written on their own, before what they tell is true."""
    record, emit = Recorder.record, Documents.emit
    database: ContextVar[Any] = ContextVar("database")

    async def recorded(self: Any, commands: Any) -> Any:
        database.set(self._database)
        return await record(self, commands)

    async def first(self: Any, tx: Any, happened: Sequence[PaymentEvent], **fields: Any) -> None:
        own = database.get(None)
        if own is None:
            await emit(self, tx, happened, **fields)
            return
        async with own.transaction() as other:
            await emit(self, other, happened, **fields)

    patch.setattr(Recorder, "record", recorded)
    patch.setattr(Documents, "emit", first)


def take_silence_for_failure(patch: Patch) -> None:
    """No answer counts as a refusal."""
    patch.setitem(channel_answers._FINAL, channels.ChannelState.UNKNOWN, AttemptState.FAILED)


def take_not_found_for_absent(patch: Patch) -> None:
    """What the channel does not find at once is given up at once."""
    patch.setattr(resolution, "_is_gone", lambda *_: True)


def keep_the_surplus(patch: Patch) -> None:
    """Money that no payment counts stays where it is."""

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    patch.setattr(channel_answers, "refund_surplus", nothing)


def keep_what_has_come_back(patch: Patch) -> None:
    """A refund that has succeeded stays so, whatever its channel reports."""
    patch.setattr(refund_answers, "overturns", lambda *_: False)
    patch.setattr(refund_lifecycle, "overturns", lambda *_: False)


def ignore_the_portal(patch: Patch) -> None:
    """What people give back in the channel's portal is heard, and counts for nothing."""

    async def nothing(*_: Any) -> PortalResult:
        return PortalResult(PortalOutcome.NOTHING_MOVED)

    patch.setattr(PortalRefunds, "take", nothing)


def credit_what_was_ordered(patch: Patch) -> None:
    """The merchant is credited with what was ordered, though the channel does not settle the merchant's own coupon."""
    success = postings.success

    def booked(payment: Any, attempt: Any, **funding: Any) -> Any:
        return success(payment, replace(attempt, channel_discounts=None), **funding)

    patch.setattr(postings, "success", booked)


def refund_out_of_proportion(patch: Patch) -> None:
    """A refund of a part takes the same part of the settlement, whatever coupons have made of it."""

    def parts(_payment: Any, attempt: Any, _refunds: Any, amount_minor: int) -> tuple[int | None, int | None]:
        return (None, None) if attempt.sums is None else (amount_minor, amount_minor)

    patch.setattr(refund_create, "parts_of", parts)
    patch.setattr(portal, "parts_of", parts)


def believe_the_latest_message_of_a_dispute(patch: Patch) -> None:
    """Of two statements the one that comes last holds, whenever it was made."""
    patch.setattr(dispute_record, "is_newer", lambda *_: True)


def refund_what_is_disputed(patch: Patch) -> None:
    """What a channel has taken for a dispute can be refunded as well."""
    patch.setattr(Payment, "refundable_minor", Payment.unrefunded_minor)


BROKEN: list[Callable[[Patch], None]] = [
    close_without_asking,
    refund_without_a_lock,
    send_again_under_a_new_number,
    credit_again,
    believe_any_amount,
    publish_before_the_commit,
    take_silence_for_failure,
    take_not_found_for_absent,
    keep_the_surplus,
    keep_what_has_come_back,
    ignore_the_portal,
    credit_what_was_ordered,
    refund_out_of_proportion,
    believe_the_latest_message_of_a_dispute,
    refund_what_is_disputed,
]
