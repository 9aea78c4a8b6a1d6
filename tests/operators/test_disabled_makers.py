"""A proposal ends with its maker: once they are disabled, nobody approves it."""

from __future__ import annotations

import asyncio
import random
import secrets
from datetime import datetime
from uuid import UUID

import asyncpg
import pytest

from hutong import operators
from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.ids import Ids, encode
from hutong.operators import ApprovalDecision, NewProposal, Role
from hutong.operators.errors import NotPermitted, ProposalClosed
from hutong.operators.model import ProposalState

ROUNDS = 12


async def person(tx: Tx, ids: Ids, clock: ManualClock, role: Role) -> UUID:
    identifier, name = ids.new(), f"{role} {secrets.token_hex(4)}"
    await operators.add_operator(
        tx, operator_id=identifier, name=name, role=role, random="r" * 43, reason="test", now=clock.now()
    )
    return identifier


def proposal(ids: Ids, maker: UUID) -> NewProposal:
    return NewProposal(ids.new(), maker, "test.write", "thing", "thing_1", {"to": "1"}, "it is wrong")


async def test_the_open_proposals_of_a_disabled_maker_are_void_at_once(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    maker, other = [await person(tx, ids, clock, Role.OPERATOR) for _ in range(2)]
    checker = await person(tx, ids, clock, Role.APPROVER)
    rejected, first, second, others = await operators.propose(
        tx, [proposal(ids, who) for who in (maker, maker, maker, other)], now=clock.now()
    )
    decision = ApprovalDecision(rejected.proposal_id, checker, False, "no")
    await operators.conclude(tx, decision, {}, now=clock.now())
    await operators.disable_operator(tx, maker, reason="left", now=clock.now())
    states = [
        (await operators.find_proposal(tx, each.proposal_id, now=clock.now())).state
        for each in (rejected, first, second, others)
    ]
    assert states == [ProposalState.REJECTED, ProposalState.VOID, ProposalState.VOID, ProposalState.OPEN]
    listed = await operators.list_proposals(tx, now=clock.now(), open_only=True, limit=1_000)
    made = {each.proposal_id for each in (rejected, first, second, others)}
    assert {each.proposal_id for each in listed} & made == {others.proposal_id}
    entries = [(r.entry.action, r.entry.object_id, r.entry.reason) for r in await operators.list_audit(tx, limit=3)]
    void = sorted([encode("prp", each.proposal_id) for each in (first, second)], reverse=True)
    assert entries == [
        *(("proposal.void", identifier, "left") for identifier in void),
        ("operator.disable", encode("opr", maker), "left"),
    ]
    for approve in (True, False):
        with pytest.raises(ProposalClosed, match="void"):
            await operators.conclude(
                tx, ApprovalDecision(first.proposal_id, checker, approve, "late"), {}, now=clock.now()
            )


async def test_the_database_itself_approves_nothing_of_a_disabled_maker(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    maker, checker = await person(tx, ids, clock, Role.OPERATOR), await person(tx, ids, clock, Role.APPROVER)
    (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())
    await tx.execute(
        "UPDATE operators.operator SET disabled_at = now() WHERE id = $1", maker
    )  # past `disable_operator`
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="disabled"):
        await tx.execute(
            "UPDATE operators.proposal SET state = 'approved', checker_id = $2, decision_reason = 'x', decided_at = $3 "
            "WHERE id = $1", made.proposal_id, checker, clock.now(),
        )  # fmt: skip


async def test_of_disabling_and_approving_at_once_the_first_holds(
    database: Database, ids: Ids, clock: ManualClock, rng: random.Random
) -> None:
    """Whatever the order: an effect is there if and only if the proposal is approved, and a void one has none."""
    effects: list[UUID] = []

    async def effect(tx: Tx, done: operators.Proposal, now: datetime) -> None:
        await asyncio.sleep(rng.uniform(0, 0.01))
        effects.append(done.proposal_id)

    async def approve(made: operators.Proposal, checker: UUID) -> None:
        await asyncio.sleep(rng.uniform(0, 0.01))
        try:
            await database.run(
                lambda tx: operators.conclude(
                    tx,
                    ApprovalDecision(made.proposal_id, checker, True, "yes"),
                    {"test.write": effect},
                    now=clock.now(),
                )
            )
        except (ProposalClosed, NotPermitted):
            return

    async def disable(who: UUID) -> None:
        await asyncio.sleep(rng.uniform(0, 0.01))
        await database.run(lambda tx: operators.disable_operator(tx, who, reason="left", now=clock.now()))

    async def propose(who: UUID) -> None:
        await asyncio.sleep(rng.uniform(0, 0.01))
        try:
            await database.run(lambda tx: operators.propose(tx, [proposal(ids, who)], now=clock.now()))
        except NotPermitted:
            return

    outcomes = set()
    for _ in range(ROUNDS):
        async with database.transaction() as tx:
            maker = await person(tx, ids, clock, Role.APPROVER)
            checkers = [await person(tx, ids, clock, Role.APPROVER) for _ in range(2)]
            made = await operators.propose(tx, [proposal(ids, maker) for _ in range(2)], now=clock.now())
        disabled = [disable(maker), disable(checkers[0])]
        approved = [approve(each, checker) for each in made for checker in checkers]
        await asyncio.gather(*approved, *disabled, propose(maker), propose(maker))
        async with database.transaction() as tx:
            left = await tx.fetch(
                "SELECT id, state, checker_id FROM operators.proposal WHERE maker_id = $1 ORDER BY id", maker
            )
        assert {row["state"] for row in left} <= {"approved", "void"}, "none is left open"
        assert [row["id"] for row in left if row["state"] == "approved"] == sorted(
            set(effects) & {r["id"] for r in left}
        )
        outcomes |= {row["state"] for row in left}
    assert len(effects) == len(set(effects))
    assert outcomes == {"approved", "void"}, "both orders occurred"


async def test_disabling_waits_for_what_the_person_is_about_to_commit(
    database: Database, ids: Ids, clock: ManualClock
) -> None:
    """Otherwise a proposal, or a decision, would be committed by somebody who was disabled before."""
    async with database.transaction() as tx:
        maker, checker = [await person(tx, ids, clock, Role.APPROVER) for _ in range(2)]
        (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())

    async def disable(who: UUID) -> None:
        async with database.transaction() as tx:
            await operators.disable_operator(tx, who, reason="left", now=clock.now())

    async def nothing(tx: Tx, done: operators.Proposal, now: datetime) -> None:
        return

    async with database.transaction() as tx:
        (late,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())
        waiting = asyncio.create_task(disable(maker))
        assert not (await asyncio.wait([waiting], timeout=0.2))[0]
    await waiting
    async with database.transaction() as tx:
        assert (await operators.find_proposal(tx, late.proposal_id, now=clock.now())).state is ProposalState.VOID
        assert (await operators.find_proposal(tx, made.proposal_id, now=clock.now())).state is ProposalState.VOID
        another = await person(tx, ids, clock, Role.OPERATOR)
        (made,) = await operators.propose(tx, [proposal(ids, another)], now=clock.now())
    decision = ApprovalDecision(made.proposal_id, checker, True, "yes")
    async with database.transaction() as tx:
        await tx.execute("SELECT FROM operators.proposal WHERE id = $1 FOR UPDATE", made.proposal_id)
        deciding = asyncio.create_task(
            database.run(lambda tx: operators.conclude(tx, decision, {"test.write": nothing}, now=clock.now()))
        )
        await asyncio.sleep(0.1)  # the checker was found enabled, and the proposal is waited for
        waiting = asyncio.create_task(disable(checker))
        assert not (await asyncio.wait([waiting], timeout=0.2))[0]
    await waiting
    assert (await deciding).state is ProposalState.APPROVED
