"""Connections and transactions."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg

from hutong.db.link import SERVER_SETTINGS, Link
from hutong.errors import ConfigurationError, OutcomeUnknown, Unavailable
from hutong.telemetry import get_logger

if TYPE_CHECKING:
    Tx: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
else:
    Tx = asyncpg.Connection

T = TypeVar("T")

APP_ROLE = "hutong_app"
"""The role with the rights that all parts have; none of them can change tables or rewrite journals."""
API_ROLE = "hutong_api"
"""The role of the API and the cashier."""
WORKER_ROLE = "hutong_worker"
"""The role of the worker."""
CONSOLE_ROLE = "hutong_console"
"""The role of commands: the rights of API and worker, and those to make operators, keys and channel accounts."""
PART_ROLES = (API_ROLE, WORKER_ROLE, CONSOLE_ROLE)

ADOPT = "SELECT db.adopt_cluster() AS epoch"
"""Makes kept transaction numbers mean something in this cluster; the new epoch if the database was brought here."""

MINIMUM_VERSION = 15
CONNECT_LIMIT_S = 5
REQUEST_LIMIT_S = 8.0
"""The longest transaction of a process that serves; one that is still longer has lost its server."""
LONG_LIMIT_S = 6 * 3600.0
"""The longest transaction of a command or of a job that reads or moves much."""

_ACQUIRE_LIMIT_S = 10
_COMMIT_LIMIT_S = 8.0
_ROLLBACK_LIMIT_S = 2
_RELEASE_LIMIT_S = 2
_SET_LIMIT = "SET LOCAL statement_timeout = '{}'"
"""No query, so that the transaction's isolation can still be set after it."""
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
_FULL = (asyncpg.InsufficientResourcesError, asyncpg.PostgresIOError)
"""The server lives and has no room, or cannot write: a statement that meets this has done nothing."""
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidParameterValueError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)
_log = get_logger(__name__)
_limit: ContextVar[float | None] = ContextVar("_limit", default=None)


class CommitMark:
    """What a piece of work has committed so far.

    Attributes:
        committed: Whether a transaction of the work has been committed.
    """

    __slots__ = ("committed",)

    def __init__(self) -> None:
        self.committed = False


_commit_mark: ContextVar[CommitMark | None] = ContextVar("_commit_mark", default=None)


@contextmanager
def marking_commits() -> Iterator[CommitMark]:
    """Yield a mark of what the work in this block commits, with the tasks that it starts."""
    mark = CommitMark()
    token = _commit_mark.set(mark)
    try:
        yield mark
    finally:
        _commit_mark.reset(token)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let each transaction in this block, and in the tasks that it starts, take this long in place of the usual."""
    token = _limit.set(seconds)
    try:
        yield
    finally:
        _limit.reset(token)


class Database:
    """A pool of connections to one PostgreSQL.

    Use `Database.open` as an async context manager, then `transaction` for one unit of work.

    Attributes:
        catching_up_since: When the catch-up after a restore began; None in normal work. The composition root keeps
            it up to date.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, limit_s: float = LONG_LIMIT_S) -> None:
        self.pool = pool
        self.catching_up_since: datetime | None = None
        self._limit_s = limit_s
        self._distrusted_at = -math.inf

    def predates_restore(self, at: datetime) -> bool:
        """Return whether something of this time is from before a restore that has not been caught up with."""
        return self.catching_up_since is not None and at < self.catching_up_since

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        size: int = 16,
        role: str | None = CONSOLE_ROLE,
        eager: bool = True,
        limit_s: float = LONG_LIMIT_S,
    ) -> AsyncIterator[Database]:
        """Connect, and refuse a server that may lose acknowledged data.

        Args:
            dsn: A PostgreSQL URL.
            size: The largest number of connections held at once.
            role: The role to take on each connection, by default that of commands; None keeps the login role.
            eager: Whether to connect at once; otherwise an absent server is noticed at the first use.
            limit_s: The longest transaction, in seconds; `time_limit` gives a piece of work another limit.

        Effects:
            Adopts the cluster if the database was restored into another one.

        Errors:
            ConfigurationError: the server is older than PostgreSQL 15, the database is not in UTF-8, or fsync,
                full_page_writes or synchronous_commit is off.
            Unavailable: the server does not answer.
        """
        settings = {
            "application_name": "hutong",
            "jit": "off",
            "timezone": "UTC",
            # No transaction waits for a person; one that was left open must not keep its locks.
            "idle_in_transaction_session_timeout": "60s",
            "statement_timeout": _statement_limit(limit_s),
            **SERVER_SETTINGS,
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
                connection_class=Link,
            )
        except _REFUSED as error:
            reason = f"the database refuses the connection: {error}; `hutong migrate` prepares roles and logins"
            raise ConfigurationError(reason, param="HUTONG_DATABASE_URL") from error
        except _LOST as error:
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from error
        try:
            yield cls(pool, limit_s=limit_s)
        finally:
            await _close(pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction for a block: commit at its end, roll back if it raises.

        Errors:
            Unavailable: there was no connection, it was lost or silent too long before the commit, or the server has no
                room to write, so nothing was done.
            OutcomeUnknown: the connection was lost or silent too long during the commit.
        """
        connection = await self._acquire()
        try:
            transaction = connection.transaction()
            limit_s = _limit.get() or self._limit_s
            limit = asyncio.timeout(limit_s)
            try:
                async with limit:
                    await transaction.start()
                    if limit_s != self._limit_s:
                        await connection.execute(_SET_LIMIT.format(_statement_limit(limit_s)))
                    yield connection
            except BaseException as error:
                await self._give_up(transaction, connection, error, is_late=limit.expired())
                raise
            await self._commit(transaction, connection)
        finally:
            await self._release(connection)

    async def _acquire(self) -> Tx:
        while True:
            try:
                connection: Any = await self.pool.acquire(timeout=_ACQUIRE_LIMIT_S)
            except (*_LOST, *_REFUSED) as error:
                raise Unavailable("the database does not answer") from error
            if connection.opened_at > self._distrusted_at:
                tx: Tx = connection
                return tx
            connection.terminate()  # the pool opens another one in its place

    async def _give_up(
        self, transaction: asyncpg.transaction.Transaction, connection: Tx, error: BaseException, *, is_late: bool
    ) -> None:
        """Undo a transaction whose work has failed. Errors: Unavailable: the work itself is not to blame."""
        if is_late or _is_lost(error, connection):
            self._discard(connection)
            raise Unavailable("the connection to the database was lost") from error
        if not await _roll_back(transaction):
            self._discard(connection)
        if isinstance(error, asyncpg.QueryCanceledError):
            raise Unavailable("the database took too long") from error
        if isinstance(error, _FULL):
            raise Unavailable("the database has no room to write") from error

    async def _commit(self, transaction: asyncpg.transaction.Transaction, connection: Tx) -> None:
        """Commit. Errors: OutcomeUnknown, whatever goes wrong once the commit may have been sent."""
        try:
            async with asyncio.timeout(_COMMIT_LIMIT_S):
                await transaction.commit()
        except Exception as error:
            if isinstance(error, asyncpg.PostgresError) and not isinstance(error, _LOST):
                raise  # the server's own answer: it has rolled back
            self._discard(connection)
            raise OutcomeUnknown("the connection to the database was lost during the commit") from error
        except _FULL as error:  # the server has rolled back
            raise Unavailable("the database has no room to write") from error
        mark = _commit_mark.get()
        if mark is not None:
            mark.committed = True

    async def _release(self, connection: Any) -> None:
        """Give a connection back. The transaction has ended, so that an error here changes nothing for the caller."""
        try:
            await self.pool.release(connection, timeout=_RELEASE_LIMIT_S)
        except Exception as error:  # noqa: BLE001 - the pool has terminated the connection
            _log.info("connection_thrown_away", reason=type(error).__name__)
            self._distrusted_at = time.monotonic()

    def _discard(self, connection: Tx) -> None:
        """End a connection at once. Those that were opened before are not used again, since they share its fate."""
        self._distrusted_at = time.monotonic()
        with suppress(asyncpg.InterfaceError):  # the pool has taken the dead connection back
            connection.terminate()

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


async def _roll_back(transaction: asyncpg.transaction.Transaction) -> bool:
    """Roll back; return whether that is known to have worked. Otherwise the server does when the connection ends."""
    try:
        # A cancel request that overtakes its query is lost, and the rollback would wait for the end of the query.
        async with asyncio.timeout(_ROLLBACK_LIMIT_S):
            await transaction.rollback()
    except Exception as error:  # noqa: BLE001 - only the first error matters
        _log.info("rollback_failed", reason=type(error).__name__)
        return False
    return True


def _statement_limit(limit_s: float) -> str:
    """Return the server's own limit for a statement: a server that lives gives up first, so its connection is kept."""
    return f"{max(limit_s - 1, limit_s / 2) * 1000:.0f}ms"


async def _prepare(connection: Tx) -> None:
    """Check each new connection, since another server may answer at the same address by now."""
    await _refuse_unsafe(connection)
    try:
        epoch = await connection.fetchval(ADOPT)
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError):
        return  # not migrated yet, or not a database of the platform
    if epoch is not None:
        _log.warning("cluster_adopted", epoch=epoch)


def check_encoding(encoding: str | None) -> None:
    """Refuse a database whose texts are not in UTF-8.

    Errors:
        ConfigurationError.
    """
    if encoding != "UTF8":
        detail = f"the database is in {encoding} and must be in UTF8, which is chosen when it is made"
        remedy = "CREATE DATABASE hutong ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
        raise ConfigurationError(f"{detail}: {remedy}", param="HUTONG_DATABASE_URL")


async def _refuse_unsafe(connection: Tx) -> None:
    if connection.get_server_version().major < MINIMUM_VERSION:
        detail = f"the database must be PostgreSQL {MINIMUM_VERSION} or later"
        raise ConfigurationError(detail, param="HUTONG_DATABASE_URL")
    check_encoding(getattr(connection.get_settings(), "server_encoding", None))
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
