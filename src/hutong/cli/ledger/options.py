"""Options of the commands of `hutong ledger`, and the printing of their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from hutong import export
from hutong.cli.common import INSTANTS

Parquet = Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Also write a Parquet file.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
AccountId = Annotated[
    UUID, typer.Argument(metavar="ACCOUNT", help="The account's id, as `hutong ledger accounts` shows it.")
]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A closed day; by default, the present.")]
Instant = Annotated[datetime | None, typer.Option(formats=INSTANTS, help="In UTC unless it names a zone.")]
By = Annotated[str, typer.Option(help="The person who requested it.")]


def show(rows: Iterable[dict[str, Any]], *, as_json: bool = False, as_csv: bool = False) -> None:
    """Print rows as a table, one JSON list, or CSV."""
    listed = list(rows)
    if as_json:
        print(json.dumps(listed, default=str))
        return
    if as_csv:
        print(export.to_csv(listed), end="")
        return
    from rich.console import Console
    from rich.table import Table

    if listed:
        table = Table(*listed[0])
        for row in listed:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)
