"""Decisions about cases: the rules, two persons, the life cycle behind them, and suspense back to zero."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from difference_rows import missing, other_fee, unexpected, waiting
from difference_world import DAY, Desk, billed, decisions_of

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, HutongError
from hutong.operators import Role
from hutong.payments import refunds
from hutong.reconciliation import differences
from hutong.reconciliation.differences.explain import explain
from hutong.reconciliation.model import DifferenceAction, DifferenceState, Layer
from support.fixtures.payments import AMOUNT, World, number, placed

_A, _S = DifferenceAction, DifferenceState


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> Desk:
    return Desk(World(database, clock))


async def test_a_late_success_is_confirmed_and_credited_and_suspense_is_empty(desk: Desk) -> None:
    payment = await placed(desk.world, desk.world.lifecycle, validity=timedelta(days=1))
    await desk.record([billed(payment)])
    assert await desk.balances(1101, 2301) == [AMOUNT - 12, -(AMOUNT - 12)]
    case = await desk.settle(number(payment), _A.CONFIRM)
    assert (case.state, case.suspense_minor, case.action) == (_S.RESOLVED, 0, _A.CONFIRM)
    assert case.voucher is not None
    stored = await desk.world.see(payment)
    assert stored.payment.status == "succeeded"
    # The fee follows with the match of the pair.
    assert await desk.balances(1101, 2301) == [AMOUNT, 0]
    await desk.suspense_holds()


async def test_money_for_an_order_that_was_given_up_goes_back_to_the_payer(desk: Desk) -> None:
    payment = await placed(desk.world, desk.world.lifecycle, validity=timedelta(days=1))
    await desk.record([billed(payment)])
    case = await desk.settle(number(payment), _A.REFUND)
    assert case.state is _S.RESOLVED
    async with desk.world.database.transaction() as tx:
        (refund,) = (await refunds.refunds_of(tx, [payment.payment_id]))[payment.payment_id]
    assert (refund.kind, refund.amount_minor) == ("surplus", AMOUNT)
    assert (await desk.world.see(payment)).payment.amount_captured_minor != AMOUNT
    await desk.suspense_holds()


async def test_what_the_life_cycle_does_not_take_is_refused_and_stays(desk: Desk) -> None:
    payment = await placed(desk.world, desk.world.lifecycle, validity=timedelta(days=1))
    await desk.record([billed(payment, amount=AMOUNT + 1), unexpected("nobody", 500)])
    decided = await desk.decide(*decisions_of(await desk.cases(), _A.CONFIRM))
    with pytest.raises(Conflict, match=r"another amount|none of ours"):
        await desk.approve(decided)
    assert {case.state for case in await desk.cases()} == {_S.PROPOSED}
    await desk.suspense_holds()


async def test_a_part_of_a_list_that_the_life_cycle_refuses_goes_back_to_its_owner(desk: Desk) -> None:
    payment = await placed(desk.world, desk.world.lifecycle, validity=timedelta(days=1))
    await desk.record([billed(payment), unexpected("nobody", 500)])
    await desk.approve(await desk.decide(*decisions_of(await desk.cases(), _A.CONFIRM)))
    assert (await desk.case(number(payment))).state is _S.RESOLVED
    left = await desk.case("nobody")
    assert (left.state, left.suspense_minor, left.action) == (_S.OPEN, 500, None)
    assert await desk.histories("nobody") == ["opened", "proposed", "refused"]
    await desk.suspense_holds()


async def test_write_offs_go_to_gains_and_losses_and_are_never_netted(desk: Desk) -> None:
    await desk.record([unexpected("long", 700), missing("short", 700)])
    for key in ("long", "short"):
        assert (await desk.settle(key, _A.WRITE_OFF)).state is _S.RESOLVED
    assert await desk.balances(2301, 4002, 5003) == [0, -700, 700]
    await desk.suspense_holds()
    async with desk.world.database.transaction() as tx:
        closed = await differences.closed_keys(tx, desk.account_id)
    assert closed == [("payment_bill", "ours", "short"), ("payment_bill", "theirs", "long")]


async def test_a_higher_fee_is_accepted_as_cost(desk: Desk) -> None:
    await desk.record([other_fee("a", 10_000, 60, 75), other_fee("b", 10_000, 60, 50)])
    for key in ("a", "b"):
        await desk.settle(key, _A.ADJUST_FEE)
    assert await desk.balances(2301, 5001, 1101) == [0, 125, -125]
    await desk.suspense_holds()


async def test_a_claim_waits_in_suspense_until_its_money_is_paired_with_it(desk: Desk) -> None:
    await desk.record([missing("claimed", 900)])
    claimed = await desk.settle("claimed", _A.CLAIM)
    assert (claimed.state, claimed.suspense_minor) == (_S.APPROVED, -900)
    await desk.record([unexpected("money", 900), missing("claimed", 900)], day=DAY + timedelta(days=9))
    partner = await desk.case("money")
    await desk.settle("claimed", _A.PAIR, partner_id=partner.difference_id)
    for key in ("claimed", "money"):
        case = await desk.case(key)
        assert (case.state, case.suspense_minor) == (_S.RESOLVED, 0)
        assert case.voucher is not None
    assert await desk.balances(2301, 1101) == [0, 0]
    await desk.suspense_holds()


async def test_a_pair_needs_the_same_amount_with_the_other_sign(desk: Desk) -> None:
    await desk.record([missing("a", 900), unexpected("b", 899)])
    first, second = await desk.cases()
    decision = differences.CaseDecision(first.difference_id, _A.PAIR, "same money", second.difference_id)
    (refused,) = (await desk.decide(decision)).refused
    assert refused.reason == "a pair needs the same amount in the same currency, once long and once short"


async def test_actions_beside_the_table_are_refused_with_a_reason(desk: Desk) -> None:
    await desk.record([missing("short", 500), unexpected("long", 500), waiting("ours", "waits", 1)])
    by_key = {case.key: case for case in await desk.cases()}
    refused = (
        await desk.decide(
            differences.CaseDecision(by_key["short"].difference_id, _A.CONFIRM, "x"),
            differences.CaseDecision(by_key["long"].difference_id, _A.CLAIM, "x"),
            differences.CaseDecision(by_key["long"].difference_id, _A.ADOPT_REFUND, "x"),
            differences.CaseDecision(by_key["waits"].difference_id, _A.WRITE_OFF, "x"),
            differences.CaseDecision(by_key["long"].difference_id, _A.MATCH, "x"),
            differences.CaseDecision(by_key["long"].difference_id, _A.SUSPENSE, " "),
            differences.CaseDecision(desk.world.ids.new(), _A.SUSPENSE, "x"),
        )
    ).refused
    assert [each.reason for each in refused] == [
        "confirm is not possible for the class missing",
        "claim is not possible for a long amount",
        "adopt_refund is not possible for the layer payment_bill",
        "the difference waits for the next file",
        "match is not an action of persons",
        refused[5].reason,
        "no difference has this id",
    ]
    assert "reason" in refused[5].reason
    assert [each.place for each in refused] == list(range(7))


async def test_a_viewer_decides_nothing_and_nobody_approves_their_own(desk: Desk) -> None:
    await desk.record([unexpected("a", 500)])
    (case,) = await desk.cases()
    decision = differences.CaseDecision(case.difference_id, _A.WRITE_OFF, "x")
    with pytest.raises(HutongError) as refused:
        await desk.decide(decision, operator=await desk.operator(Role.VIEWER))
    assert refused.value.code == "not_permitted"


async def test_a_case_that_a_run_changes_is_not_approved_any_more(desk: Desk) -> None:
    await desk.record([unexpected("a", 500), unexpected("b", 500)])
    decided = await desk.decide(*decisions_of(await desk.cases(), _A.WRITE_OFF))
    await desk.record([unexpected("a", 501), unexpected("b", 500)])
    with pytest.raises(Conflict, match="has changed since this was proposed"):
        await desk.approve(decided)
    assert [case.state for case in await desk.cases()] == [_S.OPEN, _S.PROPOSED]
    await desk.suspense_holds()


async def test_a_rejected_proposal_gives_its_cases_back(desk: Desk) -> None:
    await desk.record([unexpected("a", 500)])
    decided = await desk.decide(*decisions_of(await desk.cases(), _A.WRITE_OFF))
    (again,) = (await desk.decide(*decisions_of(await desk.cases(), _A.WRITE_OFF))).refused
    assert again.reason == "the difference is proposed already"
    await desk.approve(decided, approve=False)
    await differences.drive_approved(desk.world.database, desk.world.lifecycle, clock=desk.world.clock)
    assert [case.state for case in await desk.cases()] == [_S.OPEN]
    assert (await desk.decide(*decisions_of(await desk.cases(), _A.WRITE_OFF))).proposal is not None


async def test_two_persons_who_decide_one_case_at_once_make_one_proposal(desk: Desk) -> None:
    await desk.record([unexpected("a", 500)])
    cases = await desk.cases()
    persons = [await desk.operator() for _ in range(4)]
    results = await asyncio.gather(
        *(desk.decide(*decisions_of(cases, _A.WRITE_OFF), operator=each) for each in persons)
    )
    assert sum(result.proposal is not None for result in results) == 1
    assert sum(len(result.refused) for result in results) == 3


async def test_an_approval_and_a_run_that_changes_the_case_never_both_win(desk: Desk) -> None:
    for _ in range(6):
        key = str(desk.world.ids.new())
        await desk.record([unexpected(key, 500)], day=DAY)
        decided = await desk.decide(*decisions_of([await desk.case(key)], _A.WRITE_OFF))
        await asyncio.gather(
            desk.approve(decided), desk.record([unexpected(key, 600)], day=DAY), return_exceptions=True
        )
        case = await desk.case(key)
        # Approved first, then re-opened by the new figures; or changed first, and the approval refused.
        assert (case.state, case.suspense_minor) == (_S.OPEN, 600)
        await desk.suspense_holds()


async def test_a_resolved_case_reopens_when_its_content_changes(desk: Desk) -> None:
    await desk.record([unexpected("a", 500)])
    await desk.settle("a", _A.WRITE_OFF)
    assert await desk.record([unexpected("a", 500)]) == differences.RecordedDifferences()
    assert await desk.record([unexpected("a", 520)]) == differences.RecordedDifferences(reopened=1)
    case = await desk.case("a")
    assert (case.state, case.reopened, case.suspense_minor, case.voucher) == (_S.OPEN, 1, 520, None)
    assert await desk.histories("a") == ["opened", "proposed", "approved", "resolved", "reopened"]
    await desk.suspense_holds()


async def test_a_case_has_an_owner_whom_another_may_follow(desk: Desk) -> None:
    await desk.record([unexpected("a", 500), waiting("ours", "b", 1)])
    first, second = await desk.operator(), await desk.operator()
    case, rolled = await desk.cases()

    async def assign(identifier: UUID, owner: UUID) -> None:
        now = desk.world.clock.now()
        async with desk.world.database.transaction() as tx:
            await differences.assign(tx, [identifier], owner, operator=first, reason="mine", now=now)

    await assign(case.difference_id, first.operator_id)
    await assign(case.difference_id, second.operator_id)
    case = await desk.case("a")
    assert (case.state, case.owner_id) == (_S.ASSIGNED, second.operator_id)
    assert await desk.histories("a") == ["opened", "assigned", "assigned"]
    with pytest.raises(Conflict, match="takes no owner"):
        await assign(rolled.difference_id, first.operator_id)
    with pytest.raises(HutongError, match="no operator who may act has the id of the owner"):
        await assign(case.difference_id, desk.world.ids.new())


async def test_a_likely_partner_is_suggested_with_its_reasons_and_never_booked(desk: Desk) -> None:
    await desk.record([missing("20261102000017", 4_321), unexpected("20261102000071", 4_321), unexpected("zzz", 9)])
    case = await desk.case("20261102000017")
    async with desk.world.database.transaction() as tx:
        (suggested,) = await differences.suggest_partners(tx, case)
    assert suggested["key"] == "20261102000071"
    assert {"name": "amount_equal", "figure": "4321"} in suggested["reasons"]
    assert {each.state for each in await desk.cases()} == {_S.OPEN}


async def test_the_counters_are_those_of_the_list(desk: Desk) -> None:
    await desk.record([unexpected("a", 500), unexpected("b", 700), missing("c", 300), waiting("ours", "d", 9)])
    for where in (
        differences.DifferenceFilter(account_id=desk.account_id),
        differences.DifferenceFilter(account_id=desk.account_id, states=(_S.OPEN,), at_least=500),
        differences.DifferenceFilter(account_id=desk.account_id, key="c"),
        differences.DifferenceFilter(account_id=desk.account_id, first_until=DAY - timedelta(days=1)),
        differences.DifferenceFilter(account_id=desk.account_id, layer=Layer.REFUND_BILL),
    ):
        async with desk.world.database.transaction() as tx:
            listed = await differences.list_differences(tx, where, limit=100)
            counts = await differences.count_differences(tx, where)
        assert sum(count.count for count in counts) == len(listed)
        assert sum(count.long_minor - count.short_minor for count in counts) == sum(c.amount_minor for c in listed)
        assert all(count.long_minor == 0 or count.short_minor == 0 for count in counts)


async def test_the_explanation_has_the_numbers_in_both_languages(desk: Desk) -> None:
    await desk.record([other_fee("a", 10_000, 60, 75), missing("b", 300)])
    first, second = map(explain, await desk.cases())
    assert first["en"] == (
        "payment to channel bill: both sides have a, and the fee differs: ours 0.60 CNY, theirs 0.75 CNY. "
        "Received 0.15 CNY less than booked (short)."
    )
    assert (
        first["zh"]
        == "支付与渠道账单：双方都有 a，但 手续费 不一致：我方 0.60 CNY，对方 0.75 CNY。少收 0.15 CNY（短款）。"
    )
    assert "3.00 CNY" in second["en"]
    assert "截至 2026-11-02" in second["zh"]
