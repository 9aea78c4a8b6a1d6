"""The bills of the lost time, fetched by the worker until each was read or dismissed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from hutong import channels, db, ids
from hutong.clock import Clock
from hutong.errors import Conflict, HutongError, NotFound
from hutong.payments.model import PollingPolicy
from hutong.payments.restored.bills import LostBill, read_bill, unread_bills
from hutong.payments.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_LIMIT_S = 300.0
"""The longest time for fetching and reading one bill."""
_LEASE = timedelta(seconds=2 * _LIMIT_S)
_ERROR_LENGTH_MAX = 500


async def fetch_lost_bills(
    database: db.Database, accounts: channels.Accounts, *, clock: Clock, policy: PollingPolicy
) -> int:
    """Fetch and read the bills of the lost time that have been made and are due, as `read_bill` does.

    Accounts are asked side by side, so that one that does not answer keeps no other waiting.

    Args:
        policy: After how long a bill that could not be read is fetched again.

    Repeat:
        A bill that was read or dismissed is not fetched again; one is fetched by one process at a time.

    Returns:
        How many bills were read.
    """
    if database.catching_up_since is None:
        return 0
    async with database.transaction() as tx:
        catch_up = await db.open_catch_up(tx)
        unread = None if catch_up is None else await unread_bills(tx, catch_up)
    if catch_up is None or not unread:
        return 0
    now = clock.now()
    due: defaultdict[UUID, list[LostBill]] = defaultdict(list)
    for bill in unread:
        if bill.due_at <= now:
            due[bill.account_id].append(bill)

    async def fetch(bills: Sequence[LostBill]) -> int:
        return sum([await _fetch(database, accounts, catch_up, bill, clock=clock, policy=policy) for bill in bills])

    return sum(await asyncio.gather(*(fetch(bills) for bills in due.values())))


async def _fetch(
    database: db.Database,
    accounts: channels.Accounts,
    catch_up: db.CatchUp,
    bill: LostBill,
    *,
    clock: Clock,
    policy: PollingPolicy,
) -> bool:
    """Fetch and read one bill, if no other process does; return whether it was read. A failure is recorded."""
    now = clock.now()
    key: dict[str, Any] = {"catch_up_id": catch_up.catch_up_id, "account_id": bill.account_id, "day": bill.day}
    fetches = await database.run(lambda tx: sql.claim_lost_bill.fetchval(tx, now=now, until=now + _LEASE, **key))
    if fetches is None:
        return False
    try:
        async with asyncio.timeout(_LIMIT_S):
            await read_bill(database, accounts, bill.account_id, bill.day, clock=clock)
    except Exception as error:  # noqa: BLE001 - one bill's trouble must not stop others; it is fetched again
        reason = (str(error) if isinstance(error, HutongError) else repr(error))[:_ERROR_LENGTH_MAX]
        next_at = clock.now() + policy.pause(fetches - 1)
        await database.run(lambda tx: sql.fail_lost_bill.execute(tx, next_at=next_at, error=reason, **key))
        account = ids.encode("acc", bill.account_id)
        _log.warning("lost_bill_not_read", account=account, day=bill.day.isoformat(), error=reason, fetches=fetches)
        return False
    return True


async def dismiss_bill(tx: db.Tx, account_id: UUID, day: date, *, by: str, reason: str, now: datetime) -> int:
    """Record a person's decision to do without the bill of an account's day, such as of an account that was closed.

    Returns:
        The epoch of the catch-up.

    Errors:
        Conflict: the platform is not catching up. NotFound: no bill of this account and day is wanted.
    """
    catch_up = await db.open_catch_up(tx)
    if catch_up is None:
        raise Conflict("the platform is not catching up")
    unread = await unread_bills(tx, catch_up) or []
    wanted = any((bill.account_id, bill.day) == (account_id, day) for bill in unread)
    if not wanted or not await sql.dismiss_lost_bill.fetchval(
        tx, catch_up_id=catch_up.catch_up_id, account_id=account_id, day=day, now=now, by=by, reason=reason
    ):
        raise NotFound("no bill of this account and day waits to be read", param="day")
    account = ids.encode("acc", account_id)
    _log.info("lost_bill_dismissed", account=account, day=day.isoformat(), by=by, reason=reason)
    return catch_up.epoch
