"""`hutong recon generate`: invented business with planted differences, and the answers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hutong.cli.common import INTEGER_MAX, Json
from hutong.cli.output import print_json
from hutong.cli.tables import print_table

generating = typer.Typer()
_ROWS_MAX = 1_000_000_000
_DAYS_MAX = 366


class ChannelName(StrEnum):
    """The channels whose bills can be generated."""

    WECHAT = "wechat"
    ALIPAY = "alipay"
    UNIONPAY = "unionpay"
    STRIPE = "stripe"


@generating.command("generate")
def generate(
    rows: Annotated[int, typer.Option(min=1, max=_ROWS_MAX, help="Of all accounts and days together.")],
    seed: Annotated[int, typer.Option(min=0, max=INTEGER_MAX, help="The same seed gives the same bytes.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A folder that is empty or does not exist.")],
    days: Annotated[int, typer.Option(min=1, max=_DAYS_MAX, help="Days of business.")] = 2,
    channel: Annotated[list[ChannelName] | None, typer.Option(help="Only this channel; may be repeated.")] = None,
    late: Annotated[bool, typer.Option("--late", help="The bill of the first day comes a day late.")] = False,
    halves: Annotated[bool, typer.Option("--halves", help="Each bill comes as two files.")] = False,
    restated: Annotated[
        bool, typer.Option("--restated", help="The channel corrects its bill of the first day the day after.")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Bills unpacked, where the channel gives them so.")] = False,
    as_json: Json = False,
) -> None:
    """Write our rows, bills and bank statements with planted differences of every class, and the answers."""
    from rich.console import Console
    from rich.progress import Progress

    from hutong.reconciliation import generate as made

    options = made.Options(
        days=days,
        channels=tuple(channel) if channel else tuple(made.ACCOUNTS),
        late=late,
        halves=halves,
        restated=restated,
        packed=not plain,
    )
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("generating", total=rows)
        key = made.generate(rows, seed, out, options, report=lambda count: progress.advance(task, count))
    if as_json:
        print_json({"folder": str(out), **key.document()})
    else:
        print_table([{"class": name, "planted": count} for name, count in key.counts.items()])
