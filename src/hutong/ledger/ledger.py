"""The ledger on a connection: loads the state that a batch needs, runs the engine, writes the result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any, TypeVar

import asyncpg

from hutong import db
from hutong.clock import to_ns
from hutong.errors import Conflict, InvariantBroken
from hutong.ledger import queries
from hutong.ledger.accounts import create_accounts
from hutong.ledger.batch_state import FLAGS, ID, NEVER, PENDING, TIMESTAMP
from hutong.ledger.codec import (
    Loaded,
    acquire,
    check_transfers,
    read_account,
    read_transfer,
    uuid_of,
    uuids,
    write,
)
from hutong.ledger.engine import Batch
from hutong.ledger.model import (
    Account,
    AccountBalance,
    AccountFilter,
    CreateAccountResult,
    CreateTransferResult,
    QueryFilter,
    Transfer,
    TransferFlags,
)
from hutong.ledger.statements import sql as _sql

T = TypeVar("T")

BATCH_MAX = 8_192
"""The most events in one call."""


class Ledger:
    """Accounts and transfers on one connection, with TigerBeetle's names and semantics.

    Works in the caller's transaction, which the caller runs again after a deadlock or serialization failure, as
    `Database.run` does. Reading needs no transaction.

    Three differences: sums are limited to 2^63-1 (`OVERFLOWS_…` beyond); timestamps are unique and rise along each
    account, but across accounts they need not follow the order of commits when several connections write; an imported
    transfer must not have the timestamp of an expired hold or of a failed id, nor one of its own batch.

    Args:
        tx: The caller's transaction.
        clock: Returns nanoseconds since 1970.
        late_import_reason: Allows imports with timestamps of closed days; kept with each such transfer. It belongs to
            the present day, like every new row, so that no closed day changes.
    """

    def __init__(self, tx: db.Tx, *, clock: Callable[[], int], late_import_reason: str = "") -> None:
        self._tx = tx
        self._clock = clock
        self._late_import_reason = late_import_reason

    async def create_accounts(self, accounts: Sequence[Account]) -> list[CreateAccountResult]:
        """Create accounts, each alone or in linked chains.

        Args:
            accounts: At most 8,192.

        Repeat:
            An account that exists is answered EXISTS, or with the first field that differs.

        Returns:
            One result per account, in order.
        """
        _check_size(accounts)
        return await self._run(lambda: create_accounts(self._tx, accounts, self._clock())) if accounts else []

    async def create_transfers(self, transfers: Sequence[Transfer]) -> list[CreateTransferResult]:
        """Create transfers in order, each alone or in linked chains; first expire the due holds on their accounts.

        Args:
            transfers: At most 8,192.

        Effects:
            Locks the accounts in id order until the transaction ends; writes the journal, the balances, the holds.

        Repeat:
            A transfer that exists is answered EXISTS, or with the first field that differs; one that failed for a
            transient reason is answered ID_ALREADY_FAILED permanently.

        Returns:
            One result per transfer, in order.

        Errors:
            IntegerOverflowError: a number does not fit its field.
            Conflict: an imported transfer has a timestamp of a closed day, and no reason was given.
            asyncpg.ObjectNotInPrerequisiteStateError: the transaction is not READ COMMITTED.
        """
        _check_size(transfers)
        return await self._run(lambda: self._create_transfers(transfers)) if transfers else []

    async def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """Return the accounts with these ids, in the order of the ids; unknown ids are left out."""
        records = await _sql.lookup_accounts.fetch(self._tx, [uuid_of(number) for number in ids])
        return _in_order(ids, [read_account(record) for record in records])

    async def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """Return the transfers with these ids, in the order of the ids; unknown ids are left out."""
        if not ids:
            return []
        uuids = [uuid_of(number) for number in ids]
        records = await _sql.lookup_transfers.fetch(self._tx, uuids, uuid_of(min(ids)), uuid_of(max(ids)))
        return _in_order(ids, [read_transfer(record) for record in records])

    async def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:  # noqa: A002 - the client's name
        """Return the transfers of one account by timestamp; none if the filter is not valid. At most 8,192."""
        return await queries.get_account_transfers(self._tx, filter)

    async def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:  # noqa: A002
        """Return the balances of one account after each of its transfers; none unless it has the flag HISTORY."""
        return await queries.get_account_balances(self._tx, filter)

    async def query_accounts(self, filter: QueryFilter) -> list[Account]:  # noqa: A002
        """Return accounts by their fields; none if the filter is not valid. At most 8,192."""
        return await queries.query_accounts(self._tx, filter)

    async def query_transfers(self, filter: QueryFilter) -> list[Transfer]:  # noqa: A002
        """Return transfers by their fields; none if the filter is not valid. At most 8,192."""
        return await queries.query_transfers(self._tx, filter)

    async def expire_pending_transfers(self, limit: int = 1_000) -> int:
        """Release the holds that have been due longest: one pulse of expiry.

        Returns:
            The number of holds released; as many as `limit` means that more may be due.
        """
        return await self._run(lambda: self._expire(limit))

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        if not self._tx.is_in_transaction():
            raise InvariantBroken("the ledger writes in a transaction only")
        try:
            return await work()
        except asyncpg.UniqueViolationError as error:
            # The same id was written on another connection with other accounts: run again, the transaction finds it.
            raise asyncpg.SerializationError(str(error)) from error
        except asyncpg.InternalClientError as error:
            # What the driver says of a connection that breaks while it copies rows.
            raise asyncpg.ConnectionDoesNotExistError("the connection was lost while it wrote the transfers") from error

    async def _create_transfers(self, events: Sequence[Transfer]) -> list[CreateTransferResult]:
        check_transfers(events)
        event_ids = [event.id for event in events]
        pending_ids = [event.pending_id for event in events if event.pending_id]
        account_ids = {event.debit_account_id for event in events}
        account_ids.update(event.credit_account_id for event in events)
        now = self._clock()
        loaded = await acquire(self._tx, event_ids, pending_ids, account_ids, len(events), now)
        batch = Batch(loaded.accounts, loaded.stored, loaded.states, loaded.failed)
        first = loaded.first_timestamp
        # A hold made while this batch waited for its locks names accounts that are not locked yet.
        unlocked = [number for number in loaded.states if not batch.has_accounts_of(number)]
        if unlocked:
            more = await acquire(self._tx, [], unlocked, set(), len(events), now)
            first = _join(batch, more)
            loaded.take_date_from(more)
        late: date | None = None
        if int(events[0].flags) & TransferFlags.IMPORTED:
            late = await self._prepare_import(batch, loaded, events)
        if any(state.next_expiry <= first for state in loaded.accounts.values()):
            first = await self._release_due(batch, loaded, len(events), now, first)
        results = batch.run(events, first)
        await write(self._tx, batch, loaded)
        if late is not None:
            await self._record_late(batch, loaded, late, now)
        return results

    async def _prepare_import(self, batch: Batch, loaded: Loaded, events: Sequence[Transfer]) -> date | None:
        """Return the last closed day if any event has a timestamp up to its end."""
        await _sql.one_importer.execute(self._tx)
        stamps = [event.timestamp for event in events if event.timestamp < NEVER]
        (bounds,) = await _sql.imported_bounds.fetch(self._tx, stamps)
        batch.import_between(bounds["newest"], loaded.first_timestamp, frozenset(bounds["taken"]))
        closed: date | None = bounds["closed_day"]
        if closed is None or min(filter(None, stamps), default=NEVER) >= to_ns(loaded.end_of_day(closed)):
            return None
        if not self._late_import_reason:
            detail = f"the books are closed up to {closed}: give a reason to import transfers of that time"
            raise Conflict(detail, param="late_import_reason")
        return closed

    async def _record_late(self, batch: Batch, loaded: Loaded, closed: date, now: int) -> None:
        end = to_ns(loaded.end_of_day(closed))
        late = [row for row in batch.rows if row[FLAGS] & TransferFlags.IMPORTED and row[TIMESTAMP] < end]
        await _sql.record_late_imports.execute(
            self._tx,
            [uuid_of(row[ID]) for row in late],
            [loaded.day_of(row[TIMESTAMP]) for row in late],
            self._late_import_reason,
            now // 1_000,
        )

    async def _release_due(self, batch: Batch, loaded: Loaded, count: int, now: int, first: int) -> int:
        """Release the due holds of the locked accounts, and return the batch's new first timestamp."""
        touched = [*batch.accounts.values()]
        numbers_touched = uuids(state.id for state in touched)
        while True:
            due = await _sql.due_holds.fetch(self._tx, numbers_touched, first)
            due = [record for record in due if batch.states.get(record["id"].int, PENDING) == PENDING]
            if not due:
                break
            first, more = await self._release(batch, due, count, now)
            loaded.take_date_from(more)
        # Only for these: the accounts on the other side of the holds may have due holds that are not released yet.
        states = [state for state in touched if state.next_expiry <= first]
        for record in await _sql.next_expiries.fetch(self._tx, uuids(state.id for state in states)):
            batch.accounts[record["id"].int].next_expiry = record["next_expiry"] or NEVER
        return first

    async def _release(self, batch: Batch, due: Sequence[Any], count: int, now: int) -> tuple[int, Loaded]:
        """Expire these holds, and return the next timestamp."""
        hold_ids = [record["id"].int for record in due]
        more = {side.int for record in due for side in (record["debit_account_id"], record["credit_account_id"])}
        loaded = await acquire(self._tx, [], hold_ids, more - batch.accounts.keys(), len(due) + count, now)
        timestamp = _join(batch, loaded)
        for number in hold_ids:
            if batch.states[number] == PENDING:
                batch.expire(batch.stored[number], timestamp)
                timestamp += 1
        return timestamp, loaded

    async def _expire(self, limit: int) -> int:
        now = self._clock()
        due = await _sql.due_hold_ids.fetch(self._tx, now, limit)
        if not due:
            return 0
        batch = Batch({}, {}, {}, set())
        _, loaded = await self._release(batch, due, 0, now)
        await write(self._tx, batch, loaded)
        return len(batch.resolved)


def _join(batch: Batch, more: Loaded) -> int:
    """Add accounts and holds that were locked later, and return the next timestamp."""
    for number, state in more.accounts.items():
        batch.accounts.setdefault(number, state)
    batch.stored.update(more.stored)
    batch.states.update(more.states)
    return more.first_timestamp


def _check_size(events: Sequence[object]) -> None:
    if len(events) > BATCH_MAX:
        raise ValueError(f"a call takes at most {BATCH_MAX} events")


def _in_order(ids: Sequence[int], entries: Sequence[Any]) -> list[Any]:
    by_id = {entry.id: entry for entry in entries}
    return [by_id[number] for number in ids if number in by_id]
