"""`hutong doctor`: what an operator would look at first, looked at."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

import asyncpg

from hutong import app, channels, config, db, events, ids
from hutong import search as query
from hutong.clock import SystemClock
from hutong.config import Settings
from hutong.errors import HutongError, NotFound

T = TypeVar("T")

_CLOCK_LIMIT_S = 1.0
_BILLS_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: fine or not, and what was seen."""

    name: str
    ok: bool
    seen: str


def run_doctor(*, as_json: bool) -> int:
    """Look at everything; returns 0 if all is well."""
    with ExitStack() as stack:
        findings = asyncio.run(_examine(config.load(), stack))
    ok = all(finding.ok for finding in findings)
    if as_json:
        print(json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:<18} {finding.seen}")
    return 0 if ok else 1


def run_doctor_channel(account: str, *, as_json: bool) -> int:
    """Look at one channel account; returns 0 if all is well."""
    settings = config.load()
    with app.using_database(settings) as url:
        findings = asyncio.run(_examine_account(settings, url, account))
    ok = all(finding.fault is None for finding in findings)
    if as_json:
        print(json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}))
    else:
        for finding in findings:
            told = finding.advice if finding.fault is None else f"{finding.fault}: {finding.advice}"
            print(f"{'ok  ' if finding.fault is None else 'FAIL'}  {finding.check:<18} {told}")
    return 0 if ok else 1


async def _examine_account(settings: Settings, url: str, account: str) -> list[channels.AccountFinding]:
    vault = app.open_vault(settings)
    async with db.Database.open(url, size=2) as database, channels.Http.open() as http:
        async with database.transaction() as tx:
            entries = await channels.accounts.list_accounts(tx)
        named = [entry for entry in entries if account in (ids.encode("acc", entry.account_id), entry.name)]
        if len(named) != 1:
            raise NotFound("no channel account has this id or name" if not named else "several accounts have this name")
        return await channels.accounts.diagnose_account(database, vault, http, SystemClock(), named[0].account_id)


async def _examine(settings: Settings, stack: ExitStack) -> list[Finding]:
    findings = [Finding("python", sys.version_info >= (3, 11), sys.version.split()[0])]

    async def find() -> str:
        return stack.enter_context(app.using_database(settings))

    url = await _look(findings, "database", find, "found")
    if url is None:
        return findings
    pending = await _look(findings, "migrations", lambda: asyncio.to_thread(db.pending_migrations, url), None)
    if pending is not None:
        findings.append(
            Finding("migrations", not pending, "none pending" if not pending else f"pending: {', '.join(pending)}")
        )
    if pending == []:
        await _examine_platform(settings, findings)
    return findings


async def _examine_platform(settings: Settings, findings: list[Finding]) -> None:
    try:
        async with app.open_platform(settings) as platform:
            async with platform.database.transaction() as tx:
                version = tx.get_server_version()
                skew_s = abs((await tx.fetchval("SELECT clock_timestamp()") - platform.clock.now()).total_seconds())
            findings.append(Finding("server", True, f"PostgreSQL {version.major}.{version.minor}, durable"))
            findings.append(Finding("clock", skew_s < _CLOCK_LIMIT_S, f"{skew_s:.3f} s from the database's"))
            findings.append(Finding("secret key", True, "read"))
            findings += await _bills(platform)
            findings += await _broker(platform)
            findings += await _channel_accounts(platform)
    except (HutongError, OSError, asyncpg.PostgresError) as error:
        findings.append(Finding("platform", False, str(error)))


async def _broker(platform: app.Platform) -> list[Finding]:
    """Whether the configured broker lets us in, and how much waits for it."""
    try:
        connect = app.broker(platform.settings)
        if connect is None:
            return []
        async with connect(None):
            streams = await platform.database.run(events.list_streams)
    except HutongError as error:
        return [Finding("broker", False, error.detail)]
    waiting = sum(one.last_no - one.published_no for one in streams)
    return [Finding("broker", True, f"connected, {waiting} events wait")]


async def _bills(platform: app.Platform) -> list[Finding]:
    """Whether bills are shown, and how far they are."""
    own = app.query_database_url(platform.settings)
    found: list[Finding] = []
    if own is not None:
        looking = partial(db.pending_migrations, own, rooms=query.SCHEMAS)
        pending = await _look(found, "bills", lambda: asyncio.to_thread(looking), None)
        if pending:
            found.append(Finding("bills", False, f"pending: {', '.join(pending)}"))
        if found:
            return found
    try:
        progress = await query.progress(platform.database, platform.bills, now=platform.clock.now())
    except (HutongError, OSError, asyncpg.PostgresError) as error:
        return [Finding("bills", False, f"{type(error).__name__}: {error}")]
    lag_s = max((one.lag_s for one in progress), default=0.0)
    seen = f"{sum(one.lag for one in progress)} events behind, {lag_s:.1f} s"
    return [Finding("bills", lag_s < _BILLS_LIMIT_S, seen)]


async def _channel_accounts(platform: app.Platform) -> list[Finding]:
    """The accounts that payments would go to. A simulated channel is none for real money, and the other way round."""
    offers = await platform.accounts.offers()
    used = [offer for offer in offers if offer.sandbox is platform.settings.sandbox]
    if used:
        return [
            Finding(
                "channel account",
                True,
                f"{ids.encode('acc', offer.account_id)}: {', '.join(sorted(offer.capabilities.methods))}",
            )
            for offer in used
        ]
    seen = "none can be used; payments cannot be taken"
    if offers:
        seen += ": there are only simulated ones" if offers[0].sandbox else ": real ones are not used in the sandbox"
    return [Finding("channel account", False, seen)]


async def _look(findings: list[Finding], name: str, look: Callable[[], Awaitable[T]], fine: str | None) -> T | None:
    try:
        seen = await look()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the operator must see
        findings.append(Finding(name, False, f"{type(error).__name__}: {error}"))
        return None
    if fine is not None:
        findings.append(Finding(name, True, fine))
    return seen
