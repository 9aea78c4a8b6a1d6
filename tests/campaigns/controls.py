"""Rules that a campaign breaks on purpose in every process of an installation, and the campaign that must notice.

Most are those that the simulation breaks in its own process.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hutong.clock import SystemClock, to_ns
from hutong.db import Database
from hutong.payments.channel_reports import Recorder
from hutong.payments.documents import Documents
from hutong.payments.model import PaymentEventType
from hutong.payments.transactions import PaymentTransactions, PlaceOrder
from support import broken_rules

_LATE_S = 2.0
_ENDS = (PaymentEventType.SUCCEEDED, PaymentEventType.CLOSED)


def answer_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """An order that needs no channel yet is answered, and committed two seconds later."""
    place, committing = PaymentTransactions.place, set[asyncio.Task[None]]()

    class Late:
        """A database whose transactions end later than their results are there."""

        def __init__(self, database: Database) -> None:
            self._database = database

        async def run(self, work: Callable[[Any], Any]) -> Any:
            results = asyncio.get_running_loop().create_future()

            async def late(tx: Any) -> None:
                results.set_result(await work(tx))
                await asyncio.sleep(_LATE_S)

            task = asyncio.create_task(self._database.run(late))
            committing.add(task)
            task.add_done_callback(committing.discard)
            return await results

    async def placed(self: Any, commands: Sequence[PlaceOrder]) -> Any:
        if any(command.new.first_attempt is not None for command in commands):
            return await place(self, commands)
        hasty = copy.copy(self)
        hasty._database = Late(self._database)
        return await place(hasty, commands)

    patch.setattr(PaymentTransactions, "place", placed)


def publish_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Events are written on their own, and what they tell is committed two seconds later."""
    broken_rules.publish_before_the_commit(patch)
    emit = Documents.emit

    async def early(self: Any, tx: Any, happened: Sequence[Any], **fields: Any) -> None:
        await emit(self, tx, happened, **fields)
        if any(event.type in _ENDS for event in happened):
            await asyncio.sleep(_LATE_S)

    patch.setattr(Documents, "emit", early)


def forget_what_does_not_fit(patch: pytest.MonkeyPatch) -> None:
    """A message with another amount is accepted and leaves nothing."""

    async def forgotten(self: Any, tx: Any, misfits: Any, *, now: datetime) -> None:
        """Keep nothing."""

    patch.setattr(Recorder, "_keep", forgotten)


def take_clock_from(file: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the clock be off by the seconds in a file."""
    now = SystemClock.now

    def shifted(self: SystemClock) -> datetime:
        return now(self) + timedelta(seconds=float(file.read_text()))

    patch.setattr(SystemClock, "now", shifted)
    patch.setattr(SystemClock, "now_ns", lambda self: to_ns(shifted(self)))


CONTROLS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "answer_before_the_commit": answer_before_the_commit,
    "believe_any_amount": broken_rules.believe_any_amount,
    "credit_again": broken_rules.credit_again,
    "forget_what_does_not_fit": forget_what_does_not_fit,
    "publish_before_the_commit": publish_before_the_commit,
    "refund_without_a_lock": broken_rules.refund_without_a_lock,
    "keep_the_surplus": broken_rules.keep_the_surplus,
    "take_silence_for_failure": broken_rules.take_silence_for_failure,
}
CAMPAIGN_OF = {"take_silence_for_failure": "links"}
"""Where it is noticed, if not by `kills`: channels must be silent now and then."""
