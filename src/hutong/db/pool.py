"""Connections and transactions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import asyncpg
import structlog

from hutong.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    Tx: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
else:
    Tx = asyncpg.Connection

T = TypeVar("T")

APP_ROLE = "hutong_app"
"""The role that every connection of the application takes; it can neither change tables nor rewrite journals."""

MINIMUM_VERSION = 150_000
_MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")
_RETRIES = 8
_RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_UNREACHABLE = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InterfaceError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_log = structlog.get_logger(module="hutong.db")


class Database:
    """A pool of connections to one PostgreSQL.

    Use `Database.open` as an async context manager, then `transaction` for one unit of work.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, *, size: int = 16, role: str | None = APP_ROLE) -> AsyncIterator[Database]:
        """Connect, and refuse a server that may lose what it acknowledged.

        Args:
            dsn: A PostgreSQL URL.
            size: Most connections held at once.
            role: The role to take on each connection; None keeps the one that logged in.

        Errors:
            ConfigurationError: older than PostgreSQL 15, or fsync, full_page_writes or synchronous_commit is off.
            Unavailable: the server does not answer.
        """
        settings = {"application_name": "hutong", "jit": "off", "timezone": "UTC"}
        if role is not None:
            settings["role"] = role
        try:
            pool = await asyncpg.create_pool(
                dsn, min_size=1, max_size=size, server_settings=settings, reset=_keep_session
            )
        except _UNREACHABLE as error:
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from error
        try:
            async with pool.acquire() as connection:
                await _refuse_unsafe(connection)
            yield cls(pool)
        finally:
            await _close(pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One transaction: commits when the block ends, rolls back when it raises.

        Errors:
            Unavailable: no connection could be had, so nothing was done.
        """
        try:
            connection = await self.pool.acquire()
        except _UNREACHABLE as error:
            raise Unavailable("the database does not answer") from error
        try:
            async with connection.transaction():
                yield connection
        finally:
            await self.pool.release(connection)

    async def run(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `work` in a transaction of its own, again from the start after a deadlock or serialization failure.

        Args:
            work: Must have no effect but on the transaction, since it may run several times.
        """
        for attempt in range(_RETRIES):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except _RETRYABLE as error:
                if attempt == _RETRIES - 1:
                    raise
                _log.info("transaction_retried", reason=type(error).__name__, attempt=attempt + 1)
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads retries only
        raise AssertionError("unreachable")


async def _keep_session(_connection: object) -> None:
    """Nothing here changes a session beyond its transaction, so a returned connection needs no trip to the server."""


async def _refuse_unsafe(connection: Tx) -> None:
    if connection.get_server_version()[0] * 10_000 < MINIMUM_VERSION:
        raise ConfigurationError("PostgreSQL 15 or later is needed", param="HUTONG_DATABASE_URL")
    for name in _MUST_BE_ON:
        value = await connection.fetchval("SELECT current_setting($1)", name)
        if value == "off":
            raise ConfigurationError(
                f"the database runs with {name} off and may lose acknowledged payments; turn it on",
                param="HUTONG_DATABASE_URL",
            )


async def _close(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    try:
        await asyncio.wait_for(pool.close(), timeout=10)
    except (TimeoutError, *_UNREACHABLE):
        pool.terminate()
