"""Acts on accounts and on the chart: each by one person, with a reason."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, ledger, money
from hutong.bookkeeping.person import Person
from hutong.errors import InvalidParameter
from hutong.ledger import finance


async def add_subject(
    tx: db.Tx, person: Person, *, code: int, parent: int, name_en: str, name_zh: str, per: ledger.AccountOwner,
    covered: bool, now: datetime,
) -> finance.Subject:  # fmt: skip
    """Add a subject to the chart of accounts, permanently. Errors as `ledger.finance`'s."""
    person.check()
    subject = finance.make_subject(code, name_en, name_zh, per, covered=covered)
    await finance.add_subject(tx, subject, parent=parent, by=person.by, reason=person.reason, now=now)
    after = {"name_en": name_en, "name_zh": name_zh, "per": per.value, "covered": covered}
    await person.note(tx, "add_subject", "subject", code, now=now, after=after)
    return subject


async def open_account(
    tx: db.Tx, person: Person, *, code: int, owner: UUID | None, currency: str, now: datetime
) -> finance.ListedAccount:
    """Open an account of the chart. An account that is open stays, without another entry in the journal."""
    person.check()
    account_id, opened = await finance.open_account(tx, code, owner, currency, now=now)
    account = await finance.find_account(tx, account_id)
    if opened:
        after = {"code": code, "owner": str(account.owner), "currency": currency}
        await person.note(tx, "open_account", "account", account_id, now=now, after=after)
    return account


async def close_account(tx: db.Tx, person: Person, account_id: UUID, *, now: datetime) -> finance.ListedAccount:
    """Close an account without balance and holds. Errors as `ledger.finance`'s."""
    person.check()
    account = await finance.close_account(tx, account_id, by=person.by, reason=person.reason, now=now)
    await person.note(
        tx, "close_account", "account", account_id, now=now, before={"closed": False}, after={"closed": True}
    )
    return account


async def reopen_account(tx: db.Tx, person: Person, account_id: UUID, *, now: datetime) -> finance.ListedAccount:
    """Reopen a closed account. Errors as `ledger.finance`'s."""
    person.check()
    account = await finance.reopen_account(tx, account_id, by=person.by, reason=person.reason, now=now)
    await person.note(
        tx, "reopen_account", "account", account_id, now=now, before={"closed": True}, after={"closed": False}
    )
    return account


async def set_overdraft_limit(
    tx: db.Tx, person: Person, account_id: UUID, limit_minor: int, *, now: datetime
) -> finance.ListedAccount:
    """Set how far an account may go below zero. Errors as `ledger.finance`'s."""
    person.check()
    previous, account = await finance.limit_overdraft(
        tx, account_id, limit_minor, by=person.by, reason=person.reason, now=now
    )
    before, after = {"limit_minor": previous}, {"limit_minor": limit_minor}
    await person.note(tx, "set_overdraft_limit", "account", account_id, now=now, before=before, after=after)
    return account


async def agree_overdraft(
    tx: db.Tx, person: Person, merchant_id: UUID, currency: str, limit_minor: int, *, now: datetime
) -> int:
    """Set how far refunds may take a merchant's balance below zero. Effects as `ledger.agree_overdraft`'s.

    Returns:
        The previous limit.

    Errors:
        NotPermitted: the role is not enough.
        InvalidParameter: the limit is no amount, there is no such currency, or the reason is none.
    """
    person.check()
    if not 0 <= limit_minor <= money.AMOUNT_MINOR_MAX:
        raise InvalidParameter("an overdraft limit is an amount from 0 to 2^63-1", param="limit_minor")
    previous = await ledger.agree_overdraft(
        tx, merchant_id, currency, limit_minor, by=person.by, reason=person.reason, now=now
    )
    before, after = ({"currency": currency, "limit_minor": limit} for limit in (previous, limit_minor))
    await person.note(tx, "agree_overdraft", "merchant", merchant_id, now=now, before=before, after=after)
    return previous
