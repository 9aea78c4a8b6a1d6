"""The composition root: reads the configuration, wires the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import SystemRandom
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from hutong import channels, db, events, ledger, merchants, operators, payments, query, routing
from hutong.clock import Clock, SystemClock
from hutong.config import Settings, home_folder
from hutong.errors import HutongError
from hutong.ids import Ids, encode
from hutong.telemetry import configure_logging, get_logger
from hutong.vault import Vault, decode_keys, key_file

_log = get_logger(__name__)
SANDBOX_ACCOUNT = "sandbox"
_SWEEP_EVERY_S = 0.5
QUERY_ROOMS = query.ROOMS
_TIDY_EVERY_S = 60.0
_BILLS_POOL = 4
_PROBE_EVERY_S = 5.0
_SUGGEST_EVERY_S = 1.0
_DOUBTS_EVERY_S = 15.0
_UPKEEP_EVERY_S = 5.0
_WRITE_CODES_EVERY_S = 2.0
_INVARIANTS_EVERY_S = 300.0
_BOOKS_BROKEN = Gauge("hutong_books_broken", "Invariants of the books that did not hold when last looked at.")


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything wired, for one process."""

    settings: Settings
    database: db.Database
    vault: Vault
    directory: merchants.Directory
    accounts: channels.Accounts
    flow: payments.Flow
    effects: Mapping[str, operators.Effect]
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


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Wire everything; it closes with the block, after what was taken on is done."""
    configure_logging(level=settings.log_level, output=settings.log_format)
    clock = SystemClock()
    ids = Ids(clock, zone=settings.zone)
    vault = open_vault(settings)
    address = public_url(settings)

    def checkout_url(payment: payments.Payment) -> str:
        return f"{address}/pay/{encode('pay', payment.payment_id)}?token={payment.checkout_token}"

    async with AsyncExitStack() as stack:
        url = stack.enter_context(using_database(settings))
        database = await stack.enter_async_context(db.Database.open(url, size=settings.pool_size))
        http = await stack.enter_async_context(channels.Http.open())
        accounts = channels.Accounts(database, vault, http, clock)
        await stack.enter_async_context(_writing_down(accounts.unmapped, database))
        cadence = tuple(timedelta(seconds=int(part)) for part in settings.query_cadence.split(","))
        committer = payments.Committer(
            database,
            clock=clock,
            ids=ids,
            checkout_url=checkout_url,
            texts=accounts.text,
            policy=payments.Policy(cadence=cadence),
        )
        live = routing.Live(draw=SystemRandom().random)
        flow = payments.Flow(
            database,
            accounts,
            committer,
            clock=clock,
            ids=ids,
            public_url=address,
            sandbox=settings.sandbox,
            queue_limit=settings.queue_limit,
            vault=vault,
            live=live,
        )
        stack.push_async_callback(flow.stop)
        sharing = routing.Sharing(database, live, clock=clock, process_id=ids.new(), offers=flow.choice.look_ahead)
        await stack.enter_async_context(_beside(sharing.run))
        directory = merchants.Directory(database)
        # With connections of its own, so that searches take none from payments; it may be away without harm to them.
        store = db.Database.open(query_database_url(settings) or url, size=_BILLS_POOL, eager=False)
        bills = await stack.enter_async_context(store)
        yield Platform(
            settings, database, vault, directory, accounts, flow, effects(committer), clock, ids, address, bills
        )


def effects(committer: payments.Committer) -> Mapping[str, operators.Effect]:
    """What the approval of each kind of proposal does."""
    return {
        channels.CHANGE: channels.change_code,
        **routing.EFFECTS,
        payments.ATTACH_SUCCESS: payments.attach_success(committer),
        payments.CONVERT_REFUND: payments.convert_refund(committer),
        payments.SETTLE_REFUND: payments.settle_refund(committer),
    }


async def work(platform: Platform, stop: asyncio.Event) -> None:
    """What the worker does until it is told to stop: tell what happened, ask channels, end what is due, tidy up."""
    deliverer = events.Deliverer(
        platform.database,
        platform.vault,
        platform.clock,
        new_id=platform.ids.new,
        allow_private=platform.settings.sandbox,
    )
    relay = event_relay(platform)
    async with asyncio.TaskGroup() as group:
        delivering = [group.create_task(deliverer.run())]
        if relay is not None:
            delivering.append(group.create_task(relay.run()))
        numbering = partial(number_events, platform, relay)
        group.create_task(_every(events.SEQUENCE_EVERY_S, numbering, stop, name="sequence"))
        own = query_database_url(platform.settings)
        follower = query.Follower(platform.database, platform.bills, clock=platform.clock, own_url=own)
        group.create_task(_every(query.FOLLOW_EVERY_S, follower.follow, stop, name="bills"))
        group.create_task(_every(_SWEEP_EVERY_S, platform.flow.sweep, stop, name="sweep"))
        group.create_task(_every(_DOUBTS_EVERY_S, platform.flow.report_doubts, stop, name="doubts"))
        group.create_task(_every(_SWEEP_EVERY_S, platform.flow.refunds.sweep, stop, name="refunds"))
        probe = partial(
            payments.probe_idle,
            platform.accounts,
            platform.flow.choice.live,
            clock=platform.clock,
            new_id=platform.ids.new,
        )
        group.create_task(_every(_PROBE_EVERY_S, probe, stop, name="probe"))
        group.create_task(_every(_SUGGEST_EVERY_S, partial(suggest_switches, platform), stop, name="suggestions"))
        group.create_task(_every(_SUGGEST_EVERY_S, partial(guard_trial, platform), stop, name="trial"))
        group.create_task(_every(_TIDY_EVERY_S, platform.flow.tidy, stop, name="tidy"))
        group.create_task(_every(_UPKEEP_EVERY_S, partial(keep_books, platform), stop, name="upkeep"))
        group.create_task(_every(_TIDY_EVERY_S, partial(keep_events, platform), stop, name="events"))
        group.create_task(_every(_INVARIANTS_EVERY_S, partial(check_books, platform), stop, name="invariants"))
        await stop.wait()
        deliverer.stop()
        if relay is not None:
            relay.stop()
        await asyncio.gather(*delivering)


async def number_events(platform: Platform, relay: events.Relay | None) -> None:
    """Give new events their numbers, and have them published at once."""
    settings = platform.settings
    count = await events.sequence(platform.database, source=settings.event_source, zone=settings.zone)
    if count and relay is not None:
        relay.wake()


def event_relay(platform: Platform) -> events.Relay | None:
    """What publishes events to the configured broker; None without one. Errors as `broker`."""
    connect = broker(platform.settings)
    if connect is None:
        return None
    return events.Relay(platform.database, platform.clock, connect=connect, new_id=platform.ids.new)


def broker(settings: Settings) -> events.Connect | None:
    """How to reach the configured broker; None without one.

    Errors:
        ConfigurationError: what speaks to such a broker is not installed.
    """
    if settings.broker_url is None:
        return None
    return events.connector(settings.broker_url.get_secret_value(), source=settings.event_source)


async def suggest_switches(platform: Platform) -> None:
    """Where operators confirm each switch, write down what the health of channels suggests."""
    live, now = platform.flow.choice.live, platform.clock.now()
    await platform.database.run(lambda tx: routing.suggest(tx, live, now=now, new_id=platform.ids.new))


async def guard_trial(platform: Platform) -> None:
    """End the trial of a draft that does worse than its guardrail allows."""
    await platform.database.run(lambda tx: routing.guard_trial(tx, now=platform.clock.now()))


async def keep_books(platform: Platform) -> None:
    """What the ledger needs done again and again: partitions, expiry of holds, sweeps, the seal, the day cut."""
    await ledger.upkeep(platform.database, now=platform.clock.now(), new_id=platform.ids.new)


async def keep_events(platform: Platform) -> None:
    """What the journal of events needs: partitions made ahead, and an end of what has been kept for long enough."""
    await events.keep_events(
        platform.database,
        now=platform.clock.now(),
        keep=timedelta(days=platform.settings.events_keep_days),
        folder=platform.settings.events_archive,
        published=platform.settings.broker_url is not None,
    )


async def check_books(platform: Platform) -> None:
    """Look whether the books hold; what does not is logged at the highest level, to page a person."""
    async with platform.database.transaction() as tx:
        found = await ledger.check_invariants(tx, now=platform.clock.now())
    _BOOKS_BROKEN.set(len(found.problems))
    for problem in found.problems:
        _log.critical("books_broken", problem=problem)


@asynccontextmanager
async def _writing_down(unmapped: channels.Unmapped, database: db.Database) -> AsyncIterator[None]:
    """Write down what was noted, now and then and at the end."""
    stop = asyncio.Event()
    flush = partial(unmapped.flush, database)
    writing = asyncio.create_task(_every(_WRITE_CODES_EVERY_S, flush, stop, name="unmapped codes"))
    try:
        yield
    finally:
        stop.set()
        await writing
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


async def _every(seconds: float, job: Any, stop: asyncio.Event, *, name: str) -> None:
    """Run a job again and again; a failure is logged and does not end it."""
    while not stop.is_set():
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - the database may be away; the next round finds it again
            _log.warning("job_failed", job=name, reason=repr(error))
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass


async def ensure_sandbox_accounts(platform: Platform, accounts: Mapping[str, Mapping[str, object]]) -> dict[str, UUID]:
    """Make the channel accounts that point at the sandbox, or bring them up to date.

    Args:
        accounts: Their credentials, by the channel's name.

    Returns:
        Their ids, by the channel's name.
    """
    found: dict[str, UUID] = {}
    async with platform.database.transaction() as tx:
        for channel, credentials in sorted(accounts.items()):
            found[channel] = await channels.ensure_account(
                tx,
                platform.vault,
                account_id=platform.ids.new(),
                channel=channel,
                name=SANDBOX_ACCOUNT,
                sandbox=True,
                credentials=credentials,
                now=platform.clock.now(),
            )
    return found
