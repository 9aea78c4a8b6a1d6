"""`hutong events park …`: messages that a consumer of events could not handle, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, T, load_settings

if TYPE_CHECKING:
    from hutong import db

park = typer.Typer(help="Messages that a consumer of events could not handle.", no_args_is_help=True)

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="The consumer's database, postgresql://…; without it, Hutong's own.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="CONSUMER", help="The consumer's name.")]
References = Annotated[list[str], typer.Argument(metavar="REFERENCE...", help="As `list` shows them.")]


@park.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="[CONSUMER]", help="Its name; without it, all.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Show what is parked, why, and how many messages wait behind each."""
    from hutong import consumer

    found = _run(database, lambda tx: consumer.list_parked(tx, name, limit=limit))
    if as_json:
        print(json.dumps({"parked": [_document(one) for one in found]}))
        return
    for one in found:
        print(f"{one.consumer}  {one.reference}  {one.type or '-'}  {one.object_id or '-'}")
        print(f"    {one.attempts} tries, {one.behind} behind: {one.reason}")


@park.command("retry")
def retry(name: Name, references: References, database: Database = None, as_json: Json = False) -> None:
    """Have parked messages handled again, by the consumer that runs."""
    from hutong import consumer
    from hutong.clock import SystemClock

    now = SystemClock().now()
    done = _run(database, lambda tx: consumer.retry_parked(tx, name, references, now=now))
    print(json.dumps({"retried": done}) if as_json else f"{len(done)} will be handled again")


@park.command("drop")
def drop(
    name: Name,
    references: References,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the message.")],
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Decide that parked messages are never handled; what waits behind them goes on."""
    from hutong import consumer
    from hutong.clock import SystemClock

    now = SystemClock().now()
    done = _run(database, lambda tx: consumer.drop_parked(tx, name, references, reason=reason, now=now))
    print(json.dumps({"dropped": done}) if as_json else f"{len(done)} will not be handled")


def _document(one: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from hutong.clock import instant

    return asdict(one) | {"received_at": instant(one.received_at)}


def _run(url: str | None, work: Callable[[db.Tx], Awaitable[T]]) -> T:
    """One transaction in the consumer's database, as the user of the URL."""
    import asyncpg

    from hutong import app, db
    from hutong.errors import ConfigurationError

    async def run(where: str) -> T:
        async with db.Database.open(where, size=2, role=None) as database:
            return await database.run(work)

    try:
        with app.using_database(load_settings()) if url is None else nullcontext(url) as where:
            return asyncio.run(run(where))
    except asyncpg.UndefinedTableError as error:
        raise ConfigurationError("no consumer has its tables in this database; name it", param="--database") from error
