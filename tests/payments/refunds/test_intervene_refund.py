"""Another way for a refund takes two persons, and their approval commits together with what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hutong import operators
from hutong.app.approval_handlers import approval_handlers
from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import OperatorActionType, Payment, refunds
from hutong.payments.refunds.model import Refund
from hutong.payments.refunds.operator_actions import RefundMethodRefused
from hutong.payments.store import read_timeline
from support.fixtures.exceptions import person
from support.fixtures.refunds import RefundWorld


@pytest.fixture
async def world(fresh_database_url: str, clock: ManualClock) -> AsyncIterator[RefundWorld]:
    """A world without neighbours, since what is left reserved here would stand in their books."""
    async with Database.open(fresh_database_url, size=4) as database:
        yield RefundWorld(database, clock)


async def decided(world: RefundWorld, refund: Refund, action: str, **payload: Any) -> operators.Proposal:
    """Propose and approve."""
    maker, checker, proposal_id = await person(world), await person(world), world.ids.new()
    new = refunds.proposal(proposal_id, maker, refund, OperatorActionType(action), payload, "the card is closed", None)
    now = world.clock.now()
    await world.database.run(lambda tx: operators.propose(tx, [new], now=now))
    decision = operators.ApprovalDecision(proposal_id, checker, True, "checked")
    effects = approval_handlers(world.transactions)
    return await world.database.run(lambda tx: operators.conclude(tx, decision, effects, now=now))


async def failed(world: RefundWorld) -> tuple[Payment, Refund]:
    await world.paid(amount_minor=50_000)
    payment = await world.paid(amount_minor=1000)
    world.channel.verdicts.append(ChannelAnswer(ChannelState.FAILED))
    await world.refund(payment, 300)
    (refund,) = await world.refunds(payment)
    assert refund.state == "failed"
    return payment, refund


async def test_a_failed_refund_is_paid_by_hand_by_two_persons_and_the_story_tells_it(world: RefundWorld) -> None:
    payment, refund = await failed(world)
    approved = await decided(world, refund, OperatorActionType.CONVERT_REFUND, route="manual")
    assert approved.state == "approved"
    (refund,) = await world.refunds(payment)
    assert (refund.route, refund.state) == ("manual", "manual")
    await decided(world, refund, OperatorActionType.SETTLE_REFUND, reference="bank 77", from_bank=False)
    (refund,) = await world.refunds(payment)
    assert refund.state == "succeeded"
    async with world.database.transaction() as tx:
        entries = [entry.what for _, entry in await read_timeline(tx, [payment.payment_id])]
    assert entries[-2:] == ["operator.convert_refund", "operator.settle_refund"]
    assert (await world.again(payment)).amount_refunded_minor == 300


async def test_a_way_that_cannot_be_gone_now_leaves_the_proposal_open_and_the_refund_as_it_was(
    world: RefundWorld,
) -> None:
    payment = await world.paid(amount_minor=1000)
    world.channel.reachable = False
    await world.refund(payment, 300)
    (before,) = await world.refunds(payment)
    for action, payload in (
        (OperatorActionType.CONVERT_REFUND, {"route": "manual"}),
        (OperatorActionType.SETTLE_REFUND, {"reference": "x", "from_bank": False}),
    ):
        with pytest.raises(RefundMethodRefused):
            await decided(world, before, action, **payload)
    assert await world.refunds(payment) == [before]
    async with world.database.transaction() as tx:
        open_ones = await operators.list_proposals(tx, now=world.clock.now(), open_only=True, limit=100)
    assert len([one for one in open_ones if one.action.startswith("refund.")]) >= 2
