"""The ledger on a connection: brings what a batch needs, lets the engine decide, writes what it decided."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import asyncpg

from hutong import db
from hutong.errors import InvariantBroken
from hutong.ledger import accounts as account
from hutong.ledger import queries as query
from hutong.ledger.batch_state import NEVER, PENDING, AccountState, Row
from hutong.ledger.codec import (
    COLUMNS,
    account_of,
    check_transfers,
    columns_of,
    numbers,
    pack_rows,
    transfer_of,
    unpack_accounts,
    uuid_of,
    uuids,
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
"""The most events of one call."""

_COPY_FROM = 128
"""From this many rows on, COPY costs less than arrays."""

_RETRIES = 8
_RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_EPOCH = date(1970, 1, 1)
_DEFAULT_ZONE = timedelta(hours=8)
_UNSIGNED = (1 << 64) - 1


class Ledger:
    """Accounts and transfers on one connection, with TigerBeetle's names and semantics.

    Joins the connection's transaction if one is open (the caller then runs it again after a deadlock or serialization
    failure, as `Database.run` does); opens one of its own otherwise, and retries by itself.

    Two differences: sums are limited to 2^63-1 (`OVERFLOWS_…` beyond); timestamps are unique and rise along each
    account, but across accounts they need not follow the order of commits when several connections write.

    Args:
        conn: An asyncpg connection.
        clock: Returns nanoseconds since 1970.
    """

    def __init__(self, conn: db.Tx, *, clock: Callable[[], int]) -> None:
        self._conn = conn
        self._clock = clock

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
        return await self._run(lambda: account.create(self._conn, accounts, self._clock())) if accounts else []

    async def create_transfers(self, transfers: Sequence[Transfer]) -> list[CreateTransferResult]:
        """Create transfers in order, each alone or in linked chains; first expire what is due on their accounts.

        Args:
            transfers: At most 8,192.

        Effects:
            Locks the accounts in id order until the transaction ends; writes the journal, the balances, the holds.

        Repeat:
            A transfer that exists is answered EXISTS, or with the first field that differs; one that failed for a
            reason that may pass is answered ID_ALREADY_FAILED for ever.

        Returns:
            One result per transfer, in order.

        Errors:
            IntegerOverflowError: a number does not fit its field.
        """
        _check_size(transfers)
        check_transfers(transfers)
        return await self._run(lambda: self._create_transfers(transfers)) if transfers else []

    async def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts with these ids, in the order asked; unknown ones are left out."""
        records = await _sql.lookup_accounts.fetch(self._conn, [uuid_of(number) for number in ids])
        return _in_order(ids, [account_of(record) for record in records])

    async def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers with these ids, in the order asked; unknown ones are left out."""
        if not ids:
            return []
        uuids = [uuid_of(number) for number in ids]
        records = await _sql.lookup_transfers.fetch(self._conn, uuids, uuid_of(min(ids)), uuid_of(max(ids)))
        return _in_order(ids, [transfer_of(record) for record in records])

    async def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:  # noqa: A002 - the client's name
        """The transfers of one account by timestamp; nothing if the filter is not valid. At most 8,192."""
        return await query.get_account_transfers(self._conn, filter)

    async def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:  # noqa: A002
        """The balances of one account after each of its transfers; nothing unless it has the flag HISTORY."""
        return await query.get_account_balances(self._conn, filter)

    async def query_accounts(self, filter: QueryFilter) -> list[Account]:  # noqa: A002
        """Accounts by their fields; nothing if the filter is not valid. At most 8,192."""
        return await query.query_accounts(self._conn, filter)

    async def query_transfers(self, filter: QueryFilter) -> list[Transfer]:  # noqa: A002
        """Transfers by their fields; nothing if the filter is not valid. At most 8,192."""
        return await query.query_transfers(self._conn, filter)

    async def expire_pending_transfers(self, limit: int = 1_000) -> int:
        """One pulse of expiry: release the holds that have been due longest.

        Returns:
            How many were released; as many as `limit` means that more may be due.
        """
        return await self._run(lambda: self._expire(limit))

    # How it is done

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._conn.is_in_transaction():
            try:
                return await work()
            except asyncpg.UniqueViolationError as error:
                # The same id came in on another connection with other accounts: seen from the start, it exists.
                raise asyncpg.SerializationError(str(error)) from error
        for attempt in range(_RETRIES):
            try:
                async with self._conn.transaction():
                    return await work()
            except (*_RETRYABLE, asyncpg.UniqueViolationError):
                if attempt == _RETRIES - 1:
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads retries only
        raise AssertionError("unreachable")

    async def _create_transfers(self, events: Sequence[Transfer]) -> list[CreateTransferResult]:
        event_ids = [event.id for event in events]
        pending_ids = [event.pending_id for event in events if event.pending_id]
        account_ids = {event.debit_account_id for event in events}
        account_ids.update(event.credit_account_id for event in events)
        now = self._clock()
        loaded = await self._acquire(event_ids, pending_ids, account_ids, len(events), now)
        batch = Batch(loaded.accounts, loaded.stored, loaded.states, loaded.failed)
        first = loaded.first_timestamp
        # A hold made while this batch waited for its locks names accounts that are not locked yet.
        unlocked = [number for number in loaded.states if not batch.has_accounts_of(number)]
        if unlocked:
            more = await self._acquire([], unlocked, set(), len(events), now)
            first = _join(batch, more)
        if int(events[0].flags) & TransferFlags.IMPORTED:
            await self._prepare_import(batch, events)
        if any(state.next_expiry <= first for state in loaded.accounts.values()):
            first = await self._settle_due(batch, len(events), now, first)
        results = batch.run(events, first)
        await self._write(batch, loaded)
        return results

    async def _acquire(
        self, event_ids: list[int], pending_ids: list[int], account_ids: set[int], ticks: int, now: int
    ) -> _Loaded:
        named = event_ids + pending_ids
        records = await _sql.acquire.fetch(
            self._conn, uuids(event_ids), uuids(pending_ids), uuids(account_ids), uuid_of(min(named)),
            uuid_of(max(named)), ticks, now,
        )  # fmt: skip
        return _Loaded(records)

    async def _prepare_import(self, batch: Batch, events: Sequence[Transfer]) -> None:
        await _sql.one_importer.execute(self._conn)
        stamps = [event.timestamp for event in events if event.timestamp < NEVER]
        (bounds,) = await _sql.imported_bounds.fetch(self._conn, stamps)
        batch.import_after(bounds["newest"], frozenset(bounds["taken"]))

    async def _settle_due(self, batch: Batch, count: int, now: int, first: int) -> int:
        """Release what is due on the locked accounts, and return the batch's new first timestamp."""
        touched = [*batch.accounts.values()]
        numbers_touched = uuids(state.id for state in touched)
        while True:
            due = await _sql.due_holds.fetch(self._conn, numbers_touched, first)
            due = [record for record in due if batch.states.get(record["id"].int, PENDING) == PENDING]
            if not due:
                break
            first, _ = await self._release(batch, due, count, now)
        # Not for the accounts on the other side of these holds: they may have holds due that nobody released.
        states = [state for state in touched if state.next_expiry <= first]
        for record in await _sql.next_expiries.fetch(self._conn, uuids(state.id for state in states)):
            batch.accounts[record["id"].int].next_expiry = record["next_expiry"] or NEVER
        return first

    async def _release(self, batch: Batch, due: Sequence[Any], count: int, now: int) -> tuple[int, _Loaded]:
        """Expire these holds, and return the next timestamp."""
        hold_ids = [record["id"].int for record in due]
        more = {side.int for record in due for side in (record["debit_account_id"], record["credit_account_id"])}
        loaded = await self._acquire([], hold_ids, more - batch.accounts.keys(), len(due) + count, now)
        timestamp = _join(batch, loaded)
        for number in hold_ids:
            if batch.states[number] == PENDING:
                batch.expire(batch.stored[number], timestamp)
                timestamp += 1
        return timestamp, loaded

    async def _expire(self, limit: int) -> int:
        now = self._clock()
        due = await _sql.due_hold_ids.fetch(self._conn, now, limit)
        if not due:
            return 0
        batch = Batch({}, {}, {}, set())
        _, loaded = await self._release(batch, due, 0, now)
        await self._write(batch, loaded)
        return len(batch.resolved)

    async def _write(self, batch: Batch, loaded: _Loaded) -> None:
        changed = [state for state in batch.accounts.values() if state.changed()]
        if not (batch.rows or changed or batch.newly_failed):
            return
        opened = {row[0] for row, _ in batch.opened}
        resolved = [number for number in batch.resolved if number not in opened]
        accounting_date = loaded.accounting_date()
        changes: list[str] = []
        if len(batch.rows) < _COPY_FROM:
            changes += (*columns_of(batch.rows), *_changes(batch, changed, resolved))
        else:

            async def source() -> AsyncIterator[bytes]:
                """Packs the next rows, and at last the other changes, while the server takes the rows before."""
                for packed in pack_rows(batch.rows, batch.accounts, accounting_date, loaded.xact):
                    yield packed
                changes.extend((*columns_of([]), *_changes(batch, changed, resolved)))

            await self._conn.copy_to_table(
                "transfer", schema_name="ledger", columns=COLUMNS, source=source(), format="binary"
            )
        (written,) = await _sql.write.fetch(self._conn, accounting_date, loaded.xact, *changes)
        if written["accounts"] != len(changed) or written["holds"] != len(resolved):
            raise InvariantBroken("an account or a hold changed while it was locked")


def _changes(batch: Batch, changed: Sequence[AccountState], resolved: Sequence[int]) -> list[str]:
    """The arrays of everything but the journal's rows; left empty where no account of the batch changed."""
    states, failed, opened = batch.states, batch.newly_failed, batch.opened
    with_holds = bool(opened or batch.resolved)
    return [
        uuids(state.id for state in changed),
        numbers(state.debits_posted for state in changed),
        numbers(state.credits_posted for state in changed),
        numbers(state.version for state in changed),
        *(
            (
                numbers(state.debits_pending for state in changed),
                numbers(state.credits_pending for state in changed),
                numbers(state.next_expiry for state in changed),
                numbers(state.flags for state in changed),
            )
            if with_holds or any(state.next_expiry != state.loaded[1] for state in changed)
            else ("{}",) * 4
        ),
        uuids(row[0] for row, _ in opened),
        uuids(row[1] for row, _ in opened),
        uuids(row[2] for row, _ in opened),
        numbers(expires_at for _, expires_at in opened),
        numbers(states[row[0]] for row, _ in opened),
        uuids(resolved),
        numbers(states[number] for number in resolved),
        uuids(number for number, _, _ in failed),
        numbers(int(status) for _, status, _ in failed),
        numbers(timestamp for _, _, timestamp in failed),
    ]


class _Loaded:
    """What `acquire` brought, sorted out."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.accounts: dict[int, AccountState] = {}
        self.stored: dict[int, Row] = {}
        self.states: dict[int, int] = {}
        self.failed: set[int] = set()
        self.first_timestamp = self.xact = 0
        self._days: int | None = None
        for record in records:
            kind = record[0]
            if kind == 0:
                self.accounts = unpack_accounts(record[15])
            elif kind == 1:
                number = record[1].int
                self.stored[number] = (
                    number, record[2].int, record[3].int, record[6], record[4].int, record[5].int,
                    record[7] & _UNSIGNED, *record[8:14],
                )  # fmt: skip
                if record[14] is not None:
                    self.states[number] = record[14]
            elif kind == 2:
                self.failed.add(record[1].int)
            else:
                self.first_timestamp, self._days, self.xact = record[6], record[7], record[8]

    def accounting_date(self) -> date:
        """The day that new rows belong to; before the first day cut, the calendar's."""
        if self._days is not None:
            return _EPOCH + timedelta(days=self._days)
        return (datetime.fromtimestamp(self.first_timestamp // 1_000_000_000, UTC) + _DEFAULT_ZONE).date()


def _join(batch: Batch, more: _Loaded) -> int:
    """Add accounts and holds that were locked later; returns the timestamp to go on from."""
    for number, state in more.accounts.items():
        batch.accounts.setdefault(number, state)
    batch.stored.update(more.stored)
    batch.states.update(more.states)
    return more.first_timestamp


def _check_size(events: Sequence[object]) -> None:
    if len(events) > BATCH_MAX:
        raise ValueError(f"at most {BATCH_MAX} events at once")


def _in_order(ids: Sequence[int], found: Sequence[Any]) -> list[Any]:
    by_id = {entry.id: entry for entry in found}
    return [by_id[number] for number in ids if number in by_id]
