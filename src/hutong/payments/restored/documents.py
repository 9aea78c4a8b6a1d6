"""The state of a catch-up, for operators."""

from __future__ import annotations

from typing import Any

from hutong import db, ids
from hutong.clock import instant
from hutong.payments.restored.bills import LostBill, unread_bills
from hutong.payments.unknown_numbers import UnknownNumber, count_unasked, list_unknown_numbers


async def catch_up_document(tx: db.Tx) -> dict[str, Any]:
    """Return the mode, how much has no answer yet, the bills to read, and the numbers that wait to be adopted.

    `bills_unread` is null in normal work, and where the begin of the lost time is not known.
    """
    catch_up = await db.open_catch_up(tx)
    attempts, refunds = (0, 0) if catch_up is None else await count_unasked(tx, catch_up.begun_at)
    unread = None if catch_up is None else await unread_bills(tx, catch_up)
    lost_since = None if catch_up is None else catch_up.lost_since
    return {
        "mode": "normal" if catch_up is None else "catch_up",
        "since": None if catch_up is None else instant(catch_up.begun_at),
        "reason": None if catch_up is None else catch_up.reason.value,
        "epoch": None if catch_up is None else catch_up.epoch,
        "lost_since": None if lost_since is None else instant(lost_since),
        "attempts_unasked": attempts,
        "refunds_unasked": refunds,
        "bills_unread": None if unread is None else [_bill_document(bill) for bill in unread],
        "unknown_numbers": [_number_document(unknown) for unknown in await list_unknown_numbers(tx)],
    }


def _bill_document(bill: LostBill) -> dict[str, Any]:
    return {
        "account": ids.encode("acc", bill.account_id),
        "channel": bill.channel,
        "day": bill.day.isoformat(),
        "made_at": instant(bill.made_at),
        "fetches": bill.fetches,
        "next_at": instant(bill.due_at),
        "error": bill.error,
    }


def _number_document(unknown: UnknownNumber) -> dict[str, Any]:
    return {
        "number": unknown.number,
        "about": unknown.about.value,
        "account": ids.encode("acc", unknown.account_id),
        "source": unknown.source.value,
        "state": unknown.state.value,
        "amount_minor": unknown.amount_minor,
        "currency": unknown.currency,
        "channel_order_no": unknown.channel_order_no,
        "happened_at": None if unknown.happened_at is None else instant(unknown.happened_at),
        "first_at": instant(unknown.first_at),
    }
