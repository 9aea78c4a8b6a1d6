"""`hutong doctor`: the checks that an operator would make first."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, T, load_settings
from hutong.cli.output import print_json, print_line

if TYPE_CHECKING:
    from hutong import app, channels

doctor = typer.Typer(invoke_without_command=True)

_CLOCK_LIMIT_S = 1.0
_RECORDS_LIMIT_S = 60.0
_BILL_LIMIT_DAYS = 2
_CASE_LIMIT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Check:
    """One check: whether it passed, and what it saw.

    Attributes:
        is_note: It is no fault now, and will be one for real money.
    """

    name: str
    ok: bool
    seen: str
    is_note: bool = False

    @property
    def mark(self) -> str:
        return "FAIL" if not self.ok else "note" if self.is_note else "ok  "


@doctor.callback()
def installation(
    context: typer.Context,
    real_money: Annotated[
        bool, typer.Option("--real-money", help="Count what is missing for real money as a fault.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the installation and name its faults; exits 1 if there is any."""
    if context.invoked_subcommand is not None:
        return
    with ExitStack() as stack:
        checks = asyncio.run(_check_installation(load_settings(), stack, real_money=real_money))
    ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": ok, "findings": [asdict(check) for check in checks]})
    else:
        for check in checks:
            print_line(f"{check.mark}  {check.name:<18} {check.seen}")
    sys.exit(0 if ok else 1)


@doctor.command("channel")
def channel(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its id (acc_…) or your name of it.")],
    as_json: Json = False,
) -> None:
    """Check a channel account and name its faults; exits 1 if there is any. No money moves."""
    from hutong import app

    settings = load_settings()
    with app.using_database(settings) as url:
        findings = asyncio.run(_diagnose_account(settings, url, account))
    ok = all(finding.fault is None for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            advice = finding.advice if finding.fault is None else f"{finding.fault}: {finding.advice}"
            print_line(f"{'ok  ' if finding.fault is None else 'FAIL'}  {finding.check:<18} {advice}")
    sys.exit(0 if ok else 1)


async def _diagnose_account(settings: app.Settings, url: str, account: str) -> list[channels.AccountFinding]:
    from hutong import app, channels, db, ids
    from hutong.clock import SystemClock
    from hutong.errors import NotFound

    vault = app.open_vault(settings)
    async with db.Database.open(url, size=2) as database, channels.Http.open() as http:
        async with database.transaction() as tx:
            entries = await channels.accounts.list_accounts(tx)
        named = [entry for entry in entries if account in (ids.encode("acc", entry.account_id), entry.name)]
        if len(named) != 1:
            raise NotFound("no channel account has this id or name" if not named else "several accounts have this name")
        return await channels.accounts.diagnose_account(database, vault, http, SystemClock(), named[0].account_id)


async def _check_installation(settings: app.Settings, stack: ExitStack, *, real_money: bool) -> list[Check]:
    from hutong import app, db

    checks = [
        Check("python", sys.version_info >= (3, 11), sys.version.split()[0]),
        Check("installation", True, str(app.machine_id(app.home_folder(settings)))),
    ]

    async def find_database() -> str:
        return stack.enter_context(app.using_database(settings))

    url = await _attempt(checks, "database", find_database, "found")
    if url is None:
        return checks
    pending = await _attempt(checks, "migrations", lambda: asyncio.to_thread(db.pending_migrations, url), None)
    if pending is not None:
        checks.append(
            Check("migrations", not pending, "none pending" if not pending else f"pending: {', '.join(pending)}")
        )
    if pending == []:
        await _check_platform(settings, checks, real_money=real_money)
    return checks


async def _check_platform(settings: app.Settings, checks: list[Check], *, real_money: bool) -> None:
    import asyncpg

    from hutong import app
    from hutong.errors import HutongError

    try:
        async with app.open_platform(settings) as platform:
            async with platform.database.transaction() as tx:
                version = tx.get_server_version()
                skew_s = abs((await tx.fetchval("SELECT clock_timestamp()") - platform.clock.now()).total_seconds())
            checks.append(Check("server", True, f"PostgreSQL {version.major}.{version.minor}, durable"))
            checks.append(Check("clock", skew_s < _CLOCK_LIMIT_S, f"{skew_s:.3f} s from the database's"))
            checks.append(await _check_secret_key(platform))
            checks += await _check_catch_up(platform)
            checks += await _check_backup(platform)
            checks += await _check_records(platform)
            checks += await _check_broker(platform)
            checks += await _check_reconciliation(platform)
            checks += await _check_channel_accounts(platform)
            checks.append(await _check_real_money(platform, required=real_money))
    except (HutongError, OSError, asyncpg.PostgresError) as error:
        checks.append(Check("platform", False, str(error)))


async def _check_secret_key(platform: app.Platform) -> Check:
    """Check that the stored credentials of channel accounts are sealed with a key of this installation."""
    await platform.accounts.offers()
    unreadable = platform.accounts.unreadable(sandbox=platform.settings.sandbox)
    if not unreadable:
        return Check("secret key", True, "read")
    source = "HUTONG_SECRET_KEY" if platform.settings.secret_key is not None else platform.settings.home / "secret.key"
    return Check(
        "secret key",
        False,
        f"another key sealed the credentials of {', '.join(unreadable)}; put that key into {source}",
    )


async def _check_catch_up(platform: app.Platform) -> list[Check]:
    """Report a catch-up after a restore; nothing in normal work."""
    from hutong import payments

    async with platform.database.transaction() as tx:
        shown = await payments.restored.catch_up_document(tx)
    if shown["mode"] == "normal":
        return []
    count = len(shown["unknown_numbers"])
    return [
        Check("restore", False, f"catching up since {shown['since']}, {count} numbers wait: `hutong restore status`")
    ]


async def _check_backup(platform: app.Platform) -> list[Check]:
    """Check that the embedded database archives its changes where it is to, and find the newest backup."""
    from hutong import backup
    from hutong.errors import HutongError

    state = await platform.database.run(backup.read_archiving)
    folder = platform.settings.backup_folder
    if state.folder is None and (folder in (None, "off") or platform.settings.database_url is not None):
        return []
    if state.folder is None or folder not in (None, state.folder):
        return [Check("backup", False, f"the database archives to {state.folder or 'no folder'} until it is restarted")]
    if state.is_failing or state.is_late:
        what = "archiving fails" if state.is_failing else "archiving is late"
        seen = f"{what}; {state.waiting} segments wait since {state.last_archived_at.isoformat(timespec='seconds')}"
        return [Check("backup", False, f"{seen}; see the database's log")]
    try:
        newest = backup.list_backups(state.folder)[-1]
    except HutongError as error:
        return [Check("backup", False, error.detail)]
    hours = (state.now - newest.ended_at).total_seconds() / 3600
    return [Check("backup", True, f"{newest.backup_id}, {hours:.1f} hours old; {state.waiting} segments wait")]


async def _check_broker(platform: app.Platform) -> list[Check]:
    """Check that the configured broker accepts a connection, and count the events that wait for it."""
    from hutong import app, events
    from hutong.errors import HutongError

    try:
        connect = app.broker(platform.settings)
        if connect is None:
            return []
        async with connect(None):
            streams = await platform.database.run(events.list_streams)
    except HutongError as error:
        return [Check("broker", False, error.detail)]
    waiting = sum(stream.last_no - stream.published_no for stream in streams)
    return [Check("broker", True, f"connected, {waiting} events wait")]


async def _check_records(platform: app.Platform) -> list[Check]:
    """Check the database of payment records, and how far they are behind the events."""
    import asyncpg

    from hutong import app, db, search
    from hutong.errors import HutongError

    separate_url = app.query_database_url(platform.settings)
    checks: list[Check] = []
    if separate_url is not None:
        read_pending = partial(db.pending_migrations, separate_url, packages=search.SCHEMA_PACKAGES)
        pending = await _attempt(checks, "payment records", lambda: asyncio.to_thread(read_pending), None)
        if pending:
            checks.append(Check("payment records", False, f"pending: {', '.join(pending)}"))
        if checks:
            return checks
    try:
        progress = await search.read_progress(platform.database, platform.records, now=platform.clock.now())
    except (HutongError, OSError, asyncpg.PostgresError) as error:
        return [Check("payment records", False, f"{type(error).__name__}: {error}")]
    lag_s = max((source.lag_s for source in progress), default=0.0)
    seen = f"{sum(source.lag for source in progress)} events behind, {lag_s:.1f} s"
    return [Check("payment records", lag_s < _RECORDS_LIMIT_S, seen)]


async def _check_reconciliation(platform: app.Platform) -> list[Check]:
    """Check that bills come in, no difference is forgotten, and suspense is what is open."""
    from hutong.reconciliation import differences, files

    now = platform.clock.now()
    async with platform.database.transaction() as tx:
        waiting = await files.unfetched_bills(tx)
        cases = await differences.report_open_cases(tx, now=now)
        problems = await differences.check_suspense(tx)
    checks: list[Check] = []
    if waiting.oldest_day is not None:
        days = (now.date() - waiting.oldest_day).days
        seen = f"{waiting.count} were not given, the oldest of {waiting.oldest_day}: `hutong recon fetch`"
        checks.append(Check("bills", days <= _BILL_LIMIT_DAYS, seen))
    if cases.oldest_day is not None:
        days = (now.date() - cases.oldest_day).days
        seen = f"{cases.count} are open, the oldest for {days} days: `hutong recon differences`"
        checks.append(Check("differences", days <= _CASE_LIMIT_DAYS, seen))
    if cases.count or problems:
        checks.append(Check("suspense", not problems, "; ".join(problems) or "it is what the open differences say"))
    return checks


async def _check_channel_accounts(platform: app.Platform) -> list[Check]:
    """List the accounts that take payments: simulated ones in the sandbox, real ones otherwise, never both.

    An installation that has never had a real one is for play, and lacks nothing for that.
    """
    from hutong import channels, ids

    sandbox = platform.settings.sandbox
    offers = await platform.accounts.offers()
    used = [offer for offer in offers if offer.sandbox is sandbox]
    if used:
        return [
            Check(
                "channel account",
                True,
                f"{ids.encode('acc', offer.account_id)}: {', '.join(sorted(offer.capabilities.methods))}",
            )
            for offer in used
        ]
    entries = await platform.database.run(channels.accounts.list_accounts)
    if any(not entry.sandbox for entry in entries):
        reason = "real ones are not used in the sandbox" if sandbox else "no real one is enabled and readable"
        return [Check("channel account", False, f"none can be used; payments cannot be taken: {reason}")]
    if offers:
        simulated = ", ".join(sorted({entry.channel for entry in entries if entry.enabled}))
        return [Check("channel account", True, f"ok for play (HUTONG_SANDBOX=true): simulated {simulated}")]
    return [Check("channel account", True, "ok for play: none yet, `hutong serve --sandbox` makes simulated ones")]


async def _check_real_money(platform: app.Platform, *, required: bool) -> Check:
    """Name what is missing for real money, which is a fault only if real money is what the caller asks about."""
    settings = platform.settings
    missing = []
    if settings.sandbox:
        missing.append("HUTONG_SANDBOX is true")
    if all(offer.sandbox for offer in await platform.accounts.offers()):
        missing.append("a channel account (`hutong channels add CHANNEL NAME --credentials FILE`)")
    if not (settings.public_url or "").startswith("https://"):
        missing.append("HUTONG_PUBLIC_URL, an https address that payers and channels reach")
    if settings.database_url is None and settings.backup_folder in (None, "off"):
        missing.append("HUTONG_BACKUP_FOLDER, on another disk")
    if not missing:
        return Check("real money", True, "nothing is missing")
    return Check("real money", not required, f"missing: {'; '.join(missing)}", is_note=not required)


async def _attempt(checks: list[Check], name: str, read: Callable[[], Awaitable[T]], success: str | None) -> T | None:
    """Read something, and add a check that failed if that raises, or one that passed if `success` describes it."""
    try:
        result = await read()
    except Exception as error:  # noqa: BLE001 - the operator must see any error
        checks.append(Check(name, False, f"{type(error).__name__}: {error}"))
        return None
    if success is not None:
        checks.append(Check(name, True, success))
    return result
