"""Who is calling? Answered from memory, since it is asked on every request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from hutong import db
from hutong.errors import Unauthorized
from hutong.merchants.merchants import hash_key, merchant_of
from hutong.merchants.model import Merchant
from hutong.merchants.statements import sql

K = TypeVar("K")

_KEPT_S = 5.0
_CACHE_LIMIT = 10_000


class Directory:
    """Looks merchants up by API key and by id, each answer kept for five seconds.

    Args:
        monotonic: Measures how long answers have been kept, in seconds.
    """

    def __init__(self, database: db.Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._by_key: dict[bytes, tuple[float, Merchant]] = {}
        self._by_id: dict[UUID, tuple[float, Merchant]] = {}

    async def authenticate(self, secret: str) -> Merchant:
        """The merchant whose key this is.

        Errors:
            Unauthorized: no such key, revoked, or its merchant is disabled. Which of them is not told.
        """
        hashed = hash_key(secret)
        known = self._by_key.get(hashed)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        asked_at = self._monotonic()
        async with self._database.transaction() as tx:
            row = await sql.authenticate.fetchrow(tx, hashed)
        if row is None:
            self._by_key.pop(hashed, None)
            raise Unauthorized("the API key is not valid", param="Authorization")
        return self._keep(self._by_key, hashed, merchant_of(row), asked_at)

    async def merchant(self, merchant_id: UUID) -> Merchant:
        """The merchant with this id, which must exist."""
        known = self._by_id.get(merchant_id)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        asked_at = self._monotonic()
        async with self._database.transaction() as tx:
            (row,) = await sql.find_merchants.fetch(tx, [merchant_id])
        return self._keep(self._by_id, merchant_id, merchant_of(row), asked_at)

    @staticmethod
    def _keep(cache: dict[K, tuple[float, Merchant]], key: K, merchant: Merchant, asked_at: float) -> Merchant:
        if len(cache) >= _CACHE_LIMIT:
            cache.clear()
        cache[key] = (asked_at + _KEPT_S, merchant)
        return merchant
