"""Processes that route together through a database, and the people who change how they do."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hutong import operators, routing
from hutong.channels import ActionKind, Capabilities, Method, Offer
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.routing import Result, RoutingRequest, RoutingState, StateSync

CAPABILITIES = Capabilities(
    channel="wechat",
    methods={"qr": Method(ActionKind.QR_CODE)},
    currencies=frozenset({"CNY"}),
    amount_minor_min=1,
    amount_minor_max=1_000_000,
    order_no_length_max=32,
    expiry_min=timedelta(minutes=1),
    expiry_max=timedelta(hours=2),
    notifies=True,
    resubmits=True,
    subject_length_max=127,
)
ONE, TWO = UUID(int=1), UUID(int=2)
OFFERS = [
    Offer(ONE, CAPABILITIES, sandbox=False, name="one"),
    Offer(TWO, replace(CAPABILITIES, channel="alipay"), sandbox=False, name="two"),
]


async def offers() -> list[Offer]:
    return OFFERS


class Process:
    """One process; `number` tells it from others."""

    def __init__(self, database: Database, clock: Any, number: int, draw: Callable[[], float] = lambda: 0.5) -> None:
        self.database = database
        self.live = RoutingState(draw=draw)
        self.sharing = StateSync(database, self.live, clock=clock, process_id=UUID(int=number), offers=offers)
        self.clock = clock

    def learn(self, count: int, *, fault: bool, account_id: UUID = ONE) -> None:
        """Results, a second apart."""
        for _ in range(count):
            self.clock.advance(timedelta(seconds=1))
            attempt_id = Ids(SystemClock()).new()
            self.live.router.learn(account_id, Result(self.clock.now(), attempt_id, fault=fault, interface="qr"))

    def chosen(self, **more: Any) -> UUID | None:
        return self.live.decide(replace(RoutingRequest("qr", 1000, "CNY", self.clock.now()), **more)).decision.chosen


async def exchange(processes: list[Process]) -> None:
    """Each tells what it knows, then hears what the others have told."""
    for process in (*processes, *processes):
        await process.sharing.exchange()


async def person(database: Database, role: operators.Role, now: datetime) -> UUID:
    identifier = Ids(SystemClock()).new()
    async with database.transaction() as tx:
        await operators.add_operator(
            tx,
            operator_id=identifier,
            name=f"{role} {identifier}",
            role=role,
            random=secrets.token_urlsafe(32),
            reason="a test",
            now=now,
        )
    return identifier


async def propose(
    database: Database, document: dict[str, Any], now: datetime, *, anyway: bool = False
) -> operators.Proposal:
    """Somebody proposes a configuration."""
    maker = await person(database, operators.Role.OPERATOR, now)
    async with database.transaction() as tx:
        return await routing.propose_configuration(
            tx,
            document,
            candidates=[routing.candidate_of(offer) for offer in OFFERS],
            anyway=anyway,
            proposal_id=Ids(SystemClock()).new(),
            maker_id=maker,
            reason="a test",
            now=now,
        )


async def publish(database: Database, document: dict[str, Any], now: datetime) -> None:
    """Two persons bring a configuration into force."""
    proposal = await propose(database, document, now)
    checker = await person(database, operators.Role.APPROVER, now)
    async with database.transaction() as tx:
        decision = operators.ApprovalDecision(proposal.proposal_id, checker, True, "agreed")
        await operators.conclude(tx, decision, routing.EFFECTS, now=now)
