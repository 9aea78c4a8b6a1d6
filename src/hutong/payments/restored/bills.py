"""The bills of the lost time, and the end of a catch-up when nothing is open any more."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import About, BillRow, BillRowKind, BillRule, BillState
from hutong.clock import Clock
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.payments.refunds.model import read_number
from hutong.payments.statements import sql
from hutong.payments.unknown_numbers import count_unasked, list_unknown_numbers
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_MARGIN = timedelta(hours=2)
"""Added to both ends of the lost time: clocks differ, and UnionPay's day ends at 23:00."""
_ROWS_AT_ONCE = 1_000
_KINDS = {BillRowKind.PAYMENT: About.PAYMENT, BillRowKind.REFUND: About.REFUND}


@dataclass(frozen=True, slots=True)
class LostBill:
    """A bill that covers lost time: of one account and one day of its channel.

    Attributes:
        made_at: From when on the channel gives it.
        fetches: How often it was fetched.
        next_at: When it is fetched again; None if it never was.
        error: Why it could not be read the last time.
    """

    account_id: UUID
    channel: str
    day: date
    made_at: datetime
    fetches: int = 0
    next_at: datetime | None = None
    error: str | None = None

    @property
    def due_at(self) -> datetime:
        """When it is to be fetched."""
        return self.made_at if self.next_at is None else max(self.made_at, self.next_at)


@dataclass(frozen=True, slots=True)
class BillFindings:
    """The results of reading a bill.

    Attributes:
        unknown: Our numbers that were put on the list.
        rows: How many payments and refunds it holds.
        foreign: How many of them have a number that is not one of ours, or none.
        exceptions: How many further rows could not be read; they are kept for people.
    """

    rows: int
    unknown: list[str]
    foreign: int
    exceptions: int = 0


async def unread_bills(tx: db.Tx, catch_up: db.CatchUp) -> list[LostBill] | None:
    """Return the bills that cover the lost time and were neither read nor dismissed; None if its begin is not known.

    Accounts that are disabled count as well: they may have taken the payments that were lost.
    """
    if catch_up.lost_since is None:
        return None
    known = {(row["account_id"], row["day"]): row for row in await sql.list_lost_bills.fetch(tx, catch_up.catch_up_id)}
    unread = []
    for entry in await channels.accounts.list_accounts(tx):
        rule = _rule(entry.channel)
        if rule is None:
            continue
        for day in _days(rule, catch_up.lost_since - _MARGIN, catch_up.begun_at + _MARGIN):
            row = known.get((entry.account_id, day))
            bill = LostBill(entry.account_id, entry.channel, day, _made_at(rule, day))
            if row is None:
                unread.append(bill)
            elif row["is_wanted"]:
                unread.append(replace(bill, fetches=row["fetches"], next_at=row["next_at"], error=row["error"]))
    return unread


async def read_bill(
    database: db.Database, accounts: channels.Accounts, account_id: UUID, day: date, *, clock: Clock
) -> BillFindings:
    """Fetch an account's bill of a day, and put each of our numbers in it that is unknown here on the list.

    Effects:
        Nothing is credited: a number on the list is adopted by a query alone. All of a bill is recorded or nothing.

    Repeat:
        Nothing is listed twice; what was dismissed stays so.

    Errors:
        NotOffered: the channel has no bills. InvalidParameter: the day's bill is not made yet. BillRefused.
        Conflict: the platform is not catching up, or the channel has not given the bill.
    """
    channel = await accounts.get(account_id)
    rule = channel.capabilities.bill
    if rule is None:
        raise channels.NotOffered(f"{channel.capabilities.channel} has no bills")
    now = clock.now()
    if now < (made_at := _made_at(rule, day)):
        raise InvalidParameter(f"the bill of {day} is made at {made_at.isoformat()}", param="day")
    with tempfile.TemporaryDirectory(prefix="hutong-bill-") as folder:
        bill = await channel.download_bill(rule.kinds[0], day, Path(folder), now=now)
        if bill.state not in (BillState.READY, BillState.EMPTY):
            why = f": {bill.channel_code} {bill.channel_message or ''}" if bill.channel_code else ""
            raise Conflict(f"the channel has not given the bill of {day} ({bill.state.value}{why})")
        read = await asyncio.to_thread(
            lambda: [row for row in channel.read_bill(bill) if row.kind in (*_KINDS, BillRowKind.EXCEPTION)]
        )
    rows = [row for row in read if row.fault is None]
    ours = list(_our_rows(rows))

    async def keep(tx: db.Tx) -> list[str]:
        catch_up = await db.open_catch_up(tx)
        if catch_up is None:
            raise Conflict("the platform is not catching up")
        unknown: list[str] = []
        for start in range(0, len(ours), _ROWS_AT_ONCE):
            some = ours[start : start + _ROWS_AT_ONCE]
            found = await sql.keep_bill_numbers.fetch(tx, rows=some, account_id=account_id, at=now)
            unknown += [row["number"] for row in found]
        await channels.accounts.keep_bill_exceptions(tx, account_id, bill, read, now=now)
        await sql.keep_lost_bill.execute(tx, catch_up.catch_up_id, account_id, day, now)
        return unknown

    unknown = await database.run(keep)
    if unknown:
        account = ids.encode("acc", account_id)
        _log.error("unknown_numbers_in_bill", account=account, day=day.isoformat(), count=len(unknown))
    if unreadable := len(read) - len(rows):
        account = ids.encode("acc", account_id)
        _log.error("bill_rows_unreadable", account=account, day=day.isoformat(), count=unreadable)
    return BillFindings(len(rows), unknown, len(rows) - len(ours), unreadable)


async def finish_when_complete(database: db.Database, *, now: datetime) -> bool:
    """End the catch-up, so that normal work begins, if nothing is open any more; return whether it did.

    Nothing is open once each intent from before has a definite answer, the list of numbers is empty, and every bill of
    the lost time was read or dismissed. While the begin of the lost time is unknown, only an operator can end it.
    """

    async def work(tx: db.Tx) -> db.CatchUp | None:
        catch_up = await db.open_catch_up(tx)
        if catch_up is None or catch_up.prepared_at is None:
            return None
        if await unread_bills(tx, catch_up) != []:
            return None
        if await count_unasked(tx, catch_up.begun_at) != (0, 0) or await list_unknown_numbers(tx):
            return None
        return await db.finish_catch_up(
            tx, by="hutong", reason="nothing is open any more", now=now, catch_up_id=catch_up.catch_up_id
        )

    finished = await database.run(work)
    if finished is None:
        return False
    await db.refresh_catch_up(database)
    _log.info("catch_up_finished", epoch=finished.epoch)
    return True


@dataclass(frozen=True, slots=True)
class _OurRow:
    our_id: UUID
    number: str
    about: About
    amount_minor: int
    currency: str
    channel_no: str | None
    happened_at: datetime | None


def _our_rows(rows: list[BillRow]) -> Iterator[_OurRow]:
    """Yield the payments and refunds of a bill whose numbers have the form of ours."""
    for row in rows:
        if row.our_no is None:
            continue
        about = _KINDS[row.kind]
        try:
            our_id = ids.decode("att", row.our_no) if about is About.PAYMENT else read_number(row.our_no)[1]
        except NotFound:
            continue  # of another system that uses this account, or made by a person in the channel's portal
        yield _OurRow(our_id, row.our_no, about, row.amount_minor, row.currency, row.channel_no, row.happened_at)


def _rule(channel: str) -> BillRule | None:
    adapter = channels.adapters().get(channel)
    return None if adapter is None else adapter.capabilities.bill


def _made_at(rule: BillRule, day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(rule.ready_hour), timezone(rule.utc_offset))


def _days(rule: BillRule, since: datetime, until: datetime) -> Iterator[date]:
    """Yield the channel's days from one instant to another."""
    zone = timezone(rule.utc_offset)
    day, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    while day <= last:
        yield day
        day += timedelta(days=1)
