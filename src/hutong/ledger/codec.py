"""The conversion between the whole numbers of the ledger and the columns of the database."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from operator import attrgetter
from typing import Any

from asyncpg.pgproto import pgproto

from hutong import db
from hutong.ledger.batch_state import LockedAccount, Row
from hutong.ledger.model import Account, Transfer
from hutong.ledger.statements import sql as _sql

UUID: Any = pgproto.UUID
"""asyncpg's own UUID: made from bytes at a tenth of the cost of the standard library's."""

COLUMNS = (*_sql["journal"], "accounting_date", "xact")
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
    rows: Sequence[Row], accounts: dict[int, LockedAccount], accounting_date: date, xact: int
) -> Iterator[bytes]:
    """Yield the rows in the format of a binary COPY, some at a time."""
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
    for t in events:
        check_numbers(
            t.id | t.debit_account_id | t.credit_account_id | t.amount | t.pending_id | t.user_data_128,
            t.user_data_64 | t.timestamp,
            t.user_data_32 | t.timeout | t.ledger,
            t.code | int(t.flags),
        )
