"""What refunds mean in the books: money is reserved first, and booked or released once the channel has spoken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from uuid import UUID

from hutong import db, ledger, money
from hutong.clock import to_ns
from hutong.errors import InvariantBroken
from hutong.ledger import CreateTransferStatus, TransferFlags
from hutong.payments.model import Attempt, Payment
from hutong.payments.postings import (
    CHANNEL_RECEIVABLE,
    FEE_INCOME,
    MERCHANT_PENDING,
    PRODUCT,
    SURPLUS_TO_REFUND,
    Opening,
)
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod

BANK_DEPOSITS = 1001
REFUND_IN_TRANSIT = 2201
SUSPENSE = 2301
MARKETING_COST = 5002

BANK = UUID(int=1)
"""The bank account that people pay from; one for all until there are more."""
CAMPAIGN = UUID(int=1)
"""The campaign that bears the discounts which the platform funds; one for all until campaigns differ."""

_DONE = frozenset({CreateTransferStatus.CREATED, CreateTransferStatus.EXISTS})


Chain = tuple[list[ledger.Transfer], list[Opening]]
"""Linked transfers, all of them or none, and the accounts that must be open for them."""


class Code(IntEnum):
    """Why a transfer was made; goes on where the codes of payments end."""

    REFUND = 4
    FEE_RETURN = 5
    FUNDING_RETURN = 6
    SURPLUS_REFUND = 7
    LATE_REFUND = 8
    FUNDING = 9


class HoldOutcome(Enum):
    """Whether the money could be reserved."""

    YES = "yes"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, slots=True)
class _Leg:
    name: str
    debit: Opening
    credit: Opening
    amount: int
    code: Code


def funding(payment: Payment, attempt: Attempt, platform_minor: int, channel_minor: int) -> Chain:
    """What others than the payer put to a success, for the merchant: ours as marketing cost, the channel's as owed."""
    at = payment.currency
    pending = (MERCHANT_PENDING, payment.merchant_id, at)
    legs = [
        _Leg("fund:platform", (MARKETING_COST, CAMPAIGN, at), pending, platform_minor, Code.FUNDING),
        _Leg("fund:channel", (CHANNEL_RECEIVABLE, attempt.account_id, at), pending, channel_minor, Code.FUNDING),
    ]
    legs = [leg for leg in legs if leg.amount]
    transfers = [_movement(attempt.attempt_id, at, payment.payment_id, leg) for leg in legs]
    return _linked(transfers), [side for leg in legs for side in (leg.debit, leg.credit)]


def _hold_legs(refund: Refund) -> list[_Leg]:
    """What is reserved: the payer's part from the merchant and from our fee, and the parts of other funders."""
    at = refund.currency
    pending = (MERCHANT_PENDING, refund.merchant_id, at)
    transit = (REFUND_IN_TRANSIT, refund.account_id, at)
    legs = [
        _Leg("merchant", pending, transit, refund.amount_minor - refund.fee_minor, Code.REFUND),
        _Leg("fee", (FEE_INCOME, PRODUCT, at), transit, refund.fee_minor, Code.FEE_RETURN),
        _Leg("platform", pending, (MARKETING_COST, CAMPAIGN, at), refund.platform_minor, Code.FUNDING_RETURN),
        _Leg("channel", pending, (CHANNEL_RECEIVABLE, refund.account_id, at), refund.channel_minor,
             Code.FUNDING_RETURN),
    ]  # fmt: skip
    return [leg for leg in legs if leg.amount]


def _out_leg(refund: Refund, *, from_bank: bool = False) -> _Leg:
    """Where the money leaves."""
    at = refund.currency
    source = (CHANNEL_RECEIVABLE, refund.account_id, at)
    if refund.route is RefundMethod.PAYOUT and refund.payout_account_id is not None:
        source = (CHANNEL_RECEIVABLE, refund.payout_account_id, at)
    elif refund.route is RefundMethod.MANUAL and from_bank:
        source = (BANK_DEPOSITS, BANK, at)
    if refund.kind is RefundKind.SURPLUS:
        surplus = (SURPLUS_TO_REFUND, refund.account_id, at)
        return _Leg("out", surplus, source, refund.amount_minor, Code.SURPLUS_REFUND)
    transit = (REFUND_IN_TRANSIT, refund.account_id, at)
    return _Leg("out", transit, source, refund.amount_minor, Code.REFUND)


async def hold(tx: db.Tx, refunds: Sequence[Refund], *, now: datetime) -> list[HoldOutcome]:
    """Reserve the money of each refund, all of it or none.

    Returns:
        One answer per refund, in order.
    """
    legs = [_hold_legs(refund) for refund in refunds]
    chains = [
        _linked([_transfer(refund, leg, TransferFlags.PENDING) for leg in own])
        for refund, own in zip(refunds, legs, strict=True)
    ]
    await _open(tx, (side for own in legs for leg in own for side in (leg.debit, leg.credit)), now=now)
    answers = iter(await _book(tx, [transfer for chain in chains for transfer in chain], now=now))
    results: list[HoldOutcome] = []
    for refund, chain in zip(refunds, chains, strict=True):
        statuses = [next(answers) for _ in chain]
        if all(status in _DONE for status in statuses):
            results.append(HoldOutcome.YES)
        elif CreateTransferStatus.EXCEEDS_CREDITS in statuses:
            results.append(HoldOutcome.INSUFFICIENT)
        else:
            raise InvariantBroken(f"the hold of refund {refund.refund_id} was refused: {statuses}")
    return results


def success(refund: Refund, *, from_bank: bool = False) -> Chain:
    """Its reserve for good, and the money out."""
    out = _out_leg(refund, from_bank=from_bank)
    chain = _resolution(refund, TransferFlags.POST_PENDING_TRANSFER)
    if out.amount:
        chain.append(_transfer(refund, out))
    return _linked(chain), [out.debit, out.credit]


def failure(refund: Refund) -> Chain:
    """Its reserve released."""
    return _linked(_resolution(refund, TransferFlags.VOID_PENDING_TRANSFER)), []


def late_success(refund: Refund) -> Chain:
    """Money that left by a way that was proven failed: gone, and not yet explained."""
    suspense = (SUSPENSE, refund.account_id, refund.currency)
    receivable = (CHANNEL_RECEIVABLE, refund.account_id, refund.currency)
    leg = _Leg("late", suspense, receivable, refund.amount_minor, Code.LATE_REFUND)
    return [_transfer(refund, leg)], [suspense, receivable]


async def book(tx: db.Tx, chains: Sequence[Chain], *, now: datetime) -> None:
    """Write chains that must not be refused.

    Errors:
        InvariantBroken: one was.
    """
    transfers = [transfer for chain, _ in chains for transfer in chain]
    await _open(tx, (opening for _, needed in chains for opening in needed), now=now)
    for transfer, status in zip(transfers, await _book(tx, transfers, now=now), strict=True):
        if status not in _DONE:
            raise InvariantBroken(f"transfer {UUID(int=transfer.id)} was refused: {status.name}")


def _resolution(refund: Refund, flag: TransferFlags) -> list[ledger.Transfer]:
    if refund.kind is RefundKind.SURPLUS:
        return []  # its money lies apart from the beginning
    return [
        ledger.Transfer(
            id=_id(refund.hold_id, f"{flag.name}:{leg.name}"),
            pending_id=_id(refund.hold_id, leg.name),
            amount=ledger.AMOUNT_MAX if flag is TransferFlags.POST_PENDING_TRANSFER else 0,
            flags=flag,
        )
        for leg in _hold_legs(refund)
    ]


def _transfer(refund: Refund, leg: _Leg, flags: TransferFlags = TransferFlags.NONE) -> ledger.Transfer:
    return _movement(refund.hold_id, refund.currency, refund.payment_id, leg, flags)


def _movement(
    base: UUID, currency: str, payment_id: UUID, leg: _Leg, flags: TransferFlags = TransferFlags.NONE
) -> ledger.Transfer:
    return ledger.Transfer(
        id=_id(base, leg.name),
        debit_account_id=ledger.account_id(*leg.debit),
        credit_account_id=ledger.account_id(*leg.credit),
        amount=leg.amount,
        ledger=money.currency(currency).numeric,
        code=leg.code,
        user_data_128=payment_id.int,
        flags=flags,
    )


def _linked(transfers: list[ledger.Transfer]) -> list[ledger.Transfer]:
    for transfer in transfers[:-1]:
        transfer.flags |= TransferFlags.LINKED
    return transfers


def _id(base: UUID, name: str) -> int:
    """A transfer's id: of the base's time, and always the same, so that the ledger itself refuses it a second time."""
    digest = hashlib.blake2b(name.encode() + base.bytes, digest_size=8, person=b"hutong-refund").digest()
    return base.int >> 64 << 64 | int.from_bytes(digest, "big")


async def _open(tx: db.Tx, needed: Iterable[Opening], *, now: datetime) -> None:
    wanted = sorted(set(needed))
    if wanted:
        await ledger.open_accounts(tx, wanted, now=now)


async def _book(tx: db.Tx, transfers: Sequence[ledger.Transfer], *, now: datetime) -> list[CreateTransferStatus]:
    if not transfers:
        return []
    return [answer.status for answer in await ledger.Ledger(tx, clock=lambda: to_ns(now)).create_transfers(transfers)]
