"""Refunds as values: their states, the legal ways between those, and how they are read and written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import asyncpg
import orjson

from hutong import db, ids
from hutong.errors import NotFound
from hutong.payments.items import RefundLine
from hutong.payments.statements import sql


class RefundState(StrEnum):
    """Where a refund stands."""

    CREATED = "created"
    """Asked for; its money is not reserved yet."""
    HELD = "held"
    """Its money is reserved; the channel is called next, or again."""
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Proven that no money went back; the reserve is released."""
    PAYOUT = "payout"
    """The original way has failed; the money is sent to the payer as a payout."""
    MANUAL = "manual"
    """A person pays it back and says so."""


class RefundKind(StrEnum):
    """Why money goes back."""

    REFUND = "refund"
    """The merchant asked for it."""
    SURPLUS = "surplus"
    """A channel took money that no payment counts."""


class RefundMethod(StrEnum):
    """Which way it goes, in the order in which they may be tried."""

    VOID = "void"
    ORIGINAL = "original"
    PAYOUT = "payout"
    MANUAL = "manual"


_S = RefundState

REFUND_TRANSITIONS: Mapping[RefundState, frozenset[RefundState]] = {
    _S.CREATED: frozenset({_S.HELD}),
    _S.HELD: frozenset({_S.SUBMITTED, _S.UNKNOWN, _S.SUCCEEDED, _S.FAILED}),
    # Back to held: refused for a reason that may pass, or to be sent by the next way that needs no new reserve.
    _S.SUBMITTED: frozenset({_S.HELD, _S.SUCCEEDED, _S.FAILED}),
    _S.UNKNOWN: frozenset({_S.HELD, _S.SUBMITTED, _S.SUCCEEDED, _S.FAILED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset({_S.PAYOUT, _S.MANUAL}),
    _S.PAYOUT: frozenset({_S.SUCCEEDED, _S.FAILED}),
    _S.MANUAL: frozenset({_S.SUCCEEDED, _S.FAILED}),
}

RETRY_DELAYS = tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 360, 1440))
"""How long to wait before a refund is sent again, under the same number, after a refusal that may pass."""

_PREFIXES = {RefundMethod.VOID: "rvo", RefundMethod.ORIGINAL: "ref", RefundMethod.PAYOUT: "rpo"}


@dataclass(slots=True)
class Refund:
    """One row of payments.refund.

    Attributes:
        amount_minor: What the payer gets back.
        platform_minor, channel_minor: What the funders of discounts get back of the same goods.
        fee_minor: What we return of our fee; it is part of what pays for the refund.
        hold_id: The reserve in the ledger; a new one each time money is reserved anew.
        tries: How often a channel has refused it.
        merchant_order_no: The payment's.
        lines: What it gives back of which items, where the payment has items.
        late_success_at: When a channel proved that the original way succeeded after it was proven failed.
    """

    refund_id: UUID
    payment_id: UUID
    attempt_id: UUID
    merchant_id: UUID
    account_id: UUID
    channel: str
    kind: RefundKind
    merchant_refund_no: str | None
    amount_minor: int
    currency: str
    reason: str
    platform_minor: int
    channel_minor: int
    fee_minor: int
    route: RefundMethod
    state: RefundState
    hold_id: UUID
    tries: int
    queries: int
    channel_refund_no: str | None
    channel_code: str | None
    channel_message: str | None
    payout_account_id: UUID | None
    payee_sealed: bytes | None
    reference: str | None
    created_at: datetime
    finished_at: datetime | None
    next_query_at: datetime | None
    late_success_at: datetime | None
    merchant_order_no: str
    lines: tuple[RefundLine, ...] = ()

    @property
    def number(self) -> str:
        """Our number at the channel: one for each way, and the same however often it is sent."""
        return ids.encode(_PREFIXES[self.route], self.refund_id)

    @property
    def counts(self) -> bool:
        """Whether it uses up some of what can be given back."""
        return self.kind is RefundKind.REFUND and self.state is not RefundState.FAILED


def read_number(number: str) -> tuple[RefundMethod, UUID]:
    """Which refund a channel speaks of, and which way of it.

    Errors:
        NotFound: it is not a number of ours.
    """
    for route, prefix in _PREFIXES.items():
        if number.startswith(prefix + "_"):
            return route, ids.decode(prefix, number)
    raise NotFound("no refund has this number")


async def find_refunds(
    tx: db.Tx, refund_ids: Collection[UUID], *, merchant_id: UUID | None = None
) -> dict[UUID, Refund]:
    """Refunds as last committed; absent ones are left out, and so are another merchant's."""
    rows = await sql.find_refunds.fetch(tx, refund_ids, merchant_id)
    return {row["refund_id"]: read_refund(row) for row in rows}


async def refunds_of(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, list[Refund]]:
    """All refunds of some payments, first to last."""
    found: dict[UUID, list[Refund]] = {payment_id: [] for payment_id in payment_ids}
    for row in await sql.refunds_of_payments.fetch(tx, payment_ids):
        found[row["payment_id"]].append(read_refund(row))
    return found


async def list_refunds(tx: db.Tx, payment_id: UUID, *, after: UUID | None, limit: int) -> list[Refund]:
    """Refunds of one payment, first to last, from after the one given."""
    return [read_refund(row) for row in await sql.page_of_refunds.fetch(tx, payment_id, after, limit)]


async def insert_refunds(tx: db.Tx, refunds: Sequence[Refund], *, now: datetime) -> None:
    """Write the intents of refunds down."""
    if not refunds:
        return
    lines = [
        orjson.dumps(
            [[li.item_id, li.quantity, li.payer_minor, li.platform_minor, li.channel_minor] for li in refund.lines]
        ).decode()
        for refund in refunds
    ]
    try:
        await sql.insert_refunds.execute(tx, rows=refunds, created_at=now, lines=lines)
    except asyncpg.UniqueViolationError as error:
        # Another transaction has taken the number since we looked: seen from the start, it stands there.
        raise asyncpg.SerializationError(str(error)) from error


async def save_refunds(tx: db.Tx, changed: Sequence[tuple[Refund, str | None]]) -> None:
    """Write the states of refunds whose payments the caller has locked, each with how it was learnt."""
    if changed:
        await sql.update_refunds.execute(
            tx, rows=[refund for refund, _ in changed], source=[source for _, source in changed]
        )


def _read_lines(text: str) -> tuple[RefundLine, ...]:
    return tuple(RefundLine(*line) for line in orjson.loads(text))


read_refund = db.reader(Refund, (*sql["refund"], "merchant_order_no"), lines=_read_lines)
