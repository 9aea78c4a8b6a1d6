"""`hutong events streams` and `hutong events resend`: streams at a broker."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from hutong.cli.common import INTEGER_MAX, Json, in_transaction, load_settings
from hutong.cli.output import print_json, print_line, print_result

streams = typer.Typer()


@streams.command("streams")
def list_all(as_json: Json = False) -> None:
    """Show the progress of each stream: numbered, published to the broker, covered by digests."""
    from hutong.clock import SystemClock
    from hutong.events import list_streams

    entries = in_transaction(list_streams)
    now = SystemClock().now()
    rows = [
        {
            "stream": one.stream,
            "last_no": one.last_no,
            "published_no": one.published_no,
            "digested_no": one.digested_no,
            "backlog": one.last_no - one.published_no,
            "lag_s": round((now - one.waiting_since).total_seconds(), 3) if one.waiting_since else 0.0,
        }
        for one in entries
    ]
    if as_json:
        print_json({"streams": rows})
        return
    for row in rows:
        waiting = f"{row['backlog']} waiting, the oldest for {row['lag_s']} s" if row["backlog"] else "none waiting"
        print_line(f"{row['stream']:<32} {row['last_no']:>12} numbered {row['published_no']:>12} published  {waiting}")


@streams.command("resend")
def resend(
    stream: Annotated[str, typer.Option("--stream", help="The stream, such as hutong.payment.0.")],
    first: Annotated[int, typer.Option("--from", min=1, max=INTEGER_MAX, help="The first number.")],
    last: Annotated[
        int, typer.Option("--to", min=1, max=INTEGER_MAX, help="The last number; at most 10,000 numbers per call.")
    ],
    as_json: Json = False,
) -> None:
    """Publish a range of a stream to the broker again, under the same ids."""
    from hutong import app, db, events
    from hutong.errors import ConfigurationError

    settings = load_settings()
    connect = app.broker(settings)
    if connect is None:
        raise ConfigurationError("HUTONG_BROKER_URL must be set: no broker is configured", param="HUTONG_BROKER_URL")

    async def run(url: str) -> int:
        async with db.Database.open(url, size=2) as database, connect(None) as publisher:
            return await events.resend(database, publisher, stream, first, last)

    with app.using_database(settings) as url:
        count = asyncio.run(run(url))
    print_result({"resent": count}, f"{count} were sent again", as_json=as_json)
