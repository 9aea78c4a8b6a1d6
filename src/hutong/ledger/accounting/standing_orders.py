"""Standing orders between accounts: a merchant's receipts move to the account that it pays from, again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hutong import db, telemetry
from hutong.clock import to_ns
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.ledger.accounting.amounts import currency_of
from hutong.ledger.accounting.events import EventCode
from hutong.ledger.codec import read_account, uuid_of
from hutong.ledger.ledger import Ledger
from hutong.ledger.model import (
    BALANCE_MAX,
    Account,
    AccountFlags,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)
from hutong.ledger.statements import sql as _sql

_DAY = timedelta(days=1)
_EVERY_MAX = timedelta(days=3_660)
_log = telemetry.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """A standing order with its last run.

    Attributes:
        last_failure: Why the last run moved nothing; None if it succeeded.
        failures: How many runs have failed since the last that succeeded.
    """

    order_id: UUID
    from_account_id: UUID
    to_account_id: UUID
    currency: str
    most_minor: int
    every: timedelta
    next_at: datetime
    active: bool
    created_by: str
    stopped_at: datetime | None
    stopped_by: str | None
    stop_reason: str | None
    last_run_at: datetime | None
    last_amount_minor: int | None
    last_failure: str | None
    failures: int


async def add_standing_order(
    tx: db.Tx, order_id: UUID, *, from_account_id: int, to_account_id: int, most_minor: int, every: timedelta,
    first_at: datetime, by: str,
) -> None:  # fmt: skip
    """Move the free balance of one account to another at an interval, at most `most_minor` each time.

    Args:
        every: From a minute on. An interval of whole days keeps the time of the day in the books' zone.

    Effects:
        Locks both accounts.

    Errors:
        InvalidParameter: the accounts are the same, do not exist, are closed or keep different currencies; or a figure
            is out of range.
        Conflict: an active order moves money between the same accounts.
    """
    if not 0 < most_minor <= BALANCE_MAX:
        raise InvalidParameter("`most_minor` is an amount from 1 to 2^63-1", param="most_minor")
    if not timedelta(minutes=1) <= every <= _EVERY_MAX:
        raise InvalidParameter("an interval is from one minute to ten years", param="every")
    ids = {"from_account_id": uuid_of(from_account_id), "to_account_id": uuid_of(to_account_id)}
    if from_account_id == to_account_id:
        raise InvalidParameter("a standing order needs two different accounts", param="to_account_id")
    accounts = {row["id"].int: row for row in await _sql.lock_balances.fetch(tx, list(ids.values()))}
    for param, identifier in ids.items():
        account = accounts.get(identifier.int)
        if account is None:
            raise InvalidParameter(f"no account has the id {identifier}", param=param)
        if account["flags"] & AccountFlags.CLOSED:
            raise InvalidParameter(f"the account {identifier} is closed", param=param)
    if accounts[from_account_id]["ledger"] != accounts[to_account_id]["ledger"]:
        raise InvalidParameter("the two accounts keep different currencies", param="to_account_id")
    same = await _sql.same_sweep.fetchval(tx, *ids.values())
    if same is not None:
        raise Conflict(f"the standing order {same} moves money between these accounts already")
    await _sql.add_sweep.execute(tx, order_id, *ids.values(), most_minor, every, first_at, by)


async def stop_standing_order(tx: db.Tx, order_id: UUID, *, by: str, reason: str, now: datetime) -> StandingOrder:
    """Stop a standing order, permanently.

    Errors:
        NotFound: no order has this id.
        Conflict: it is stopped already.
    """
    stopped = await _sql.stop_sweep.fetchval(tx, order_id, now, by, reason)
    found = await list_standing_orders(tx, order_id=order_id)
    if not found:
        raise NotFound("no standing order has this id")
    if stopped is None:
        raise Conflict("the standing order is stopped already")
    return found[0]


async def list_standing_orders(
    tx: db.Tx, *, order_id: UUID | None = None, active_only: bool = False, after: UUID | None = None, limit: int = 100
) -> list[StandingOrder]:
    """Return a page of standing orders in the order of their ids, or the one with an id."""
    rows = await _sql.list_sweeps.fetch(
        tx, order_id=order_id, after=after or UUID(int=0), active_only=active_only, limit=limit
    )
    return [_read_order(row) for row in rows]


async def run_standing_orders(tx: db.Tx, *, now: datetime, new_id: Callable[[], UUID], limit: int = 500) -> int:
    """Run the standing orders that are due; several workers share them.

    Effects:
        Books a balancing transfer each: as much as holds and limits leave free, and none where nothing is free.
        Records each transfer, and each that was refused, which is also logged. The next run follows the schedule,
        however late this one is.

    Returns:
        The number of orders run; as many as `limit` means that more may be due.
    """
    orders = await _sql.due_sweeps.fetch(tx, now, limit)
    if not orders:
        return 0
    await _sql.reschedule_sweeps.execute(
        tx,
        sweep_id=[order["id"] for order in orders],
        next_at=[next_run(order["first_at"], order["every"], now=now, zone=order["zone"]) for order in orders],
    )
    accounts = await _lock_accounts(tx, orders)
    ready = [order for order in orders if _may_move(order, accounts)]
    transfers = [
        Transfer(
            id=new_id().int,
            debit_account_id=order["from_account_id"].int,
            credit_account_id=order["to_account_id"].int,
            amount=order["most_minor"],
            user_data_128=order["id"].int,
            ledger=accounts[order["from_account_id"].int].ledger,
            code=EventCode.STANDING_ORDER,
            flags=TransferFlags.BALANCING_DEBIT,
        )
        for order in ready
    ]
    if not transfers:
        return len(orders)
    ledger = Ledger(tx, clock=lambda: to_ns(now))
    results = await ledger.create_transfers(transfers)
    moved = {t.id: t.amount for t in await ledger.lookup_transfers([t.id for t in transfers])}
    statuses = [0 if result.status is CreateTransferStatus.CREATED else int(result.status) for result in results]
    for order, status in zip(ready, statuses, strict=True):
        if status:
            _log.warning("standing_order_failed", order=str(order["id"]), reason=_reason(status))
    await _sql.insert_sweep_runs.execute(
        tx,
        [order["id"] for order in ready],
        now,
        [uuid_of(t.id) for t in transfers],
        statuses,
        [moved.get(t.id, 0) for t in transfers],
    )
    return len(orders)


def next_run(first: datetime, every: timedelta, *, now: datetime, zone: str) -> datetime:
    """Return the first instant after now on the schedule that begins at `first`.

    An interval of whole days keeps the local time in the zone, so that summer time does not move it.
    """
    if first > now:
        return first
    if every % _DAY:
        return first + ((now - first) // every + 1) * every
    place = ZoneInfo(zone)
    local = first.astimezone(place).replace(tzinfo=None)
    runs = max((now - first) // every - 1, 0)
    while (following := (local + runs * every).replace(tzinfo=place).astimezone(UTC)) <= now:
        runs += 1
    return following


async def _lock_accounts(tx: db.Tx, orders: list[Any]) -> dict[int, Account]:
    """Lock the accounts of the orders, so that what is free now is free when the transfers are booked."""
    ids = {order[side] for order in orders for side in ("from_account_id", "to_account_id")}
    return {row["id"].int: read_account(row) for row in await _sql.lock_balances.fetch(tx, list(ids))}


def _may_move(order: Any, accounts: dict[int, Account]) -> bool:
    """Return whether a run books something, or is refused and recorded as failed."""
    account = accounts[order["from_account_id"].int]
    if AccountFlags.CLOSED & (account.flags | accounts[order["to_account_id"].int].flags):
        return True
    return account.credits_posted - account.debits_posted - account.debits_pending > 0


def _reason(status: int) -> str:
    return CreateTransferStatus(status).name.lower()


def _read_order(row: Any) -> StandingOrder:
    return StandingOrder(
        order_id=UUID(int=row["id"].int),
        from_account_id=UUID(int=row["from_account_id"].int),
        to_account_id=UUID(int=row["to_account_id"].int),
        currency=currency_of(row["ledger"]),
        most_minor=row["most_minor"],
        every=row["every"],
        next_at=row["next_at"],
        active=row["active"],
        created_by=row["created_by"],
        stopped_at=row["stopped_at"],
        stopped_by=row["stopped_by"],
        stop_reason=row["stop_reason"],
        last_run_at=row["ran_at"],
        last_amount_minor=row["amount_minor"],
        last_failure=_reason(row["status"]) if row["status"] else None,
        failures=row["failures"],
    )
