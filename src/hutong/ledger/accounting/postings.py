"""The one way to book chains of the accounting events' transfers."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db, money
from hutong.clock import to_ns
from hutong.errors import InvalidParameter, InvariantBroken
from hutong.ledger.accounting.chart import PLATFORM_OWNERS, AccountOwner, account_id, subject
from hutong.ledger.accounting.events import EVENTS, EventCode
from hutong.ledger.accounts import open_accounts
from hutong.ledger.ledger import Ledger
from hutong.ledger.model import AMOUNT_MAX, CreateTransferStatus, Transfer, TransferFlags

Opening = tuple[int, UUID, str]
"""Chart code, owner and currency: an account that must be open."""


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
