"""Connections and transactions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
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
"""The role that every connection of the application takes; it can neither change tables nor rewrite journals."""

MINIMUM_VERSION = 15
CONNECT_LIMIT_S = 10
_ROLLBACK_LIMIT_S = 5
_MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")
_RETRIES = 8
_RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver lost count of a connection that broke while it was writing
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
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.pool = pool

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dsn: str, *, size: int = 16, role: str | None = APP_ROLE, eager: bool = True
    ) -> AsyncIterator[Database]:
        """Connect, and refuse a server that may lose what it acknowledged.

        Args:
            dsn: A PostgreSQL URL.
            size: Most connections held at once.
            role: The role to take on each connection; None keeps the one that logged in.
            eager: Whether to connect at once; otherwise a server that is away is found out when it is needed.

        Errors:
            ConfigurationError: older than PostgreSQL 15, or fsync, full_page_writes or synchronous_commit is off.
            Unavailable: the server does not answer.
        """
        settings = {
            "application_name": "hutong",
            "jit": "off",
            "timezone": "UTC",
            # Nobody thinks while a transaction is open; one that was left so must not keep its locks.
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
                init=_refuse_unsafe,
            )
        except _REFUSED as error:
            reason = f"the database does not let us in: {error}; `hutong migrate` makes the role {APP_ROLE}"
            raise ConfigurationError(reason, param="HUTONG_DATABASE_URL") from error
        except _LOST as error:
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from error
        try:
            yield cls(pool)
        finally:
            await _close(pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One transaction: commits when the block ends, rolls back when it raises.

        Errors:
            Unavailable: no connection could be had, or it was lost before the commit, so nothing was done.
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
        """Run `work` in a transaction of its own, again from the start after a deadlock or serialization failure.

        Args:
            work: Must have no effect but on the transaction, since it may run several times.

        Errors:
            Unavailable, OutcomeUnknown: as `transaction`; Unavailable also when others stood in the way every time.
        """
        for attempt in range(_RETRIES):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except _RETRYABLE as error:
                if attempt == _RETRIES - 1:
                    raise Unavailable("others work on the same rows all the time") from error
                _log.info("transaction_retried", reason=type(error).__name__, attempt=attempt + 1)
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads retries only
        raise AssertionError("unreachable")


def _is_lost(error: BaseException, connection: Tx) -> bool:
    if isinstance(error, (TimeoutError, asyncpg.InterfaceError)):  # of the work, unless the connection is gone as well
        try:
            return connection.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken a dead one back
            return True
    return isinstance(error, _LOST)


def _discard(connection: Tx) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has taken a dead one back
        connection.terminate()


async def _roll_back(transaction: asyncpg.transaction.Transaction, connection: Tx) -> None:
    """Undo; a connection on which that does not work is thrown away, and the server undoes by itself."""
    try:
        # A request to cancel that overtook its query is lost, and the rollback would wait for the query's own end.
        async with asyncio.timeout(_ROLLBACK_LIMIT_S):
            await transaction.rollback()
    except Exception as error:  # noqa: BLE001 - the error that led here matters, this one does not
        _log.info("rollback_failed", reason=type(error).__name__)
        _discard(connection)


async def _refuse_unsafe(connection: Tx) -> None:
    """Look at each new connection, for behind the same address another server may stand by now."""
    if connection.get_server_version().major < MINIMUM_VERSION:
        raise ConfigurationError(f"PostgreSQL {MINIMUM_VERSION} or later is needed", param="HUTONG_DATABASE_URL")
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
    except _LOST:  # a time-out is one of them
        pool.terminate()
