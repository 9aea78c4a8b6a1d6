"""Recording what channels report, the one way for whatever is placed at a channel.

Whichever way a report came (submission, notification, query), it is applied under the payment's lock, and the state,
the transfers, the events and the answer under the idempotency key are written in the same transaction. What differs
between attempts and refunds is a `ReportSubject`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from prometheus_client import Counter

from hutong import db, ledger
from hutong.channels import ChannelAnswer
from hutong.clock import Clock
from hutong.foreign_text import storable_text
from hutong.idempotency import Claim, StoredAnswer, store
from hutong.ids import Ids, encode
from hutong.payments.documents import Documents
from hutong.payments.exception_items import NewException, Seal
from hutong.payments.exception_store import keep_exceptions
from hutong.payments.model import Payment, PaymentEvent, PaymentEventType, Source
from hutong.payments.postings import book_back
from hutong.payments.refunds.model import RefundMethod
from hutong.payments.store import claim_notifications
from hutong.payments.timeline import TimelineEntry
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_MISMATCHES = Counter(
    "hutong_notification_mismatches_total", "Genuine reports whose amount or currency differs from the order's."
)
_CONTRADICTIONS = Counter("hutong_channel_contradictions_total", "Reports that contradict a proven final state.")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """A channel's answer about one attempt or refund.

    Attributes:
        object_id: The attempt or refund.
        account_id: The account that the report came through; another account's objects are out of its reach.
        replay_key: Identifies the message, if it must be taken only once.
        seal: Seals the message that brought it, if it does not fit; None for an answer to a call of ours.
        method: The method of the refund that the report is about; None for an attempt.
        asked_at: When the channel was asked, for the answer to a query that may overturn a final state: one that became
            final before then.
    """

    object_id: UUID
    account_id: UUID
    answer: ChannelAnswer
    source: Source
    replay_key: bytes | None = None
    method: RefundMethod | None = None
    seal: Seal | None = None
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordReport:
    """A report to record, and the idempotency key whose answer becomes final with it."""

    report: ChannelReport
    claim: Claim | None = None


class RecordOutcome(StrEnum):
    """Outcomes of recording a report."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    MISMATCH = "mismatch"
    """The report is genuine, but about another amount or currency than the order. It is kept as an exception."""
    NOT_FOUND = "not_found"
    """The account has no such attempt or refund."""
    REPLAYED = "replayed"
    """The same message was taken before."""


@dataclass(frozen=True, slots=True)
class Recorded(Generic[Row]):
    """The outcome of recording a report, with the payment and the attempt or refund in their state afterwards.

    Attributes:
        contradicts: The report contradicts a final state that was proven. Nothing is changed; a person must look.
        answer: The answer stored under the idempotency key that came with the report.
    """

    outcome: RecordOutcome
    payment: Payment | None = None
    row: Row | None = None
    contradicts: bool = False
    answer: StoredAnswer | None = None


@dataclass(slots=True)
class ReportChange(Generic[Row]):
    """What one report changes.

    Attributes:
        row: The attempt or refund, changed already.
        source: What its state is taken from.
        moved: Whether its state changed, or its payment's.
        row_changed, payment_changed: Whether the row has to be written.
        follow_up: Whether an intent follows once the change is booked.
        undone: Chains that were booked before and are booked back.
    """

    payment: Payment
    row: Row
    source: str
    moved: bool = False
    row_changed: bool = False
    payment_changed: bool = False
    contradicts: bool = False
    follow_up: bool = False
    events: list[PaymentEvent] = field(default_factory=list)
    chains: list[ledger.Chain] = field(default_factory=list)
    undone: list[ledger.Chain] = field(default_factory=list)
    timeline: list[TimelineEntry] = field(default_factory=list)


class ReportSubject(Protocol[Row]):
    """What attempts and refunds supply for recording reports about them."""

    async def lock(self, tx: db.Tx, object_ids: Sequence[UUID]) -> Mapping[UUID, tuple[Payment, Row]]:
        """Return the objects with their payments, by id, locked by their payments."""
        ...

    def refuse(self, payment: Payment, row: Row, report: ChannelReport) -> RecordOutcome | None:
        """Return why a report must not be applied: NOT_FOUND or MISMATCH; None if it may be."""
        ...

    def apply(self, payment: Payment, row: Row, report: ChannelReport, *, now: datetime) -> ReportChange[Row]:
        """Apply a report to an object; return what that changes."""
        ...

    def postpone(self, payment: Payment, row: Row, report: ChannelReport, *, now: datetime) -> ReportChange[Row]:
        """Return what a report of another amount or currency changes: when the channel is asked again."""
        ...

    def misfit(self, payment: Payment, row: Row, report: ChannelReport, *, new_id: UUID) -> NewException:
        """Return the exception that a report of another amount or currency is."""
        ...

    async def save(self, tx: db.Tx, changes: Sequence[ReportChange[Row]], *, now: datetime) -> None:
        """Write the changed rows and the timelines, and complete the changes' chains."""
        ...

    async def follow_up(self, tx: db.Tx, changes: Sequence[ReportChange[Row]], *, now: datetime) -> None:
        """Write the intents that follow from the changes, once these are booked."""
        ...


class Recorder(Generic[Row]):
    """Records reports about one kind of object: a whole list in one transaction.

    Args:
        render: Renders the answer to the request that created the object; None in a process without requests.

    Attributes:
        open_accounts: The accounts that this process knows to be open.
    """

    def __init__(
        self,
        database: db.Database,
        subject: ReportSubject[Row],
        documents: Documents,
        *,
        clock: Clock,
        ids: Ids,
        render: Callable[[Payment, Row], StoredAnswer] | None = None,
    ) -> None:
        self._database = database
        self._subject = subject
        self._documents = documents
        self._clock = clock
        self._ids = ids
        self._render = render
        self.open_accounts: set[ledger.Opening] = set()

    async def record(self, commands: Sequence[RecordReport]) -> list[Recorded[Row]]:
        """Record channels' reports, book what they mean and publish it.

        Effects:
            Writes the objects, their payments and timelines, the transfers, the events and the answers.

        Repeat:
            A report without news changes nothing; one of another amount is one exception, however often it comes.

        Returns:
            One result per command, in order.
        """
        now = self._clock.now()

        async def work(tx: db.Tx) -> list[Recorded[Row]]:
            results = await self.record_within(tx, commands, now=now)
            if self._render is not None and any(command.claim is not None for command in commands):
                results = await self._answer(tx, commands, results, self._render)
            return results

        return await self._database.run(work)

    async def record_within(self, tx: db.Tx, commands: Sequence[RecordReport], *, now: datetime) -> list[Recorded[Row]]:
        """Record reports in a transaction that does something else as well."""
        reports = [_storable(command.report) for command in commands]
        objects = await self._subject.lock(tx, [report.object_id for report in reports])
        refusals = [
            self._subject.refuse(*objects[report.object_id], report)
            if report.object_id in objects
            else RecordOutcome.NOT_FOUND
            for report in reports
        ]
        keys = [(r.account_id, r.replay_key) for r, refusal in zip(reports, refusals, strict=True) if refusal is None]
        signed = any(key is not None for _, key in keys)
        fresh = iter(await claim_notifications(tx, keys, now=now) if signed else [True] * len(keys))
        results: list[Recorded[Row]] = []
        changes: list[ReportChange[Row]] = []
        misfits: list[tuple[NewException, ReportChange[Row]]] = []
        for report, refusal in zip(reports, refusals, strict=True):
            if refusal is RecordOutcome.NOT_FOUND:
                results.append(Recorded(refusal))
                continue
            payment, row = objects[report.object_id]
            if refusal is RecordOutcome.MISMATCH:
                misfit = self._subject.misfit(payment, row, report, new_id=self._ids.new())
                change = self._subject.postpone(payment, row, report, now=now)
                misfits.append((misfit, change))
                changes.append(change)
                results.append(Recorded(refusal, payment, row))
                continue
            if refusal is not None or not next(fresh):
                results.append(Recorded(refusal or RecordOutcome.REPLAYED, payment, row))
                continue
            change = self._subject.apply(payment, row, report, now=now)
            changes.append(change)
            outcome = RecordOutcome.APPLIED if change.moved else RecordOutcome.UNCHANGED
            results.append(Recorded(outcome, payment, row, change.contradicts))
        if misfits:
            await self._keep(tx, misfits, now=now)
        await self._subject.save(tx, changes, now=now)
        if any(change.chains or change.events for change in changes):
            await self._settle(tx, changes, now=now)
        return results

    async def _keep(
        self, tx: db.Tx, misfits: Sequence[tuple[NewException, ReportChange[Row]]], *, now: datetime
    ) -> None:
        """Keep what does not fit, and publish it where it is new: on the timeline and by an event."""
        fresh = await keep_exceptions(tx, [misfit for misfit, _ in misfits], now=now)
        for misfit, change in misfits:
            if misfit.digest in fresh:
                fresh.remove(misfit.digest)
                change.timeline.append(
                    TimelineEntry(
                        change.payment.payment_id,
                        f"exception.{misfit.kind.value}",
                        misfit.attempt_id,
                        change.source,
                        amount_minor=misfit.amount_minor,
                    )
                )
                change.events.append(PaymentEvent(PaymentEventType.EXCEPTION_OPENED, change.payment))

    async def write(self, tx: db.Tx, changes: Sequence[ReportChange[Row]], *, now: datetime) -> None:
        """Write changes to objects that the caller has locked: save, book, follow up, publish."""
        await self._subject.save(tx, changes, now=now)
        await self._settle(tx, changes, now=now)

    async def _settle(self, tx: db.Tx, changes: Sequence[ReportChange[Row]], *, now: datetime) -> None:
        chains = [chain for change in changes for chain in change.chains]
        if chains:
            await ledger.book(tx, chains, now=now, accounts=self.open_accounts)
        undone = [chain for change in changes for chain in change.undone]
        if undone:
            reason = "the channel reports that it has failed after its success"
            await book_back(tx, undone, reason=reason, new_id=self._ids.new, now=now)
        if any(change.follow_up for change in changes):
            await self._subject.follow_up(tx, changes, now=now)
        happened = [event for change in changes for event in change.events]
        if happened:
            await self._documents.emit(tx, happened, new_id=self._ids.new, now=now)

    async def _answer(
        self,
        tx: db.Tx,
        commands: Sequence[RecordReport],
        results: Sequence[Recorded[Row]],
        render: Callable[[Payment, Row], StoredAnswer],
    ) -> list[Recorded[Row]]:
        """Store the answers that have become final; the results get what is stored."""
        answers = {
            place: (command.claim, render(result.payment, result.row))
            for place, (command, result) in enumerate(zip(commands, results, strict=True))
            if command.claim is not None and result.payment is not None and result.row is not None
        }
        stored = dict(zip(answers, await store(tx, list(answers.values())), strict=True))
        return [replace(result, answer=stored.get(place)) for place, result in enumerate(results)]


class ReportQueue(Generic[Row]):
    """Records the reports of one process in batches, counts them, and alarms about those that a person must look at.

    Args:
        kind: "attempt" or "refund".
        prefix: Of the ids, for logs.
        name: Names the queue in metrics and errors.
        counter: Counts the answers by channel, source and state.
        queue_limit: The most reports that may wait for a batch.
    """

    def __init__(
        self,
        recorder: Recorder[Row],
        *,
        kind: str,
        prefix: str,
        name: str,
        counter: Counter,
        queue_limit: int,
    ) -> None:
        self._kind = kind
        self._prefix = prefix
        self._counter = counter
        self._queue: db.Coalescer[RecordReport, Recorded[Row]] = db.Coalescer(
            recorder.record, name=name, queue_limit=queue_limit
        )

    async def submit(self, channel: str, report: ChannelReport, *, claim: Claim | None = None) -> Recorded[Row]:
        """Record a report, count it, and log what a person must look at.

        Args:
            claim: The idempotency key whose answer becomes final.
        """
        source, state = report.source.value, report.answer.state.value
        self._counter.labels(channel, source, state).inc()
        recorded = await self._queue.submit(RecordReport(report, claim))
        about = {self._kind: encode(self._prefix, report.object_id), "source": source}
        if recorded.outcome is RecordOutcome.MISMATCH:
            _MISMATCHES.inc()
        if recorded.contradicts:
            _CONTRADICTIONS.inc()
            _log.error("channel_contradiction", **about, answer=state, channel_code=report.answer.channel_code)
        return recorded

    async def close(self) -> None:
        """Finish what has been taken on and take nothing more."""
        await self._queue.close()


def _storable(report: ChannelReport) -> ChannelReport:
    """Return a report whose texts the database can hold: a NUL in a message must not keep money from being booked."""
    answer, action = report.answer, report.answer.action
    texts = (answer.channel_order_no, answer.channel_code, answer.channel_message, action.content if action else None)
    if all(text is None or _fits(text) for text in texts):
        return report
    cleaned = replace(
        answer,
        channel_order_no=storable_text(answer.channel_order_no),
        channel_code=storable_text(answer.channel_code),
        channel_message=storable_text(answer.channel_message),
        action=action and replace(action, content=storable_text(action.content) or ""),
    )
    return replace(report, answer=cleaned)


def _fits(text: str) -> bool:
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
