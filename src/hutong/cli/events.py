"""`hutong events …`: types of events, deliveries of webhooks, replays, the archive."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import INSTANTS, Json, as_utc, check_folder, in_transaction, load_settings, with_database
from hutong.cli.listen import listening
from hutong.cli.output import print_json, print_line, print_result, print_text
from hutong.cli.parked import park
from hutong.cli.streams import streams
from hutong.foreign_text import escape_json

if TYPE_CHECKING:
    from hutong import db
    from hutong.events import ReplayRequest, ReplayResult

events = typer.Typer(help="Events, and the webhooks that carry them.", no_args_is_help=True)
events.add_typer(listening)
events.add_typer(streams)
events.add_typer(park, name="park")

Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The webhook endpoint, whe_….")]
EventId = Annotated[str | None, typer.Option("--event", metavar="EVENT", help="This event alone, evt_….")]


@events.command("schema")
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="The type, such as payment.succeeded; all by default.")
    ] = None,
) -> None:
    """Print the AsyncAPI document of all types of events, or the JSON Schema of one."""
    from hutong import api
    from hutong.errors import InvalidParameter

    document = api.asyncapi()
    if name is not None:
        files = [one.file for one in (*api.EVENT_TYPES, *api.PLATFORM_EVENT_TYPES) if one.name == name]
        if not files:
            raise InvalidParameter("TYPE is not the type of an event", param="TYPE")
        document = api.json_schemas()[files[-1]]
    print_json(document, indent=2)


@events.command("replay")
def replay(
    endpoint: Endpoint,
    event: EventId = None,
    begin: Annotated[
        datetime | None, typer.Option("--from", formats=INSTANTS, help="Events recorded at or after this instant; UTC.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=INSTANTS, help="Events recorded before this instant; UTC.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only events whose attempts have all failed.")] = False,
    as_json: Json = False,
) -> None:
    """Have events sent to an endpoint again: one event, those of a period, or all that could not be delivered."""
    from hutong import app, ids
    from hutong.errors import InvalidParameter
    from hutong.events import ReplayRequest

    if (event is None) == (begin is None and end is None and not failed):
        raise InvalidParameter(
            "--event excludes --from, --to and --failed, and one of them is required", param="--event"
        )
    request = ReplayRequest.between(as_utc(begin, "--from"), as_utc(end, "--to"), failed=failed)
    if event is not None:
        request = ReplayRequest.one(ids.decode("evt", event))
    count = seen = 0
    with app.using_database(load_settings()):  # once for all pages
        while True:
            result = _replay_page(endpoint, request)
            count, seen = count + result.count, seen + result.seen
            if result.last is None or event is not None:
                break
            request = request.after(result.last)
    if event is not None and not seen:
        raise InvalidParameter("--event is not the id of an event that this endpoint receives", param="--event")
    print_result({"replayed": count}, f"{count} will be sent again", as_json=as_json)


@events.command("deliveries")
def deliveries(
    endpoint: Endpoint,
    event: EventId = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only attempts with this result: delivered, failed or dead.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most attempts to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the attempts to reach an endpoint, newest first, with the beginning of each unsuccessful answer."""
    from hutong import events as webhooks
    from hutong import ids
    from hutong.errors import InvalidParameter

    if state is not None and state not in set(webhooks.DeliveryAttemptState):
        raise InvalidParameter(f"--state must be one of {', '.join(webhooks.DeliveryAttemptState)}", param="--state")
    result = None if state is None else webhooks.DeliveryAttemptState(state)

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        target = await webhooks.find_endpoint(tx, None, ids.decode("whe", endpoint))
        event_id = None if event is None else ids.decode("evt", event)
        attempts = await webhooks.list_delivery_attempts(
            tx, target.endpoint_id, event_id=event_id, state=result, limit=limit
        )
        return [
            webhooks.delivery_attempt_document(attempt, target) | {"answer": attempt.answer} for attempt in attempts
        ]

    shown = in_transaction(work)
    if as_json:
        print_json({"deliveries": shown})
        return
    for one in shown:
        outcome = f"{one['state']:<9} {one['status'] or '-'} {one['error'] or ''}".rstrip()
        print_line(f"{one['at']}  {one['event_id']}  {one['event_type']:<24} {one['number']:>2}  {outcome}")
        if one["answer"]:
            print_line(f"    {one['answer'].splitlines()[0][:100]}")


@events.command("show")
def show(event: Annotated[str, typer.Argument(metavar="EVENT", help="The event, evt_….")]) -> None:
    """Print one event, or the archive file that contains it."""
    from hutong import events as webhooks
    from hutong import ids

    recorded = in_transaction(lambda tx: webhooks.history.find_event(tx, ids.decode("evt", event)))
    print_line(escape_json(webhooks.webhook_body(event, recorded).decode()))


@events.command("archive")
def archive(
    folder: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The folder of the Parquet files.")],
    days: Annotated[
        int | None,
        typer.Option(
            "--keep-days", min=2, max=36_500, help="Keep events younger than this; HUTONG_EVENTS_KEEP_DAYS by default."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Move old events from the database to files; exits with status 1 if some of them must stay."""
    from hutong import events as webhooks
    from hutong.clock import SystemClock

    check_folder(folder, "--to")
    settings = load_settings()
    keep = timedelta(days=days or settings.events_keep_days)

    async def work(database: db.Database) -> webhooks.RetentionResult:
        await webhooks.sequence(database, source=settings.event_source, zone=settings.zone)
        return await webhooks.apply_retention(
            database,
            now=SystemClock().now(),
            keep=keep,
            folder=folder.absolute(),
            published=settings.broker_url is not None,
        )

    result = with_database(work, settings)
    if as_json:
        shown = {"detached": result.detached, "held": result.held, "files": [str(file) for file in result.files]}
        print_json(shown)
    else:
        print_text("\n".join([*map(str, result.files), *(f"{name} stays: {why}" for name, why in result.held.items())]))
    sys.exit(1 if result.held else 0)


def _replay_page(endpoint: str, request: ReplayRequest) -> ReplayResult:
    """Replay one page in a transaction of its own, so that a long range holds no locks."""
    from hutong import events as webhooks
    from hutong import ids
    from hutong.clock import SystemClock

    async def work(tx: db.Tx) -> ReplayResult:
        return await webhooks.replay(tx, None, ids.decode("whe", endpoint), request, now=SystemClock().now())

    return in_transaction(work)
