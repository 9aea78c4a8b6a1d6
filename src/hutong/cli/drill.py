"""`hutong drill …`: failures rehearsed under load."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hutong.cli.common import Json

drill = typer.Typer(
    help="Failure drills: break a channel under load and watch the platform react.", no_args_is_help=True
)


@drill.command("routing")
def routing(
    as_json: Json = False,
    rate: Annotated[float, typer.Option(min=1, help="Payments a second.")] = 20,
    outage: Annotated[float, typer.Option(min=3, help="How long the account fails, in seconds.")] = 20,
) -> None:
    """Make one of three accounts fail under load, then recover; show the traffic leave it and come back."""
    from hutong.demo import run_drill_routing

    sys.exit(run_drill_routing(rate=rate, outage_s=outage, as_json=as_json))
