"""Two persons for what one must not do alone: one proposes, another decides; the effect commits with the decision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from hutong import db, ids
from hutong.errors import InvariantBroken, NotFound
from hutong.operators.audit import audit, check_reason
from hutong.operators.errors import NotPermitted, OwnProposal, ProposalClosed
from hutong.operators.model import (
    PROPOSAL_PREFIX,
    ApprovalDecision,
    AuditEntry,
    DecidedProposal,
    DecisionOutcome,
    NewProposal,
    Proposal,
    ProposalState,
    Role,
)
from hutong.operators.operators import operator_of, require
from hutong.operators.statements import sql

ApprovalHandler = Callable[[db.Tx, Proposal, datetime], Awaitable[None]]
"""What an approval does, in the transaction of the approval. An error undoes both: the proposal stays open."""


async def propose(tx: db.Tx, new: Sequence[NewProposal], *, now: datetime) -> list[Proposal]:
    """Ask for something that a second person has to approve.

    Effects:
        Writes one audit entry each.

    Errors:
        InvalidParameter: a reason that is blank or too long.
        NotPermitted: a maker may not propose, or no longer.
    """
    for one in new:
        check_reason(one.reason)
    await _makers_may(tx, new)
    await sql.insert_proposals.execute(
        tx,
        [one.proposal_id for one in new],
        [one.action for one in new],
        [one.object_kind for one in new],
        [one.object_id for one in new],
        [orjson.dumps(dict(one.payload)).decode() for one in new],
        [one.reason for one in new],
        [one.maker_id for one in new],
        now,
        [now + one.validity for one in new],
    )
    await audit(
        tx,
        [
            AuditEntry(
                one.maker_id,
                "proposal.propose",
                "proposal",
                ids.encode(PROPOSAL_PREFIX, one.proposal_id),
                one.reason,
                after={"action": one.action, "object_kind": one.object_kind, "object_id": one.object_id},
                request_id=one.request_id,
            )
            for one in new
        ],
        now=now,
    )
    return [
        Proposal(
            one.proposal_id,
            one.action,
            one.object_kind,
            one.object_id,
            one.payload,
            one.reason,
            one.maker_id,
            now,
            now + one.validity,
            ProposalState.OPEN,
        )
        for one in new
    ]


async def _makers_may(tx: db.Tx, new: Sequence[NewProposal]) -> None:
    rows = await sql.find_operators.fetch(tx, list({one.maker_id for one in new}))
    makers = {row["id"]: operator_of(row) for row in rows}
    for one in new:
        maker = makers.get(one.maker_id)
        if maker is None or maker.disabled_at is not None:
            raise NotPermitted("this operator may do nothing any more")
        require(maker, Role.OPERATOR)


async def decide(tx: db.Tx, decisions: Sequence[ApprovalDecision], *, now: datetime) -> list[DecidedProposal]:
    """Approve or reject what somebody else has proposed. Executes nothing: the caller does, in this transaction.

    Effects:
        Writes one audit entry for each decision that stands.

    Repeat:
        A proposal is decided once; a second decision is ALREADY_DECIDED, also within one list.

    Returns:
        One result per decision, in order; an APPROVED one carries the payload.

    Errors:
        InvalidParameter: a reason that is blank or too long.
        InvariantBroken: another decision stands by now, although ours held the lock.
    """
    for decision in decisions:
        check_reason(decision.reason)
    people = await sql.find_operators.fetch(tx, list({decision.checker_id for decision in decisions}))
    checkers = {row["id"]: operator_of(row) for row in people}
    rows = await sql.lock_proposals.fetch(tx, list({decision.proposal_id for decision in decisions}))
    standing = {row["id"]: _proposal(row, now) for row in rows}
    results: list[DecidedProposal] = []
    for decision in decisions:
        found = standing.get(decision.proposal_id)
        checker = checkers.get(decision.checker_id)
        allowed = checker is not None and checker.disabled_at is None and checker.role.covers(Role.APPROVER)
        outcome = _outcome(decision, found, allowed=allowed)
        if outcome in (DecisionOutcome.APPROVED, DecisionOutcome.REJECTED):
            assert found is not None
            found = standing[decision.proposal_id] = _after(found, decision, now)
        results.append(DecidedProposal(outcome, found))
    done = [
        decision
        for decision, result in zip(decisions, results, strict=True)
        if result.outcome in (DecisionOutcome.APPROVED, DecisionOutcome.REJECTED)
    ]
    await _write(tx, done, standing, now)
    return results


async def conclude(
    tx: db.Tx, decision: ApprovalDecision, approval_handlers: Mapping[str, ApprovalHandler], *, now: datetime
) -> Proposal:
    """Decide one proposal and, if it is approved, do what it says; for the edges, in a transaction of its own.

    Errors:
        NotFound, NotPermitted, OwnProposal, ProposalClosed: as `decide` says; nothing was done.
        InvariantBroken: nothing is attached to the proposal's action.
        And what the effect raises: the proposal then stays open.
    """
    (decided,) = await decide(tx, [decision], now=now)
    outcome, proposal = decided.outcome, decided.proposal
    if proposal is None:
        raise NotFound("no proposal has this id")
    if outcome is DecisionOutcome.NOT_PERMITTED:
        raise NotPermitted("this takes the role approver")
    if outcome is DecisionOutcome.OWN_PROPOSAL:
        raise OwnProposal("you proposed this; another person decides it")
    if outcome in (DecisionOutcome.ALREADY_DECIDED, DecisionOutcome.EXPIRED):
        raise ProposalClosed(f"the proposal is {proposal.state}")
    if outcome is DecisionOutcome.APPROVED:
        effect = approval_handlers.get(proposal.action)
        if effect is None:
            raise InvariantBroken(f"nothing is attached to {proposal.action}")
        await effect(tx, proposal, now)
    return proposal


def _outcome(decision: ApprovalDecision, found: Proposal | None, *, allowed: bool) -> DecisionOutcome:
    if found is None:
        return DecisionOutcome.NOT_FOUND
    if not allowed:
        return DecisionOutcome.NOT_PERMITTED
    if found.maker_id == decision.checker_id:
        return DecisionOutcome.OWN_PROPOSAL
    if found.state is ProposalState.EXPIRED:
        return DecisionOutcome.EXPIRED
    if found.state is not ProposalState.OPEN:
        return DecisionOutcome.ALREADY_DECIDED
    return DecisionOutcome.APPROVED if decision.approve else DecisionOutcome.REJECTED


async def _write(tx: db.Tx, done: Sequence[ApprovalDecision], standing: Mapping[UUID, Proposal], now: datetime) -> None:
    if not done:
        return
    states = [ProposalState.APPROVED if one.approve else ProposalState.REJECTED for one in done]
    written = await sql.decide_proposals.execute(
        tx,
        [one.proposal_id for one in done],
        states,
        [one.checker_id for one in done],
        [one.reason for one in done],
        now,
    )
    if written != f"UPDATE {len(done)}":
        raise InvariantBroken("a proposal was decided by somebody else while we held it")
    await audit(
        tx,
        [
            AuditEntry(
                one.checker_id,
                "proposal.approve" if one.approve else "proposal.reject",
                "proposal",
                ids.encode(PROPOSAL_PREFIX, one.proposal_id),
                one.reason,
                after={
                    "action": standing[one.proposal_id].action,
                    "object_kind": standing[one.proposal_id].object_kind,
                    "object_id": standing[one.proposal_id].object_id,
                },
                request_id=one.request_id,
            )
            for one in done
        ],
        now=now,
    )


async def find_proposal(tx: db.Tx, proposal_id: UUID, *, now: datetime) -> Proposal:
    """One proposal as it stands.

    Errors:
        NotFound: there is no such proposal.
    """
    row = await sql.find_proposal.fetchrow(tx, proposal_id)
    if row is None:
        raise NotFound("no proposal has this id")
    return _proposal(row, now)


async def list_proposals(
    tx: db.Tx, *, now: datetime, after: UUID | None = None, open_only: bool = False, limit: int = 100
) -> list[Proposal]:
    """Proposals, newest first.

    Args:
        after: Only those made before this one.
        open_only: Only those that can still be decided.
    """
    return [_proposal(row, now) for row in await sql.list_proposals.fetch(tx, after, open_only, now, limit)]


def _after(proposal: Proposal, decision: ApprovalDecision, now: datetime) -> Proposal:
    state = ProposalState.APPROVED if decision.approve else ProposalState.REJECTED
    return replace(
        proposal, state=state, checker_id=decision.checker_id, decision_reason=decision.reason, decided_at=now
    )


def _proposal(row: asyncpg.Record, now: datetime) -> Proposal:
    state = ProposalState(row["state"])
    if state is ProposalState.OPEN and row["expires_at"] <= now:
        state = ProposalState.EXPIRED
    return Proposal(
        row["id"],
        row["action"],
        row["object_kind"],
        row["object_id"],
        orjson.loads(row["payload"]),
        row["reason"],
        row["maker_id"],
        row["proposed_at"],
        row["expires_at"],
        state,
        row["checker_id"],
        row["decision_reason"],
        row["decided_at"],
    )
