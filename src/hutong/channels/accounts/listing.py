"""Channel accounts as an operator sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.channels.statements import sql


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One account without its credentials. `version` counts what was changed about it."""

    account_id: UUID
    channel: str
    name: str
    enabled: bool
    sandbox: bool
    version: int
    created_at: datetime
    updated_at: datetime


async def list_accounts(tx: db.Tx) -> list[AccountEntry]:
    """All accounts, by channel and name."""
    return [AccountEntry(*row) for row in await sql.list_accounts.fetch(tx)]
