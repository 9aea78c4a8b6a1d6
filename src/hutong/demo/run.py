"""`hutong demo`: start what is missing, take payments, check, report."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hutong import app, db
from hutong.demo.check import Report, check, missing_webhooks
from hutong.demo.merchant import Client, register_merchant
from hutong.demo.payers import find_methods, read_channel_log
from hutong.demo.platform import RunningPlatform
from hutong.demo.receiver import Receiver
from hutong.demo.scenarios import FinishedPayment, Shop, method_of, play

SHOPS = {"Example Store": 6_000, "Example Books 示例书店": 3_800}
"""The demonstration's merchants and their fees in parts per million."""

_AT_ONCE = 16
_WEBHOOK_LIMIT_S = 60.0


def run_demo(*, payments: int, as_json: bool, serve: bool) -> int:
    """Run the demonstration and print the report.

    Args:
        serve: Keep the platform running afterwards, until interrupted.

    Returns:
        The exit status: 1 if an invariant is broken.
    """
    console = Console(stderr=as_json)
    console.print("[bold]Hutong[/bold] 互通: starting the platform with simulated channels …")
    platform = RunningPlatform(app.load_settings())
    try:
        with _progress(console) as progress:
            task = progress.add_task("payments", total=payments)
            with app.using_database(platform.settings) as url:
                report = asyncio.run(_demonstrate(platform, url, payments, lambda: progress.advance(task)))
        if as_json:
            print(json.dumps(asdict(report)))
        else:
            _show(console, platform, report)
        if serve:
            with suppress(KeyboardInterrupt):
                console.print("\nServing until interrupted (Ctrl-C).")
                platform.wait()
    finally:
        platform.stop()
    return 1 if report.broken else 0


async def _demonstrate(platform: RunningPlatform, url: str, count: int, advance: Callable[[], None]) -> Report:
    started = time.monotonic()
    receiver = Receiver()
    async with (
        receiver.serve() as hooks,
        db.Database.open(url, size=4) as database,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
    ):
        client = Client(session, platform.address, platform.sandbox_address)
        shops = await _open_shops(database, platform.settings, client, receiver, hooks)
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
        unpaid = {
            "merchant_order_no": f"{run}-look",
            "amount_minor": 12_800,
            "currency": "CNY",
            "subject": "Have a look",
        }
        report.cashier = (await client.create_payment(shops[0].key, unpaid))["checkout_url"]
        return report


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


def _show(console: Console, platform: RunningPlatform, report: Report) -> None:
    table = Table(title="Results", show_header=False)
    for name in ("payments", "succeeded", "closed", "unknown", "webhooks_verified", "ledger_transfers", "seconds"):
        table.add_row(name.replace("_", " "), str(getattr(report, name)))
    for channel, count in report.channels.items():
        table.add_row(f"  through {channel}", str(count))
    for scenario, count in report.stories.items():
        table.add_row(f"  {scenario}", str(count))
    for code, row in report.trial_balance.items():
        table.add_row(f"trial balance {code}", f"debits {row['debits']:,} = credits {row['credits']:,}")
    console.print(table)
    for invariant in report.broken:
        console.print(f"[bold red]broken:[/bold red] {invariant}")
    if not report.broken:
        console.print("[green]Every success is booked once and notified once, and the books balance.[/green]")
    console.print(f"API reference  {platform.address}/docs")
    console.print(f"cashier        {report.cashier}", soft_wrap=True)
    console.print(f"sandbox payer  {platform.sandbox_address}/payer")
