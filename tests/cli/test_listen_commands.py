"""`hutong events listen` and `trigger`: signed as webhooks are, followed without a gap, and tests never mistaken."""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from hutong import app, config, events, merchants
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids, encode
from support.command_line import Run
from support.guides import consoles, steps
from support.platform import KEY


class Shop(HTTPServer):
    """A developer's server. It answers 500 to events of the type `payment.closed`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/webhooks"

    def verified(self, secret: str) -> list[dict[str, Any]]:
        return [Webhook(secret).verify(body, headers) for body, headers in self.calls]


class Answering(BaseHTTPRequestHandler):
    server: Shop

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.calls.append((body, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(500 if json.loads(body)["type"] == "payment.closed" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def recorded(
    command: Run, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, shop: Shop
) -> tuple[str, list[str]]:
    """A merchant with an endpoint for one type and three events; the merchant, and the ids of the events."""
    monkeypatch.setenv("HUTONG_SECRET_KEY", base64.b64encode(KEY).decode())

    async def happen() -> tuple[str, list[str]]:
        clock = SystemClock()
        new, now = Ids(clock).new, clock.now()
        merchant_id, payment_id = new(), new()
        types = ["payment.authorized", "payment.closed", "payment.succeeded"]
        made = [events.Event(new(), name, merchant_id, payment_id, {"id": "x"}) for name in types]
        async with Database.open(fresh_database_url, size=2) as database, database.transaction() as tx:
            await merchants.create_merchant(tx, merchants.NewMerchant(merchant_id, "Example Store"), now=now)
            await events.record(tx, made, now=now)
            await events.create_endpoint(
                tx, endpoint_id=new(), merchant_id=merchant_id, url=shop.url, types=["refund.succeeded"], now=now,
                vault=app.open_vault(config.load()), allow_private=True,
            )  # fmt: skip
            rows = await tx.fetch("SELECT public_id FROM events.outbox ORDER BY object_seq")
        return encode("mer", merchant_id), [encode("evt", row["public_id"]) for row in rows]

    return asyncio.run(happen())


def test_the_section_does_what_it_says(command: Run, recorded: tuple[str, list[str]], shop: Shop) -> None:
    page = (Path(__file__).parents[2] / "docs/concepts/webhooks.md").read_text()
    listen, trigger = (line for block in consoles(page) for line, _ in steps(block) if line.startswith("hutong events"))
    ending = ["--after", recorded[1][0], "--count", "1"]
    for line, more in ((listen, ending), (trigger, [])):
        arguments = shlex.split(line.replace("http://localhost:3000/webhooks", shop.url))
        done = command(*arguments[1:], *more)
        assert done.returncode == 0, (line, done.stderr)
    assert [json.loads(body).get("test") for body, _ in shop.calls] == [None, True]


def test_events_are_printed_and_forwarded_from_where_it_ended(
    command: Run, recorded: tuple[str, list[str]], shop: Shop
) -> None:
    merchant, names = recorded
    arguments = ("events", "listen", "--merchant", merchant, "--to", shop.url, "--count", "1")
    first = command(*arguments, "--after", names[0])
    assert first.returncode == 0, first.stderr
    assert f"{names[1]}  payment.closed" in first.stdout
    assert " -> 500 (" in first.stdout
    assert f"to continue: hutong events listen --merchant '{merchant}' --after {names[1]}" in first.stdout
    second = command(*arguments, "--after", names[1], "--json")
    secret, line = (json.loads(text) for text in second.stdout.splitlines())
    assert secret["secret"] in first.stdout, "it stays the same"
    assert (line["event"]["id"], line["answer"]["status"]) == (names[2], 200)
    assert [event["id"] for event in shop.verified(secret["secret"])] == names[1:]
    only = command("events", "listen", "--merchant", "example store", "--type", "payment.succeeded", "--count", "1",
                   "--after", names[0], "--json")  # fmt: skip
    assert [json.loads(text)["event"]["id"] for text in only.stdout.splitlines()] == [names[2]]
    absent = command("events", "listen", "--merchant", merchant, "--after", "evt_01h455vb4pex5vsknk084sn02q")
    assert (absent.returncode, "not_found" in absent.stderr) == (2, True)
    journal = json.loads(command("operator", "audit", "list", "--json").stdout)["audit"]
    assert (journal[0]["action"], journal[0]["object_kind"], journal[0]["object_id"]) == (
        "read.export",
        "events",
        merchant,
    )


def test_a_test_event_is_marked_and_goes_to_endpoints_in_the_sandbox_only(
    command: Run, recorded: tuple[str, list[str]], shop: Shop, monkeypatch: pytest.MonkeyPatch, fresh_database_url: str
) -> None:
    merchant, names = recorded
    trigger = ("events", "trigger", "refund.succeeded", "--merchant", merchant)
    monkeypatch.setenv("HUTONG_SANDBOX", "false")
    refused = command(*trigger)
    assert (refused.returncode, "sandbox" in refused.stderr, shop.calls) == (2, True, [])
    done = command(*trigger, "--to", shop.url, "--json")
    assert (done.returncode, json.loads(done.stdout)["sent"][0]["status"]) == (0, 200), done.stderr
    monkeypatch.setenv("HUTONG_SANDBOX", "true")
    assert command(*trigger).returncode == 0
    bodies = [json.loads(body) for body, _ in shop.calls]
    assert [(body["test"], body["type"], body["data"]["state"]) for body in bodies] == [
        (True, "refund.succeeded", "succeeded")
    ] * 2
    failing = command("events", "trigger", "payment.closed", "--merchant", merchant, "--to", shop.url)
    assert (failing.returncode, "500" in failing.stdout) == (1, True)
    nobody = command("events", "trigger", "payment.closed", "--merchant", merchant)
    assert (nobody.returncode, "no enabled endpoint" in nobody.stderr) == (2, True)
    unknown = command("events", "trigger", "payment.paid", "--merchant", merchant)
    assert (unknown.returncode, "TYPE" in unknown.stderr) == (2, True)

    async def count() -> int:
        async with Database.open(fresh_database_url, size=1) as database, database.transaction() as tx:
            return int(await tx.fetchval("SELECT count(*) FROM events.outbox"))

    assert asyncio.run(count()) == len(names), "nothing is recorded"


async def test_events_that_are_committed_late_are_followed_once_and_in_their_objects_order(
    database: Database, ids: Ids
) -> None:
    clock = SystemClock()
    new, now = Ids(clock).new, clock.now()
    merchant_id, first, second = new(), new(), new()
    early, late, other, later = sorted(new() for _ in range(4))

    async def record(*made: events.Event) -> None:
        async with database.transaction() as tx:
            await events.record(tx, made, now=now)

    def event(event_id: UUID, object_id: UUID) -> events.Event:
        return events.Event(event_id, "payment.closed", merchant_id, object_id, {"id": "x"})

    follower = events.direct.Follower(merchant_id)

    async def read() -> list[UUID]:
        async with database.transaction() as tx:
            return [found.event_id for found in await follower.read(tx)]

    await record(event(late, first))
    async with database.transaction() as tx:
        await follower.begin(tx, None)
    assert await read() == []
    await record(event(early, second))  # its id is older than what is known
    assert await read() == [early]
    await record(event(later, second))
    await record(event(other, second))  # by another process, whose clock is behind
    assert await read() == [later, other]
    assert await read() == []
