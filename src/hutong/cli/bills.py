"""`hutong query …`: how far bills have followed the events, building them anew, writing them out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import INSTANTS, Json, T, as_utc, load_settings

if TYPE_CHECKING:
    from hutong import db
    from hutong.search import PaymentRecord, Progress, Rebuilt

query = typer.Typer(help="Bills: how far they are, building them anew, writing them out.", no_args_is_help=True)


class Origin(StrEnum):
    """What bills are built from."""

    EVENTS = "events"
    TABLES = "tables"


class Format(StrEnum):
    """How bills are written out."""

    CSV = "csv"
    PARQUET = "parquet"


@query.command("status")
def status(as_json: Json = False) -> None:
    """Show how far bills have followed each stream of events."""
    from hutong import search as bills
    from hutong.clock import SystemClock

    async def work(source: db.Database, store: db.Database) -> list[Progress]:
        return await bills.progress(source, store, now=SystemClock().now())

    found = _with_databases(work)
    shown = [
        {"source": one.source, "no": one.no, "last_no": one.last_no, "lag": one.lag, "lag_s": round(one.lag_s, 3)}
        for one in found
    ]
    if as_json:
        print(json.dumps({"sources": shown}))
        return
    for one in shown:
        print(f"{one['source']:<32} {one['no']} of {one['last_no']}, {one['lag']} behind, {one['lag_s']} s")
    if not shown:
        print("nothing has happened yet")


@query.command("rebuild")
def rebuild(
    origin: Annotated[Origin, typer.Option("--from", help="What to build from.")] = Origin.EVENTS,
    compare: Annotated[bool, typer.Option("--compare", help="Only say whether the bills in use are the same.")] = False,
    as_json: Json = False,
) -> None:
    """Build all bills anew beside those in use, compare them byte for byte, and use the new ones if they differ.

    Bills go on being shown meanwhile and are brought up to date afterwards. With --compare nothing is replaced, and the
    command exits 1 if they differ.
    """
    from functools import partial

    from rich.console import Console

    from hutong import events
    from hutong import search as bills
    from hutong.clock import SystemClock

    settings = load_settings()

    async def work(source: db.Database, store: db.Database) -> Rebuilt:
        with Console(stderr=True).status("building …") as line:
            return await bills.rebuild(
                source,
                store,
                from_events=origin is Origin.EVENTS,
                number_events=partial(events.sequence, source, source=settings.event_source, zone=settings.zone),
                now=SystemClock().now(),
                swap=not compare,
                told=lambda done: line.update(f"building … {done:,}"),
            )

    done = _with_databases(work, role=None)
    result = {
        "bills": done.built.bills,
        "digest": done.built.value,
        "equal": done.equal,
        "swapped": done.swapped,
        "former_bills": done.live.bills,
        "former_digest": done.live.value,
    }
    if as_json:
        print(json.dumps(result))
    elif done.equal:
        print(f"{done.built.bills:,} bills, equal byte for byte to those in use ({done.built.value[:16]}…)")
    else:
        print(
            f"{done.built.bills:,} bills, not equal to the {done.live.bills:,} in use" + ("; replaced" * done.swapped)
        )
    sys.exit(1 if compare and not done.equal else 0)


@query.command("export")
def export(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Replaced if it is there.")],
    form: Annotated[Format, typer.Option("--format", help="How to write.")] = Format.CSV,
    merchant: Annotated[str | None, typer.Option("--merchant", help="Only of this merchant, mer_….")] = None,
    begin: Annotated[datetime | None, typer.Option("--from", formats=INSTANTS, help="Created then or later.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=INSTANTS, help="Created before then.")] = None,
) -> None:
    """Write bills to a file, newest first."""
    from hutong import export as files
    from hutong import ids
    from hutong import search as bills

    wanted = bills.RecordQuery(
        merchant_id=None if merchant is None else ids.decode("mer", merchant), begin=as_utc(begin), end=as_utc(end)
    )

    async def as_csv(_: db.Database, store: db.Database) -> int:
        count = 0
        with output.open("w", encoding="utf-8", newline="") as file:
            async for page in bills.export(store, wanted):
                file.write(bills.to_csv(page, heading=count == 0))
                count += len(page)
        return count

    async def as_parquet(_: db.Database, store: db.Database) -> int:
        found: list[PaymentRecord] = [bill async for page in bills.export(store, wanted) for bill in page]
        files.to_parquet(bills.RecordLine, map(bills.record_line, found), output)
        return len(found)

    count = _with_databases(as_csv if form is Format.CSV else as_parquet)
    print(f"{count:,} bills")


def _with_databases(work: Callable[[db.Database, db.Database], Awaitable[T]], *, role: str | None = "hutong_app") -> T:
    """Run with the payments' database and with the bills', brought to this version's schema.

    Args:
        role: What to be in the bills' database; None is its owner.
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
            db.migrate(own, rooms=search.SCHEMAS)
        return asyncio.run(run(url, own))
