"""Polling what is due at channels: claims in batches, by any number of workers, without a timer for each payment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson

from hutong import db
from hutong.clock import Clock
from hutong.errors import CredentialsUnreadable
from hutong.payments.model import Attempt
from hutong.payments.statements import sql
from hutong.payments.store import read_attempt
from hutong.telemetry import RareLine, get_logger

_log = get_logger(__name__)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")

SWEEP_LIMIT = 500
"""The most rows of one claim: enough to be cheap, few enough to be done before anybody waits for its locks."""

LEASE = timedelta(seconds=15)
"""How long a claim keeps other workers from the same row. Two at once do no harm; a dead one delays."""

_CLAIM_LIMIT = 200
_WIDTH = 16
"""How many calls the queue of one channel account makes at once."""

_SILENT_AFTER = 2
"""How many queries in a row without an answer make an account silent: one may be its order's own fault."""
_SILENT_MIN = timedelta(seconds=30)
_ASK_SILENT_EVERY = timedelta(seconds=15)
_WOKEN_AT_ONCE = 10_000

_VERIFY_AGAIN = timedelta(hours=1)
_VERIFY_FOR = timedelta(days=3)


@dataclass(slots=True)
class _Lane:
    """The calls to one channel account: those being made, and those that wait for them.

    Attributes:
        unanswered: How many queries in a row brought no answer that can be relied on, the first at `silent_since`.
        asked_at: When a silent account was last asked about an order that was not due.
    """

    width: asyncio.Semaphore
    tasks: set[asyncio.Task[None]]
    unanswered: int = 0
    silent_since: datetime = _NEVER
    asked_at: datetime = _NEVER

    def is_silent(self, now: datetime) -> bool:
        return self.unanswered >= _SILENT_AFTER and abs(now - self.silent_since) >= _SILENT_MIN


class Poller(Generic[T]):
    """Resolves what is due in one queue, each channel account in a lane of its own.

    An account that does not answer fills its own lane and is left out of the claims until that empties. One that
    brings no answer to rely on, such as one whose clock is wrong, is asked about one order every quarter of a minute;
    its first answer makes all of its orders due, however long they were to wait.

    Args:
        claim: Claims what is due: the transaction, the time, the end of the lease, the most rows, the accounts that are
            left out.
        resolve: Brings one of them on, by asking its channel; returns whether that answered; None if unknown.
        wake: Makes some of an account's waiting rows due.
        account: Gives the channel account that is asked.
        describe: Gives the fields that name it in logs.
    """

    def __init__(
        self,
        database: db.Database,
        *,
        clock: Clock,
        claim: Callable[[db.Tx, datetime, datetime, int, Sequence[UUID]], Awaitable[list[T]]],
        resolve: Callable[[T], Awaitable[bool | None]],
        wake: db.Statement,
        account: Callable[[T], UUID],
        describe: Callable[[T], dict[str, str]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._claim = claim
        self._resolve = resolve
        self._wake = wake
        self._account = account
        self._describe = describe
        self._lanes: dict[UUID, _Lane] = {}
        self._stopped = False
        self._failed = RareLine(_log, "warning", "resolve_failed")
        self._unreadable = RareLine(_log, "error", "resolve_waits_for_key")

    async def poll(self, *, patience_s: float | None = None) -> int:
        """Resolve what is due, some of it at once; return how much there was.

        Args:
            patience_s: How long to wait for that; what takes longer goes on in its lane. None waits to its end.
        """
        await self._ask_silent()
        started: list[asyncio.Task[None]] = []
        while True:
            due = await self._claim_due()
            started += due
            if len(due) < _CLAIM_LIMIT:
                break  # otherwise one account may have filled the claim, and others are due behind it
        if started:
            await asyncio.wait(started, timeout=patience_s)
        return len(started)

    async def _claim_due(self) -> list[asyncio.Task[None]]:
        """Claim what is due at the accounts that are not busy, and start to resolve it."""
        now = self._clock.now()
        until = now + LEASE
        busy = [account_id for account_id, lane in self._lanes.items() if len(lane.tasks) >= _WIDTH]
        due = await self._database.run(lambda tx: self._claim(tx, now, until, _CLAIM_LIMIT, busy))
        return [self._start(item, until) for item in due]

    def _start(self, item: T, until: datetime) -> asyncio.Task[None]:
        lane = self._lanes.setdefault(self._account(item), _Lane(asyncio.Semaphore(_WIDTH), set()))
        task = asyncio.create_task(self._resolve_in(lane, item, until))
        lane.tasks.add(task)
        task.add_done_callback(lane.tasks.discard)
        return task

    async def _resolve_in(self, lane: _Lane, item: T, until: datetime) -> None:
        async with lane.width:
            # Past its lease it is due again, and another process may have it.
            if self._stopped or self._clock.now() >= until:
                return
            answered = await self.resolve(item)
        if answered is None:
            return
        was_silent = answered and lane.is_silent(self._clock.now())
        if answered:
            lane.unanswered = 0
        else:
            lane.silent_since = lane.silent_since if lane.unanswered else self._clock.now()
            lane.unanswered += 1
        if was_silent:
            await self._wake_up(self._account(item), _WOKEN_AT_ONCE)

    async def _ask_silent(self) -> None:
        """Make one order of each silent account due, now and then."""
        now = self._clock.now()
        for account_id, lane in self._lanes.items():
            if lane.is_silent(now) and not lane.tasks and abs(now - lane.asked_at) >= _ASK_SILENT_EVERY:
                lane.asked_at = now
                await self._wake_up(account_id, 1)

    async def _wake_up(self, account_id: UUID, limit: int) -> None:
        now = self._clock.now()
        try:
            await self._database.run(lambda tx: self._wake.execute(tx, account_id, now, limit))
        except Exception as error:  # noqa: BLE001 - they are due later
            self._failed.write(account=str(account_id), reason=repr(error))

    async def stop(self) -> None:
        """Finish the calls being made, and make no more."""
        self._stopped = True
        await asyncio.gather(*(task for lane in self._lanes.values() for task in lane.tasks))

    async def resolve(self, item: T) -> bool | None:
        """Resolve one item, whatever goes wrong: it stays due. Return whether its channel answered; None if unknown."""
        try:
            return await self._resolve(item)
        except CredentialsUnreadable as error:
            self._unreadable.write(**self._describe(item), reason=error.detail)
        except Exception as error:  # noqa: BLE001 - one item's trouble must not stop others; it is tried again
            self._failed.write(**self._describe(item), reason=repr(error))
        return None


async def claim_due(
    tx: db.Tx, now: datetime, until: datetime, limit: int, without: Sequence[UUID] = ()
) -> list[Attempt]:
    """Claim the attempts that are due for a query, those longest due first; others skip them until `until`.

    Args:
        without: Channel accounts whose attempts are left.
    """
    return [read_attempt(row) for row in await sql.claim_due_attempts.fetch(tx, now, until, limit, without)]


async def claim_verifiable(
    tx: db.Tx, now: datetime, _until: datetime, limit: int, without: Sequence[UUID]
) -> list[Attempt]:
    """Claim attempts that ended unpaid a day ago, to be queried once more; again every hour without an answer."""
    rows = await sql.claim_verifiable_attempts.fetch(tx, now, now + _VERIFY_AGAIN, limit, now - _VERIFY_FOR, without)
    return [read_attempt(row) for row in rows]


async def sweep_plans(tx: db.Tx, *, now: datetime) -> dict[str, Any]:
    """Return PostgreSQL's current plans of the claims, by the statement's name; for display."""
    statements: dict[str, tuple[str, tuple[Any, ...]]] = {
        "claim_expired": (sql.claim_expired.text, (now, SWEEP_LIMIT)),
        "claim_lapsing": (sql.claim_lapsing.text, (now, SWEEP_LIMIT)),
        "claim_due_attempts": (sql.claim_due_attempts.text, (now, now + LEASE, SWEEP_LIMIT, [])),
    }
    plans = {}
    for name, (text, arguments) in statements.items():
        plan = orjson.loads(await tx.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *arguments))[0]["Plan"]
        plans[name] = [_describe_node(node) for node in _nodes(plan)]
    return plans


def _describe_node(node: dict[str, Any]) -> str:
    return " ".join(str(node[key]) for key in ("Node Type", "Index Name", "Relation Name") if key in node)


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", []) for below in _nodes(child))]
