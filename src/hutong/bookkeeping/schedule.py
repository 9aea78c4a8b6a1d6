"""Acts on periods, standing orders, memo ledgers and old partitions: each by one person, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db, ledger
from hutong.bookkeeping.person import Person
from hutong.errors import Conflict, InvalidParameter
from hutong.ledger import finance, partitions


async def close_month(
    tx: db.Tx, person: Person, month: str, *, new_id: Callable[[], UUID], now: datetime
) -> list[finance.Carry]:
    """Close a month and carry its income and expense to the profit of the year. Errors as `ledger.finance`'s."""
    person.check()
    carries = await finance.close_month(tx, month, by=person.by, reason=person.reason, new_id=new_id, now=now)
    await person.note(tx, "close_month", "period", month, now=now, after={"accounts": len(carries)})
    return carries


async def close_year(
    tx: db.Tx, person: Person, year: str, *, new_id: Callable[[], UUID], now: datetime
) -> list[finance.Carry]:
    """Close a year and carry its profit to retained earnings. Errors as `ledger.finance`'s."""
    person.check()
    carries = await finance.close_year(tx, year, by=person.by, reason=person.reason, new_id=new_id, now=now)
    await person.note(tx, "close_year", "period", year, now=now, after={"accounts": len(carries)})
    return carries


async def add_standing_order(
    tx: db.Tx, person: Person, order_id: UUID, *, from_account_id: UUID, to_account_id: UUID, most_minor: int,
    every: timedelta, first_at: datetime, now: datetime,
) -> finance.StandingOrder:  # fmt: skip
    """Add a standing order. Errors as `ledger`'s."""
    person.check()
    await finance.add_standing_order(
        tx, order_id, from_account_id=from_account_id.int, to_account_id=to_account_id.int, most_minor=most_minor,
        every=every, first_at=first_at, by=person.by,
    )  # fmt: skip
    after = {"from_account_id": str(from_account_id), "to_account_id": str(to_account_id), "most_minor": most_minor,
             "every_minutes": every // timedelta(minutes=1), "first_at": first_at.isoformat()}  # fmt: skip
    await person.note(tx, "add_standing_order", "standing_order", order_id, now=now, after=after)
    (order,) = await finance.list_standing_orders(tx, order_id=order_id)
    return order


async def stop_standing_order(tx: db.Tx, person: Person, order_id: UUID, *, now: datetime) -> finance.StandingOrder:
    """Stop a standing order, permanently. Errors as `ledger.finance`'s."""
    person.check()
    order = await finance.stop_standing_order(tx, order_id, by=person.by, reason=person.reason, now=now)
    await person.note(tx, "stop_standing_order", "standing_order", order_id, now=now)
    return order


async def enter_memo(tx: db.Tx, person: Person, memo: ledger.Memo, *, now: datetime) -> bool:
    """Count an amount in a memo ledger.

    Returns:
        Whether the entry is new; a repeated one writes nothing.

    Errors:
        Conflict: the object is counted already, with another amount.
        InvalidParameter: as `ledger.enter_memos`.
    """
    person.check()
    (status,) = await ledger.enter_memos(tx, [memo], now=now)
    if status.value == "exists_with_different_amount":
        raise Conflict(f"{memo.ref} is counted already, with another amount", param="ref")
    if status.value == "overflows_total":
        raise InvalidParameter("the amount, and the total after it, must be at most 2^63-1", param="amount")
    if status.value == "exists":
        return False
    after = {"owner": str(memo.owner), "ref": memo.ref, "amount": memo.amount}
    await person.note(tx, "enter_memo", "memo_ledger", memo.ledger, now=now, after=after)
    return True


async def archive(tx: db.Tx, person: Person, name: str, *, now: datetime) -> str:
    """Move a partition into the archive and return its checksum. Takes the database's owner, as `ledger.partitions`."""
    person.check()
    checksum = await partitions.archive_partition(tx, name, now=now)
    await person.note(tx, "archive", "partition", name, now=now, after={"checksum": checksum})
    return checksum
