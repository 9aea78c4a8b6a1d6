"""A merchant's reconciled rows of a day, from every channel account: each with our fee and what the merchant gets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from hutong import db, ids, payments
from hutong.errors import InvalidParameter
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.model import RowKind
from hutong.reconciliation.reports.merchant_rows import MerchantRow, merchant_rows

_REFUNDS = frozenset({RowKind.REFUND, RowKind.PAYOUT, RowKind.REFUND_FAILURE})


@dataclass(frozen=True, slots=True)
class StatementPage:
    """A page of a merchant's rows. `cursor` is that of the next page; None at the end."""

    documents: Sequence[Mapping[str, Any]]
    cursor: str | None


async def merchant_statement(
    database: db.Database,
    root: Path,
    merchant_id: UUID,
    day: date,
    *,
    cursor: str | None = None,
    limit: int,
    limits: Limits | None = None,
) -> StatementPage:
    """Return a page of a merchant's rows of a day, by account, in a lasting order.

    Errors:
        InvalidParameter: the cursor is none of this list.
    """  # fmt: skip
    merchant = ids.encode("mer", merchant_id)
    start, after = _read_cursor(cursor)
    rows = await asyncio.to_thread(_rows, root, merchant, day, start, after, limit + 1, limits or Limits())
    page, rest = rows[:limit], rows[limit:]
    async with database.transaction() as tx:
        documents = await _documents(tx, [row for _, row in page])
    following = f"{page[-1][0]}.{page[-1][1].place}" if rest else None
    return StatementPage(documents, following)


def _rows(
    root: Path, merchant: str, day: date, start: str, after: int, most: int, limits: Limits
) -> list[tuple[str, MerchantRow]]:
    found: list[tuple[str, MerchantRow]] = []
    for account in sorted(path.parent.name for path in root.glob(f"acc_*/{day.isoformat()}")):
        if account < start or len(found) == most:
            continue
        folder = RunFolder(root, account, day)
        from_place = after if account == start else 0
        page = merchant_rows(folder, merchant, after=from_place, limit=most - len(found), limits=limits)
        found += [(account, row) for row in page]
    return found


def _read_cursor(cursor: str | None) -> tuple[str, int]:
    if cursor is None:
        return "", 0
    account, _, place = cursor.partition(".")
    if not (place.isascii() and place.isdigit() and len(place) < 18):
        raise InvalidParameter("`cursor` is not a cursor of this list", param="cursor")
    return account, int(place)


async def _documents(tx: db.Tx, rows: Sequence[MerchantRow]) -> list[dict[str, Any]]:
    refund_ids = [ids.decode("ref", row.reference) for row in rows if row.reference.startswith("ref_")]
    refunds = await payments.refunds.find_refunds(tx, refund_ids)
    dispute_ids = [ids.decode("dsp", row.reference) for row in rows if row.reference.startswith("dsp_")]
    disputes = await payments.disputes.find_disputes(tx, dispute_ids)
    payment_ids = [ids.decode("pay", row.reference) for row in rows if row.reference.startswith("pay_")]
    payment_ids += [refund.payment_id for refund in refunds.values()]
    amounts = await payments.export.merchant_amounts(tx, payment_ids)
    counted = {
        ids.encode("att", payment.counted_attempt.attempt_id)
        for payment in (await payments.find(tx, payment_ids)).values()
        if payment.counted_attempt is not None
    }
    documents = []
    for row in rows:
        identifier = ids.read_any(row.reference, param="reference")
        refund = refunds.get(identifier) if row.kind in _REFUNDS else None
        about = refund or disputes.get(identifier)
        payment_id = identifier if about is None else about.payment_id
        own = amounts.get(identifier, payments.export.MerchantAmount())
        is_own = row.kind in _REFUNDS or row.key in counted
        sign = -1 if row.kind in (RowKind.REFUND, RowKind.PAYOUT) else 1
        documents.append(
            {
                "object": "reconciliation_row",
                "day": row.day.isoformat(),
                "type": row.kind if is_own or row.kind == RowKind.DISPUTE else "surplus",
                "payment_id": ids.encode("pay", payment_id),
                "refund_id": row.reference if refund is not None else None,
                "dispute_id": row.reference if row.kind == RowKind.DISPUTE else None,
                "currency": row.currency,
                "amount_ordered_minor": row.ordered_minor,
                "amount_paid_minor": row.paid_minor,
                "amount_settled_minor": row.settled_minor,
                "fee_minor": sign * own.fee_minor if is_own else 0,
                "net_minor": sign * own.net_minor if is_own else 0,
                "channel_batch": row.batch or None,
                "settle_date": None if row.settle_day is None else row.settle_day.isoformat(),
                "status": row.status,
            }
        )
    return documents
