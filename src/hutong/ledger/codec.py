"""Between the whole numbers of the ledger and the columns of the database."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

from asyncpg.pgproto import pgproto

from hutong.ledger.batch_state import AccountState, Row
from hutong.ledger.model import Account, AccountFlags, Transfer, TransferFlags

UUID: Any = pgproto.UUID
"""asyncpg's own UUID: made from bytes at a tenth of the cost of the standard library's."""

COLUMNS = (
    "id", "debit_account_id", "credit_account_id", "amount", "pending_id", "user_data_128", "user_data_64",
    "user_data_32", "timeout", "ledger", "code", "flags", "timestamp", "debit_version", "credit_version",
    "debit_debits_pending", "debit_debits_posted", "debit_credits_pending", "debit_credits_posted",
    "credit_debits_pending", "credit_debits_posted", "credit_credits_pending", "credit_credits_posted",
    "accounting_date", "xact",
)  # fmt: skip
"""The columns of the journal in the order of `pack_rows`."""

_NO_UUID = bytes(16)
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_ROWS_AT_ONCE = 256
_POSTGRES_EPOCH = date(2000, 1, 1).toordinal()
# PostgreSQL's binary COPY: the number of columns, then length and value of each.
_ROW = struct.Struct(">h" + "i16s" * 3 + "iq" + "i16s" * 2 + "iQ" + "iq" * 3 + "ii" * 2 + "iq" * 11 + "iiiq")
# What record_send writes: the number of columns, then type, length and value of each.
_ACCOUNT = struct.Struct(">4x8x16s" + "8xq" * 10)


def unpack_accounts(packed: bytes | None) -> dict[int, AccountState]:
    """The accounts that `acquire` locked, by id."""
    unpacked = [AccountState(row[0], row[1:]) for row in _ACCOUNT.iter_unpack(packed or b"")]
    return {account.id: account for account in unpacked}


def uuid_of(number: int) -> Any:
    """The 128-bit number as the database keeps it."""
    return UUID(number.to_bytes(16, "big"))


def signed(number: int) -> int:
    """64 bits without a sign, as they stand in a bigint."""
    return number - (1 << 64) if number >> 63 else number


def pack_rows(
    rows: Sequence[Row], accounts: dict[int, AccountState], accounting_date: date, xact: int
) -> Iterator[bytes]:
    """The rows as a binary COPY takes them, some at a time."""
    day = accounting_date.toordinal() - _POSTGRES_EPOCH
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
                for (
                    id_, debit, credit, amount, pending_id, data_128, data_64, data_32, timeout, ledger, code, flags,
                    timestamp, a, b, c, d, e, f, g, h, i, j,
                ) in rows[start : start + _ROWS_AT_ONCE]
            ]
        )  # fmt: skip
    yield _TRAILER


def numbers(values: Iterable[int]) -> str:
    """Whole numbers as the text of an array."""
    return "{" + ",".join(map(str, values)) + "}"


def uuids(values: Iterable[int]) -> str:
    """128-bit numbers as the text of an array of uuid."""
    return "{" + ",".join([f"{number:032x}" for number in values]) + "}"


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The rows as one array per column, for `unnest`."""
    columns = list(zip(*rows, strict=True)) or [()] * (len(COLUMNS) - 2)
    columns[6] = tuple(map(signed, columns[6]))
    return [
        uuids(column) if name.endswith("id") or name == "user_data_128" else numbers(column)
        for name, column in zip(COLUMNS, columns, strict=False)
    ]


def account_of(record: Any) -> Account:
    """An account as the API shows it."""
    id_, dp, dpo, cp, cpo, data_128, data_64, data_32, ledger, code, flags, timestamp = record
    return Account(
        id_.int, dp, dpo, cp, cpo, data_128.int, data_64 & (1 << 64) - 1, data_32, ledger, code, AccountFlags(flags),
        timestamp,
    )  # fmt: skip


def transfer_of(record: Any) -> Transfer:
    """A transfer as the API shows it."""
    id_, debit, credit, amount, pending_id, data_128, data_64, data_32, timeout, ledger, code, flags, timestamp = record
    return Transfer(
        id_.int, debit.int, credit.int, amount, pending_id.int, data_128.int, data_64 & (1 << 64) - 1, data_32, timeout,
        ledger, code, TransferFlags(flags), timestamp,
    )  # fmt: skip


class IntegerOverflowError(ValueError):
    """A number does not fit the field it was given for."""


def check_numbers(wide: int, u64: int, u32: int, u16: int) -> None:
    """Refuse numbers that do not fit: each argument is the bitwise or of what has its width.

    Errors:
        IntegerOverflowError: negative, or too large.
    """
    if wide >> 128 or u64 >> 64 or u32 >> 32 or u16 >> 16:
        raise IntegerOverflowError("a number is negative or too large for its field")


def check_transfers(events: Iterable[Transfer]) -> None:
    """Refuse transfers whose numbers do not fit their fields."""
    for t in events:
        check_numbers(
            t.id | t.debit_account_id | t.credit_account_id | t.amount | t.pending_id | t.user_data_128,
            t.user_data_64 | t.timestamp,
            t.user_data_32 | t.timeout | t.ledger,
            t.code | int(t.flags),
        )
