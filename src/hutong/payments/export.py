"""All payments and refunds, row by row, for whoever builds another view of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

from hutong import db
from hutong.payments.statements import sql as _sql


async def one_snapshot(tx: db.Tx) -> None:
    """Have everything that this transaction reads be as it was at one moment; the first thing in it."""
    await _sql.one_snapshot.execute(tx)


def stream_payments(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Every payment with the attempt that its money came through, in order of the ids."""
    return _sql.stream_payments.cursor(tx)


def stream_refunds(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Every refund, in order of the ids."""
    return _sql.stream_refunds.cursor(tx)


def stream_customers(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Every customer that was told of outside of orders."""
    return _sql.stream_customers.cursor(tx)
