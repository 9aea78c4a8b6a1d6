"""All payments and refunds, row by row, for views that others build."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

from hutong import db
from hutong.payments.statements import sql


def stream_payments(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Yield every payment with the attempt that took its money, in order of the ids."""
    return sql.stream_payments.cursor(tx)


def stream_refunds(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Yield every refund, in order of the ids."""
    return sql.stream_refunds.cursor(tx)
