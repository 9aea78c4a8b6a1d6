"""The platform of one process, wired from the settings, a clock and a source of identifiers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

import asyncpg

from hutong import channels, db, events, front_door, merchants, operators, payments, reconciliation, routing
from hutong.app.approval_handlers import approval_handlers
from hutong.app.restore import watch_restore
from hutong.clock import Clock, SandboxClock, SystemClock, follow
from hutong.config import Settings, home_folder
from hutong.errors import ConfigurationError, HutongError
from hutong.ids import Ids
from hutong.telemetry import configure_logging
from hutong.vault import Vault, decode_keys, key_file

_SEARCH_CONNECTIONS = 4
_WRITE_CODES_EVERY_S = 2.0
_STORE_KEYS_EVERY_S = 1.0
_CATCH_UP_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Platform:
    """The wired parts of one process.

    Attributes:
        records: The database in which payment records are searched; may be the same one.
        sandbox_clock: What merchants move the time of a sandbox with; None where time is not to be moved.
    """

    settings: Settings
    database: db.Database
    vault: Vault
    directory: merchants.Directory
    accounts: channels.Accounts
    transactions: payments.PaymentTransactions
    lifecycle: payments.Payments
    documents: payments.Documents
    approval_handlers: Mapping[str, operators.ApprovalHandler]
    clock: Clock
    ids: Ids
    public_url: str
    records: db.Database
    adoption: payments.restored.Adoption
    reconciliation: reconciliation.Reconciliation
    sandbox_clock: SandboxClock | None = None


@contextmanager
def using_database(settings: Settings, role: str | None = None) -> Iterator[str]:
    """Yield the URL of a database that runs for the length of the block.

    Without a configured one, the embedded server is found or started. It is stopped at the end of the block unless
    another process, or another block of this process, uses it by then.

    Args:
        role: The role of the part that connects, which may have a login of its own; None is the owner of the tables.

    Errors:
        ConfigurationError: there is a URL for another part alone.
    """
    if (configured := configured_url(settings, role)) is not None:
        yield configured
        return
    server = db.EmbeddedServer(settings.home, archive=settings.backup_folder)
    try:
        url = server.start()
        yield server.login_url(role) if role in (db.API_ROLE, db.WORKER_ROLE) else url
    finally:
        server.leave()


def configured_url(settings: Settings, role: str | None) -> str | None:
    """Return the URL that is configured for a part; None for the embedded server. Errors as `using_database`."""
    parts = {
        db.API_ROLE: settings.api_database_url,
        db.WORKER_ROLE: settings.worker_database_url,
        db.CONSOLE_ROLE: settings.console_database_url,
    }
    own = None if role is None else parts[role]
    url = own or settings.database_url
    if url is None and any(parts.values()):
        reason = "HUTONG_DATABASE_URL is not set, and the database that is configured is for other parts"
        raise ConfigurationError(f"{reason}; set it, or the one of this part", param="HUTONG_DATABASE_URL")
    return None if url is None else url.get_secret_value()


def query_database_url(settings: Settings) -> str | None:
    """Return the URL of the payment records' database, or None if they share the payments' database."""
    return None if settings.query_database_url is None else settings.query_database_url.get_secret_value()


def open_vault(settings: Settings) -> Vault:
    """Return the vault under the configured key, or under the key file of the data folder."""
    if settings.secret_key is not None:
        return Vault(decode_keys(settings.secret_key.get_secret_value()))
    return Vault(key_file(home_folder(settings) / "secret.key"))


def existing_vault(settings: Settings) -> Vault:
    """Return the vault like `open_vault`, without making a key file.

    Errors:
        ConfigurationError: there is no key.
    """
    file = settings.home / "secret.key"
    if settings.secret_key is None and not file.exists():
        raise ConfigurationError(
            f"there is no secret key: set HUTONG_SECRET_KEY, or put the key file at {file}", param="HUTONG_SECRET_KEY"
        )
    return open_vault(settings)


def public_url(settings: Settings) -> str:
    """Return the address at which payers and channels reach this installation, without a trailing slash."""
    return (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")


def broker(settings: Settings) -> events.Connect | None:
    """Return the connector to the configured broker, or None without one.

    Errors:
        ConfigurationError: the client library of this broker is not installed.
    """
    if settings.broker_url is None:
        return None
    return events.connector(settings.broker_url.get_secret_value(), source=settings.event_source)


def follow_sandbox_clock(settings: Settings) -> SandboxClock | None:
    """Let this process keep the time of its installation: the machine's, outside the sandbox.

    Effects:
        In the sandbox the clock's file is made in the data folder if it is missing.
    """
    clock = SandboxClock(sandbox_clock_file(settings)) if settings.sandbox else None
    follow(clock)
    return clock


def sandbox_clock_file(settings: Settings) -> Path:
    """Return the file of the sandbox's clock in the data folder, which is created if absent."""
    return home_folder(settings) / "sandbox-clock"


@asynccontextmanager
async def open_platform(
    settings: Settings,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    http: channels.Http | None = None,
    answers: Callable[[payments.Documents], payments.Answers] | None = None,
    limit_s: float = db.REQUEST_LIMIT_S,
    role: str = db.CONSOLE_ROLE,
) -> AsyncIterator[Platform]:
    """Open the platform's resources, wire them, and keep routing in step with other processes until the block ends.

    Args:
        clock: The machine's clock by default.
        ids: By default, a source from this clock and the zone of the settings.
        http: The client for calls to channels; a new one by default.
        answers: Makes the renderer of answers to requests; None in a process that takes none.
        limit_s: The longest transaction, in seconds; work that may take longer has a limit of its own.
        role: The database role of the part that this process is.
    """
    configure_logging(level=settings.log_level, output=settings.log_format)
    sandbox_clock = follow_sandbox_clock(settings) if clock is None else None
    clock = clock or SystemClock()
    ids = ids or Ids(clock, zone=settings.zone, key=open_vault(settings).derive_key("ids"))
    async with AsyncExitStack() as stack:
        url = stack.enter_context(using_database(settings, role))
        database = await stack.enter_async_context(
            db.Database.open(url, size=settings.pool_size, role=role, limit_s=limit_s)
        )
        # A pool of its own: searches take no connection from payments, and payments go on while this database is away.
        store = db.Database.open(
            query_database_url(settings) or url, size=_SEARCH_CONNECTIONS, role=role, eager=False, limit_s=limit_s
        )
        records = await stack.enter_async_context(store)
        if http is None:
            http = await stack.enter_async_context(channels.Http.open())
        vault = open_vault(settings)
        platform = wire(
            settings,
            database=database,
            records=records,
            vault=vault,
            accounts=channels.Accounts(database, vault, http, clock),
            clock=clock,
            ids=ids,
            answers=answers,
            sandbox_clock=sandbox_clock,
        )
        # Before anything is sent: a database that was restored may only ask.
        await watch_restore(database, home_folder(settings), now=clock.now())
        await stack.enter_async_context(_running(partial(_following_catch_up, database)))
        await stack.enter_async_context(_recording_unmapped_codes(platform.accounts.unmapped, database))
        await stack.enter_async_context(_running(partial(_storing_keys, platform.accounts)))
        stack.push_async_callback(platform.lifecycle.stop)
        selector = platform.lifecycle.route_selector
        state_sync = routing.StateSync(
            database,
            selector.routing_state,
            clock=clock,
            process_id=ids.new(),
            offers=partial(selector.offers, ahead=True),
        )
        await stack.enter_async_context(_running(state_sync.run))
        yield platform


def wire(
    settings: Settings,
    *,
    database: db.Database,
    records: db.Database,
    vault: Vault,
    accounts: channels.Accounts,
    clock: Clock,
    ids: Ids,
    draw: Callable[[], float] | None = None,
    answers: Callable[[payments.Documents], payments.Answers] | None = None,
    sandbox_clock: SandboxClock | None = None,
) -> Platform:
    """Wire the parts over open resources. This neither waits, reads nor starts anything.

    Args:
        records: The database in which payment records are searched; may be the same one.
        draw: Returns a number in [0, 1) for routing's random choices.
        answers: Makes the renderer of answers, which are stored under idempotency keys.
        sandbox_clock: As in `Platform`.
    """
    address = public_url(settings)
    documents = payments.Documents(address, accounts.text)
    cadence = tuple(timedelta(seconds=int(part)) for part in settings.query_cadence.split(","))
    transactions = payments.PaymentTransactions(
        database,
        documents,
        clock=clock,
        ids=ids,
        policy=payments.PollingPolicy(cadence=cadence),
        answers=None if answers is None else answers(documents),
    )
    lifecycle = payments.Payments(
        database,
        accounts,
        transactions,
        payments.PaymentsConfig(
            address,
            sandbox=settings.sandbox,
            queue_limit=settings.queue_limit,
            switching=merchants.Switching(settings.switching),
            cashier_methods=tuple(filter(None, settings.cashier_methods.split(","))),
        ),
        clock=clock,
        ids=ids,
        vault=vault,
        routing_state=routing.RoutingState(draw=draw or SystemRandom().random),
    )
    return Platform(
        settings=settings,
        database=database,
        vault=vault,
        directory=merchants.Directory(database),
        accounts=accounts,
        transactions=transactions,
        lifecycle=lifecycle,
        documents=documents,
        approval_handlers=approval_handlers(transactions),
        clock=clock,
        ids=ids,
        public_url=address,
        records=records,
        adoption=payments.restored.Adoption(database, accounts, lifecycle, transactions, clock=clock, ids=ids),
        reconciliation=reconciliation.Reconciliation(
            database, accounts, _reconciliation_config(settings), clock=clock, ids=ids
        ),
        sandbox_clock=sandbox_clock,
    )


def _reconciliation_config(settings: Settings) -> reconciliation.ReconciliationConfig:
    if settings.recon_layouts is not None:
        reconciliation.layouts.add_folder(settings.recon_layouts)
    return reconciliation.ReconciliationConfig(
        settings.recon_folder or settings.home / "reconciliation",
        memory_mb=settings.recon_memory_mb,
        upload_bytes_max=settings.recon_upload_mb << 20,
        windows=reconciliation.read_windows(settings.recon_windows),
        tolerances=reconciliation.read_tolerances(settings.recon_tolerances),
        settles_to=settings.recon_settles_to,
        engine=settings.recon_engine,
        spark_master=settings.spark_master,
    )


async def _following_catch_up(database: db.Database, stop: asyncio.Event) -> None:
    """Keep up with what other processes and operators decide about a catch-up."""
    await db.every(_CATCH_UP_EVERY_S, partial(_refresh_catch_up, database), stop, name="catch-up")


async def _refresh_catch_up(database: db.Database) -> None:
    with suppress(asyncpg.UndefinedTableError):  # not migrated yet
        await db.refresh_catch_up(database)


async def _storing_keys(accounts: channels.Accounts, stop: asyncio.Event) -> None:
    await db.every(_STORE_KEYS_EVERY_S, accounts.store_keys, stop, name="channel keys")


@asynccontextmanager
async def _recording_unmapped_codes(
    unmapped: channels.codes.UnmappedCodes, database: db.Database
) -> AsyncIterator[None]:
    """Store the unmapped codes that were met, periodically and at the end of the block."""
    flush = partial(unmapped.flush, database)

    async def write(stop: asyncio.Event) -> None:
        await db.every(_WRITE_CODES_EVERY_S, flush, stop, name="unmapped codes")

    async with _running(write):
        yield
    with suppress(HutongError):  # the failure was logged and counted where it occurred
        await flush()


@asynccontextmanager
async def _running(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run a background task for the length of a block."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def bounds(settings: Settings) -> front_door.Bounds:
    """Return the limits of this installation's servers."""
    return front_door.Bounds(
        connections_per_address=settings.connections_per_address, idle_timeout_s=settings.idle_timeout_s
    )
