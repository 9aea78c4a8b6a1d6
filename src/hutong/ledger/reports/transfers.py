"""Transfers found by their fields, open holds, and reversals with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from hutong import db, money
from hutong.errors import NotFound
from hutong.ledger.accounting.amounts import currency_of, in_major_units
from hutong.ledger.accounting.events import EVENTS
from hutong.ledger.model import TransferFlags
from hutong.ledger.statements import sql as _sql

_EXPIRY_FLAG = 32_768
_KINDS = (
    (_EXPIRY_FLAG, "expired"),
    (int(TransferFlags.VOID_PENDING_TRANSFER), "released"),
    (int(TransferFlags.POST_PENDING_TRANSFER), "posted"),
    (int(TransferFlags.PENDING), "held"),
)


@dataclass(frozen=True, slots=True)
class TransferQuery:
    """A selection of transfers; None does not filter.

    Attributes:
        reference: The payment, refund or other object that the transfers belong to.
        since, until: Accounting dates, both included.
        after: The `cursor` of the last transfer of the previous page.
    """

    reference: UUID | None = None
    code: int | None = None
    currency: str | None = None
    amount_minor: int | None = None
    since: date = date.min
    until: date = date.max
    after: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ListedTransfer:
    """A row of the journal.

    Attributes:
        kind: `booked`; or of a hold: `held`, `posted`, `released`, `expired`.
        reversal_id: The transfer that reverses this one.
        cursor: Its place in the journal.
    """

    transfer_id: UUID
    accounting_date: date
    at: datetime
    kind: str
    event: int
    event_en: str
    event_zh: str
    debit_account_id: UUID
    credit_account_id: UUID
    currency: str
    amount_minor: int
    amount: str
    reference: UUID
    reversal_id: UUID | None
    cursor: int


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold that is neither posted nor released. `expires_at` is None for one without an end."""

    hold_id: UUID
    at: datetime
    expires_at: datetime | None
    event: int
    event_en: str
    debit_account_id: UUID
    credit_account_id: UUID
    currency: str
    amount_minor: int
    amount: str
    reference: UUID


@dataclass(frozen=True, slots=True)
class ListedReversal:
    """A reversal, with the transfer that it reverses."""

    transfer_id: UUID
    reversal_id: UUID
    event: int
    currency: str
    amount_minor: int
    amount: str
    reason: str
    reversed_by: str
    reversed_at: datetime


async def list_transfers(tx: db.Tx, query: TransferQuery) -> list[ListedTransfer]:
    """Return a page of transfers in the order of the journal, archived ones included.

    Errors:
        InvalidParameter: there is no such currency.
    """
    filters: dict[str, Any] = {
        "code": query.code,
        "ledger": None if query.currency is None else money.currency(query.currency).numeric,
        "amount": query.amount_minor,
        "since": query.since,
        "until": query.until,
        "after": query.after,
        "limit": query.limit,
    }
    if query.reference is None:
        rows = await _sql.transfers_by_fields.fetch(tx, **filters)
    else:
        rows = await _sql.transfers_by_reference.fetch(tx, reference=query.reference, **filters)
    return [_listed(row) for row in rows]


async def list_holds(
    tx: db.Tx, *, account_id: UUID | None = None, after: UUID | None = None, limit: int = 100
) -> list[OpenHold]:
    """Return a page of open holds in the order of their ids, of one account or of all."""
    rows = await _sql.list_holds.fetch(tx, account_id=account_id, after=after or UUID(int=0), limit=limit)
    return [
        OpenHold(
            hold_id=_plain(row["id"]),
            at=_instant(row["timestamp"]),
            expires_at=_instant(row["expires_at"]) if row["expires_at"] else None,
            event=row["code"],
            event_en=EVENTS[row["code"]].name_en if row["code"] in EVENTS else "",
            debit_account_id=_plain(row["debit_account_id"]),
            credit_account_id=_plain(row["credit_account_id"]),
            currency=currency_of(row["ledger"]),
            amount_minor=row["amount"],
            amount=in_major_units(row["amount"], row["ledger"]),
            reference=_plain(row["user_data_128"]),
        )
        for row in rows
    ]


async def list_reversals(tx: db.Tx, *, before: UUID | None = None, limit: int = 100) -> list[ListedReversal]:
    """Return a page of reversals, newest first.

    Args:
        before: Only reversals before the one with this `reversal_id`.
    """
    rows = await _sql.list_reversals.fetch(tx, before=before, limit=limit)
    return [
        ListedReversal(
            transfer_id=_plain(row["transfer_id"]),
            reversal_id=_plain(row["reversal_id"]),
            event=row["code"],
            currency=currency_of(row["ledger"]),
            amount_minor=row["amount"],
            amount=in_major_units(row["amount"], row["ledger"]),
            reason=row["reason"],
            reversed_by=row["reversed_by"],
            reversed_at=row["reversed_at"],
        )
        for row in rows
    ]


async def find_transfer(tx: db.Tx, transfer_id: UUID) -> ListedTransfer:
    """Return one transfer, archived or not.

    Errors:
        NotFound: no transfer has this id.
    """
    row = await _sql.transfer_by_id.fetchrow(tx, transfer_id)
    if row is None:
        raise NotFound("no transfer has this id")
    return _listed(row)


async def is_reversal(tx: db.Tx, transfer_id: UUID) -> bool:
    """Return whether a transfer is itself the reversal of another."""
    return bool(await _sql.is_reversal.fetchval(tx, transfer_id))


def _listed(row: Any) -> ListedTransfer:
    event = EVENTS.get(row["code"])
    return ListedTransfer(
        transfer_id=_plain(row["id"]),
        accounting_date=row["accounting_date"],
        at=_instant(row["timestamp"]),
        kind=next((kind for flag, kind in _KINDS if row["flags"] & flag), "booked"),
        event=row["code"],
        event_en=event.name_en if event else "",
        event_zh=event.name_zh if event else "",
        debit_account_id=_plain(row["debit_account_id"]),
        credit_account_id=_plain(row["credit_account_id"]),
        currency=currency_of(row["ledger"]),
        amount_minor=row["amount"],
        amount=in_major_units(row["amount"], row["ledger"]),
        reference=_plain(row["user_data_128"]),
        reversal_id=None if row["reversal_id"] is None else _plain(row["reversal_id"]),
        cursor=row["timestamp"],
    )


def _plain(identifier: Any) -> UUID:
    return UUID(int=identifier.int)


def _instant(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 1_000 / 1_000_000, UTC)
