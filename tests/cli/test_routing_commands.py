"""`hutong routing …` as an operator runs it."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import psycopg

from hutong import payments
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database
from hutong.ids import Ids, encode
from hutong.routing import RoutingRequest
from hutong.routing.configuration.configuration import UNCONFIGURED
from hutong.routing.configuration.price import Price, Tier
from hutong.routing.decisions.record import write_record
from hutong.routing.model import Candidate
from hutong.routing.router import Router
from support.command_line import Run
from support.fixtures.payments import World


def _record() -> str:
    account = Candidate(
        UUID(int=7), "wechat/main", "wechat", frozenset({"qr"}), frozenset({"CNY"}), 1, 100, Price((Tier(0, 6_000),))
    )
    router = Router(lambda: 0.5)
    router.configure([account], UNCONFIGURED.policies)
    request = RoutingRequest("qr", 50, "CNY", SystemClock().now())
    decision, snapshot = router.decide(request)
    return write_record(request, snapshot, decision, "basis")


async def _payment(url: str) -> UUID:
    async with Database.open(url, size=2) as database:
        world = World(database, ManualClock(SystemClock().now()))
        attempt = payments.NewAttempt(world.ids.new(), UUID(int=7), "wechat", "qr", decision=_record())
        return (await world.payment(first_attempt=attempt)).payment_id


def test_a_payments_way_is_explained(command: Run, fresh_database_url: str) -> None:
    assert command("migrate").returncode == 0
    number = encode("pay", asyncio.run(_payment(fresh_database_url)))
    output = command("routing", "explain", number)
    assert output.returncode == 0, output.stderr
    assert "went to wechat/main by score" in output.stdout
    (decision,) = json.loads(command("routing", "explain", number, "--json").stdout)["decisions"]
    assert decision["candidates"][0]["factors"]["cost_minor"] == 0.3


def test_a_payment_that_is_not_there_cannot_be_explained(command: Run) -> None:
    assert command("migrate").returncode == 0
    refused = command("routing", "explain", encode("pay", Ids(SystemClock()).new()))
    assert (refused.returncode, refused.stderr.split(":")[1].strip()) == (2, "not_found")


def test_the_record_of_a_decision_is_not_compressed(command: Run, fresh_database_url: str) -> None:
    assert command("migrate").returncode == 0
    with psycopg.connect(fresh_database_url) as connection:
        (storage,) = connection.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'routing.decision'::regclass AND attname = 'record'"
        ).fetchone() or ("",)
    assert storage in ("e", b"e")
