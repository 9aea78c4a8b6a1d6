"""`hutong demo`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hutong.cli.common import Json

demo = typer.Typer()


@demo.command("demo")
def run(
    as_json: Json = False,
    payments: Annotated[
        int | None,
        typer.Option(
            min=10, help="How many payments to take: 200, or none if the platform runs or is to serve what it has."
        ),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Keep serving afterwards.")] = False,
) -> None:
    """Take payments end to end through the sandbox, check every invariant, show the result."""
    from hutong.demo import run_demo

    sys.exit(run_demo(payments=payments, as_json=as_json, serve=serve))
