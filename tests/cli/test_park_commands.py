"""`hutong events park …`, as it is called."""

from __future__ import annotations

import asyncio
import json

import pytest

from hutong import consumer, db
from hutong.db import Database
from support.command_line import Run

BODY = (
    b'{"id":"evt_1","stream":"hutong.payment.0","no":%d,"type":"payment.succeeded","version":1,"object_id":"%s",'
    b'"object_seq":%d,"merchant_id":null,"created_at":null,"data":{}}'
)
HEAD = "hutong.payment.0/1"


async def refuse(tx: db.Tx, result: consumer.Message) -> None:
    raise ValueError("no such order")


@pytest.fixture
def with_parked(fresh_database_url: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A consumer that could not handle a message, with another of its object behind it, and could not read a third."""

    async def fill() -> None:
        async with Database.open(fresh_database_url, size=2, role=None) as database:
            async with database.transaction() as tx:
                await consumer.install(tx)
            result = consumer.Consumer("shop", refuse, database, policy=consumer.Policy(tries=1))
            await result.take([BODY % (1, b"a", 1), BODY % (2, b"a", 2), b"{"])

    asyncio.run(fill())
    capsys.readouterr()
    return fresh_database_url


def test_parked_are_listed_tried_again_and_dropped(command: Run, with_parked: str) -> None:
    done = command("events", "park", "list", "--json", "--database", with_parked)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["parked"]
    assert (first["reference"], first["reason"], first["behind"]) == (HEAD, "ValueError: no such order", 1)
    assert second["reason"] == "is not JSON"
    shown = command("events", "park", "list", "shop").stdout
    assert "1 behind: ValueError: no such order" in shown
    assert command("events", "park", "list", "other").stdout == ""
    done = command("events", "park", "retry", "shop", HEAD, "--json")
    assert json.loads(done.stdout) == {"retried": [HEAD]}
    assert json.loads(command("events", "park", "retry", "shop", HEAD, "--json").stdout) == {"retried": []}
    done = command("events", "park", "drop", "shop", second["reference"], "--reason", "noise")
    assert done.stdout == "1 will not be handled\n"
    assert command("events", "park", "list").stdout == ""


def test_a_database_without_consumers_and_a_reference_that_is_none_are_refused(command: Run, with_parked: str) -> None:
    assert "STREAM/NUMBER" in command("events", "park", "retry", "shop", "x").stderr
    assert command("events", "park", "drop", "shop", HEAD).returncode != 0  # without a reason


def test_where_no_consumer_is_it_says_so(command: Run) -> None:
    done = command("events", "park", "list")
    assert done.returncode == 1
    assert "--database" in done.stderr
