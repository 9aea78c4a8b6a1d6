"""The state of a batch in the database, read under locks and written back, and the conversion of its numbers."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import accumulate
from operator import attrgetter
from typing import Any

from asyncpg.pgproto import pgproto

from hutong import db
from hutong.errors import InvariantBroken
from hutong.ledger.batch_state import CREDIT, DEBIT, FLAGS, ID, TIMESTAMP, LockedAccount, Row
from hutong.ledger.day_rule import day_of_timestamp, read_rule
from hutong.ledger.engine import Batch
from hutong.ledger.model import Account, Transfer, TransferFlags
from hutong.ledger.statements import sql as _sql

UUID: Any = pgproto.UUID
"""asyncpg's own UUID: made from bytes at a tenth of the cost of the standard library's."""

COLUMNS = (*_sql["journal"], "accounting_date", "xact")
"""The columns of the journal in the order of `pack_rows`."""

_NO_UUID = bytes(16)
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_ROWS_AT_ONCE = 256
_COPY_FROM = 128
"""The number of rows from which COPY costs less than arrays."""

_IMPORTED = int(TransferFlags.IMPORTED)
_EPOCH = date(1970, 1, 1)
_POSTGRES_EPOCH = date(2000, 1, 1).toordinal()
# PostgreSQL's binary COPY: the number of columns, then length and value of each.
_ROW = struct.Struct(">h" + "i16s" * 3 + "iq" + "i16s" * 2 + "iQ" + "iq" * 3 + "ii" * 2 + "iq" * 11 + "iiiq")
# What record_send writes: the number of columns, then type, length and value of each.
_ACCOUNT = struct.Struct(">4x8x16s" + "8xq" * 10)


def unpack_accounts(packed: bytes | None) -> dict[int, LockedAccount]:
    """Return the accounts that `acquire` locked, by id."""
    unpacked = [LockedAccount(row[0], row[1:]) for row in _ACCOUNT.iter_unpack(packed or b"")]
    return {account.id: account for account in unpacked}


def uuid_of(number: int) -> Any:
    """Return a 128-bit number in the form that the database stores."""
    return UUID(number.to_bytes(16, "big"))


def signed(number: int) -> int:
    """Return the signed number of a bigint with the same 64 bits."""
    return number - (1 << 64) if number >> 63 else number


def unsigned(number: int) -> int:
    """Return the unsigned number with the same 64 bits as a bigint."""
    return number & (1 << 64) - 1


def pack_rows(
    rows: Sequence[Row], accounts: dict[int, LockedAccount], dates: Sequence[date], xact: int
) -> Iterator[bytes]:
    """Yield the rows in the format of a binary COPY, some at a time."""
    days = [day.toordinal() - _POSTGRES_EPOCH for day in dates]
    pack = _ROW.pack
    size = len(COLUMNS)
    yield _HEADER
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield b"".join(
            [
                pack(
                    size, 16, id_.to_bytes(16, "big"), 16, accounts[debit].bytes, 16, accounts[credit].bytes,
                    8, amount, 16, pending_id.to_bytes(16, "big") if pending_id else _NO_UUID,
                    16, data_128.to_bytes(16, "big") if data_128 else _NO_UUID, 8, data_64, 8, data_32, 8, timeout,
                    8, ledger, 4, code, 4, flags, 8, timestamp, 8, a, 8, b, 8, c, 8, d, 8, e, 8, f, 8, g, 8, h, 8, i,
                    8, j, 4, day, 8, xact,
                )
                for day, (
                    id_, debit, credit, amount, pending_id, data_128, data_64, data_32, timeout, ledger, code, flags,
                    timestamp, a, b, c, d, e, f, g, h, i, j,
                ) in zip(days[start : start + _ROWS_AT_ONCE], rows[start : start + _ROWS_AT_ONCE], strict=True)
            ]
        )  # fmt: skip
    yield _TRAILER


def numbers(values: Iterable[int]) -> str:
    """Return whole numbers as the text of an array."""
    return "{" + ",".join(map(str, values)) + "}"


def uuids(values: Iterable[int]) -> str:
    """Return 128-bit numbers as the text of an array of uuid."""
    return "{" + ",".join([f"{number:032x}" for number in values]) + "}"


def arrays_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return the rows as one array per column of the journal, for `unnest`."""
    columns = zip(*rows, strict=True) if rows else [()] * len(_ENCODERS)
    return {name: encode(column) for (name, encode), column in zip(_ENCODERS, columns, strict=True)}


def _signed_numbers(values: Iterable[int]) -> str:
    return numbers(map(signed, values))


_ENCODERS: list[tuple[str, Callable[[Iterable[int]], str]]] = [
    (
        name,
        uuids if name.endswith("id") or name == "user_data_128"
        else _signed_numbers if name == "user_data_64" else numbers,
    )
    for name in _sql["journal"]
]  # fmt: skip


class Loaded:
    """The rows of `acquire` by kind: locked accounts, existing transfers with the states of holds, failed ids, time."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.accounts: dict[int, LockedAccount] = {}
        self.stored: dict[int, Row] = {}
        self.states: dict[int, int] = {}
        self.failed: set[int] = set()
        self.first_timestamp = self.xact = 0
        self._online: int | None = None
        self._latest: int | None = None
        self._rule = b""
        for record in records:
            kind = record[0]
            if kind == 0:
                self.accounts, self._latest = unpack_accounts(record["packed"]), record["n1"]
            elif kind == 1:
                number = record["a"].int
                # The columns have general names, because each kind has other values: see `ledger.acquire`.
                self.stored[number] = (
                    number, record["b"].int, record["c"].int, record["n1"], record["d"].int, record["e"].int,
                    unsigned(record["n2"]), *record[8:14],
                )  # fmt: skip
                if record["n9"] is not None:
                    self.states[number] = record["n9"]
            elif kind == 2:
                self.failed.add(record["a"].int)
            else:
                self.first_timestamp, self._online, self.xact = record["n1"], record["n2"], record["n3"]
                self._rule = record["packed"]

    def take_date_from(self, more: Loaded) -> None:
        """Date new rows by what was loaded later, when the last accounts were locked."""
        self.first_timestamp, self._online, self._rule = more.first_timestamp, more._online, more._rule
        self._latest = max((days for days in (self._latest, more._latest) if days is not None), default=None)

    def date_of(self, timestamp: int) -> date:
        """Return the date of a row: that of its time, but none that is closed or has passed on the accounts."""
        return max(
            self.day_of(timestamp), *(_EPOCH + timedelta(days=days or 0) for days in (self._online, self._latest))
        )

    def dates_of(self, rows: Sequence[Row]) -> list[date]:
        """Return the date of each row of a batch; no row has an earlier one than the row before it."""
        if not rows or not rows[-1][FLAGS] & _IMPORTED:
            return [self.date_of(self.first_timestamp)] * len(rows)
        # Imported rows have times of their own, and the ledger's own rows may come before them.
        return list(accumulate((self.date_of(row[TIMESTAMP]) for row in rows), max))

    def end_of_day(self, day: date) -> datetime:
        """Return the instant at which a day of the books ends."""
        return read_rule(self._rule).end_of(day)

    def day_of(self, timestamp: int) -> date:
        """Return the day of the books that a timestamp belongs to."""
        return day_of_timestamp(read_rule(self._rule), timestamp)


async def acquire(
    tx: db.Tx, event_ids: list[int], pending_ids: list[int], account_ids: set[int], ticks: int, now: int
) -> Loaded:
    """Lock accounts in id order, and read what a batch needs; take `ticks` timestamps."""
    named = event_ids + pending_ids
    records = await _sql.acquire.fetch(
        tx,
        event_ids=uuids(event_ids),
        pending_ids=uuids(pending_ids),
        account_ids=uuids(account_ids),
        least_id=uuid_of(min(named)),
        greatest_id=uuid_of(max(named)),
        tick_count=ticks,
        now_ns=now,
    )
    return Loaded(records)


async def write(tx: db.Tx, batch: Batch, loaded: Loaded) -> None:
    """Write what a batch changed: the journal, the balances, the holds, the failed ids."""
    changed = [state for state in batch.accounts.values() if state.loaded != (state.version, state.next_expiry)]
    if not (batch.rows or changed or batch.newly_failed):
        return
    opened = {row[ID] for row, _ in batch.opened}
    resolved = [number for number in batch.resolved if number not in opened]
    dates = loaded.dates_of(batch.rows)
    changes: dict[str, str] = {}
    if len(batch.rows) < _COPY_FROM:
        changes = arrays_of(batch.rows) | _changes(batch, changed, resolved) | {"accounting_date": _days(dates)}
    else:

        async def source() -> AsyncIterator[bytes]:
            """Pack rows, and at last the other changes, while the server takes the previous rows."""
            for packed in pack_rows(batch.rows, batch.accounts, dates, loaded.xact):
                yield packed
            changes.update(arrays_of([]) | _changes(batch, changed, resolved) | {"accounting_date": _days([])})

        await tx.copy_to_table("transfer", schema_name="ledger", columns=COLUMNS, source=source(), format="binary")
    last_date = dates[-1] if dates else loaded.date_of(loaded.first_timestamp)
    (written,) = await _sql.write.fetch(tx, last_date=last_date, xact=loaded.xact, **changes)
    if written["accounts"] != len(changed) or written["holds"] != len(resolved):
        raise InvariantBroken("an account or a hold changed while it was locked")


def _days(dates: Iterable[date]) -> str:
    return "{" + ",".join(map(str, dates)) + "}"


def _changes(batch: Batch, changed: Sequence[LockedAccount], resolved: Sequence[int]) -> dict[str, str]:
    """Return the arrays of everything but the journal's rows; empty ones where no account of the batch changed."""
    states, failed, opened = batch.states, batch.newly_failed, batch.opened
    with_holds = bool(opened or batch.resolved) or any(state.next_expiry != state.loaded[1] for state in changed)
    held = changed if with_holds else ()
    return {
        "account_id": uuids(state.id for state in changed),
        "account_debits_posted": numbers(state.debits_posted for state in changed),
        "account_credits_posted": numbers(state.credits_posted for state in changed),
        "account_version": numbers(state.version for state in changed),
        "account_debits_pending": numbers(state.debits_pending for state in held),
        "account_credits_pending": numbers(state.credits_pending for state in held),
        "account_next_expiry": numbers(state.next_expiry for state in held),
        "account_flags": numbers(state.flags for state in held),
        "opened_id": uuids(row[ID] for row, _ in opened),
        "opened_debit_account_id": uuids(row[DEBIT] for row, _ in opened),
        "opened_credit_account_id": uuids(row[CREDIT] for row, _ in opened),
        "opened_expires_at": numbers(expires_at for _, expires_at in opened),
        "opened_state": numbers(states[row[ID]] for row, _ in opened),
        "resolved_id": uuids(resolved),
        "resolved_state": numbers(states[number] for number in resolved),
        "failed_id": uuids(number for number, _, _ in failed),
        "failed_status": numbers(int(status) for _, status, _ in failed),
        "failed_timestamp": numbers(timestamp for _, _, timestamp in failed),
    }


_number = attrgetter("int")
read_account = db.reader(Account, _sql["account"], id=_number, user_data_128=_number, user_data_64=unsigned)
"""Reads a row as an account of the API."""

read_transfer = db.reader(
    Transfer, _sql["transfer"], id=_number, debit_account_id=_number, credit_account_id=_number, pending_id=_number,
    user_data_128=_number, user_data_64=unsigned,
)  # fmt: skip
"""Reads a row as a transfer of the API."""


class IntegerOverflowError(ValueError):
    """A number that does not fit its field."""


def check_numbers(wide: int, u64: int, u32: int, u16: int) -> None:
    """Refuse numbers that do not fit: each argument is the bitwise or of all numbers of one width.

    Errors:
        IntegerOverflowError: a number is negative or too large.
    """
    if wide >> 128 or u64 >> 64 or u32 >> 32 or u16 >> 16:
        raise IntegerOverflowError("a number is negative or too large for its field")


def check_transfers(events: Iterable[Transfer]) -> None:
    """Refuse transfers whose numbers do not fit their fields."""
    wide = u64 = u32 = u16 = 0
    for t in events:
        wide |= t.id | t.debit_account_id | t.credit_account_id | t.amount | t.pending_id | t.user_data_128
        u64 |= t.user_data_64 | t.timestamp
        u32 |= t.user_data_32 | t.timeout | t.ledger
        u16 |= t.code | int(t.flags)
    check_numbers(wide, u64, u32, u16)
