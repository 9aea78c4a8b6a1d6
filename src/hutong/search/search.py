"""Searches of payment records, a page at a time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from hutong import db
from hutong.clock import to_ns
from hutong.customers import Customer, CustomerProfile
from hutong.errors import InvalidParameter, NotFound
from hutong.search.errors import SearchTooWide
from hutong.search.model import PaymentRecord, RecordPage, RecordQuery
from hutong.search.ngrams import fold, required_grams, terms_of
from hutong.search.statements import sql

SEARCH_LIMIT_MS = 5_000
EXPORT_PAGE = 1_000
CUSTOMERS_MAX = 1_000
"""The most customers that a search by name may match."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRONG_CURSOR = "cursor does not belong to this search"
_read_record = db.reader(PaymentRecord, (*sql["record"], "customer_name", "customer_avatar"), refunds=orjson.loads)


async def search_records(tx: db.Tx, query: RecordQuery, *, limit: int, cursor: str | None = None) -> RecordPage:
    """Return payment records, newest first.

    Args:
        cursor: The `next_cursor` of the previous page of the same search.

    Returns:
        At most `limit`. Records that are added while somebody turns the pages neither repeat nor hide any.

    Errors:
        InvalidParameter: `cursor` belongs to another search or is no cursor; `q` or `counterparty` is blank.
        SearchTooWide: the search took more than 5 s.
    """
    await sql.limit_search.execute(tx, str(SEARCH_LIMIT_MS))
    parameters = await search_parameters(tx, query, limit, cursor)
    try:
        rows = await sql.search_records.fetch(tx, **parameters)
    except asyncpg.QueryCanceledError as error:
        raise SearchTooWide("the search took too long; shorten the time range or add filters", param="from") from error
    records = [_read_record(row) for row in rows[:limit]]
    return RecordPage(records, _write_cursor(records[-1], query) if len(rows) > limit else None)


async def search_parameters(tx: db.Tx, query: RecordQuery, limit: int, cursor: str | None) -> dict[str, Any]:
    """Return the parameters of the statement `search_records`. Errors as there."""
    after_at, after_id = (None, None) if cursor is None else _read_cursor(cursor, query)
    terms = None if query.text is None else _read_terms(query.text, "q")
    customers = None if query.counterparty is None else await _find_customers(tx, query.merchant_id, query.counterparty)
    return {
        "merchant_id": query.merchant_id,
        "begin": query.begin,
        "end": query.end,
        "status": query.status,
        "amount_min": query.amount_min,
        "amount_max": query.amount_max,
        "currency": query.currency,
        "merchant_order_no": query.merchant_order_no,
        "customer_id": query.customer_id,
        "grams": None if terms is None else required_grams(terms),
        "terms": terms,
        "customer_ids": None if customers is None else [row["customer_id"] for row in customers],
        "customer_merchants": None if customers is None else [row["merchant_id"] for row in customers],
        "after_at": after_at,
        "after_id": after_id,
        "count": limit + 1,
    }


async def find_record(tx: db.Tx, payment_id: UUID, *, merchant_id: UUID | None = None) -> PaymentRecord:
    """Return the record of one payment.

    Errors:
        NotFound: there is none, or it is another merchant's.
    """
    row = await sql.find_record.fetchrow(tx, payment_id, merchant_id)
    if row is None:
        raise NotFound("no payment record has this id")
    return _read_record(row)


async def find_profile(tx: db.Tx, merchant_id: UUID, customer_id: str) -> CustomerProfile | None:
    """Return the newest profile of one customer, from an order or outside of one; None without any."""
    row = await sql.find_profile.fetchrow(tx, merchant_id, customer_id)
    if row is None:
        return None
    return CustomerProfile(Customer(row["customer_id"], row["name"], row["avatar"]), row["version_at"])


async def export_records(
    store: db.Database, query: RecordQuery, *, cursor: str | None = None
) -> AsyncIterator[list[PaymentRecord]]:
    """Yield all payment records of a search, newest first, in pages. No transaction is open while a page is used."""
    while True:
        async with store.transaction() as tx:
            page = await search_records(tx, query, limit=EXPORT_PAGE, cursor=cursor)
        yield page.records
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


async def _find_customers(tx: db.Tx, merchant_id: UUID | None, text: str) -> list[asyncpg.Record]:
    grams = required_grams(_read_terms(text, "counterparty"))
    customers = await sql.find_customers.fetch(tx, merchant_id, text, grams, fold(text), CUSTOMERS_MAX + 1)
    if len(customers) > CUSTOMERS_MAX:
        raise SearchTooWide(
            f"counterparty matches more than {CUSTOMERS_MAX} customers; give more of the name", param="counterparty"
        )
    return customers


def _read_terms(text: str, param: str) -> list[str]:
    terms = terms_of(text)
    if not any(terms):
        raise InvalidParameter(f"{param} must not be blank", param=param)
    return terms


def _write_cursor(record: PaymentRecord, query: RecordQuery) -> str:
    """Return the place behind a record, marked with the query: used in another search it would skip records unseen."""
    micros = to_ns(record.created_at) // 1_000
    raw = micros.to_bytes(8, "big") + record.payment_id.bytes + _mark(query)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read_cursor(text: str, query: RecordQuery) -> tuple[datetime, UUID]:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raw = b""
    if len(raw) != 28 or raw[24:] != _mark(query):
        raise InvalidParameter(_WRONG_CURSOR, param="cursor")
    try:
        at = _EPOCH + timedelta(microseconds=int.from_bytes(raw[:8], "big"))
    except OverflowError as error:
        raise InvalidParameter(_WRONG_CURSOR, param="cursor") from error
    return at, UUID(bytes=raw[8:24])


def _mark(query: RecordQuery) -> bytes:
    return hashlib.sha256(repr(astuple(query)).encode()).digest()[:4]
