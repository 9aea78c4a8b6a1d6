"""Finding bills, a page at a time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

from hutong import db
from hutong.clock import to_ns
from hutong.errors import InvalidParameter
from hutong.search.errors import SearchTooWide
from hutong.search.model import Page, PaymentRecord, RecordQuery, RecordStatus
from hutong.search.ngrams import fold, needed, terms
from hutong.search.statements import sql as _sql

SEARCH_LIMIT_MS = 5_000
EXPORT_PAGE = 1_000
CUSTOMERS_MAX = 1_000
"""How many customers a search by name may fit."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def search(tx: db.Tx, wanted: RecordQuery, *, limit: int, cursor: str | None = None) -> Page:
    """Bills, newest first.

    Args:
        cursor: `next_cursor` of the page before, of the same search.

    Returns:
        At most `limit`. Bills that are added while somebody turns the pages neither repeat nor hide any.

    Errors:
        InvalidParameter: `cursor` is of another search, or none at all; `q` or `counterparty` holds nothing.
        SearchTooWide: it took more than 5 s.
    """
    await _sql.limit_search.execute(tx, str(SEARCH_LIMIT_MS))
    try:
        rows = await _sql.search_bills.fetch(tx, *await _arguments(tx, wanted, limit, cursor))
    except asyncpg.QueryCanceledError as error:
        raise SearchTooWide("the search took too long; narrow the time or name more", param="from") from error
    bills = [_bill(row) for row in rows[:limit]]
    return Page(bills, _cursor(bills[-1], wanted) if len(rows) > limit else None)


async def search_plan(tx: db.Tx, wanted: RecordQuery) -> str:
    """How PostgreSQL goes about a search just now, for showing."""
    await _sql.limit_search.execute(tx, str(SEARCH_LIMIT_MS))
    rows = await tx.fetch(f"EXPLAIN {_sql.search_bills.text}", *await _arguments(tx, wanted, 20, None))
    return "\n".join(row[0] for row in rows)


async def _arguments(tx: db.Tx, wanted: RecordQuery, limit: int, cursor: str | None) -> list[object]:
    at, last = (None, None) if cursor is None else _read_cursor(cursor, wanted)
    asked = None if wanted.text is None else _terms(wanted.text, "q")
    customers = None if wanted.counterparty is None else await _customers(tx, wanted.merchant_id, wanted.counterparty)
    return [
        wanted.merchant_id,
        wanted.begin,
        wanted.end,
        wanted.status,
        wanted.amount_min,
        wanted.amount_max,
        wanted.currency,
        wanted.merchant_order_no,
        wanted.customer_id,
        None if asked is None else needed(asked),
        asked,
        None if customers is None else [row["customer_id"] for row in customers],
        None if customers is None else [row["merchant_id"] for row in customers],
        at,
        last,
        limit + 1,
    ]


async def _customers(tx: db.Tx, merchant_id: UUID | None, text: str) -> list[asyncpg.Record]:
    words = fold(text)
    pairs = needed(_terms(text, "counterparty"))
    found = await _sql.find_customers.fetch(tx, merchant_id, text, pairs, words, CUSTOMERS_MAX + 1)
    if len(found) > CUSTOMERS_MAX:
        raise SearchTooWide(f"fits more than {CUSTOMERS_MAX} customers; say more of the name", param="counterparty")
    return found


async def find_record(tx: db.Tx, payment_id: UUID, *, merchant_id: UUID | None = None) -> PaymentRecord | None:
    """The bill of one payment; None if there is none, or it is another merchant's."""
    row = await _sql.find_record.fetchrow(tx, payment_id, merchant_id)
    return None if row is None else _bill(row)


async def export(
    store: db.Database, wanted: RecordQuery, *, cursor: str | None = None
) -> AsyncIterator[list[PaymentRecord]]:
    """All bills of a search, newest first, in pages. No transaction is open while a page is being used."""
    while True:
        async with store.transaction() as tx:
            page = await search(tx, wanted, limit=EXPORT_PAGE, cursor=cursor)
        yield page.bills
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def _terms(text: str, param: str) -> list[str]:
    found = terms(text)
    if not any(found):
        raise InvalidParameter("holds nothing to look for", param=param)
    return found


def _bill(row: asyncpg.Record) -> PaymentRecord:
    values = dict(row)
    values["status"] = RecordStatus(values["status"])
    values["refunds"] = orjson.loads(values["refunds"])
    return PaymentRecord(**values)


def _cursor(bill: PaymentRecord, wanted: RecordQuery) -> str:
    """The place behind a bill, with what was asked for: turned over to another search it would skip bills unseen."""
    micros = to_ns(bill.created_at) // 1_000
    raw = micros.to_bytes(8, "big") + bill.payment_id.bytes + _mark(wanted)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read_cursor(text: str, wanted: RecordQuery) -> tuple[datetime, UUID]:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raw = b""
    if len(raw) != 28 or raw[24:] != _mark(wanted):
        raise InvalidParameter("is not a cursor of this search", param="cursor")
    try:
        at = _EPOCH + timedelta(microseconds=int.from_bytes(raw[:8], "big"))
    except OverflowError as error:
        raise InvalidParameter("is not a cursor of this search", param="cursor") from error
    return at, UUID(bytes=raw[8:24])


def _mark(wanted: RecordQuery) -> bytes:
    return hashlib.sha256(repr(astuple(wanted)).encode()).digest()[:4]
