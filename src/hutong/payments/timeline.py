"""The story of a payment: what happened, when, and how it was learnt. Written in the transaction that changes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.payments.statements import sql


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened.

    Attributes:
        what: Such as "attempt.submitted" or "payment.close_requested".
        source: How it was learnt, where it was learnt from somebody.
        channel_code: The channel's own word.
        amount_minor: What it was about, where it was about less than the whole.
        note: Who and why, where people did it.
    """

    payment_id: UUID
    what: str
    attempt_id: UUID | None = None
    source: str | None = None
    channel_code: str | None = None
    amount_minor: int | None = None
    note: str | None = None


async def write_timeline(tx: db.Tx, entries: Sequence[TimelineEntry], *, now: datetime) -> None:
    """Add to the stories of payments that the caller has locked."""
    if entries:
        await sql.write_timeline.execute(
            tx,
            now,
            [entry.payment_id for entry in entries],
            [entry.what for entry in entries],
            [entry.attempt_id for entry in entries],
            [entry.source for entry in entries],
            [entry.channel_code for entry in entries],
            [entry.amount_minor for entry in entries],
            [entry.note for entry in entries],
        )


async def read_timeline(tx: db.Tx, payment_ids: Collection[UUID]) -> list[tuple[datetime, TimelineEntry]]:
    """What has been written about these payments, first to last."""
    return [
        (
            row["at"],
            TimelineEntry(
                row["payment_id"], row["what"], row["attempt_id"], row["source"], row["channel_code"],
                row["amount_minor"], row["note"],
            ),
        )
        for row in await sql.read_timeline.fetch(tx, payment_ids)
    ]  # fmt: skip
