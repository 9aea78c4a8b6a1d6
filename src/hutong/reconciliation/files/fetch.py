"""Bills are fetched at the channel's hour, and again until they come or are given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import Bill, BillState
from hutong.clock import instant
from hutong.errors import HutongError, InvalidParameter
from hutong.reconciliation.files.read import read_file
from hutong.reconciliation.files.receive import Incoming, receive, staging
from hutong.reconciliation.model import BillFile, FileState
from hutong.reconciliation.parties import Counterparty, find_party, list_parties
from hutong.reconciliation.requests import BY_ITSELF, request_run
from hutong.reconciliation.statements import sql
from hutong.reconciliation.workplace import Reconciliation
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_WAITS_MINUTES = (5, 5, 10, 10, 10, 20, 30)
_LAST_WAIT = timedelta(hours=1)
_GIVEN_UP_AFTER = timedelta(days=14)
"""From the hour at which the bill should have been ready; sooner where the channel no longer keeps it by then."""
_CLAIMED_FOR = timedelta(minutes=15)
"""How long a fetch that was begun keeps other workers from it; a killed one is begun again after that."""
_AT_ONCE = 8
_ERROR_MAX = 300


@dataclass(frozen=True, slots=True)
class UnfetchedBills:
    """How many bills have not come, and the day of the oldest; None without any."""

    count: int
    oldest_day: date | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """A bill that is fetched, or was.

    Attributes:
        fetches: How often the channel was asked for it.
        error: Why it has not come, or was given up.
        done_at: When it came or was given up; None while it is due.
    """

    account_id: UUID
    kind: str
    day: date
    fetches: int
    next_at: datetime
    error: str | None
    done_at: datetime | None

    def document(self) -> dict[str, Any]:
        """Return the form for operators."""
        return asdict(self) | {
            "account_id": ids.encode("acc", self.account_id),
            "day": self.day.isoformat(),
            "next_at": instant(self.next_at),
            "done_at": None if self.done_at is None else instant(self.done_at),
        }


_read = db.reader(Fetch, sql["fetch"])


@dataclass(frozen=True, slots=True)
class _Planned:
    account_id: UUID
    kind: str
    day: date
    next_at: datetime


async def unfetched_bills(tx: db.Tx) -> UnfetchedBills:
    """Return the bills that channels were asked for and have not given, and that nobody has imported."""
    row = await sql.unfetched_bills.fetchrow(tx)
    assert row is not None
    return UnfetchedBills(row["count"], row["oldest_day"])


async def list_fetches(
    tx: db.Tx, *, account_id: UUID | None = None, open_only: bool = False, limit: int
) -> list[Fetch]:
    """Return fetches, the latest days first.

    Args:
        open_only: Those that wait for their bill, or whose bill was given up.
    """
    rows = await sql.list_fetches.fetch(tx, account_id=account_id, open_only=open_only, limit=limit)
    return [_read(row) for row in rows]


async def fetch_due(use: Reconciliation) -> int:
    """Fetch the bills that are due, of every account whose channel has bills.

    Effects:
        The days since the last one that was planned are planned; of a new account, the last one alone. A bill that has
        come is received and read, and a run of its day requested. One that has not come is fetched again after 5
        minutes, then less and less often, then hourly, until it is given up.

    Repeat:
        A bill that has come is not fetched again.

    Returns:
        The number of bills that have come.
    """
    now = use.clock.now()
    await _plan(use, now)
    rows = await use.database.run(
        lambda tx: sql.claim_fetches.fetch(tx, now=now, again_at=now + _CLAIMED_FOR, limit=_AT_ONCE)
    )
    come = 0
    for due in map(_read, rows):
        come += await _fetch_one(use, due)
    return come


async def fetch_day(use: Reconciliation, party: Counterparty, day: date, *, by: str = BY_ITSELF) -> Fetch:
    """Fetch an account's bill of a day now, whether it was fetched before or not.

    Returns:
        The fetch, with its error if the bill has not come.

    Errors:
        NotOffered: the channel has no bills. InvalidParameter: the day's bill is not made yet.
    """
    if party.rule is None:
        raise channels.NotOffered("this account has no bills to fetch: import its files")
    now = use.clock.now()
    if now < (ready_at := party.ready_at(day)):
        raise InvalidParameter(f"the bill of {day} is made at {ready_at.isoformat()}", param="day")
    row = await use.database.run(
        lambda tx: sql.start_fetch.fetchrow(
            tx, account_id=party.account_id, kind=_kind(party), day=day, again_at=now + _CLAIMED_FOR
        )
    )
    assert row is not None
    begun = _read(row)
    await _fetch_one(use, begun, by=by)
    async with use.database.transaction() as tx:
        found = await list_fetches(tx, account_id=party.account_id, limit=1_000_000)
    return next(fetch for fetch in found if fetch.day == day)


async def _plan(use: Reconciliation, now: datetime) -> None:
    """Plan the bills of the days since those that were planned last."""
    async with use.database.transaction() as tx:
        last = {row["account_id"]: row["day"] for row in await sql.last_planned_days.fetch(tx)}
    planned: list[_Planned] = []
    for party in await list_parties(use):
        if party.rule is None:
            continue
        latest = party.last_ready_day(now)
        begin = max(last.get(party.account_id, latest - timedelta(days=1)), latest - party.rule.kept)
        for distance in range(1, (latest - begin).days + 1):
            day = begin + timedelta(days=distance)
            planned.append(_Planned(party.account_id, _kind(party), day, party.ready_at(day)))
    if planned:
        await use.database.run(lambda tx: sql.plan_fetches.execute(tx, rows=planned))


async def _fetch_one(use: Reconciliation, due: Fetch, *, by: str = BY_ITSELF) -> bool:
    """Fetch a bill, and record what has become of it; return whether it has come."""
    now = use.clock.now()
    try:
        party = await find_party(use, due.account_id)
    except HutongError as error:
        await _wait(use, due, error.detail, now)
        return False
    with staging(use) as folder:
        try:
            channel = await use.accounts.get(due.account_id)
            bill = await channel.download_bill(due.kind, due.day, folder, now=now)
            if bill.state not in (BillState.READY, BillState.EMPTY):
                await _put_off(use, party, due, _why(bill), now)
                return False
            files = await _take(use, party, bill, by)
        except Exception as error:  # noqa: BLE001 - one account's trouble, whatever it is, must not hold up the others
            await _put_off(use, party, due, str(error) or type(error).__name__, now)
            return False
    refused = next((file.reason for file in files if file.state is FileState.REFUSED), None)
    if refused is not None:
        await _put_off(use, party, due, f"the bill is refused: {refused}", now)
        return False
    new_id = use.ids.new()

    async def end(tx: db.Tx) -> None:
        await sql.end_fetch.execute(tx, account_id=due.account_id, kind=due.kind, day=due.day, at=now, error=None)
        if not files:
            await request_run(tx, due.account_id, due.day, by=by, now=now, new_id=new_id)

    await use.database.run(end)
    return True


async def _take(use: Reconciliation, party: Counterparty, bill: Bill, by: str) -> list[BillFile]:
    """Receive and read the file of a bill that has its rows."""
    assert party.rule is not None
    files = []
    for path in bill.files[:1]:
        file = await receive(use, Incoming(party, party.rule.format, path, path.name, bill.day, is_whole=True))
        files.append(await read_file(use, file.file_id, by=by))
    return files


async def _put_off(use: Reconciliation, party: Counterparty, due: Fetch, reason: str, now: datetime) -> None:
    """Fetch a bill again later, or give it up."""
    assert party.rule is not None
    if now <= party.ready_at(due.day) + min(_GIVEN_UP_AFTER, party.rule.kept):
        await _wait(use, due, reason, now)
        return
    await use.database.run(
        lambda tx: sql.end_fetch.execute(
            tx, account_id=due.account_id, kind=due.kind, day=due.day, at=now, error=reason[:_ERROR_MAX]
        )
    )
    _log.error("bill_given_up", account=party.name, day=due.day.isoformat(), reason=reason[:_ERROR_MAX])


async def _wait(use: Reconciliation, due: Fetch, reason: str, now: datetime) -> None:
    """Fetch a bill again later."""
    next_at = now + wait_after(due.fetches)
    await use.database.run(
        lambda tx: sql.put_off_fetch.execute(
            tx, account_id=due.account_id, kind=due.kind, day=due.day, next_at=next_at, error=reason[:_ERROR_MAX]
        )
    )


def wait_after(fetches: int) -> timedelta:
    """Return how long to wait after so many fetches before the next one."""
    waits: Sequence[int] = _WAITS_MINUTES
    return timedelta(minutes=waits[fetches - 1]) if fetches <= len(waits) else _LAST_WAIT


def _kind(party: Counterparty) -> str:
    assert party.rule is not None
    return party.rule.kinds[0]


def _why(bill: Bill) -> str:
    code = f": {bill.channel_code} {bill.channel_message or ''}".rstrip() if bill.channel_code else ""
    return f"the channel has not given the bill ({bill.state.value}{code})"
