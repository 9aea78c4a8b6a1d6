"""`hutong events …`, as it is called."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from hutong import events, ids
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.vault import Vault
from support.command_line import Run
from support.event_ids import published_id


@pytest.fixture
def endpoint(fresh_database_url: str) -> str:
    """An endpoint at a closed port, which has failed to take three events; one of them is given up."""
    clock = SystemClock()
    new_id, vault, merchant_id = Ids(clock).new, Vault([bytes(32)]), uuid4()

    async def fail() -> UUID:
        async with Database.open(fresh_database_url, size=2) as database:
            async with database.transaction() as tx:
                new = await events.create_endpoint(
                    tx,
                    endpoint_id=new_id(),
                    merchant_id=merchant_id,
                    url="http://127.0.0.1:1/hook",
                    now=clock.now(),
                    vault=vault,
                    allow_private=True,
                )
                result = [events.Event(new_id(), "payment.closed", merchant_id, uuid4(), {"id": "x"}) for _ in range(3)]
                await events.record(tx, result, now=clock.now())
            await events.WebhookWorker(database, vault, clock, new_id=new_id, allow_private=True).run_once()
            async with database.transaction() as tx:
                await tx.execute(
                    "UPDATE events.delivery SET state = 'dead', next_at = NULL WHERE event_id = $1", result[0].event_id
                )
        return new.endpoint.endpoint_id

    return ids.encode("whe", asyncio.run(fail()))


def listed(command: Run, endpoint: str, *options: str) -> list[dict[str, Any]]:
    done = command("events", "deliveries", endpoint, "--json", *options)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["deliveries"]
    return found


def replayed(command: Run, endpoint: str, *options: str) -> int:
    done = command("events", "replay", endpoint, "--json", *options)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["replayed"])


def test_delivery_attempts_are_listed_with_the_content_sent(command: Run, endpoint: str) -> None:
    found = listed(command, endpoint)
    assert [(one["number"], one["state"], one["error"]) for one in found] == [(1, "failed", "connection_failed")] * 3
    assert [one["event_id"] for one in listed(command, endpoint, "--event", found[1]["event_id"])] == [
        found[1]["event_id"]
    ]
    assert listed(command, endpoint, "--state", "delivered") == []
    assert found[0]["event_id"] in command("events", "deliveries", endpoint).stdout


def test_what_was_given_up_is_sent_again_once(command: Run, endpoint: str) -> None:
    assert replayed(command, endpoint, "--failed") == 1
    assert replayed(command, endpoint, "--failed") == 0


def test_one_event_or_those_of_a_time_are_sent_again(command: Run, endpoint: str) -> None:
    assert replayed(command, endpoint, "--to", "2026-01-01") == 0
    tried = [one["event_id"] for one in listed(command, endpoint)]
    assert sorted(replayed(command, endpoint, "--event", event) for event in tried) == [0, 0, 1]
    assert replayed(command, endpoint, "--from", "2026-01-01T00:00:00Z") == 0  # all are on their way
    assert "will be sent again" in command("events", "replay", endpoint, "--failed").stdout


@pytest.mark.parametrize(
    "options",
    [(), ("--event", "evt_01h455vb4pex5vsknk084sn02q"), ("--event", "evt_01h455vb4pex5vsknk084sn02q", "--failed")],
)
def test_what_names_nothing_is_refused(command: Run, endpoint: str, options: tuple[str, ...]) -> None:
    done = command("events", "replay", endpoint, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--event" in done.stderr


def test_an_unknown_endpoint_or_state_is_refused(command: Run, endpoint: str) -> None:
    for wrong in ("whe_01h455vb4pex5vsknk084sn02q", "x"):
        assert "not_found" in command("events", "replay", wrong, "--failed").stderr
    assert "--state" in command("events", "deliveries", endpoint, "--state", "lost").stderr


def test_schemas_are_printed(command: Run) -> None:
    assert json.loads(command("events", "schema").stdout)["asyncapi"] == "3.0.0"
    one = json.loads(command("events", "schema", "refund.failed").stdout)
    assert one["properties"]["type"]["const"] == "refund.failed"
    assert "TYPE" in command("events", "schema", "refund.lost").stderr


@pytest.fixture
def old_event(fresh_database_url: str) -> str:
    """An event of a hundred days ago."""
    clock = ManualClock(SystemClock().now() - timedelta(days=100))
    event = events.Event(Ids(clock).new(), "payment.closed", uuid4(), uuid4(), {"id": "x"})

    async def happen() -> None:
        async with Database.open(fresh_database_url, size=2) as database:
            await events.apply_retention(database, now=clock.now(), keep=timedelta(days=90), folder=None)
            async with database.transaction() as tx:
                await events.record(tx, [event], now=clock.now())

    asyncio.run(happen())
    return published_id(event)


def test_an_old_event_is_archived_and_its_file_named(command: Run, old_event: str, tmp_path: Path) -> None:
    shown = command("events", "show", old_event)
    assert json.loads(shown.stdout)["id"] == old_event
    kept = command("events", "archive", "--to", str(tmp_path), "--keep-days", "120", "--json")
    assert json.loads(kept.stdout) == {"detached": [], "held": {}, "files": []}
    done = command("events", "archive", "--to", str(tmp_path))
    assert done.returncode == 0, done.stderr
    file = tmp_path / "outbox_first.parquet"
    assert str(file) in done.stdout.splitlines()
    gone = command("events", "show", old_event)
    assert (gone.returncode, gone.stdout) == (2, "")
    assert gone.stderr.startswith("hutong: event_archived: ")
    assert str(file) in gone.stderr
