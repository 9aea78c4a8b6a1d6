"""The bank accounts whose statements come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids, money, operators
from hutong.clock import instant
from hutong.errors import Conflict, NotFound
from hutong.reconciliation.model import BANK_PREFIX
from hutong.reconciliation.statements import sql


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A bank account. What lies on it is booked under the platform's one account of bank deposits.

    Attributes:
        number: As its statements name it, such as an IBAN.
    """

    bank_account_id: UUID
    name: str
    number: str
    currency: str
    created_at: datetime

    def document(self) -> dict[str, Any]:
        """Return the form for operators."""
        return {
            "id": ids.encode(BANK_PREFIX, self.bank_account_id),
            "object": "bank_account",
            "name": self.name,
            "number": self.number,
            "currency": self.currency,
            "created_at": instant(self.created_at),
        }


_read = db.reader(BankAccount, sql["bank_account"])


async def add_account(
    tx: db.Tx,
    account: BankAccount,
    *,
    reason: str,
    actor_id: UUID | None = None,
    request_id: str | None = None,
) -> BankAccount:
    """Add a bank account, whose number is kept without blanks.

    Args:
        actor_id: The operator; None for the command line.

    Effects:
        Leaves a trace in the audit journal.

    Errors:
        InvalidParameter: there is no such currency.
        Conflict: another account has its name or its number.
    """
    money.currency(account.currency)
    rows = await sql.add_bank_account.fetch(
        tx,
        bank_account_id=account.bank_account_id,
        name=account.name,
        number="".join(account.number.split()),
        currency=account.currency,
        created_at=account.created_at,
    )
    if not rows:
        raise Conflict("another bank account has this `name` or this `number`")
    added = _read(rows[0])
    document = added.document()
    entry = operators.AuditEntry(
        actor_id, "bank_account.add", "bank_account", document["id"], reason, after=document, request_id=request_id
    )
    await operators.audit(tx, [entry], now=account.created_at)
    return added


async def list_accounts(tx: db.Tx) -> list[BankAccount]:
    """Return all bank accounts in the order in which they were added."""
    return [_read(row) for row in await sql.list_bank_accounts.fetch(tx, bank_account_id=None)]


async def find_account(tx: db.Tx, bank_account_id: UUID) -> BankAccount:
    """Return a bank account.

    Errors:
        NotFound.
    """
    rows = await sql.list_bank_accounts.fetch(tx, bank_account_id=bank_account_id)
    if not rows:
        raise NotFound("no bank account has this id")
    return _read(rows[0])
