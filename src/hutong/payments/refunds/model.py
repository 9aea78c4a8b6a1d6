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
    return {row["id"]: refund_of(row) for row in rows}


async def refunds_of(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, list[Refund]]:
    """All refunds of some payments, first to last."""
    found: dict[UUID, list[Refund]] = {payment_id: [] for payment_id in payment_ids}
    for row in await sql.refunds_of_payments.fetch(tx, payment_ids):
        found[row["payment_id"]].append(refund_of(row))
    return found


async def list_refunds(tx: db.Tx, payment_id: UUID, *, after: UUID | None, limit: int) -> list[Refund]:
    """Refunds of one payment, first to last, from after the one given."""
    return [refund_of(row) for row in await sql.page_of_refunds.fetch(tx, payment_id, after, limit)]


async def insert_refunds(tx: db.Tx, refunds: Sequence[Refund], *, now: datetime) -> None:
    """Write the intents of refunds down."""
    if not refunds:
        return
    rows = [
        (
            r.refund_id, r.payment_id, r.attempt_id, r.merchant_id, r.account_id, r.channel, r.kind,
            r.merchant_refund_no, r.amount_minor, r.currency, r.reason, r.platform_minor, r.channel_minor,
            r.fee_minor, r.route, r.state, r.hold_id, r.payout_account_id, r.next_query_at, r.payee_sealed,
            orjson.dumps([[li.item_id, li.quantity, li.payer_minor, li.platform_minor, li.channel_minor]
                          for li in r.lines]).decode(),
        )
        for r in refunds
    ]  # fmt: skip
    try:
        await sql.insert_refunds.execute(tx, *(list(column) for column in zip(*rows, strict=True)), now)
    except asyncpg.UniqueViolationError as error:
        # Another transaction has taken the number since we looked: seen from the start, it stands there.
        raise asyncpg.SerializationError(str(error)) from error


async def save_refunds(tx: db.Tx, changed: Sequence[tuple[Refund, str | None]]) -> None:
    """Write the states of refunds whose payments the caller has locked, each with how it was learnt."""
    if not changed:
        return
    rows = [
        (
            r.refund_id, r.route, r.state, r.hold_id, r.tries, r.channel_refund_no, r.channel_code, r.channel_message,
            source, r.payout_account_id, r.payee_sealed, r.reference, r.finished_at, r.next_query_at,
            r.late_success_at,
        )
        for r, source in changed
    ]  # fmt: skip
    await sql.update_refunds.execute(tx, *(list(column) for column in zip(*rows, strict=True)))


def refund_of(row: asyncpg.Record) -> Refund:
    """A refund as one row of the statements above."""
    return Refund(
        row["id"], row["payment_id"], row["attempt_id"], row["merchant_id"], row["account_id"], row["channel"],
        RefundKind(row["kind"]), row["merchant_refund_no"], row["amount_minor"], row["currency"], row["reason"],
        row["platform_minor"], row["channel_minor"], row["fee_minor"], RefundMethod(row["route"]),
        RefundState(row["state"]), row["hold_id"], row["tries"], row["queries"], row["channel_refund_no"],
        row["channel_code"], row["channel_message"], row["payout_account_id"], row["payee_sealed"], row["reference"],
        row["created_at"], row["finished_at"], row["next_query_at"], row["late_success_at"], row["merchant_order_no"],
        tuple(RefundLine(*line) for line in orjson.loads(row["lines"])),
    )  # fmt: skip
