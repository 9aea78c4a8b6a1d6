"""The command line, mounted. Each group is a file; what a command needs is imported when the command runs."""

from __future__ import annotations

from typing import Annotated

import typer

import hutong
from hutong.cli.backup import backup
from hutong.cli.bench import bench
from hutong.cli.channel import channel
from hutong.cli.common import HutongGroup
from hutong.cli.database import database
from hutong.cli.demo import demo
from hutong.cli.dispute import dispute
from hutong.cli.doctor import doctor
from hutong.cli.drill import drill
from hutong.cli.events import events
from hutong.cli.ledger.ledger import ledger
from hutong.cli.merchant import merchant
from hutong.cli.operator import operator
from hutong.cli.output import print_line
from hutong.cli.payment import payment
from hutong.cli.query import query
from hutong.cli.recon.recon import recon
from hutong.cli.restore import restore
from hutong.cli.routing.routing import routing
from hutong.cli.sandbox import sandbox
from hutong.cli.serve import serving
from hutong.cli.termination import ended_by_signals

app = typer.Typer(
    name="hutong",
    cls=HutongGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"hutong {hutong.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version, and end.")
    ] = False,
) -> None:
    """Hutong: an open-source payment platform."""


app.add_typer(serving)
app.add_typer(demo)
app.add_typer(merchant, name="merchant")
app.add_typer(payment, name="payment")
app.add_typer(dispute, name="dispute")
app.add_typer(channel, name="channels")
app.add_typer(channel, name="channel", hidden=True)  # the first name of the same group
app.add_typer(database, name="db")
app.add_typer(restore, name="restore")
app.add_typer(backup, name="backup")
app.add_typer(doctor, name="doctor")
app.add_typer(bench, name="bench")
app.add_typer(drill, name="drill")
app.add_typer(ledger, name="ledger")
app.add_typer(events, name="events")
app.add_typer(sandbox, name="sandbox")
app.add_typer(operator, name="operator")
app.add_typer(query, name="query")
app.add_typer(routing, name="routing")
app.add_typer(recon, name="recon")


def main() -> None:
    """Run a command."""
    with ended_by_signals():
        app()
