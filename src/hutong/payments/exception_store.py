"""Keeping exceptions: each once, however often a channel says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from prometheus_client import Counter, Gauge

from hutong import db, ids
from hutong.clock import instant
from hutong.payments.exception_items import PREFIX, ExceptionKind, ExceptionStatus, NewException, PaymentException
from hutong.payments.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_SEEN = Counter("hutong_exceptions_total", "Genuine messages of channels that do not fit an order, by kind.", ["kind"])
_OPEN = Gauge("hutong_exceptions_open", "Exceptions that wait for a decision, by kind.", ["kind"])

read_exception = db.reader(PaymentException, sql["exception"])
"""Reads a row of the exceptions."""


async def keep_exceptions(tx: db.Tx, news: Sequence[NewException], *, now: datetime) -> set[bytes]:
    """Keep what does not fit, in the transaction that saw it.

    Effects:
        Logs `exception_opened` once for each new exception, counts every message.

    Repeat:
        The same thing again raises its count and its last time; a decided one stays decided.

    Returns:
        The digests of the exceptions that are new.
    """
    if not news:
        return set()
    rows = await sql.keep_exceptions.fetch(tx, at=now, rows=news)
    for new in news:
        _SEEN.labels(new.kind.value).inc()
    by_digest = {new.digest: new for new in news}
    fresh = {row["digest"] for row in rows if row["is_new"]}
    for digest in fresh:
        new = by_digest[digest]
        _log.error(
            "exception_opened",
            account=ids.encode("acc", new.account_id),
            kind=new.kind.value,
            about=new.about.value,
            number=new.number,
            payment=None if new.payment_id is None else ids.encode("pay", new.payment_id),
            amount_minor=new.amount_minor,
            expected_minor=new.expected_minor,
        )
    return fresh


async def list_exceptions(
    tx: db.Tx,
    *,
    before: UUID | None = None,
    status: ExceptionStatus | None = None,
    kind: ExceptionKind | None = None,
    payment_id: UUID | None = None,
    limit: int = 20,
) -> list[PaymentException]:
    """Return exceptions, newest first."""
    rows = await sql.list_exceptions.fetch(
        tx, before=before, status=status, kind=kind, payment_id=payment_id, limit=limit
    )
    return [read_exception(row) for row in rows]


async def find_exception(tx: db.Tx, exception_id: UUID) -> PaymentException | None:
    """Return one exception; None if there is no such."""
    row = await sql.find_exception.fetchrow(tx, exception_id)
    return None if row is None else read_exception(row)


async def lock_exception(tx: db.Tx, exception_id: UUID) -> PaymentException | None:
    """Return one exception, locked; its payment must be locked before."""
    row = await sql.lock_exception.fetchrow(tx, exception_id)
    return None if row is None else read_exception(row)


async def sealed_message(tx: db.Tx, exception_id: UUID) -> bytes | None:
    """Return the sealed message that brought an exception; None for an answer to a query."""
    message: bytes | None = await sql.exception_message.fetchval(tx, exception_id)
    return message


async def mark_decided(
    tx: db.Tx, exception_id: UUID, status: ExceptionStatus, *, by: str, reason: str, now: datetime
) -> None:
    """Write the decision."""
    await sql.decide_exception.execute(tx, exception_id, status, now, by, reason)


async def report_exceptions(tx: db.Tx) -> dict[str, int]:
    """Count the exceptions that wait for a decision, by kind, and set their gauge."""
    counts = dict.fromkeys(ExceptionKind, 0) | {
        ExceptionKind(row["kind"]): row["count"] for row in await sql.count_open_exceptions.fetch(tx)
    }
    for kind, count in counts.items():
        _OPEN.labels(kind.value).set(count)
    return {kind.value: count for kind, count in counts.items()}


def exception_document(item: PaymentException) -> Mapping[str, Any]:
    """Return an exception as operators see it."""
    return {
        "id": ids.encode(PREFIX, item.exception_id),
        "object": "exception",
        "status": item.status.value,
        "kind": item.kind.value,
        "reason": item.reason,
        "account_id": ids.encode("acc", item.account_id),
        "about": item.about.value,
        "number": item.number,
        "payment_id": None if item.payment_id is None else ids.encode("pay", item.payment_id),
        "attempt_id": None if item.attempt_id is None else ids.encode("att", item.attempt_id),
        "refund_id": None if item.refund_id is None else ids.encode("ref", item.refund_id),
        "source": item.source.value,
        "state": item.state.value,
        "amount_minor": item.amount_minor,
        "currency": item.currency,
        "amount_paid_minor": item.amount_minor if item.paid_minor is None else item.paid_minor,
        "amount_settled_minor": item.amount_minor if item.settled_minor is None else item.settled_minor,
        "expected_minor": item.expected_minor,
        "expected_currency": item.expected_currency,
        "channel_order_no": item.channel_order_no,
        "happened_at": None if item.happened_at is None else instant(item.happened_at),
        "first_seen_at": instant(item.first_seen_at),
        "last_seen_at": instant(item.last_seen_at),
        "seen": item.seen,
        "decided_at": None if item.decided_at is None else instant(item.decided_at),
        "decided_by": item.decided_by,
        "decision_reason": item.decision_reason,
    }
