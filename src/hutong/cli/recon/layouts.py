"""`hutong recon layouts`: the layouts that there are, and what one makes of a file."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json
from hutong.cli.output import print_json, print_line
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import reconciliation

layouts = typer.Typer()

_FAULTS_SHOWN = 5


@layouts.command("layouts")
def show_layouts(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this layout.")] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Read a file by it, and print what is in it.")
    ] = None,
    day: Annotated[
        datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="The day of the file, if it names none.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", envvar="HUTONG_RECON_LAYOUTS", help="A folder with layouts of your own."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the layouts of bills and bank statements, show one, or try a file on it."""
    from hutong import reconciliation
    from hutong.errors import InvalidParameter

    if name is None:
        if check is not None:
            raise InvalidParameter("--check needs the NAME of a layout", param="NAME")
        _show_all(reconciliation.layouts.list_layouts(folder), as_json=as_json)
        return
    layout = reconciliation.layouts.load(name, folder)
    if check is None:
        _show_one(layout, as_json=as_json)
        return
    if not check.is_file():
        raise InvalidParameter(f"there is no file {check}", param="--check")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "rows.parquet"
        result = reconciliation.layouts.normalise(
            layout, [check], out, account=None, day=None if day is None else day.date()
        )
    _show_result(result, as_json=as_json)


def _show_all(found: list[reconciliation.layouts.Layout], *, as_json: bool) -> None:
    rows = [{"name": each.name, "source": each.source.value, "form": each.form, "title": each.title} for each in found]
    if as_json:
        print_json({"layouts": rows})
    else:
        print_table(rows)


def _show_one(layout: reconciliation.layouts.Layout, *, as_json: bool) -> None:
    if as_json:
        print_json(layout.model_dump(mode="json", exclude_defaults=True))
        return
    print_line(f"{layout.name}: {layout.title} ({layout.title_zh})")
    print_line(", ".join(layout.sources))
    print_table(
        [
            {
                "column": name,
                "in the file": " or ".join(column.header or column.path) or f"{column.width or column.position}",
                "form": column.form,
            }
            for name, column in layout.columns.items()
        ]
    )


def _show_result(result: reconciliation.layouts.Normalised, *, as_json: bool) -> None:
    faults = [{"line": each.line, "reason": each.reason} for each in result.exceptions[:_FAULTS_SHOWN]]
    document: dict[str, Any] = {
        "rows": result.rows,
        "exceptions": len(result.exceptions),
        "day": None if result.day is None else result.day.isoformat(),
        "merchant": result.merchant,
        "totals": dict(result.totals),
        "faults": faults,
    }
    if as_json:
        print_json(document)
        return
    print_line(f"{result.rows} rows, {len(result.exceptions)} that cannot be read; day {document['day']}")
    figures = [
        {"kind": kind, "currency": currency, **sums}
        for kind, each in result.totals.items()
        for currency, sums in each.items()
    ]
    if figures:
        print_table(figures)
    for fault in faults:
        print_line(f"line {fault['line']}: {fault['reason']}")
