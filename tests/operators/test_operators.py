"""Operators: keys kept as hashes, two persons for what takes two, a journal that cannot be changed unnoticed."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from hutong import operators
from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.errors import Conflict, InvalidParameter, InvariantBroken, NotFound, Unauthorized
from hutong.ids import Ids
from hutong.operators import ApprovalDecision, AuditEntry, NewProposal, Role
from hutong.operators.approvals import decide
from hutong.operators.errors import NotPermitted, ProposalClosed
from hutong.operators.model import DecidedProposal, DecisionOutcome, ProposalState


async def person(tx: Tx, ids: Ids, clock: ManualClock, role: Role) -> tuple[UUID, str]:
    identifier = ids.new()
    name = f"{role} {secrets.token_hex(4)}"
    key = await operators.add_operator(
        tx, operator_id=identifier, name=name, role=role, random="r" * 43, reason="test", now=clock.now()
    )
    return identifier, key


def proposal(ids: Ids, maker: UUID, **changed: Any) -> NewProposal:
    fields: dict[str, Any] = {
        "proposal_id": ids.new(),
        "maker_id": maker,
        "action": "test.write",
        "object_kind": "thing",
        "object_id": "thing_1",
        "payload": {"to": "1"},
        "reason": "it is wrong",
    }
    return NewProposal(**fields | changed)


# Keys


async def test_a_key_names_its_operator_until_they_are_disabled(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    identifier, key = await person(tx, ids, clock, Role.APPROVER)
    found = await operators.authenticate(tx, key)
    assert (found.operator_id, found.role) == (identifier, Role.APPROVER)
    await operators.disable_operator(tx, identifier, reason="left", now=clock.now())
    for wrong in (key, key + "x", "", "\ud800"):
        with pytest.raises(Unauthorized, match="not valid"):
            await operators.authenticate(tx, wrong)


async def test_of_an_operators_key_only_the_hash_is_kept(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    identifier, key = await person(tx, ids, clock, Role.VIEWER)
    row = await tx.fetchrow("SELECT * FROM operators.operator WHERE id = $1", identifier)
    assert row is not None
    assert key not in str(dict(row))
    assert key.startswith("sk_opr_")  # which logs mask


async def test_two_enabled_operators_have_two_names(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    async def add(name: str) -> UUID:
        new = ids.new()
        await operators.add_operator(
            tx, operator_id=new, name=name, role=Role.VIEWER, random="r" * 43, reason="x", now=clock.now()
        )
        return new

    name = secrets.token_hex(6)
    first = await add(name)
    with pytest.raises(Conflict):
        await add(name)
    await operators.disable_operator(tx, first, reason="left", now=clock.now())
    await add(name)
    for wrong in ("", " ", "x" * 65, "a\nb"):
        with pytest.raises(InvalidParameter):
            await add(wrong)


def test_each_role_covers_those_before_it() -> None:
    ranks = list(Role)
    assert [role.covers(needed) for role in ranks for needed in ranks] == [
        ranks.index(role) >= ranks.index(needed) for role in ranks for needed in ranks
    ]
    assert ranks == ["viewer", "operator", "approver", "admin"]


# Two persons


async def test_one_proposes_and_another_approves(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    maker, _ = await person(tx, ids, clock, Role.OPERATOR)
    checker, _ = await person(tx, ids, clock, Role.APPROVER)
    new = proposal(ids, maker)
    (made,) = await operators.propose(tx, [new], now=clock.now())
    assert made.state is ProposalState.OPEN
    assert made.expires_at == clock.now() + timedelta(hours=72)
    later = clock.advance(timedelta(hours=1))
    (decided,) = await decide(tx, [ApprovalDecision(new.proposal_id, checker, True, "seen")], now=later)
    assert decided.outcome is DecisionOutcome.APPROVED
    assert decided.proposal is not None
    assert decided.proposal.payload == {"to": "1"}
    assert decided.proposal == await operators.find_proposal(tx, new.proposal_id, now=later)
    (again,) = await decide(tx, [ApprovalDecision(new.proposal_id, checker, False, "no")], now=later)
    assert again.outcome is DecisionOutcome.ALREADY_DECIDED
    actions = [(r.entry.action, r.entry.actor_id) for r in await operators.list_audit(tx, limit=2)]
    assert actions == [("proposal.approve", checker), ("proposal.propose", maker)]


@pytest.mark.parametrize("role", list(Role))
async def test_only_another_person_who_is_an_approver_decides(tx: Tx, ids: Ids, clock: ManualClock, role: Role) -> None:
    maker, _ = await person(tx, ids, clock, Role.ADMIN)
    checker, _ = await person(tx, ids, clock, role)
    (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())
    own, other = await decide(
        tx, [ApprovalDecision(made.proposal_id, who, False, "no") for who in (maker, checker)], now=clock.now()
    )
    assert own.outcome is DecisionOutcome.OWN_PROPOSAL
    may = role in (Role.APPROVER, Role.ADMIN)
    assert other.outcome is (DecisionOutcome.REJECTED if may else DecisionOutcome.NOT_PERMITTED)


async def test_a_disabled_operator_neither_proposes_nor_decides(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    maker, _ = await person(tx, ids, clock, Role.OPERATOR)
    checker, _ = await person(tx, ids, clock, Role.ADMIN)
    (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())
    for who in (maker, checker):
        await operators.disable_operator(tx, who, reason="left", now=clock.now())
    with pytest.raises(NotPermitted):
        await operators.propose(tx, [proposal(ids, maker)], now=clock.now())
    (decided,) = await decide(tx, [ApprovalDecision(made.proposal_id, checker, True, "yes")], now=clock.now())
    assert decided.outcome is DecisionOutcome.NOT_PERMITTED


async def test_a_viewer_proposes_nothing(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    viewer, _ = await person(tx, ids, clock, Role.VIEWER)
    with pytest.raises(NotPermitted):
        await operators.propose(tx, [proposal(ids, viewer)], now=clock.now())


async def test_the_database_refuses_maker_as_checker_and_a_second_decision(
    tx: Tx, ids: Ids, clock: ManualClock
) -> None:
    maker, _ = await person(tx, ids, clock, Role.ADMIN)
    checker, _ = await person(tx, ids, clock, Role.ADMIN)
    (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())
    write = (
        "UPDATE operators.proposal SET state = 'approved', checker_id = $2, decision_reason = 'x', decided_at = $3 "
        "WHERE id = $1"
    )
    with pytest.raises(asyncpg.CheckViolationError):
        async with tx.transaction():
            await tx.execute(write, made.proposal_id, maker, clock.now())
    await tx.execute(write, made.proposal_id, checker, clock.now())
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        async with tx.transaction():
            await tx.execute(write, made.proposal_id, checker, clock.now())


async def test_a_proposal_expires_to_the_instant(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    maker, _ = await person(tx, ids, clock, Role.OPERATOR)
    checker, _ = await person(tx, ids, clock, Role.APPROVER)
    first, second = await operators.propose(tx, [proposal(ids, maker), proposal(ids, maker)], now=clock.now())
    before = first.expires_at - timedelta(microseconds=1)
    (last,) = await decide(tx, [ApprovalDecision(first.proposal_id, checker, True, "x")], now=before)
    assert last.outcome is DecisionOutcome.APPROVED
    (late,) = await decide(tx, [ApprovalDecision(second.proposal_id, checker, True, "x")], now=second.expires_at)
    assert late.outcome is DecisionOutcome.EXPIRED
    found = await operators.find_proposal(tx, second.proposal_id, now=second.expires_at)
    assert found.state is ProposalState.EXPIRED
    still_open = await operators.list_proposals(tx, now=second.expires_at, open_only=True)
    assert second.proposal_id not in [proposal.proposal_id for proposal in still_open]


async def test_of_many_approvals_at_once_one_has_its_effect(
    fresh_database_url: str, ids: Ids, clock: ManualClock
) -> None:
    carried_out = 0

    async def effect(tx: Tx, proposal: operators.Proposal, now: datetime) -> None:
        nonlocal carried_out
        carried_out += 1

    async with Database.open(fresh_database_url, size=12) as database:
        async with database.transaction() as tx:
            maker, _ = await person(tx, ids, clock, Role.OPERATOR)
            checkers = [(await person(tx, ids, clock, Role.APPROVER))[0] for _ in range(12)]
            (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())

        async def approve(checker: UUID) -> bool:
            decision = ApprovalDecision(made.proposal_id, checker, True, "yes")
            try:
                async with database.transaction() as tx:
                    await operators.conclude(tx, decision, {"test.write": effect}, now=clock.now())
            except ProposalClosed:
                return False
            return True

        won = await asyncio.gather(*(approve(checker) for checker in checkers))
        async with database.transaction() as tx:
            assert (await operators.verify_audit(tx)).problems == []
    assert sum(won) == carried_out == 1


async def test_a_decision_waits_for_the_one_before_it_and_sees_it(
    fresh_database_url: str, ids: Ids, clock: ManualClock
) -> None:
    async with Database.open(fresh_database_url, size=2) as database:
        async with database.transaction() as tx:
            maker, _ = await person(tx, ids, clock, Role.OPERATOR)
            checkers = [(await person(tx, ids, clock, Role.APPROVER))[0] for _ in range(2)]
            (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())

        async def second() -> DecidedProposal:
            async with database.transaction() as tx:
                decision = ApprovalDecision(made.proposal_id, checkers[1], True, "yes")
                return (await decide(tx, [decision], now=clock.now()))[0]

        async with database.transaction() as tx:
            decision = ApprovalDecision(made.proposal_id, checkers[0], False, "no")
            (first,) = await decide(tx, [decision], now=clock.now())
            waiting = asyncio.create_task(second())
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
        assert first.outcome is DecisionOutcome.REJECTED
        assert (await waiting).outcome is DecisionOutcome.ALREADY_DECIDED


async def test_an_effect_that_is_refused_leaves_the_proposal_open(
    fresh_database_url: str, ids: Ids, clock: ManualClock
) -> None:
    async def refused(tx: Tx, proposal: operators.Proposal, now: datetime) -> None:
        raise Conflict("moved on")

    async with Database.open(fresh_database_url, size=2) as database:
        async with database.transaction() as tx:
            maker, _ = await person(tx, ids, clock, Role.OPERATOR)
            checker, _ = await person(tx, ids, clock, Role.APPROVER)
            (made,) = await operators.propose(tx, [proposal(ids, maker)], now=clock.now())
        for approval_handlers, error in (({"test.write": refused}, Conflict), ({}, InvariantBroken)):
            with pytest.raises(error):
                async with database.transaction() as tx:
                    decision = ApprovalDecision(made.proposal_id, checker, True, "yes")
                    await operators.conclude(tx, decision, approval_handlers, now=clock.now())
        async with database.transaction() as tx:
            assert (await operators.find_proposal(tx, made.proposal_id, now=clock.now())).state is ProposalState.OPEN


async def test_an_unknown_proposal_is_not_found(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    checker, _ = await person(tx, ids, clock, Role.APPROVER)
    (decided,) = await decide(tx, [ApprovalDecision(ids.new(), checker, True, "x")], now=clock.now())
    assert decided.outcome is DecisionOutcome.NOT_FOUND
    with pytest.raises(NotFound):
        await operators.find_proposal(tx, ids.new(), now=clock.now())


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\0b"])
async def test_everything_has_a_reason(tx: Tx, ids: Ids, clock: ManualClock, reason: str) -> None:
    maker, _ = await person(tx, ids, clock, Role.OPERATOR)
    with pytest.raises(InvalidParameter):
        await operators.propose(tx, [proposal(ids, maker, reason=reason)], now=clock.now())
    with pytest.raises(InvalidParameter):
        await decide(tx, [ApprovalDecision(ids.new(), maker, True, reason)], now=clock.now())
    with pytest.raises(InvalidParameter):
        await operators.audit(tx, [AuditEntry(None, "test.do", "thing", "1", reason)], now=clock.now())


# The journal


def entries(count: int) -> list[AuditEntry]:
    return [
        AuditEntry(None, "test.do", "thing", f"thing_{n}", "because", {"n": n}, {"text": "中 \u20ac"}, f"req_{n}")
        for n in range(count)
    ]


async def test_the_journal_gives_back_what_was_written(tx: Tx, clock: ManualClock) -> None:
    written = entries(3)
    await operators.audit(tx, written, now=clock.now())
    found = await operators.list_audit(tx, limit=3)
    assert [record.entry for record in reversed(found)] == written
    about = await operators.list_audit(tx, about=("thing", "thing_1"), limit=1)
    assert about[0].entry == written[1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operators.audit SET reason = 'x'",
        "DELETE FROM operators.audit",
        "TRUNCATE operators.audit",
        "UPDATE operators.audit_head SET seq = 0",
        "INSERT INTO operators.audit (seq) VALUES (1)",
        "INSERT INTO operators.audit (hash) VALUES (sha256('x'))",
        "UPDATE operators.operator SET role = 'admin'",
        "UPDATE operators.proposal SET payload = '{}'",
        "DELETE FROM operators.proposal",
    ],
)
async def test_the_application_cannot_rewrite_what_was_done(tx: Tx, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tx.execute(statement)


TAMPERING = {
    "DELETE FROM operators.audit WHERE seq = 3": "rows are missing before row 4",
    "DELETE FROM operators.audit WHERE seq = 1": "rows are missing before row 2",
    "DELETE FROM operators.audit WHERE seq = 6": "the journal no longer ends with row 6",
    "DELETE FROM operators.audit": "the journal no longer ends with row 6",
    "UPDATE operators.audit SET reason = 'another' WHERE seq = 6": "row 6 is not as it was written",
    "UPDATE operators.audit SET before = NULL WHERE seq = 2": "row 2 is not as it was written",
    "UPDATE operators.audit SET at = at + interval '1 microsecond' WHERE seq = 2": "row 2 is not as it was written",
    "UPDATE operators.audit SET request_id = NULL WHERE seq = 4": "row 4 is not as it was written",
    "UPDATE operators.audit SET hash = sha256('x') WHERE seq = 2": "row 2 is not as it was written",
}


async def test_a_row_removed_or_altered_is_found(fresh_database_url: str, clock: ManualClock) -> None:
    async with Database.open(fresh_database_url, size=1, role=None) as owner:
        async with owner.transaction() as tx:
            empty = await operators.verify_audit(tx)
            assert (empty.rows, empty.problems) == (0, [])
            for part in (entries(4), entries(2)):
                await operators.audit(tx, part, now=clock.now())
            whole = await operators.verify_audit(tx)
            assert (whole.rows, whole.problems) == (6, [])
        for statement, problem in TAMPERING.items():
            async with owner.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(statement)
                assert problem in (await operators.verify_audit(connection)).problems, statement
                await transaction.rollback()


async def test_the_proof_does_not_depend_on_the_time_zone(tx: Tx, clock: ManualClock) -> None:
    await operators.audit(tx, entries(2), now=clock.now())
    await tx.execute("SET LOCAL timezone = 'Asia/Shanghai'")
    assert (await operators.verify_audit(tx)).problems == []


async def test_writers_at_once_make_one_chain(fresh_database_url: str, clock: ManualClock) -> None:
    async with Database.open(fresh_database_url, size=8) as database:

        async def write() -> None:
            async with database.transaction() as tx:
                await operators.audit(tx, entries(3), now=clock.now())

        await asyncio.gather(*(write() for _ in range(20)))
        async with database.transaction() as tx:
            found = await operators.verify_audit(tx)
    assert (found.rows, found.problems) == (60, [])


async def test_the_journal_works_on_every_server(each_server_url: str, clock: ManualClock) -> None:
    from hutong.db import migrate
    from support import create_database

    url = create_database(each_server_url)
    await asyncio.to_thread(migrate, url)
    async with Database.open(url, size=1) as database, database.transaction() as tx:
        await operators.audit(tx, entries(2), now=clock.now())
        assert (await operators.verify_audit(tx)).problems == []
        assert json.loads(await tx.fetchval("SELECT after FROM operators.audit LIMIT 1")) == {"text": "中 \u20ac"}
