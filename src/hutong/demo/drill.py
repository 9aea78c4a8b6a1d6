"""`hutong drill routing`: one of three accounts fails under load and recovers, and payments must keep succeeding."""

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
import orjson
from rich.console import Console

from hutong import app, db, payments, routing
from hutong.clock import SystemClock
from hutong.demo import drill_report as reports
from hutong.demo.drill_report import DrillAttempt, DrillReport
from hutong.demo.drill_run import DrillRun, run
from hutong.demo.drill_setup import CONFIGURATION, DrillSetup, set_up, simulators
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
        The exit status: 1 if a requirement was not met.

    Errors:
        ConfigurationError: a database is configured. The drill changes the routing of payments, so it does not use one.
    """
    settings = app.load_settings()
    if settings.database_url is not None:
        raise ConfigurationError(
            "HUTONG_DATABASE_URL must not be set: a drill uses a database of its own", param="HUTONG_DATABASE_URL"
        )
    console = Console(stderr=as_json, soft_wrap=True)
    console.print("[bold]Hutong[/bold] 互通: starting a platform and three simulated channels …")
    platform = RunningPlatform(settings.model_copy(update={"home": _empty_home(app.home_folder(settings))}), own=True)
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


def _empty_home(folder: Path) -> Path:
    """Return the folder of the drill's platform, without what the previous drill left there."""
    home = folder / "drill"
    if home.exists():
        server = db.EmbeddedServer(home)
        server.stop(unless_used=False)
        db.destroy_cluster(server)  # it may be elsewhere
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
        setup = await set_up(database, platform.settings, client, simulated, CONFIGURATION)
        names = list(setup.accounts.values())

        async def show_second(drill_run: DrillRun, number: int) -> None:
            seconds = reports.seconds(drill_run, await _attempts(database, setup, drill_run))
            with suppress(IndexError):
                show(reports.line(seconds[number], names))

        drill_run = await run(client, setup, rate=rate, outage_s=outage_s, on_second=show_second)
        report = reports.report(drill_run, await _attempts(database, setup, drill_run), home=str(home))
    _write_drafts(platform.settings, setup)
    return report


async def _attempts(database: db.Database, setup: DrillSetup, drill_run: DrillRun) -> list[DrillAttempt]:
    """Return the attempts of this drill so far, in order of time."""
    end = drill_run.ended or SystemClock().now() + timedelta(minutes=1)
    async with database.transaction() as tx:
        decisions = [decision async for decision in routing.decisions_between(tx, drill_run.began, end)]
        outcomes = await payments.attempt_outcomes(tx, [decision.attempt_id for decision in decisions])
    return [
        DrillAttempt(
            drill_run.at(decision.decided_at),
            decision.payment_id,
            setup.accounts[decision.account_id],
            refused=outcomes[decision.attempt_id].state == payments.AttemptState.FAILED,
            probe=orjson.loads(decision.record)["how"] == "probe",
        )
        for decision in decisions
    ]


def _write_drafts(settings: app.Settings, setup: DrillSetup) -> None:
    """Write the configuration, and a draft with a lower price of the second account, for a backtest."""
    folder, second = settings.home, list(setup.accounts.values())[1]
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
        f"\nIts share of the traffic: {report.share_before:.0%} before, {report.share_after:.0%} after."
    )
    for broken in report.broken:
        console.print(f"[bold red]broken:[/bold red] {broken}")
    if not report.broken:
        console.print("[green]Payments kept succeeding, and the account came back.[/green]")
    console.print(
        "\nTo see what another configuration would have changed, in money:\n"
        f"HUTONG_HOME={report.home} hutong routing replay --from {report.began} --to {report.ended}"
        f" --draft {report.home}/draft.json",
        soft_wrap=True,
        highlight=False,
    )
