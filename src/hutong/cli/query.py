"""`hutong query …`: the progress of payment records, their rebuild, their export."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import INSTANTS, Json, T, as_utc, check_target, load_settings, trace_export
from hutong.cli.output import print_json, print_line

if TYPE_CHECKING:
    from hutong import db
    from hutong.search import PaymentRecord, RebuildResult, SourceProgress

query = typer.Typer(help="Payment records: progress, rebuild, export.", no_args_is_help=True)


class Origin(StrEnum):
    """The sources that payment records can be rebuilt from."""

    EVENTS = "events"
    TABLES = "tables"


class Format(StrEnum):
    """The formats of an export."""

    CSV = "csv"
    PARQUET = "parquet"


@query.command("status")
def status(as_json: Json = False) -> None:
    """Show how far payment records have followed each stream of events."""
    from hutong import search
    from hutong.clock import SystemClock

    async def work(source: db.Database, store: db.Database) -> list[SourceProgress]:
        return await search.read_progress(source, store, now=SystemClock().now())

    sources = [
        {"source": one.source, "no": one.no, "last_no": one.last_no, "lag": one.lag, "lag_s": round(one.lag_s, 3)}
        for one in _with_databases(work)
    ]
    if as_json:
        print_json({"sources": sources})
        return
    for source in sources:
        print_line(
            f"{source['source']:<32} {source['no']} of {source['last_no']}, {source['lag']} behind, {source['lag_s']} s"
        )
    if not sources:
        print_line("there are no events yet")


@query.command("rebuild")
def rebuild(
    origin: Annotated[Origin, typer.Option("--from", help="The source to build from.")] = Origin.EVENTS,
    compare: Annotated[bool, typer.Option("--compare", help="Only compare with the current records.")] = False,
    as_json: Json = False,
) -> None:
    """Rebuild all payment records beside the current ones, compare byte for byte, and keep the new ones if they differ.

    Records are still shown meanwhile, and catch up afterwards. With --compare nothing is replaced, and the command
    exits with status 1 if the two differ.
    """
    from functools import partial

    from rich.console import Console

    from hutong import events, search
    from hutong.clock import SystemClock

    settings = load_settings()

    async def work(source: db.Database, store: db.Database) -> RebuildResult:
        with Console(stderr=True).status("building …") as line:
            return await search.rebuild_records(
                source,
                store,
                from_events=origin is Origin.EVENTS,
                number_events=partial(events.sequence, source, source=settings.event_source, zone=settings.zone),
                now=SystemClock().now(),
                swap=not compare,
                on_progress=lambda count: line.update(f"building … {count:,}"),
            )

    result = _with_databases(work, role=None)
    document = {
        "bills": result.rebuilt.records,
        "digest": result.rebuilt.value,
        "equal": result.equal,
        "swapped": result.swapped,
        "former_bills": result.live.records,
        "former_digest": result.live.value,
    }
    count = f"{result.rebuilt.records:,} payment records"
    if as_json:
        print_json(document)
    elif result.equal:
        print_line(f"{count}, equal byte for byte to the current ones ({result.rebuilt.value[:16]}…)")
    else:
        print_line(f"{count}, not equal to the {result.live.records:,} current ones" + ("; replaced" * result.swapped))
    sys.exit(1 if compare and not result.equal else 0)


@query.command("export")
def export(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; an existing one is replaced.")],
    form: Annotated[Format, typer.Option("--format", help="The format of the file.")] = Format.CSV,
    merchant: Annotated[str | None, typer.Option("--merchant", help="Only records of this merchant, mer_….")] = None,
    begin: Annotated[
        datetime | None, typer.Option("--from", formats=INSTANTS, help="Created at or after this instant.")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=INSTANTS, help="Created before this instant.")] = None,
) -> None:
    """Write payment records to a file, newest first."""
    from hutong import export as files
    from hutong import ids, search

    check_target(output, "FILE")
    selection = search.RecordQuery(
        merchant_id=None if merchant is None else ids.decode("mer", merchant),
        begin=as_utc(begin, "--from"),
        end=as_utc(end, "--to"),
    )

    async def trace(source: db.Database) -> None:
        conditions = {"from": begin, "to": end}
        await source.run(lambda tx: trace_export(tx, "payment_records", merchant or "all", conditions))

    async def write_csv(source: db.Database, store: db.Database) -> int:
        await trace(source)
        count = 0
        with output.open("w", encoding="utf-8", newline="") as file:
            async for page in search.export_records(store, selection):
                file.write(search.to_csv(page, heading=count == 0))
                count += len(page)
        return count

    async def write_parquet(source: db.Database, store: db.Database) -> int:
        await trace(source)
        pages = search.export_records(store, selection)
        records: list[PaymentRecord] = [record async for page in pages for record in page]
        files.to_parquet(search.RecordLine, map(search.record_line, records), output)
        return len(records)

    count = _with_databases(write_csv if form is Format.CSV else write_parquet)
    print_line(f"{count:,} payment records")


def _with_databases(
    work: Callable[[db.Database, db.Database], Awaitable[T]], *, role: str | None = "hutong_console"
) -> T:
    """Run with the payments' database and with that of payment records, both brought to this version's schema.

    Args:
        role: The role to take in the database of payment records; None stays its owner.
    """
    from hutong import app, db, search

    settings = load_settings()

    async def run(url: str, own: str | None) -> T:
        async with (
            db.Database.open(url, size=2) as source,
            db.Database.open(own or url, size=3, role=role) as store,
        ):
            return await work(source, store)

    with app.using_database(settings) as url:
        own = app.query_database_url(settings)
        db.migrate(url)
        if own is not None:
            db.migrate(own, packages=search.SCHEMA_PACKAGES)
        return asyncio.run(run(url, own))
