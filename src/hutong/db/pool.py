"""Connections and transactions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import asyncpg

from hutong.errors import ConfigurationError, OutcomeUnknown, Unavailable
from hutong.telemetry import get_logger

if TYPE_CHECKING:
    Tx: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
else:
    Tx = asyncpg.Connection

T = TypeVar("T")

APP_ROLE = "hutong_app"
"""The role of the application's connections; it can neither change tables nor rewrite journals."""

ADOPT = "SELECT db.adopt_cluster() AS epoch"
"""Makes kept transaction numbers mean something in this cluster; the new epoch if the database was brought here."""

MINIMUM_VERSION = 15
CONNECT_LIMIT_S = 10
_ROLLBACK_LIMIT_S = 5
_MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")
_RETRIES = 8
_RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver lost track of a connection that broke during a write
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidParameterValueError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)
_log = get_logger(__name__)


class Database:
    """A pool of connections to one PostgreSQL.

    Use `Database.open` as an async context manager, then `transaction` for one unit of work.

    Attributes:
        catching_up_since: When the catch-up after a restore began; None in normal work. The composition root keeps
            it up to date.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.pool = pool
        self.catching_up_since: datetime | None = None

    def predates_restore(self, at: datetime) -> bool:
        """Return whether something of this time is from before a restore that has not been caught up with."""
        return self.catching_up_since is not None and at < self.catching_up_since

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dsn: str, *, size: int = 16, role: str | None = APP_ROLE, eager: bool = True
    ) -> AsyncIterator[Database]:
        """Connect, and refuse a server that may lose acknowledged data.

        Args:
            dsn: A PostgreSQL URL.
            size: The largest number of connections held at once.
            role: The role to take on each connection; None keeps the login role.
            eager: Whether to connect at once; otherwise an absent server is noticed at the first use.

        Effects:
            Adopts the cluster if the database was restored into another one.

        Errors:
            ConfigurationError: the server is older than PostgreSQL 15, or fsync, full_page_writes or synchronous_commit
                is off.
            Unavailable: the server does not answer.
        """
        settings = {
            "application_name": "hutong",
            "jit": "off",
            "timezone": "UTC",
            # No transaction waits for a person; one that was left open must not keep its locks.
            "idle_in_transaction_session_timeout": "60s",
        }
        if role is not None:
            settings["role"] = role
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1 if eager else 0,
                max_size=size,
                timeout=CONNECT_LIMIT_S,
                server_settings=settings,
                init=_prepare,
            )
        except _REFUSED as error:
            reason = f"the database refuses the connection: {error}; `hutong migrate` creates the role {APP_ROLE}"
            raise ConfigurationError(reason, param="HUTONG_DATABASE_URL") from error
        except _LOST as error:
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from error
        try:
            yield cls(pool)
        finally:
            await _close(pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction for a block: commit at its end, roll back if it raises.

        Errors:
            Unavailable: there was no connection, or it was lost before the commit, so nothing was done.
            OutcomeUnknown: the connection was lost during the commit.
        """
        try:
            connection = await self.pool.acquire(timeout=CONNECT_LIMIT_S)
        except (*_LOST, *_REFUSED) as error:
            raise Unavailable("the database does not answer") from error
        try:
            transaction = connection.transaction()
            try:
                await transaction.start()
                yield connection
            except BaseException as error:
                if _is_lost(error, connection):
                    _discard(connection)
                    raise Unavailable("the connection to the database was lost") from error
                await _roll_back(transaction, connection)
                raise
            try:
                await transaction.commit()
            except _LOST as error:
                _discard(connection)
                raise OutcomeUnknown("the connection to the database was lost during the commit") from error
        finally:
            await self.pool.release(connection)

    async def run(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `work` in a transaction, again from the start after a deadlock or serialization failure.

        Args:
            work: It may run several times, so it must have no effect outside of the transaction.

        Errors:
            Unavailable, OutcomeUnknown: as `transaction`; Unavailable also after repeated conflicts.
        """
        for attempt in range(_RETRIES):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except _RETRYABLE as error:
                if attempt == _RETRIES - 1:
                    raise Unavailable("gave up after repeated conflicts with other transactions") from error
                _log.info("transaction_retried", reason=type(error).__name__, attempt=attempt + 1)
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads retries only
        raise AssertionError("unreachable")


def _is_lost(error: BaseException, connection: Tx) -> bool:
    if isinstance(error, (TimeoutError, asyncpg.InterfaceError)):  # the work's own error, unless the connection is gone
        try:
            return connection.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken the dead connection back
            return True
    return isinstance(error, _LOST)


def _discard(connection: Tx) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has taken the dead connection back
        connection.terminate()


async def _roll_back(transaction: asyncpg.transaction.Transaction, connection: Tx) -> None:
    """Roll back. If that fails, discard the connection, so that the server rolls back by itself."""
    try:
        # A cancel request that overtakes its query is lost, and the rollback would wait for the end of the query.
        async with asyncio.timeout(_ROLLBACK_LIMIT_S):
            await transaction.rollback()
    except Exception as error:  # noqa: BLE001 - only the first error matters
        _log.info("rollback_failed", reason=type(error).__name__)
        _discard(connection)


async def _prepare(connection: Tx) -> None:
    """Check each new connection, since another server may answer at the same address by now."""
    await _refuse_unsafe(connection)
    try:
        epoch = await connection.fetchval(ADOPT)
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError):
        return  # not migrated yet, or not a database of the platform
    if epoch is not None:
        _log.warning("cluster_adopted", epoch=epoch)


async def _refuse_unsafe(connection: Tx) -> None:
    if connection.get_server_version().major < MINIMUM_VERSION:
        detail = f"the database must be PostgreSQL {MINIMUM_VERSION} or later"
        raise ConfigurationError(detail, param="HUTONG_DATABASE_URL")
    query = "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name"
    for name, value in await connection.fetch(query, _MUST_BE_ON):
        if value == "off":
            raise ConfigurationError(
                f"the database runs with {name} off and may lose acknowledged payments; turn it on",
                param="HUTONG_DATABASE_URL",
            )


async def _close(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    try:
        await asyncio.wait_for(pool.close(), timeout=10)
    except _LOST:  # this includes a time-out
        pool.terminate()
