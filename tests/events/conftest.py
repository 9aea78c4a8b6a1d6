"""What the tests of events share."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import psycopg
import pytest
from aiohttp import web

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.vault import Vault
from support import migrated_database
from support.addresses import WIRE, Wire
from support.fixtures.webhooks import Receiver, World


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()


@pytest.fixture
def vault() -> Vault:
    return Vault([b"k" * 32])


@pytest.fixture(scope="session")
def events_url(server_url: str) -> str:
    """A database whose deliveries belong to one test at a time, since a deliverer takes whatever is due."""
    return migrated_database(server_url)


@pytest.fixture
async def world(
    events_url: str, vault: Vault, clock: ManualClock, ids: Ids, receiver: Receiver
) -> AsyncIterator[World]:
    with psycopg.connect(events_url, autocommit=True) as owner:
        owner.execute("TRUNCATE events.object, events.outbox, events.endpoint, events.delivery, events.delivery_try")
        owner.execute("TRUNCATE events.stream, events.stream_entry")
        owner.execute("UPDATE events.sequencer SET snapshot = NULL")
    async with Database.open(events_url, size=8) as database:
        yield World(database, vault, clock, ids, receiver.url)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    WIRE.watch()
    yield WIRE
    WIRE.watching = False


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """A name server: a host's answers, one list of addresses after the other, the last for ever."""
    table: dict[str, list[list[str]]] = {}

    def answer(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        answers = table.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return table
