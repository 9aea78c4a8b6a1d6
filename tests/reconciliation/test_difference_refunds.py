"""Differences of refunds: adopted, confirmed, and asked about at the channel, which has the last say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from difference_rows import difference_row, side_row
from difference_world import Desk

from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import decode, encode
from hutong.payments import Payment
from hutong.payments.refunds import RefundState
from hutong.reconciliation import differences
from hutong.reconciliation.differences import drive
from hutong.reconciliation.model import Difference, DifferenceAction, DifferenceState, Layer
from support.fixtures.payments import number
from support.fixtures.refunds import RefundWorld

_A, _S = DifferenceAction, DifferenceState


@pytest.fixture
async def shop(database: Database, clock: ManualClock) -> AsyncIterator[RefundWorld]:
    made = RefundWorld(database, clock)
    yield made
    await made.lifecycle.stop()


class RefundDesk(Desk):
    """The desk of a merchant whose payments are given back."""

    def __init__(self, world: RefundWorld) -> None:
        super().__init__(world)
        self.shop = world

    async def drive(self) -> int:
        return await differences.drive_approved(self.world.database, self.world.lifecycle, clock=self.world.clock)

    async def row_of_theirs(self, key: str, amount: int, payment: Payment, **more: Any) -> None:
        row = side_row(key, -amount, 0, kind="refund", original_key=number(payment), channel_no=f"ch-{key}", **more)
        await self.record([difference_row("unexpected", "theirs", key, theirs=[row])], layer=Layer.REFUND_BILL)

    async def row_of_ours(self, key: str, amount: int) -> None:
        row = side_row(key, -amount, 0, kind="refund")
        await self.record([difference_row("missing", "ours", key, ours=[row])], layer=Layer.REFUND_BILL)

    async def driven(self, key: str, action: DifferenceAction) -> Difference:
        approved = await self.settle(key, action)
        assert approved.state is _S.APPROVED
        await self.drive()
        return await self.case(key)


@pytest.fixture
def desk(shop: RefundWorld) -> RefundDesk:
    return RefundDesk(shop)


async def test_a_refund_of_the_portal_is_adopted_once_the_channel_confirms_it(desk: RefundDesk) -> None:
    payment = await desk.shop.paid()
    desk.shop.channel.give_back_in_portal(payment, 300)
    (portal_no,) = desk.shop.channel.portal
    await desk.row_of_theirs(portal_no, 300, payment)
    case = await desk.driven(portal_no, _A.ADOPT_REFUND)
    assert (case.state, case.suspense_minor, case.action) == (_S.RESOLVED, 0, _A.ADOPT_REFUND)
    (refund,) = await desk.shop.refunds(payment)
    assert (refund.portal_no, refund.amount_minor, refund.state) == (portal_no, 300, RefundState.SUCCEEDED)
    await desk.suspense_holds()


async def test_a_refund_that_the_channel_denies_is_not_adopted_and_stays_a_case(desk: RefundDesk) -> None:
    payment = await desk.shop.paid()
    desk.shop.channel.give_back_in_portal(payment, 300)
    (portal_no,) = desk.shop.channel.portal
    desk.shop.channel.portal[portal_no] = ChannelAnswer(ChannelState.FAILED)
    await desk.row_of_theirs(portal_no, 300, payment)
    case = await desk.driven(portal_no, _A.ADOPT_REFUND)
    assert (case.state, case.suspense_minor, case.action) == (_S.OPEN, -300, None)
    assert (await desk.histories(portal_no))[-1] == "refused"
    assert await desk.shop.refunds(payment) == []


async def test_a_channel_that_does_not_answer_is_asked_again(desk: RefundDesk) -> None:
    payment = await desk.shop.paid()
    desk.shop.channel.give_back_in_portal(payment, 300)
    (portal_no,) = desk.shop.channel.portal
    await desk.row_of_theirs(portal_no, 300, payment)
    desk.shop.channel.reachable = False
    assert (await desk.driven(portal_no, _A.ADOPT_REFUND)).state is _S.APPROVED
    desk.shop.channel.reachable = True
    assert await desk.drive() == 1


async def test_cases_without_an_answer_are_in_nobodys_way(desk: RefundDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "_PAGE", 1)
    payment, keys = await desk.shop.paid(), []
    for outcome in (ChannelState.UNKNOWN, ChannelState.FAILED):
        keys.append((await desk.shop.refund(payment, 200))["id"])
        desk.shop.channel.outcomes[keys[-1]] = ChannelAnswer(outcome)
    rows = [difference_row("missing", "ours", key, ours=[side_row(key, -200, 0, kind="refund")]) for key in keys]
    await desk.record(rows, layer=Layer.REFUND_BILL)
    for key in keys:
        assert (await desk.settle(key, _A.CONFIRM)).state is _S.APPROVED
    assert await desk.drive() == 1
    assert [(await desk.case(key)).state for key in keys] == [_S.APPROVED, _S.RESOLVED]


async def test_a_refund_that_the_bill_lacks_is_booked_back_only_if_its_channel_says_so(desk: RefundDesk) -> None:
    payment = await desk.shop.paid()
    for fails in (False, True):
        document = await desk.shop.refund(payment, 200)
        key = encode("ref", decode("ref", document["id"]))
        if fails:
            desk.shop.channel.outcomes[key] = ChannelAnswer(ChannelState.FAILED)
        await desk.row_of_ours(key, 200)
        case = await desk.driven(key, _A.CONFIRM)
        assert (case.state, case.suspense_minor) == ((_S.RESOLVED, 0) if fails else (_S.OPEN, 200))
    states = [refund.state for refund in sorted(await desk.shop.refunds(payment), key=lambda each: each.created_at)]
    assert sorted(states) == [RefundState.FAILED, RefundState.SUCCEEDED]
    await desk.suspense_holds()


async def test_a_refund_of_ours_that_only_the_bill_has_as_done_is_confirmed(desk: RefundDesk) -> None:
    payment = await desk.shop.paid()
    desk.shop.channel.verdicts.append(ChannelAnswer(ChannelState.PENDING))
    document = await desk.shop.refund(payment, 200)
    key = document["id"]
    ours = side_row(key, -200, 0, kind="refund", state="pending")
    theirs = side_row(key, -200, 0, kind="refund")
    row = difference_row("mismatch", "both", key, ours=[ours], theirs=[theirs], column="state", amount=-200)
    await desk.record([row], layer=Layer.REFUND_BILL)
    case = await desk.settle(key, _A.CONFIRM)
    assert (case.state, case.suspense_minor) == (_S.RESOLVED, 0)
    (refund,) = await desk.shop.refunds(payment)
    assert refund.state is RefundState.SUCCEEDED
    await desk.suspense_holds()
