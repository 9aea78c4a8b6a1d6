"""The accounting events: one table of codes, names and legs, and the one way to book chains of their transfers.

To add an event, give it a code that no event has had, a row in `EVENTS`, and its legs. Codes and legs already booked
lie in the journal for good: a row may gain legs, but its code keeps its meaning.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db, money
from hutong.clock import to_ns
from hutong.errors import InvalidParameter, InvariantBroken
from hutong.ledger.accounting import chart
from hutong.ledger.accounting.chart import PLATFORM_OWNERS, AccountOwner, account_id, subject
from hutong.ledger.accounts import open_accounts
from hutong.ledger.ledger import Ledger
from hutong.ledger.model import AMOUNT_MAX, CreateTransferStatus, Transfer, TransferFlags

Opening = tuple[int, UUID, str]
"""Chart code, owner and currency: an account that must be open."""


class EventCode(enum.IntEnum):
    """The reason for a transfer: the `code` of its row in the journal."""

    PAYMENT = 1
    FEE = 2
    SURPLUS = 3
    REFUND = 4
    FEE_RETURN = 5
    FUNDING_RETURN = 6
    SURPLUS_REFUND = 7
    LATE_REFUND = 8
    FUNDING = 9
    CHANNEL_COST = 10
    CHANNEL_SETTLEMENT = 11
    MERCHANT_SETTLEMENT = 12
    PAYOUT = 13
    MERCHANT_DISCOUNT = 14
    APPLICATION_FEE = 15
    REFUND_DIFFERENCE = 16
    DISPUTE = 17
    DISPUTE_RETURN = 18
    DISPUTE_LOSS = 19
    DISPUTE_FEE = 20
    STANDING_ORDER = 60
    REVERSAL = 61
    MONTH_CLOSING = 70
    YEAR_CLOSING = 71
    MANUAL_ENTRY = 80
    MANUAL = 99


@dataclass(frozen=True, slots=True)
class Leg:
    """One transfer of an event.

    Attributes:
        name: Tells the legs of an event apart.
        debit, credit: Codes of the chart. Whose accounts they are, the chart says.
        amount: The amount that the leg moves, in English.
        flags: PENDING for money that is held first, and posted or voided later.
        credit_owner: The owner of the credited account, where it is not the one that the chart names.
    """

    name: str
    debit: int
    credit: int
    amount: str
    flags: TransferFlags = TransferFlags.NONE
    credit_owner: AccountOwner | None = None


@dataclass(frozen=True, slots=True)
class AccountingEvent:
    """One row of the table.

    Attributes:
        legs: Its transfers. An event without legs moves money between accounts that the caller names.
        booked: Whether anything books the event yet.
    """

    code: EventCode
    name_en: str
    name_zh: str
    legs: tuple[Leg, ...] = ()
    booked: bool = True

    @property
    def name(self) -> str:
        """The name in code and configuration: `surplus_refund`."""
        return self.code.name.lower()


_PENDING = TransferFlags.PENDING
_SENDER = AccountOwner.SENDING_ACCOUNT

EVENTS: dict[int, AccountingEvent] = {
    int(event.code): event
    for event in (
        AccountingEvent(
            EventCode.PAYMENT, "payment", "收款",
            (Leg("payment", chart.CHANNEL_RECEIVABLE, chart.MERCHANT_PENDING, "amount captured"),),
        ),
        AccountingEvent(
            EventCode.FEE, "merchant fee", "手续费",
            (Leg("fee", chart.MERCHANT_PENDING, chart.FEE_INCOME, "fee"),),
        ),
        AccountingEvent(
            EventCode.SURPLUS, "surplus: late or second success", "多收款",
            (Leg("surplus", chart.CHANNEL_RECEIVABLE, chart.SURPLUS_TO_REFUND, "amount captured"),),
        ),
        AccountingEvent(
            EventCode.REFUND, "refund", "退款",
            (
                Leg("merchant", chart.MERCHANT_PENDING, chart.REFUND_IN_TRANSIT, "refund less returned fee", _PENDING),
                Leg("out", chart.REFUND_IN_TRANSIT, chart.CHANNEL_RECEIVABLE, "refund", credit_owner=_SENDER),
                Leg("out_of_bank", chart.REFUND_IN_TRANSIT, chart.BANK_DEPOSITS, "refund paid by hand from the bank"),
            ),
        ),
        AccountingEvent(
            EventCode.FEE_RETURN, "fee returned with a refund", "手续费退还",
            (Leg("fee", chart.FEE_INCOME, chart.REFUND_IN_TRANSIT, "returned fee", _PENDING),),
        ),
        AccountingEvent(
            EventCode.FUNDING_RETURN, "discount funding returned with a refund", "优惠资金退还",
            (
                Leg("platform", chart.MERCHANT_PENDING, chart.MARKETING_COST, "platform's part", _PENDING),
                Leg("channel", chart.MERCHANT_PENDING, chart.CHANNEL_RECEIVABLE, "channel's part", _PENDING),
            ),
        ),
        AccountingEvent(
            EventCode.SURPLUS_REFUND, "surplus refunded", "多收款退还",
            (
                Leg("out", chart.SURPLUS_TO_REFUND, chart.CHANNEL_RECEIVABLE, "surplus", credit_owner=_SENDER),
                Leg("out_of_bank", chart.SURPLUS_TO_REFUND, chart.BANK_DEPOSITS, "surplus paid by hand from the bank"),
            ),
        ),
        AccountingEvent(
            EventCode.LATE_REFUND, "refund that succeeded after it had failed", "迟到退款",
            (Leg("late", chart.SUSPENSE, chart.CHANNEL_RECEIVABLE, "refund"),),
        ),
        AccountingEvent(
            EventCode.FUNDING, "discount funding", "优惠资金",
            (
                Leg("platform", chart.MARKETING_COST, chart.MERCHANT_PENDING, "platform's part"),
                Leg("channel", chart.CHANNEL_RECEIVABLE, chart.MERCHANT_PENDING, "channel's part"),
            ),
        ),
        AccountingEvent(
            EventCode.CHANNEL_COST, "channel cost", "渠道成本",
            (Leg("cost", chart.CHANNEL_COST, chart.CHANNEL_RECEIVABLE, "cost"),), booked=False,
        ),
        AccountingEvent(
            EventCode.CHANNEL_SETTLEMENT, "channel settled to the bank", "渠道结算到账",
            (Leg("net", chart.BANK_DEPOSITS, chart.CHANNEL_RECEIVABLE, "net amount"),), booked=False,
        ),
        AccountingEvent(
            EventCode.MERCHANT_SETTLEMENT, "settlement to the merchant's balance", "商户结算",
            (Leg("settled", chart.MERCHANT_PENDING, chart.MERCHANT_AVAILABLE, "statement amount"),), booked=False,
        ),
        AccountingEvent(
            EventCode.PAYOUT, "payout", "付款",
            (
                Leg("hold", chart.MERCHANT_AVAILABLE, chart.PAYOUT_IN_TRANSIT, "payout", _PENDING),
                Leg("out", chart.PAYOUT_IN_TRANSIT, chart.BANK_DEPOSITS, "payout"),
            ),
            booked=False,
        ),
        AccountingEvent(
            EventCode.MERCHANT_DISCOUNT, "channel's discount borne by the merchant", "商户承担的渠道优惠",
            (
                Leg("payment", chart.MERCHANT_PENDING, chart.CHANNEL_RECEIVABLE, "discount"),
                Leg("surplus", chart.SURPLUS_TO_REFUND, chart.CHANNEL_RECEIVABLE, "discount on a surplus"),
            ),
        ),
        AccountingEvent(
            EventCode.APPLICATION_FEE, "application fee withheld by the channel", "渠道代扣的平台费",
            (
                Leg("payment", chart.MERCHANT_PENDING, chart.CHANNEL_RECEIVABLE, "application fee"),
                Leg("surplus", chart.SURPLUS_TO_REFUND, chart.CHANNEL_RECEIVABLE, "application fee on a surplus"),
            ),
        ),
        AccountingEvent(
            EventCode.REFUND_DIFFERENCE, "refund of another settled part than was held", "退款结算差额",
            (
                Leg("less", chart.REFUND_IN_TRANSIT, chart.MERCHANT_PENDING, "held less what the refund has cost"),
                Leg("more", chart.SUSPENSE, chart.REFUND_IN_TRANSIT, "what the refund has cost less held"),
                Leg("surplus_more", chart.SUSPENSE, chart.SURPLUS_TO_REFUND, "cost of a surplus refund less owed"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE, "dispute", "争议扣款",
            (
                Leg("taken", chart.DISPUTED_AT_CHANNEL, chart.CHANNEL_RECEIVABLE, "taken by the channel"),
                Leg("held", chart.MERCHANT_PENDING, chart.DISPUTE_HELD, "taken and charged, held from the merchant"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE_RETURN, "dispute money returned", "争议款退回",
            (
                Leg("returned", chart.CHANNEL_RECEIVABLE, chart.DISPUTED_AT_CHANNEL, "given back by the channel"),
                Leg("released", chart.DISPUTE_HELD, chart.MERCHANT_PENDING, "given back to the merchant"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE_LOSS, "end of a dispute", "争议结案",
            (
                Leg("lost", chart.DISPUTE_HELD, chart.DISPUTED_AT_CHANNEL, "held and not given back"),
                Leg("reopened", chart.DISPUTED_AT_CHANNEL, chart.DISPUTE_HELD, "booked for good before"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE_FEE, "channel's fee for a dispute", "争议手续费",
            (
                Leg("charged", chart.DISPUTED_AT_CHANNEL, chart.CHANNEL_RECEIVABLE, "fee"),
                Leg("returned", chart.CHANNEL_RECEIVABLE, chart.DISPUTED_AT_CHANNEL, "fee given back"),
            ),
        ),
        AccountingEvent(EventCode.STANDING_ORDER, "standing order", "自动归集"),
        AccountingEvent(EventCode.REVERSAL, "reversal", "冲正"),
        AccountingEvent(EventCode.MONTH_CLOSING, "closing of a month", "月结"),
        AccountingEvent(EventCode.YEAR_CLOSING, "closing of a year", "年结"),
        AccountingEvent(EventCode.MANUAL_ENTRY, "manual entry", "手工分录"),
        AccountingEvent(EventCode.MANUAL, "transfer by hand", "手工记账"),
    )
}  # fmt: skip
"""Every accounting event by its code. The posting, voiding or expiry of a hold carries the code of the hold. A reversal
has a code of its own, and keeps that of the transfer that it reverses in `user_data_32`."""

_LEGS = {
    (event.code, leg.name): (leg, subject(leg.debit).per, leg.credit_owner or subject(leg.credit).per)
    for event in EVENTS.values()
    for leg in event.legs
}
"""Each leg with the owners of its two accounts."""
_DONE = frozenset({CreateTransferStatus.CREATED, CreateTransferStatus.EXISTS})
_NOT_OPEN = frozenset({CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND, CreateTransferStatus.CREDIT_ACCOUNT_NOT_FOUND})


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg of an event with its figures: it becomes one transfer.

    Attributes:
        base, name: The id of the transfer is `base` or, with a name, is derived from both. The same id each time makes
            the ledger itself refuse to book the transfer twice.
    """

    code: EventCode
    leg: str
    amount_minor: int
    base: UUID
    name: str = ""

    @property
    def transfer_id(self) -> int:
        """The id of the transfer."""
        return derive_id(self.base, self.name) if self.name else self.base.int


@dataclass(frozen=True, slots=True)
class Chain:
    """Postings that are booked in order, together or not at all.

    Attributes:
        owners: The owners of the accounts that the legs name; the platform's own are known.
        reference: The payment, refund or payout, kept in `user_data_128` of each transfer.
        holds: Postings booked before as holds, which the chain posts or voids first.
        resolution: POST_PENDING_TRANSFER or VOID_PENDING_TRANSFER, if there are holds.
    """

    postings: Sequence[Posting]
    owners: Mapping[AccountOwner, UUID]
    currency: str
    reference: UUID
    holds: Sequence[Posting] = ()
    resolution: TransferFlags = TransferFlags.NONE

    @property
    def transfer_ids(self) -> list[int]:
        """The ids of its transfers, in order."""
        resolved = [self.resolution_id(hold) for hold in self.holds]
        return [*resolved, *(posting.transfer_id for posting in self.postings)]

    def resolution_id(self, hold: Posting) -> int:
        """Return the id of the transfer that posts or voids one of its holds."""
        return derive_id(hold.base, f"{self.resolution.name}:{hold.name}")


def transfers_of(chain: Chain) -> tuple[list[Transfer], list[Opening]]:
    """Return the linked transfers of a chain, and the accounts that must be open for them.

    Errors:
        InvalidParameter: an owner that a leg needs is missing; `param` is "owners".
    """
    amount = AMOUNT_MAX if chain.resolution is TransferFlags.POST_PENDING_TRANSFER else 0
    transfers = [
        Transfer(
            id=chain.resolution_id(hold),
            pending_id=hold.transfer_id,
            amount=amount,
            flags=chain.resolution,
        )
        for hold in chain.holds
    ]
    ledger = money.currency(chain.currency).numeric
    openings: list[Opening] = []
    for posting in chain.postings:
        leg, debit_owner, credit_owner = _LEGS[posting.code, posting.leg]
        debit = (leg.debit, _owner(chain.owners, debit_owner), chain.currency)
        credit = (leg.credit, _owner(chain.owners, credit_owner), chain.currency)
        openings += (debit, credit)
        transfers.append(
            Transfer(
                id=posting.transfer_id,
                debit_account_id=account_id(*debit),
                credit_account_id=account_id(*credit),
                amount=posting.amount_minor,
                user_data_128=chain.reference.int,
                ledger=ledger,
                code=posting.code,
                flags=leg.flags,
            )
        )
    for transfer in transfers[:-1]:
        transfer.flags |= TransferFlags.LINKED
    return transfers, openings


def derive_id(base: UUID, name: str) -> int:
    """Return an id of the time of `base`, and always the same."""
    # `person` separates these ids from other digests. It is part of ids already booked, so it keeps its name.
    digest = hashlib.blake2b(name.encode() + base.bytes, digest_size=8, person=b"hutong-refund").digest()
    return base.int >> 64 << 64 | int.from_bytes(digest, "big")


async def book(
    tx: db.Tx,
    chains: Sequence[Chain],
    *,
    now: datetime,
    accounts: set[Opening] | None = None,
    refusable: Collection[CreateTransferStatus] = (),
) -> list[CreateTransferStatus]:
    """Book chains of transfers in the caller's transaction.

    Args:
        accounts: The accounts that this process knows to be open, which saves opening them; new ones are added.
        refusable: Refusals that the caller handles. Any other stops the transaction.

    Effects:
        Opens the accounts that the chains need; writes the transfers.

    Repeat:
        A transfer that exists counts as booked.

    Returns:
        One status per chain, in order: CREATED, or a refusal out of `refusable`.

    Errors:
        InvalidParameter: an owner that a leg needs is missing; `param` is "owners".
        InvariantBroken: a transfer was refused for another reason.
        asyncpg.SerializationError: an account in `accounts` is not open, because the transaction that opened it was
            rolled back. `accounts` is empty then, so that running the transaction again opens it.
    """
    made = [transfers_of(chain) for chain in chains]
    needed = {opening for _, openings in made for opening in openings}
    missing = sorted(needed if accounts is None else needed - accounts)
    if missing:
        await open_accounts(tx, missing, now=now)
    transfers = [transfer for chain, _ in made for transfer in chain]
    results = iter(await Ledger(tx, clock=lambda: to_ns(now)).create_transfers(transfers))
    statuses = []
    for chain, _ in made:
        refused = [(each, status) for each in chain if (status := next(results).status) not in _DONE]
        # The reason rather than what followed from it.
        causes = [refusal for refusal in refused if refusal[1] is not CreateTransferStatus.LINKED_EVENT_FAILED]
        transfer, status = next(iter(causes or refused), (None, CreateTransferStatus.CREATED))
        if accounts is not None and status in _NOT_OPEN:
            accounts.clear()
            raise asyncpg.SerializationError("an account was opened in a transaction that was rolled back")
        if transfer is not None and status not in refusable:
            raise InvariantBroken(f"transfer {UUID(int=transfer.id)} was refused: {status.name}")
        statuses.append(status)
    if accounts is not None:
        accounts.update(missing)
    return statuses


def _owner(owners: Mapping[AccountOwner, UUID], role: AccountOwner) -> UUID:
    owner = owners.get(role) or PLATFORM_OWNERS.get(role)
    if owner is None:
        raise InvalidParameter(f"the posting needs the owner of the {role.value}'s account", param="owners")
    return owner
