"""`hutong drill routing`: one of three accounts fails under load and recovers; payments have to go on succeeding."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from hutong import app, db, payments
from hutong.clock import SystemClock
from hutong.demo import drill_report as reports
from hutong.demo.drill_report import DrillReport
from hutong.demo.drill_run import Course, run
from hutong.demo.drill_setup import CONFIGURATION, World, set_up, simulators
from hutong.demo.merchant import Client
from hutong.demo.platform import RunningPlatform
from hutong.errors import ConfigurationError

_CHEAPER_PPM = 3_000


def run_drill_routing(*, rate: float, outage_s: float, as_json: bool) -> int:
    """Run the drill on a platform of its own, in a folder of its own below the data folder.

    Args:
        rate: Payments a second.
        outage_s: For how long the account fails.

    Returns:
        The exit status: 1 if something was not as it must be.

    Errors:
        ConfigurationError: a database is configured: the drill changes how payments are routed, and leaves that alone.
    """
    settings = app.load_settings()
    if settings.database_url is not None:
        raise ConfigurationError("a drill takes a database of its own; unset this", param="HUTONG_DATABASE_URL")
    console = Console(stderr=as_json, soft_wrap=True)
    console.print("[bold]Hutong[/bold] 互通: starting a platform and three simulated channels …")
    platform = RunningPlatform(settings.model_copy(update={"home": _fresh(app.home_folder(settings))}), own=True)
    try:
        with app.using_database(platform.settings) as url:
            show = partial(console.print, highlight=False)
            report = asyncio.run(_drill(platform, url, rate, outage_s, show))
    finally:
        platform.stop()
    if as_json:
        print(json.dumps(report.document()))
    else:
        _show(console, report)
    return 1 if report.broken else 0


def _fresh(folder: Path) -> Path:
    """A folder for the drill's platform, without what the drill before has left there."""
    home = folder / "drill"
    if home.exists():
        db.EmbeddedServer(home).stop(unless_used=False)
        shutil.rmtree(home)
    return home


async def _drill(
    platform: RunningPlatform, url: str, rate: float, outage_s: float, show: Callable[[str], Any]
) -> DrillReport:
    home = platform.settings.home
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        db.Database.open(url, size=4) as database,
        aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session,
        simulators(home) as simulated,
    ):
        client = Client(session, platform.address, platform.sandbox_address)
        world = await set_up(database, platform.settings, client, simulated, CONFIGURATION)
        names = list(world.accounts.values())

        async def second(course: Course, number: int) -> None:
            found = reports.seconds(course, world.accounts, await _decided(database, course))
            with suppress(IndexError):
                show(reports.line(found[number], names))

        course = await run(client, world, rate=rate, outage_s=outage_s, second=second)
        report = reports.report(course, world.accounts, await _decided(database, course), home=str(home))
    _write_drafts(platform.settings, world)
    return report


async def _decided(database: db.Database, course: Course) -> list[payments.LoggedDecision]:
    """The tries of this drill so far."""
    end = course.ended or SystemClock().now() + timedelta(minutes=1)
    async with database.transaction() as tx:
        found = payments.decisions_between(tx, course.began, end)
        return [one async for one in found]


def _write_drafts(settings: app.Settings, world: World) -> None:
    """Leave the configuration, and one with a better offer of the second account's, to be rehearsed."""
    folder, second = settings.home, list(world.accounts.values())[1]
    cheaper = {second: {"price": {"tiers": [{"ppm": _CHEAPER_PPM}]}}}
    draft = {**CONFIGURATION, "accounts": {**CONFIGURATION["accounts"], **cheaper}}
    for name, document in (("routing.json", CONFIGURATION), ("draft.json", draft)):
        Path(folder / name).write_text(json.dumps(document, indent=2) + "\n")


def _show(console: Console, report: DrillReport) -> None:
    console.print()
    for row in reports.picture(report.timeline, ("wechat/one", "wechat/two", "wechat/three")):
        console.print(row, highlight=False)
    console.print(
        f"\n{report.succeeded} of {report.payments} payments succeeded, {report.failed_over} of them on another account"
        f" than the first.\nLeft after {report.failures_to_leave} failures in {report.seconds_to_leave:.1f} s;"
        f" {report.probes_lost} probes met the outage; back {report.seconds_to_return:.1f} s after recovery."
        f"\nIts part of the traffic: {report.share_before:.0%} before, {report.share_after:.0%} after."
    )
    for broken in report.broken:
        console.print(f"[bold red]broken:[/bold red] {broken}")
    if not report.broken:
        console.print("[green]Payments went on succeeding, and the account came back.[/green]")
    console.print(
        "\nWhat this traffic would have been under another configuration, in money:\n"
        f"HUTONG_HOME={report.home} hutong routing replay --from {report.began} --to {report.ended}"
        f" --draft {report.home}/draft.json",
        soft_wrap=True,
        highlight=False,
    )
