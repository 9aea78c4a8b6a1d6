"""Rules of the life cycle, each broken at one named point, to see whether the simulation notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hutong import channels
from hutong.ids import encode
from hutong.payments import PaymentEvent, PaymentEventType, PollingPolicy
from hutong.payments import channel_answers as outcome
from hutong.payments import channel_calls as calls
from hutong.payments import postings as books
from hutong.payments import transactions as commit
from hutong.payments.model import DEFAULT_POLICY, AttemptState, Source
from hutong.payments.refunds import create as refund_create
from hutong.payments.store import find

Patch = pytest.MonkeyPatch


def close_without_asking(patch: Patch) -> None:
    """What shall end is ended here, whatever its channel knows."""
    resolve = calls.ChannelCalls.resolve

    async def ends(self: Any, attempt: Any) -> None:
        async with self._database.transaction() as tx:
            payment = (await find(tx, [attempt.payment_id]))[attempt.payment_id]
        if payment.wants_end(attempt) and attempt.is_open:
            await self.learn(attempt, channels.ChannelAnswer(channels.ChannelState.CLOSED), Source.CLOSE)
        else:
            await resolve(self, attempt)

    patch.setattr(calls.ChannelCalls, "resolve", ends)


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

    patch.setattr(calls, "channels", Channels())


def credit_again(patch: Patch) -> None:
    """A success that is told again is booked again."""
    apply, success, told = outcome._apply, books.success, set[UUID]()

    def applied(
        payment: Any, attempt: Any, message: Any, now: Any, policy: Any, occurrences: list[PaymentEvent]
    ) -> bool:
        moved = apply(payment, attempt, message, now, policy, occurrences)
        again = message.answer.state is channels.ChannelState.SUCCEEDED and attempt.state is AttemptState.SUCCEEDED
        if again and not moved and not attempt.surplus:
            occurrences.append(PaymentEvent(PaymentEventType.SUCCEEDED, payment, attempt))
        return moved

    def booked(payment: Any, attempt: Any, **funding: Any) -> Any:
        chain, openings = success(payment, attempt, **funding)
        for transfer in chain if attempt.attempt_id in told else []:
            transfer.id ^= 1 + len(told)
        told.add(attempt.attempt_id)
        return chain, openings

    patch.setattr(outcome, "_apply", applied)
    patch.setattr(books, "success", booked)


def believe_any_amount(patch: Patch) -> None:
    """A genuine message is taken without a look at the amount."""
    patch.setattr(outcome, "_mismatch", lambda *_: False)


def publish_before_the_commit(patch: Patch) -> None:
    """Events are written on their own, before what they tell is true."""
    announce = commit.PaymentTransactions._announce

    async def first(self: Any, tx: Any, occurrences: Sequence[PaymentEvent], *, now: Any) -> None:
        if occurrences:
            async with self._database.transaction() as other:
                await announce(self, other, occurrences, now=now)

    patch.setattr(commit.PaymentTransactions, "_announce", first)


def take_silence_for_failure(patch: Patch) -> None:
    """No answer counts as a refusal."""
    patch.setitem(outcome._FINAL, channels.ChannelState.UNKNOWN, AttemptState.FAILED)


def take_not_found_for_absent(patch: Patch) -> None:
    """What the channel does not find at once is given up at once."""
    policy: PollingPolicy = replace(DEFAULT_POLICY, not_found_grace=timedelta(0))
    patch.setattr(
        calls.ChannelCalls, "_is_gone", lambda self, attempt, now, ending: policy.not_found_grace == timedelta(0)
    )


def keep_the_surplus(patch: Patch) -> None:
    """Money that no payment counts stays where it is."""

    async def nothing(*_: Any, **__: Any) -> list[Any]:
        return []

    patch.setattr(commit, "give_surplus_back", nothing)


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
]
