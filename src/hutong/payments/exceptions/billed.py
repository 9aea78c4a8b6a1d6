"""Statements of a channel's file about our attempts and refunds, taken once two persons have looked at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.channels import ChannelAnswer, ChannelState, sums
from hutong.errors import NotFound
from hutong.payments.channel_answers import settle_exception
from hutong.payments.channel_reports import ChannelReport, Recorded, RecordOutcome, RecordReport
from hutong.payments.exception_items import PaymentException
from hutong.payments.exception_store import read_exception
from hutong.payments.model import AttemptState, PaymentEventType, Source
from hutong.payments.refunds.model import read_number
from hutong.payments.statements import sql
from hutong.payments.store import lock_attempts
from hutong.payments.timeline import TimelineEntry
from hutong.payments.transactions import PaymentTransactions

_REFUSALS = {
    RecordOutcome.MISMATCH: "the order here has another amount or currency; decide its exception",
    RecordOutcome.NOT_FOUND: "nothing of this account has the number",
}


@dataclass(frozen=True, slots=True)
class BilledRow:
    """A row of a channel's file about one of our numbers.

    Attributes:
        number: Ours, of the attempt or of the refund.
        amount_minor, paid_minor, settled_minor: The three sums of the row, without sign.
        has_succeeded: False for a refund that failed after its success.
    """

    account_id: UUID
    number: str
    amount_minor: int
    paid_minor: int
    settled_minor: int
    currency: str
    channel_no: str
    has_succeeded: bool = True

    @property
    def answer(self) -> ChannelAnswer:
        """The row as an answer of its channel."""
        is_plain = self.paid_minor == self.settled_minor == self.amount_minor
        return ChannelAnswer(
            ChannelState.SUCCEEDED if self.has_succeeded else ChannelState.FAILED,
            amount_minor=self.amount_minor,
            currency=self.currency,
            channel_order_no=self.channel_no or None,
            sums=None if is_plain else sums.Sums.unnamed(self.amount_minor, self.paid_minor, self.settled_minor),
        )


async def confirm_billed_payments(
    tx: db.Tx, transactions: PaymentTransactions, rows: Sequence[BilledRow], *, now: datetime
) -> list[str | None]:
    """Record successes of attempts as if their channel had reported them; what no payment counts is given back.

    Returns:
        For each row, None, or one sentence with the reason why the life cycle does not take it.
    """
    reports: dict[int, RecordReport] = {}
    for place, row in enumerate(rows):
        try:
            attempt_id = ids.decode("att", row.number)
        except NotFound:
            continue
        reports[place] = RecordReport(ChannelReport(attempt_id, row.account_id, row.answer, Source.BILL))
    recorded = await transactions.reports.record_within(tx, list(reports.values()), now=now)
    return _reasons(rows, dict(zip(reports, recorded, strict=True)))


async def confirm_billed_refunds(
    tx: db.Tx, transactions: PaymentTransactions, rows: Sequence[BilledRow], *, now: datetime
) -> list[str | None]:
    """Record the ends of refunds as if their channel had answered a query with them. Returns as the above."""
    reports: dict[int, RecordReport] = {}
    for place, row in enumerate(rows):
        try:
            method, refund_id = read_number(row.number)
        except NotFound:
            continue
        report = ChannelReport(refund_id, row.account_id, row.answer, Source.BILL, method=method, asked_at=now)
        reports[place] = RecordReport(report)
    recorded = await transactions.refunds.reports.record_within(tx, list(reports.values()), now=now)
    return _reasons(rows, dict(zip(reports, recorded, strict=True)))


async def return_billed_payments(
    tx: db.Tx, transactions: PaymentTransactions, rows: Sequence[BilledRow], *, note: str, now: datetime
) -> list[str | None]:
    """Take successes of attempts as surplus, which goes back to the payer through the channel. Returns as the above."""
    attempt_ids: dict[int, UUID] = {}
    for place, row in enumerate(rows):
        try:
            attempt_ids[place] = ids.decode("att", row.number)
        except NotFound:
            continue
    locked = await lock_attempts(tx, list(attempt_ids.values())) if attempt_ids else {}
    reasons: list[str | None] = []
    changes = []
    for place, row in enumerate(rows):
        found = locked.get(attempt_ids[place]) if place in attempt_ids else None
        if found is None or found[1].account_id != row.account_id:
            reasons.append("no attempt of this account has the number; refund it in the channel's portal and pair both")
            continue
        payment, attempt = found
        if attempt.state is AttemptState.SUCCEEDED:
            reasons.append("the attempt has succeeded here; refund the payment")
            continue
        if row.currency != payment.currency:
            reasons.append("the channel has taken another currency; refund it in the channel's portal and pair both")
            continue
        entry = TimelineEntry(
            payment.payment_id, "operator.exception_refunded", attempt.attempt_id, Source.OPERATOR.value,
            amount_minor=row.amount_minor, note=note,
        )  # fmt: skip
        change = settle_exception(
            payment, attempt, AttemptState.SUCCEEDED, row.answer, entry, to_surplus=True, now=now,
            policy=transactions.policy,
        )  # fmt: skip
        # There is no exception that this would be the end of.
        change.events = [event for event in change.events if event.type is not PaymentEventType.EXCEPTION_DECIDED]
        changes.append(change)
        reasons.append(None)
    await transactions.reports.write(tx, changes, now=now)
    return reasons


def _reasons(rows: Sequence[BilledRow], recorded: Mapping[int, Recorded[Any]]) -> list[str | None]:
    reasons: list[str | None] = []
    for place, _ in enumerate(rows):
        result = recorded.get(place)
        if result is None:
            reasons.append("the number is none of ours")
        elif result.contradicts:
            reasons.append("it contradicts the proven end of what has the number")
        else:
            reasons.append(_REFUSALS.get(result.outcome))
    return reasons


async def list_unknown(tx: db.Tx, account_id: UUID) -> list[PaymentException]:
    """Return the reports of an account about numbers that nothing here has, which wait for a decision."""
    return [read_exception(row) for row in await sql.unknown_exceptions.fetch(tx, account_id)]


async def take_over(tx: db.Tx, reasons: Mapping[UUID, str], *, now: datetime) -> None:
    """End exceptions that a case of the channel's bill has taken over.

    Args:
        reasons: By exception, one sentence that names the case.

    Repeat:
        An exception that is decided stays as it is.
    """
    by_id = sorted(reasons.items())
    await sql.take_over_exceptions.execute(
        tx, exception_ids=[each for each, _ in by_id], reasons=[reason for _, reason in by_id], by="hutong", at=now
    )
