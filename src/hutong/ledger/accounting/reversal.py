"""Corrections: a booking stays, and its opposite is booked beside it, once."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db
from hutong.clock import to_ns
from hutong.ledger.accounting.events import EventCode
from hutong.ledger.codec import uuid_of
from hutong.ledger.ledger import Ledger
from hutong.ledger.model import CreateTransferStatus, Transfer, TransferFlags
from hutong.ledger.statements import sql as _sql

_NOT_BOOKED = int(TransferFlags.PENDING | TransferFlags.VOID_PENDING_TRANSFER)


class ReversalStatus(enum.Enum):
    """The outcome of one reversal."""

    REVERSED = "reversed"
    ALREADY_REVERSED = "already_reversed"
    NOT_FOUND = "not_found"
    NOT_BOOKED = "not_booked"
    IS_REVERSAL = "is_reversal"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ReversalResult:
    """The answer to one reversal.

    Attributes:
        reversal_id: The transfer that reverses it, booked now or before.
        refusal: The limit that prevented it.
    """

    status: ReversalStatus
    reversal_id: UUID | None = None
    refusal: CreateTransferStatus | None = None


async def reverse(
    tx: db.Tx, transfer_ids: Sequence[int], *, reason: str, by: str, new_id: Callable[[], UUID], now: datetime
) -> list[ReversalResult]:
    """Book the opposite of each transfer.

    Args:
        transfer_ids: Booked transfers, archived ones too: plain ones, or those that posted a hold. A reversal is none
            of them: book the original again instead.

    Effects:
        Locks their accounts. Books one transfer each with both sides exchanged and `user_data_128` kept; its code is
        REVERSAL, and `user_data_32` has the code of the original. Records who reversed it and why.

    Repeat:
        ALREADY_REVERSED, also for concurrent callers.

    Returns:
        One result per id, in order.
    """
    ledger = Ledger(tx, clock=lambda: to_ns(now))
    originals = {t.id: t for t in await ledger.lookup_transfers(transfer_ids)}
    sides = {side for t in originals.values() for side in (t.debit_account_id, t.credit_account_id)}
    # A second caller waits here and then finds the reversal, rather than the limit that the first has used up.
    await _sql.lock_balances.execute(tx, [uuid_of(number) for number in sorted(sides)])
    known = await _sql.known_reversals.fetch(tx, [uuid_of(number) for number in transfer_ids])
    reversed_by = {record["transfer_id"].int: record["reversal_id"] for record in known}
    reversals = {record["reversal_id"].int for record in known}
    results: dict[int, ReversalResult] = {}
    opposites: dict[int, Transfer] = {}
    for number in transfer_ids:
        original = originals.get(number)
        if number in reversed_by:
            results[number] = ReversalResult(ReversalStatus.ALREADY_REVERSED, UUID(int=reversed_by[number].int))
        elif number in reversals:
            results[number] = ReversalResult(ReversalStatus.IS_REVERSAL)
        elif original is None:
            results[number] = ReversalResult(ReversalStatus.NOT_FOUND)
        elif int(original.flags) & _NOT_BOOKED:
            results[number] = ReversalResult(ReversalStatus.NOT_BOOKED)
        else:
            opposites[number] = Transfer(
                id=new_id().int, debit_account_id=original.credit_account_id,
                credit_account_id=original.debit_account_id, amount=original.amount,
                user_data_128=original.user_data_128, user_data_32=original.code, ledger=original.ledger,
                code=EventCode.REVERSAL,
            )  # fmt: skip
    answers = await ledger.create_transfers([*opposites.values()])
    booked = []
    for (number, opposite), answer in zip(opposites.items(), answers, strict=True):
        if answer.status is CreateTransferStatus.CREATED:
            booked.append(number)
            results[number] = ReversalResult(ReversalStatus.REVERSED, UUID(int=opposite.id))
        else:
            results[number] = ReversalResult(ReversalStatus.REFUSED, refusal=answer.status)
    try:
        await _sql.insert_reversals.execute(
            tx, [uuid_of(number) for number in booked], [uuid_of(opposites[number].id) for number in booked],
            reason, by, now,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        # A concurrent transaction reversed one of these transfers: run again, this one finds it reversed already.
        raise asyncpg.SerializationError(str(error)) from error
    return [results[number] for number in transfer_ids]
