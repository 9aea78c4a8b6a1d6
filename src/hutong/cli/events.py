"""`hutong events …`: what merchants are told of, what came of telling them, and telling them again."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import INSTANTS, Json, as_utc, in_transaction, load_settings, with_database
from hutong.cli.parked import park
from hutong.cli.streams import streams

if TYPE_CHECKING:
    from hutong import db
    from hutong.events import ReplayResult

events = typer.Typer(help="Events, and the webhooks that carry them.", no_args_is_help=True)
events.add_typer(streams)
events.add_typer(park, name="park")

Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The webhook endpoint, whe_….")]
EventId = Annotated[str | None, typer.Option("--event", metavar="EVENT", help="This event alone, evt_….")]


@events.command("schema")
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="Such as payment.succeeded; without it, all.")
    ] = None,
) -> None:
    """Print the AsyncAPI document of all types of events, or the JSON Schema of one."""
    from hutong import api
    from hutong.errors import InvalidParameter

    found = api.asyncapi()
    if name is not None:
        files = [one.file for one in api.EVENT_TYPES if one.name == name]
        if not files:
            raise InvalidParameter("no event has this type", param="TYPE")
        found = api.json_schemas()[files[-1]]
    print(json.dumps(found, indent=2, ensure_ascii=False))


@events.command("replay")
def replay(
    endpoint: Endpoint,
    event: EventId = None,
    begin: Annotated[
        datetime | None, typer.Option("--from", formats=INSTANTS, help="Those recorded from here on; UTC.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=INSTANTS, help="Those recorded before this; UTC.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those whose tries have all failed.")] = False,
    as_json: Json = False,
) -> None:
    """Have events sent to an endpoint again: one, those of a time, or all that were given up."""
    from hutong import app, ids
    from hutong.errors import InvalidParameter
    from hutong.events import ReplayRequest

    if (event is None) == (begin is None and end is None and not failed):
        raise InvalidParameter("name either --event, or --from, --to or --failed", param="--event")
    wanted = ReplayRequest.between(as_utc(begin), as_utc(end), failed=failed)
    if event is not None:
        wanted = ReplayRequest.one(ids.decode("evt", event))
    count = seen = 0
    with app.using_database(load_settings()):  # once for all pages
        while True:
            done = _replay_some(endpoint, wanted)
            count, seen = count + done.count, seen + done.seen
            if done.last is None or event is not None:
                break
            wanted = wanted.after(done.last)
    if event is not None and not seen:
        raise InvalidParameter("names no event that this endpoint wants", param="--event")
    print(json.dumps({"replayed": count}) if as_json else f"{count} will be sent again")


@events.command("deliveries")
def deliveries(
    endpoint: Endpoint,
    event: EventId = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only tries that ended as delivered, failed, dead.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the tries to reach an endpoint, newest first, with the beginning of each answer that was no success."""
    from hutong import events as webhooks
    from hutong import ids
    from hutong.errors import InvalidParameter

    if state is not None and state not in set(webhooks.DeliveryAttemptState):
        raise InvalidParameter(f"is one of {', '.join(webhooks.DeliveryAttemptState)}", param="--state")
    wanted = None if state is None else webhooks.DeliveryAttemptState(state)

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        found = await webhooks.find_endpoint(tx, None, ids.decode("whe", endpoint))
        event_id = None if event is None else ids.decode("evt", event)
        tries = await webhooks.list_delivery_attempts(
            tx, found.endpoint_id, event_id=event_id, state=wanted, limit=limit
        )
        return [webhooks.delivery_attempt_document(one, found) | {"answer": one.answer} for one in tries]

    shown = in_transaction(work)
    if as_json:
        print(json.dumps({"deliveries": shown}))
        return
    for one in shown:
        result = f"{one['state']:<9} {one['status'] or '-'} {one['error'] or ''}".rstrip()
        print(f"{one['at']}  {one['event_id']}  {one['event_type']:<24} {one['number']:>2}  {result}")
        if one["answer"]:
            print(f"    {one['answer'].splitlines()[0][:100]}")


@events.command("show")
def show(event: Annotated[str, typer.Argument(metavar="EVENT", help="The event, evt_….")]) -> None:
    """Print one event, or say where in the archive it lies."""
    from hutong import events as webhooks
    from hutong import ids

    found = in_transaction(lambda tx: webhooks.find_event(tx, ids.decode("evt", event)))
    print(webhooks.body_of(event, found).decode())


@events.command("archive")
def archive(
    folder: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the Parquet files go.")],
    days: Annotated[
        int | None,
        typer.Option("--keep-days", min=2, help="Keep those younger than this; else HUTONG_EVENTS_KEEP_DAYS."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take old events out of the database and write them to files; exits 1 if something held them there."""
    from hutong import events as webhooks
    from hutong.clock import SystemClock

    settings = load_settings()
    keep = timedelta(days=days or settings.events_keep_days)

    async def work(database: db.Database) -> webhooks.Archived:
        await webhooks.sequence(database, source=settings.event_source, zone=settings.zone)
        return await webhooks.keep_events(
            database,
            now=SystemClock().now(),
            keep=keep,
            folder=folder.absolute(),
            published=settings.broker_url is not None,
        )

    done = with_database(work, settings)
    if as_json:
        shown = {"detached": done.detached, "held": done.held, "files": [str(file) for file in done.files]}
        print(json.dumps(shown))
    else:
        print("\n".join([*map(str, done.files), *(f"{name} stays: {why}" for name, why in done.held.items())]))
    sys.exit(1 if done.held else 0)


def _replay_some(endpoint: str, wanted: Any) -> ReplayResult:
    """One page in a transaction of its own, so that a long range holds no locks."""
    from hutong import events as webhooks
    from hutong import ids
    from hutong.clock import SystemClock

    async def work(tx: db.Tx) -> ReplayResult:
        return await webhooks.replay(tx, None, ids.decode("whe", endpoint), wanted, now=SystemClock().now())

    return in_transaction(work)
