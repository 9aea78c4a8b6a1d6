"""The bookings on an owner's accounts of one subject: what another party's records are compared with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.ledger.accounting.amounts import currency_of
from hutong.ledger.accounting.chart import account_id
from hutong.ledger.accounting.events import EventCode
from hutong.ledger.codec import uuid_of
from hutong.ledger.ledger import Ledger
from hutong.ledger.statements import sql as _sql

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Movement:
    """One transfer, seen from one of its accounts.

    Attributes:
        transfer_id: Its own id, or that of the transfer that it reverses.
        event: Its event, or that of the transfer that it reverses.
        reversed_by: The reversal's id, if it is one.
        amount_minor: Above zero if it was debited to the account.
        reference: The payment, or the other object, that it belongs to.
        at: To the microsecond.
    """

    transfer_id: int
    event: int
    reversed_by: int | None
    amount_minor: int
    currency: str
    reference: UUID
    at: datetime


async def stream_movements(
    tx: db.Tx, code: int, owner: UUID, *, since: datetime, until: datetime
) -> AsyncIterator[Movement]:
    """Yield the bookings from an instant until before another, in every currency and in no order.

    Holds are none; what posts a hold is one.
    """
    async for row in _sql.stream_movements.cursor(
        tx, code=code, owner=owner, since=to_ns(since), until=to_ns(until), prefetch=1_000
    ):
        is_reversal = row["code"] == EventCode.REVERSAL and row["original_id"] is not None
        yield Movement(
            transfer_id=row["original_id"].int if is_reversal else row["id"].int,
            event=row["original_code"] if is_reversal else row["code"],
            reversed_by=row["id"].int if is_reversal else None,
            amount_minor=row["amount"],
            currency=currency_of(row["ledger"]),
            reference=UUID(int=row["reference"].int),
            at=_EPOCH + timedelta(microseconds=row["timestamp"] // 1_000),
        )


async def movement_between(tx: db.Tx, code: int, owner: UUID, *, since: datetime, until: datetime) -> dict[str, int]:
    """Return by how much an owner's accounts of a subject have moved, by currency: debits less credits.

    It comes from the balances that the journal keeps beside each transfer, so that it checks a sum of transfers.
    """
    moved = {}
    for row in await _sql.balances_of_owner.fetch(tx, owner, [code]):
        currency = currency_of(row["ledger"])
        account = uuid_of(account_id(code, owner, currency))
        before, after = await _balance(tx, account, since), await _balance(tx, account, until)
        moved[currency] = after - before
    return moved


async def booked_at(tx: db.Tx, transfer_ids: Collection[int], code: int, owner: UUID) -> dict[int, datetime]:
    """Return when those of some transfers were booked that concern an owner's accounts of a subject."""
    currencies = [currency_of(row["ledger"]) for row in await _sql.balances_of_owner.fetch(tx, owner, [code])]
    accounts = {account_id(code, owner, currency) for currency in currencies}
    transfers = await Ledger(tx, clock=lambda: 0).lookup_transfers(sorted(transfer_ids)) if transfer_ids else []
    return {
        transfer.id: _EPOCH + timedelta(microseconds=transfer.timestamp // 1_000)
        for transfer in transfers
        if accounts & {transfer.debit_account_id, transfer.credit_account_id}
    }


async def _balance(tx: db.Tx, account: UUID, at: datetime) -> int:
    row = await _sql.balance_before.fetchrow(tx, account_id=account, since=to_ns(at), first_day=date.max)
    return 0 if row is None else row["debits"] - row["credits"]
