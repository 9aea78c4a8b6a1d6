"""The platform of one process: everything wired, from the settings, a clock and a source of identifiers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import SystemRandom
from typing import Any

from hutong import channels, db, events, merchants, operators, payments, routing
from hutong.app.approval_handlers import approval_handlers
from hutong.clock import Clock, SystemClock
from hutong.config import Settings, home_folder
from hutong.errors import HutongError
from hutong.ids import Ids, encode
from hutong.telemetry import configure_logging
from hutong.vault import Vault, decode_keys, key_file

_SEARCH_CONNECTIONS = 4
_WRITE_CODES_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything wired, for one process."""

    settings: Settings
    database: db.Database
    vault: Vault
    directory: merchants.Directory
    accounts: channels.Accounts
    lifecycle: payments.Payments
    approval_handlers: Mapping[str, operators.ApprovalHandler]
    clock: Clock
    ids: Ids
    public_url: str
    bills: db.Database


@contextmanager
def using_database(settings: Settings) -> Iterator[str]:
    """The database for the length of a block, which gives its URL.

    With none configured, the embedded server is found or started, and stopped with the block unless another process,
    or another block of this one, uses it by then.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = db.EmbeddedServer(settings.home)
    try:
        yield server.start()
    finally:
        server.leave()


def query_database_url(settings: Settings) -> str | None:
    """The database of bills, if it is one of its own."""
    return None if settings.query_database_url is None else settings.query_database_url.get_secret_value()


def open_vault(settings: Settings) -> Vault:
    """The vault under the configured key, or under the key file of the data folder."""
    if settings.secret_key is not None:
        return Vault(decode_keys(settings.secret_key.get_secret_value()))
    return Vault(key_file(home_folder(settings) / "secret.key"))


def public_url(settings: Settings) -> str:
    """The address under which payers and channels reach this installation, without a slash at its end."""
    return (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")


def broker(settings: Settings) -> events.Connect | None:
    """How to reach the configured broker; None without one.

    Errors:
        ConfigurationError: what speaks to such a broker is not installed.
    """
    if settings.broker_url is None:
        return None
    return events.connector(settings.broker_url.get_secret_value(), source=settings.event_source)


@asynccontextmanager
async def open_platform(
    settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None, http: channels.Http | None = None
) -> AsyncIterator[Platform]:
    """Open what the platform needs, wire it, and keep it in step with other processes until the block ends.

    Args:
        clock: The machine's by default.
        ids: By default of this clock and the zone of the settings.
        http: The way out to channels; one of its own by default.
    """
    configure_logging(level=settings.log_level, output=settings.log_format)
    clock = clock or SystemClock()
    ids = ids or Ids(clock, zone=settings.zone)
    async with AsyncExitStack() as stack:
        url = stack.enter_context(using_database(settings))
        database = await stack.enter_async_context(db.Database.open(url, size=settings.pool_size))
        # With connections of its own, so that searches take none from payments; it may be away without harm to them.
        store = db.Database.open(query_database_url(settings) or url, size=_SEARCH_CONNECTIONS, eager=False)
        bills = await stack.enter_async_context(store)
        if http is None:
            http = await stack.enter_async_context(channels.Http.open())
        platform = wire(settings, database=database, bills=bills, http=http, clock=clock, ids=ids)
        await stack.enter_async_context(_writing_down(platform.accounts.unmapped, database))
        stack.push_async_callback(platform.lifecycle.stop)
        selector = platform.lifecycle.route_selector
        state_sync = routing.StateSync(
            database, selector.routing_state, clock=clock, process_id=ids.new(), offers=selector.refresh_offers
        )
        await stack.enter_async_context(_beside(state_sync.run))
        yield platform


def wire(
    settings: Settings,
    *,
    database: db.Database,
    bills: db.Database,
    http: channels.Http,
    clock: Clock,
    ids: Ids,
    draw: Callable[[], float] | None = None,
) -> Platform:
    """Put the parts together over what is open already. Nothing here waits, reads or starts anything.

    Args:
        bills: Where payment records are searched; it may be the same database.
        draw: Gives numbers from 0 up to 1, for what routing leaves to chance.
    """
    vault = open_vault(settings)
    address = public_url(settings)

    def checkout_url(payment: payments.Payment) -> str:
        return f"{address}/pay/{encode('pay', payment.payment_id)}?token={payment.checkout_token}"

    accounts = channels.Accounts(database, vault, http, clock)
    cadence = tuple(timedelta(seconds=int(part)) for part in settings.query_cadence.split(","))
    transactions = payments.PaymentTransactions(
        database,
        clock=clock,
        ids=ids,
        checkout_url=checkout_url,
        texts=accounts.text,
        policy=payments.PollingPolicy(cadence=cadence),
    )
    lifecycle = payments.Payments(
        database,
        accounts,
        transactions,
        clock=clock,
        ids=ids,
        public_url=address,
        sandbox=settings.sandbox,
        queue_limit=settings.queue_limit,
        vault=vault,
        routing_state=routing.RoutingState(draw=draw or SystemRandom().random),
    )
    handlers = approval_handlers(transactions)
    directory = merchants.Directory(database)
    return Platform(settings, database, vault, directory, accounts, lifecycle, handlers, clock, ids, address, bills)


@asynccontextmanager
async def _writing_down(unmapped: channels.Unmapped, database: db.Database) -> AsyncIterator[None]:
    """Write down what was noted, now and then and at the end."""
    flush = partial(unmapped.flush, database)

    async def write(stop: asyncio.Event) -> None:
        await db.every(_WRITE_CODES_EVERY_S, flush, stop, name="unmapped codes")

    async with _beside(write):
        yield
    with suppress(HutongError):  # it was logged and counted when it came
        await flush()


@asynccontextmanager
async def _beside(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Have something go on for the length of a block."""
    stop = asyncio.Event()
    going = asyncio.create_task(run(stop))
    try:
        yield
    finally:
        stop.set()
        await going
