"""Merchants by API key and by id, kept in memory since every request needs its caller."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from hutong import db
from hutong.errors import Unauthorized
from hutong.merchants.errors import KeyExpired, MerchantDisabled, ScopeMissing
from hutong.merchants.logo import Logo
from hutong.merchants.merchants import find_logo, read_merchant
from hutong.merchants.model import KeyLimits, Merchant
from hutong.merchants.statements import sql

K = TypeVar("K")
V = TypeVar("V")

_KEPT_S = 5.0
_CACHE_LIMIT = 10_000
_LOGOS_KEPT = 64


def hash_key(secret: str) -> bytes:
    """Return the hash under which a key is kept. A key has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).digest()


def read_scopes(stored: Sequence[str] | None) -> frozenset[str] | None:
    """Return the scopes of a key as stored; one of a later version opens nothing here."""
    return None if stored is None else frozenset(stored)


class Directory:
    """Looks merchants up by API key and by id, each answer kept for five seconds.

    Args:
        monotonic: The clock of the answers' age, in seconds.
    """

    def __init__(self, database: db.Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._by_key: dict[bytes, tuple[float, tuple[Merchant, KeyLimits]]] = {}
        self._by_id: dict[UUID, tuple[float, Merchant]] = {}
        self._logos: dict[str, Logo] = {}

    async def authenticate(self, secret: str, scope: str, *, now: datetime) -> Merchant:
        """Return the merchant of a key that may be used for this.

        Args:
            scope: The value of a `Scope`.

        Errors:
            Unauthorized: the key does not exist or is revoked; the error does not say which.
            KeyExpired, MerchantDisabled, ScopeMissing: the key is genuine.
        """
        merchant, limits = await self._owner(hash_key(secret))
        if limits.expires_at is not None and limits.expires_at <= now:
            raise KeyExpired("the API key has expired", param="Authorization")
        if merchant.disabled_at is not None:
            raise MerchantDisabled("the merchant of this API key is disabled", param="Authorization")
        if limits.scopes is not None and scope not in limits.scopes:
            raise ScopeMissing(f"the API key lacks the scope `{scope}`", param="Authorization")
        return merchant

    async def _owner(self, hashed: bytes) -> tuple[Merchant, KeyLimits]:
        cached = self._by_key.get(hashed)
        if cached is not None and cached[0] > self._monotonic():
            return cached[1]
        queried_at = self._monotonic()
        async with self._database.transaction() as tx:
            row = await sql.authenticate.fetchrow(tx, hashed)
        if row is None:
            self._by_key.pop(hashed, None)
            raise Unauthorized("the API key is not valid", param="Authorization")
        owner = read_merchant(row), KeyLimits(read_scopes(row["scopes"]), row["expires_at"])
        return self._keep(self._by_key, hashed, owner, queried_at)

    async def merchant(self, merchant_id: UUID) -> Merchant:
        """Return the merchant with this id, which must exist."""
        cached = self._by_id.get(merchant_id)
        if cached is not None and cached[0] > self._monotonic():
            return cached[1]
        queried_at = self._monotonic()
        async with self._database.transaction() as tx:
            (row,) = await sql.find_merchants.fetch(tx, [merchant_id])
        return self._keep(self._by_id, merchant_id, read_merchant(row), queried_at)

    async def logo(self, digest: str) -> Logo | None:
        """Return the logo with this hash; None if no merchant has it."""
        if digest not in self._logos:
            async with self._database.transaction() as tx:
                found = await find_logo(tx, digest)
            if found is None:
                return None
            if len(self._logos) >= _LOGOS_KEPT:
                self._logos.clear()
            self._logos[digest] = Logo(*found)
        return self._logos[digest]

    @staticmethod
    def _keep(cache: dict[K, tuple[float, V]], key: K, value: V, queried_at: float) -> V:
        if len(cache) >= _CACHE_LIMIT:
            cache.clear()
        cache[key] = (queried_at + _KEPT_S, value)
        return value
