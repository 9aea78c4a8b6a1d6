"""`hutong payment exceptions …`: listed, shown with the message, and proposed for a decision."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hutong import channels, payments
from hutong.clock import ManualClock
from hutong.db import Database
from support.command_line import Run
from support.fixtures.payments import World, number, placed
from support.fixtures.routing_commands import keys
from support.platform import KEY

PROOF = {"x-proof": "genuine"}


@pytest.fixture
def exception(command: Run, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An exception of a payment of which the channel has taken one minor unit too much."""
    monkeypatch.setenv("HUTONG_SECRET_KEY", base64.b64encode(KEY).decode())
    command("payment", "exceptions")  # migrates

    async def work() -> None:
        async with Database.open(fresh_database_url, size=4) as database:
            world = World(database, ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
            payment = await placed(world, world.lifecycle)
            order = world.channel.orders[number(payment)]
            order.state, order.captured_minor = channels.ChannelState.SUCCEEDED, payment.amount_minor + 1
            await world.lifecycle.notify(world.account_id, PROOF, number(payment).encode())
            await world.lifecycle.stop()

    asyncio.run(work())
    (listed,) = json.loads(command("payment", "exceptions", "--json").stdout)["exceptions"]
    return listed


def test_nothing_waits(command: Run) -> None:
    assert command("payment", "exceptions").stdout == "no exception waits for a decision\n"


def test_an_exception_is_shown_with_its_message_and_the_audit_log_keeps_who_read_it(
    command: Run, exception: dict[str, Any], tmp_path: Path
) -> None:
    assert exception["kind"] in command("payment", "exceptions").stdout
    key = keys(command, tmp_path, "operator")["operator"]
    done = command("payment", "exception", exception["id"], "--key", key, "--reason", "the payer called", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown.pop("message") == {"headers": PROOF, "body": exception["number"]}
    assert shown == exception
    rows = json.loads(command("operator", "audit", "list", "--json").stdout)["audit"]
    assert (rows[0]["action"], rows[0]["object_id"], rows[0]["reason"]) == (
        "exception.read", exception["id"], "the payer called",
    )  # fmt: skip


def test_a_decision_is_proposed_and_what_is_not_possible_is_refused(
    command: Run, exception: dict[str, Any], tmp_path: Path
) -> None:
    key = keys(command, tmp_path, "operator")["operator"]
    arguments = ("payment", "decide-exception", exception["id"])
    proposed = command(*arguments, "refund", "--key", key, "--reason", "too much", "--json")
    assert json.loads(proposed.stdout)["state"] == "open"
    assert "keep" in command(*arguments, "keep", "--key", key, "--reason", "x").stderr
    absent = ("payment", "decide-exception", "exc_01h455vb4pex5vsknk084sn02q", "ignore")
    unknown = command(*absent, "--key", key, "--reason", "x")
    assert (unknown.returncode != 0, "not_found" in unknown.stderr) == (True, True)
    assert payments.exceptions.ExceptionStatus(exception["status"]) == "open"
