"""`hutong events listen` and `trigger`: webhooks at a developer's own address."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, load_settings, make_ids, read_private_file, trace_export, with_database
from hutong.cli.merchant_of import merchant_id_of
from hutong.cli.output import print_json, print_line, print_result
from hutong.clock import SystemClock, instant, machine_time

if TYPE_CHECKING:
    from hutong import db
    from hutong.events import RecordedEvent, direct

listening = typer.Typer()

_POLL_S = 0.5
_SECRET_FILE = "listen.secret"  # noqa: S105 - the name of a file
_COUNT_MAX = 1_000_000

Merchant = Annotated[str, typer.Option("--merchant", metavar="MERCHANT", help="The merchant, by id or name.")]
To = Annotated[
    str | None, typer.Option("--to", metavar="URL", help="Your address, such as http://localhost:3000/webhooks.")
]


@listening.command("listen")
def listen(
    merchant: Merchant,
    to: To = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only events of this type; repeatable.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="EVENT", help="Begin after this event; by default with the next one."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, max=_COUNT_MAX, help="End after so many events.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a merchant's events as they happen, and forward them to an address of yours as signed webhooks.

    They are signed with a secret of this installation's folder, which is printed first. Nothing is sent again: the end
    prints how to continue.
    """
    from hutong import events, ids

    settings = load_settings()
    begin = None if after is None else ids.decode("evt", after)
    last: list[str] = []

    async def work(database: db.Database) -> None:
        async with database.transaction() as tx:
            merchant_id = await merchant_id_of(tx, merchant)
            follower = events.direct.Follower(merchant_id, types or ())
            await follower.begin(tx, begin)
            await trace_export(tx, "events", ids.encode("mer", merchant_id), {"after": after})
        if to is None:
            await _follow(database, follower, None, last, count, as_json=as_json)
            return
        secret = _secret(settings.home)
        print_result({"secret": secret}, f"the webhooks are signed with {secret}", as_json=as_json)
        async with events.direct.Sender(to, secret) as sender:
            await _follow(database, follower, sender, last, count, as_json=as_json)

    try:
        with_database(work, settings)
    except KeyboardInterrupt:
        print_line("")
    finally:
        if last and not as_json:
            print_line(f"to continue: hutong events listen --merchant {merchant!r} --after {last[-1]}")


@listening.command("trigger")
def trigger(
    name: Annotated[str, typer.Argument(metavar="TYPE", help="The type, such as payment.succeeded.")],
    merchant: Merchant,
    to: To = None,
    as_json: Json = False,
) -> None:
    """Send a test event to a merchant's endpoints in the sandbox, or to an address of yours.

    It is about an object that does not exist, is marked with `test`, and moves no money. Exits with status 1 if an
    address refuses it.
    """
    from hutong import api, app, events, ids
    from hutong.errors import InvalidParameter, NotFound

    settings, now = load_settings(), SystemClock().now()
    new_id = make_ids(settings).new
    if to is None and not settings.sandbox:
        raise InvalidParameter("test events go to endpoints in the sandbox only; --to names an address", param="--to")

    async def work(database: db.Database) -> dict[str, tuple[str, direct.WebhookResponse]]:
        async with database.transaction() as tx:
            merchant_id = await merchant_id_of(tx, merchant)
        event = api.sample_event(name, merchant_id, app.public_url(settings), new_id=new_id, now=now)
        if to is not None:
            async with events.direct.Sender(to, _secret(settings.home)) as sender:
                return {event.name: (to, await sender.send(event, now=machine_time(now), is_test=True))}
        vault = app.existing_vault(settings)
        sent = await events.direct.send_test(database, vault, event, now=machine_time(now))
        return {ids.encode("whe", endpoint): result for endpoint, result in sent.items()}

    sent = with_database(work, settings)
    if not sent:
        raise NotFound("the merchant has no enabled endpoint for this type", param="--merchant")
    rows = [{"to": url} | _result(answer) for url, answer in sent.values()]
    if as_json:
        print_json({"type": name, "sent": rows})
    else:
        for row in rows:
            print_line(f"{name} -> {row['to']}: {_outcome(row)}")
    sys.exit(1 if any(row["error"] for row in rows) else 0)


async def _follow(
    database: db.Database,
    follower: direct.Follower,
    sender: direct.Sender | None,
    last: list[str],
    count: int | None,
    *,
    as_json: bool,
) -> None:
    """Print and forward events until so many of them have come."""
    seen = 0
    while True:
        async with database.transaction() as tx:
            found = await follower.read(tx)
        for event in found:
            answer = None
            if sender is not None:
                answer = _result(await sender.send(event, now=machine_time(SystemClock().now())))
            _print_event(event, answer, as_json=as_json)
            last[:] = [event.name]
            seen += 1
            if seen == count:
                return
        if not found:
            await asyncio.sleep(_POLL_S)


def _print_event(event: RecordedEvent, answer: dict[str, Any] | None, *, as_json: bool) -> None:
    import orjson

    from hutong.events import webhook_body

    if as_json:
        print_json({"event": orjson.loads(webhook_body(event.name, event)), "answer": answer})
    else:
        about = orjson.loads(event.data).get("id", "")
        outcome = "" if answer is None else f" -> {_outcome(answer)}"
        print_line(f"{instant(event.created_at)}  {event.name}  {event.type:<24} {about}{outcome}")


def _result(answer: direct.WebhookResponse) -> dict[str, Any]:
    return {"status": answer.status, "error": answer.error, "duration_ms": answer.duration_ms}


def _outcome(row: dict[str, Any]) -> str:
    return f"{row['status'] or row['error']} ({row['duration_ms']} ms)"


def _secret(home: Path) -> str:
    """Return the secret of this installation's folder, made at the first use: it stays the same from call to call."""
    from hutong import events

    path = home / _SECRET_FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_private_file(path, "HUTONG_HOME").decode("ascii", "replace").strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(events.direct.local_secret())
    return read_private_file(path, "HUTONG_HOME").decode()
