"""Duties limit whose difference a person may own, decide and approve, by layer and by action."""

from __future__ import annotations

import pytest
from difference_rows import missing, unexpected
from difference_world import Desk, decisions_of

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import HutongError, InvalidParameter
from hutong.operators import Operator
from hutong.reconciliation import differences
from hutong.reconciliation.model import DifferenceAction, DifferenceState, Layer

_A, _S = DifferenceAction, DifferenceState
CLERK = ("batch_bank", "payment_bill:suspense")


@pytest.fixture
async def desk(database: Database, clock: ManualClock) -> Desk:
    """A long and a short case of payments, and one of the bank."""
    from support.fixtures.payments import World

    desk = Desk(World(database, clock))
    await desk.record([unexpected("long", 700), missing("short", 700)])
    return desk


async def test_a_decision_beyond_the_duties_is_refused_and_the_others_are_taken(desk: Desk) -> None:
    clerk = await desk.operator(duties=CLERK)
    cases = await desk.cases()
    refused = (await desk.decide(*decisions_of(cases, _A.WRITE_OFF), operator=clerk)).refused
    assert {each.reason for each in refused} == {"payment_bill:write_off is not among the duties of the operator"}
    assert len(refused) == 2
    done = await desk.decide(*decisions_of(cases, _A.SUSPENSE), operator=clerk)
    assert (len(done.done), done.refused) == (2, [])


async def test_a_filter_is_previewed_without_what_is_beyond_the_duties(desk: Desk) -> None:
    clerk = await desk.operator(duties=["refund_bill"])
    async with desk.world.database.transaction() as tx:
        seen = await differences.preview(
            tx, differences.DifferenceFilter(account_id=desk.account_id), _A.WRITE_OFF, reason="x", operator=clerk,
            now=desk.world.clock.now(),
        )  # fmt: skip
    assert (len(seen.accepted), len(seen.refused)) == (0, 2)


async def test_both_cases_of_a_pair_are_among_the_duties(desk: Desk) -> None:
    await desk.record([unexpected("money", 700)], layer=Layer.BATCH_BANK)
    by_key = {case.key: case for case in await desk.cases()}
    pair = differences.CaseDecision(by_key["short"].difference_id, _A.PAIR, "same money", by_key["money"].difference_id)
    half = await desk.operator(duties=["payment_bill"])
    (refused,) = (await desk.decide(pair, operator=half)).refused
    assert refused.reason == "the partner cannot be paired: batch_bank:pair is not among the duties of the operator"
    whole = await desk.operator(duties=["payment_bill:pair", "batch_bank"])
    decided = await desk.decide(pair, operator=whole)
    with pytest.raises(HutongError, match="not among the duties"):
        await desk.approve(decided, duties=["payment_bill"])
    assert (await desk.case("short")).state is _S.PROPOSED
    await desk.approve(decided, duties=["batch_bank:pair", "payment_bill"])
    assert (await desk.case("short")).state is _S.RESOLVED
    await desk.suspense_holds()


async def test_an_approval_beyond_the_duties_leaves_the_proposal_open(desk: Desk) -> None:
    decided = await desk.decide(*decisions_of(await desk.cases(), _A.WRITE_OFF))
    with pytest.raises(HutongError, match="payment_bill:write_off is not among the duties of the operator"):
        await desk.approve(decided, duties=CLERK)
    assert {case.state for case in await desk.cases()} == {_S.PROPOSED}
    await desk.approve(decided, duties=["payment_bill:write_off"])
    assert await desk.cases() == []


async def test_nobody_takes_or_gives_a_case_of_a_layer_that_is_not_among_their_duties(desk: Desk) -> None:
    case = await desk.case("long")
    anybody, clerk = await desk.operator(), await desk.operator(duties=["batch_bank"])

    async def assign(by: Operator, owner: Operator) -> None:
        await desk.world.database.run(
            lambda tx: differences.assign(
                tx, [case.difference_id], owner.operator_id, operator=by, reason="x", now=desk.world.clock.now()
            )
        )

    for by, owner in ((clerk, anybody), (anybody, clerk)):
        with pytest.raises(HutongError, match="payment_bill is not among the duties"):
            await assign(by, owner)
    limited = await desk.operator(duties=["payment_bill:suspense"])
    await assign(limited, limited)
    assert (await desk.case("long")).owner_id == limited.operator_id


@pytest.mark.parametrize("duty", ["bank", "batch_bank:adopt_refund", "batch_bank:", "refund_bill:match", ""])
def test_a_duty_that_there_is_not_is_refused(duty: str) -> None:
    differences.check_duties(["batch_bank", "refund_bill:adopt_refund", "payment_bill:refund"])
    with pytest.raises(InvalidParameter, match="neither a layer nor an action"):
        differences.check_duties([duty])
