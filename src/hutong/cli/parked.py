"""`hutong events park …`: parked messages (dead letters) of a consumer of events, retried or dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, T, load_settings
from hutong.cli.output import print_json, print_line, print_result

if TYPE_CHECKING:
    from hutong import db

park = typer.Typer(
    help="Parked messages (dead letters), which a consumer of events could not handle.", no_args_is_help=True
)

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="The consumer's database, postgresql://…; Hutong's own by default.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="CONSUMER", help="The consumer's name.")]
References = Annotated[list[str], typer.Argument(metavar="REFERENCE...", help="The references that `list` shows.")]


@park.command("list")
def list_(
    name: Annotated[
        str | None, typer.Argument(metavar="[CONSUMER]", help="The consumer's name; all by default.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most messages to show.")] = 100,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Show parked messages, the reason of each, and the number of messages that wait behind it."""
    from hutong import consumer

    parked = _run(database, lambda tx: consumer.list_parked(tx, name, limit=limit))
    if as_json:
        print_json({"parked": [_document(one) for one in parked]})
        return
    for one in parked:
        print_line(f"{one.consumer}  {one.reference}  {one.type or '-'}  {one.object_id or '-'}")
        print_line(f"    {one.attempts} attempts, {one.behind} behind: {one.reason}")


@park.command("retry")
def retry(name: Name, references: References, database: Database = None, as_json: Json = False) -> None:
    """Have parked messages handled again by the running consumer."""
    from hutong import consumer
    from hutong.clock import SystemClock

    now = SystemClock().now()
    retried = _run(database, lambda tx: consumer.retry_parked(tx, name, references, now=now))
    print_result({"retried": retried}, f"{len(retried)} will be handled again", as_json=as_json)


@park.command("drop")
def drop(
    name: Name,
    references: References,
    reason: Annotated[str, typer.Option("--reason", help="The reason, which is kept with the message.")],
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Drop parked messages: they are never handled, and the messages behind them continue."""
    from hutong import consumer
    from hutong.clock import SystemClock

    now = SystemClock().now()
    dropped = _run(database, lambda tx: consumer.drop_parked(tx, name, references, reason=reason, now=now))
    print_result({"dropped": dropped}, f"{len(dropped)} will not be handled", as_json=as_json)


def _document(parked: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from hutong.clock import instant

    return asdict(parked) | {"received_at": instant(parked.received_at)}


def _run(url: str | None, work: Callable[[db.Tx], Awaitable[T]]) -> T:
    """Run one transaction in the consumer's database, as the user of the URL."""
    import asyncpg

    from hutong import app, db
    from hutong.errors import ConfigurationError

    async def run(address: str) -> T:
        async with db.Database.open(address, size=2, role=None) as database:
            return await database.run(work)

    try:
        with app.using_database(load_settings()) if url is None else nullcontext(url) as address:
            return asyncio.run(run(address))
    except asyncpg.UndefinedTableError as error:
        raise ConfigurationError(
            "--database must name a database with the tables of a consumer", param="--database"
        ) from error
