"""`hutong demo`: start what is missing, take payments, check, report."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hutong import app, db, ledger
from hutong.demo.check import Report, check, missing_webhooks
from hutong.demo.merchant import Client, Refused, register_merchant
from hutong.demo.payers import find_methods, read_channel_log
from hutong.demo.platform import RunningPlatform
from hutong.demo.receiver import Receiver
from hutong.demo.reconciliation import ReconciledDays, reconcile
from hutong.demo.scenarios import FinishedPayment, Shop, method_of, play
from hutong.demo.visit import Visit, kept_visit, open_visit

SHOPS = {"Example Store": 6_000, "Example Books 示例书店": 3_800}
"""The demonstration's merchants and their fees in parts per million."""

PAYMENTS = 200
"""How many payments the demonstration takes unless another number is asked for."""

_AT_ONCE = 16
_WEBHOOK_LIMIT_S = 60.0


def run_demo(*, payments: int | None, as_json: bool, serve: bool) -> int:
    """Run the demonstration and print the report.

    Args:
        payments: How many to take. By default `PAYMENTS`, but none on a platform that already runs, and none to serve
            an installation whose books have entries: nobody has asked for more of them.
        serve: Keep the platform running afterwards, until interrupted, if it did not run before.

    Returns:
        The exit status: 1 if an invariant is broken.
    """
    console = Console(stderr=as_json)
    settings = app.load_settings()
    runs = app.find_serving(settings) is not None
    what = "runs already in this data folder" if runs else "starting the platform with simulated channels …"
    console.print(f"[bold]Hutong[/bold] 互通: {what}")
    platform = RunningPlatform(settings)
    try:
        with app.using_database(platform.settings) as url:
            report, visit = asyncio.run(_play(console, platform, url, payments, serve=serve))
        _print(console, platform, report, visit, as_json=as_json)
        if serve and not platform.was_running:
            with suppress(KeyboardInterrupt):
                console.print("\nServing until interrupted (Ctrl-C).")
                platform.wait()
    finally:
        platform.stop()
    return 1 if report is not None and report.broken else 0


async def _play(
    console: Console, platform: RunningPlatform, url: str, asked: int | None, *, serve: bool
) -> tuple[Report | None, Visit | None]:
    """Take the payments, if there are any to take; return the report, and a payment to look at."""
    async with (
        db.Database.open(url, size=4) as database,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
    ):
        client = Client(session, platform.address, platform.sandbox_address)
        count = PAYMENTS if asked is None else asked
        if asked is None and platform.was_running:
            return None, kept_visit(platform.settings)
        has_entries = await database.run(_has_entries)
        if asked is None and serve and has_entries:
            return None, await _visit(client, database, platform.settings)
        own = platform.settings.model_copy(update={"sandbox": True})
        sandbox_clock = app.follow_sandbox_clock(own)
        assert sandbox_clock is not None
        began = sandbox_clock.now()
        with _progress(console) as progress:
            task = progress.add_task("payments", total=count)
            shown = await _demonstrate(client, database, platform.settings, count, lambda: progress.advance(task))
        report = shown.report
        if serve:
            console.print("To reconcile these days as well, run `hutong demo` in a data folder of its own.")
        elif platform.was_running or has_entries:
            console.print("The platform ran before, so its clock is left alone and its days are not reconciled here.")
        else:
            report.reconciliation = await _reconcile(console, own, client, shown.finished, began)
            report.broken += report.reconciliation.broken
        return report, await open_visit(client, platform.settings, shown.key, shown.run)


async def _has_entries(tx: db.Tx) -> bool:
    return bool(await ledger.trial_balance(tx))


async def _visit(client: Client, database: db.Database, settings: app.Settings) -> Visit:
    """Leave a payment for a visit, of the merchant that had the previous one if its key is still good."""
    previous, number = kept_visit(settings), secrets.token_hex(4)
    if previous is not None:
        with suppress(Refused):
            return await open_visit(client, settings, previous.api_key, number)
    name, fee_ppm = next(iter(SHOPS.items()))
    key = await register_merchant(database, name, fee_ppm, zone=settings.zone)
    return await open_visit(client, settings, key.secret, number)


async def _reconcile(
    console: Console, settings: app.Settings, client: Client, finished: Sequence[FinishedPayment], began: datetime
) -> ReconciledDays:
    """Reconcile the payments' days, and show the step that is under way."""
    with console.status("reconciliation") as status:
        done = await reconcile(settings, client, finished, began=began, report=status.update)
    days, hours = divmod(done.clock_moved_hours, 24)
    console.print(f"To reconcile, the sandbox's clock was moved on by {days} days and {hours} hours.")
    return done


@dataclass(frozen=True, slots=True)
class _Demonstrated:
    """What the demonstration has done: its report, its payments, the first merchant's key, and the run's number."""

    report: Report
    finished: Sequence[FinishedPayment]
    key: str
    run: str


async def _demonstrate(
    client: Client, database: db.Database, settings: app.Settings, count: int, advance: Callable[[], None]
) -> _Demonstrated:
    started = time.monotonic()
    receiver = Receiver()
    async with receiver.serve() as hooks:
        shops = await _open_shops(database, settings, client, receiver, hooks)
        run = secrets.token_hex(4)
        methods = await find_methods(client)
        places = asyncio.Semaphore(_AT_ONCE)

        async def take(number: int) -> FinishedPayment:
            async with places:
                result = await play(client, shops[number % len(shops)], number, run, method_of(number, methods))
                advance()
                return result

        finished = await asyncio.gather(*(take(number) for number in range(count)))
        await _wait_for_webhooks(receiver, finished)
        channel_log = await read_channel_log(client)
        async with database.transaction() as tx:
            report = await check(tx, finished, receiver, channel_log, seconds=time.monotonic() - started)
        report.repeated_calls = client.repeated
        return _Demonstrated(report, finished, shops[0].key, run)


async def _open_shops(
    database: db.Database, settings: app.Settings, client: Client, receiver: Receiver, hooks: str
) -> list[Shop]:
    """Register the merchants, as an operator would, and let each register its webhook endpoint over HTTP."""
    shops: list[Shop] = []
    for name, fee_ppm in SHOPS.items():
        key = await register_merchant(database, name, fee_ppm, zone=settings.zone)
        hook = f"shop-{len(shops)}"
        receiver.trust(hook, await client.add_endpoint(key.secret, f"{hooks}/hooks/{hook}"))
        shops.append(Shop(name, key.secret))
    return shops


async def _wait_for_webhooks(receiver: Receiver, finished: Sequence[FinishedPayment]) -> None:
    """Wait until every final payment has had its webhooks, or until the time limit."""
    deadline = time.monotonic() + _WEBHOOK_LIMIT_S
    while time.monotonic() < deadline:
        if not missing_webhooks(finished, receiver):
            return
        await asyncio.sleep(0.1)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _print(
    console: Console, platform: RunningPlatform, report: Report | None, visit: Visit | None, *, as_json: bool
) -> None:
    """Print the results, and every address that a visitor may open."""
    addresses = {
        "start": f"{platform.address}/",
        "api_reference": f"{platform.address}/docs",
        "cashier": "" if visit is None else visit.cashier,
        "sandbox_payer": f"{platform.sandbox_address}/payer",
    }
    if as_json:
        print(json.dumps({"payments": 0, "broken": []} | ({} if report is None else asdict(report)) | addresses))
        return
    if report is None:
        console.print("No payments were added; `hutong demo --payments N` adds some.")
    else:
        _show(console, report)
    for name, address in addresses.items():
        if address:
            console.print(f"{name.replace('_', ' ').replace('api', 'API'):<14} {address}", soft_wrap=True)


def _show(console: Console, report: Report) -> None:
    table = Table(title="Results", show_header=False)
    for name in ("payments", "succeeded", "closed", "unknown", "webhooks_verified", "ledger_transfers", "seconds"):
        table.add_row(name.replace("_", " "), str(getattr(report, name)))
    for channel, count in report.channels.items():
        table.add_row(f"  through {channel}", str(count))
    for scenario, count in report.stories.items():
        table.add_row(f"  {scenario}", str(count))
    for code, row in report.trial_balance.items():
        table.add_row(f"trial balance {code}", f"debits {row['debits']:,} = credits {row['credits']:,}")
    if report.reconciliation is not None:
        _add_reconciliation(table, report.reconciliation)
    console.print(table)
    for invariant in report.broken:
        console.print(f"[bold red]broken:[/bold red] {invariant}")
    if not report.broken:
        console.print("[green]Every success is booked once and notified once, and the books balance.[/green]")
        if report.reconciliation is not None:
            console.print("[green]Bills and bank agree with the books: every difference is found and ended.[/green]")


def _add_reconciliation(table: Table, done: ReconciledDays) -> None:
    table.add_section()
    table.add_row("bills and bank statements", str(done.files))
    table.add_row("days reconciled", f"{done.runs}, verified from the original files: {done.verified_days}")
    for klass in sorted(done.planted | done.found):
        table.add_row(f"  {klass}", f"{done.planted.get(klass, 0)} planted, {done.found.get(klass, 0)} found")
    for action, count in done.actions.items():
        table.add_row(f"  ended by {action}", str(count))
    table.add_row("left open, in suspense", f"{done.open}, {done.suspense_minor}")
    for name, percent in done.explained.items():
        table.add_row(f"  explained {name}", f"{percent} %")
    table.add_row("seconds of reconciliation", str(done.seconds))
