"""Manual entries: several debits and credits that balance per currency, booked together or not at all."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from hutong import db, money
from hutong.clock import to_ns
from hutong.errors import Conflict, InvalidParameter
from hutong.ledger.accounting.events import EventCode
from hutong.ledger.accounting.postings import derive_id
from hutong.ledger.codec import uuid_of
from hutong.ledger.ledger import Ledger
from hutong.ledger.model import AccountFlags, CreateTransferStatus, Transfer, TransferFlags
from hutong.ledger.statements import sql as _sql

LINES_MAX = 200
_CODE_MAX = 65_535
_NO_REFUSAL = (
    CreateTransferStatus.CREATED,
    CreateTransferStatus.EXISTS,
    CreateTransferStatus.LINKED_EVENT_FAILED,  # another transfer of the chain has the cause
)


class Side(StrEnum):
    """The side on which a line of an entry is booked."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One line of a manual entry: an amount on one side of an account, in the account's currency."""

    account_id: UUID
    side: Side
    amount_minor: int
    currency: str


async def check_entry(tx: db.Tx, lines: Sequence[EntryLine]) -> None:
    """Refuse an entry that could not be booked, naming the line; books nothing.

    Errors:
        InvalidParameter: too few or too many lines, an amount that is none, an account that does not exist, is closed,
            keeps another currency or stands on both sides, or debits and credits of a currency that differ.
    """
    if not 2 <= len(lines) <= LINES_MAX:
        raise InvalidParameter(f"an entry has 2 to {LINES_MAX} lines", param="lines")
    ids = {line.account_id for line in lines}
    accounts = {row["id"].int: row for row in await _sql.accounts_of.fetch(tx, [uuid_of(one.int) for one in ids])}
    sides: dict[UUID, Side] = {}
    sums: dict[str, int] = defaultdict(int)
    for number, line in enumerate(lines):
        _check_line(line, accounts.get(line.account_id.int), f"lines[{number}]")
        if sides.setdefault(line.account_id, line.side) is not line.side:
            raise InvalidParameter(
                f"the account {line.account_id} stands on both sides", param=f"lines[{number}].account_id"
            )
        sums[line.currency] += line.amount_minor if line.side is Side.DEBIT else -line.amount_minor
    for currency, difference in sums.items():
        if difference:
            more = "debits exceed the credits" if difference > 0 else "credits exceed the debits"
            raise InvalidParameter(
                f"the entry does not balance: in {currency}, the {more} by {abs(difference)}", param="lines"
            )


def _check_line(line: EntryLine, account: Any, at: str) -> None:
    if not 0 < line.amount_minor <= money.AMOUNT_MINOR_MAX:
        raise InvalidParameter("an amount is from 1 to 2^63-1 minor units", param=f"{at}.amount_minor")
    ledger = money.currency(line.currency).numeric
    if account is None:
        raise InvalidParameter(f"no account has the id {line.account_id}", param=f"{at}.account_id")
    if account["ledger"] != ledger:
        raise InvalidParameter(f"the account {line.account_id} does not keep {line.currency}", param=f"{at}.currency")
    if account["flags"] & AccountFlags.CLOSED:
        raise InvalidParameter(f"the account {line.account_id} is closed", param=f"{at}.account_id")


async def book_entry(
    tx: db.Tx, entry_id: UUID, lines: Sequence[EntryLine], *, reference: UUID | None, now: datetime
) -> list[UUID]:
    """Book a manual entry under its own code, as one chain of transfers.

    Args:
        entry_id: Makes the ids of the transfers, so that the ledger refuses to book an entry twice.
        reference: The object that the entry is about; by default, the entry.

    Returns:
        The ids of the transfers.

    Errors:
        InvalidParameter: as `check_entry`.
        Conflict: the ledger refused a transfer, because of a limit for instance.
    """
    await check_entry(tx, lines)
    transfers = [
        Transfer(
            id=derive_id(entry_id, f"entry {number}"),
            debit_account_id=debit.int,
            credit_account_id=credit.int,
            amount=amount,
            user_data_128=(reference or entry_id).int,
            ledger=money.currency(currency).numeric,
            code=EventCode.MANUAL_ENTRY,
        )
        for number, (debit, credit, amount, currency) in enumerate(_pairs(lines))
    ]
    for transfer in transfers[:-1]:
        transfer.flags |= TransferFlags.LINKED  # all of them are booked or none
    await create_or_refuse(tx, transfers, now=now)
    return [UUID(int=transfer.id) for transfer in transfers]


async def book_transfer(
    tx: db.Tx, transfer_id: UUID, *, debit: UUID, credit: UUID, amount_minor: int, currency: str, code: int,
    reference: UUID | None, now: datetime,
) -> bool:  # fmt: skip
    """Book one transfer by hand.

    Returns:
        Whether it was booked before.

    Errors:
        InvalidParameter: the amount or the code is out of range.
        Conflict: the ledger refused it.
    """
    if not 0 < amount_minor <= money.AMOUNT_MINOR_MAX:
        raise InvalidParameter("an amount is from 1 to 2^63-1 minor units", param="amount_minor")
    if not 0 < code <= _CODE_MAX:
        raise InvalidParameter(f"a code is from 1 to {_CODE_MAX}", param="code")
    transfer = Transfer(
        id=transfer_id.int, debit_account_id=debit.int, credit_account_id=credit.int, amount=amount_minor,
        user_data_128=reference.int if reference else 0, ledger=money.currency(currency).numeric, code=code,
    )  # fmt: skip
    return await create_or_refuse(tx, [transfer], now=now)


async def create_or_refuse(tx: db.Tx, transfers: Sequence[Transfer], *, now: datetime) -> bool:
    """Create transfers, all of them.

    Returns:
        Whether they existed.

    Errors:
        Conflict: one was refused; the caller's transaction must not be committed.
    """
    results = await Ledger(tx, clock=lambda: to_ns(now)).create_transfers(transfers)
    refused = [
        (transfer, result.status)
        for transfer, result in zip(transfers, results, strict=True)
        if result.status not in _NO_REFUSAL
    ]
    for transfer, status in refused:
        debit, credit = UUID(int=transfer.debit_account_id), UUID(int=transfer.credit_account_id)
        raise Conflict(
            f"the ledger refused {transfer.amount} from {debit} to {credit}: {status.name.lower().replace('_', ' ')}"
        )
    return any(result.status is CreateTransferStatus.EXISTS for result in results)


def _pairs(lines: Sequence[EntryLine]) -> Iterator[tuple[UUID, UUID, int, str]]:
    """Yield transfers with the sums of the lines: each debit is matched with the credits that are left, in order."""
    for currency in dict.fromkeys(line.currency for line in lines):
        in_currency = [line for line in lines if line.currency == currency]
        credit_lines = deque(line for line in in_currency if line.side is Side.CREDIT)
        matched = 0
        for line in in_currency:
            if line.side is Side.CREDIT:
                continue
            left = line.amount_minor
            while left:
                credit = credit_lines[0]
                amount = min(left, credit.amount_minor - matched)
                yield line.account_id, credit.account_id, amount, currency
                left, matched = left - amount, matched + amount
                if matched == credit.amount_minor:
                    credit_lines.popleft()
                    matched = 0
