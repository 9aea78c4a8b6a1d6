"""Approvals by a second person: one proposes, another decides, and the effect commits with the decision."""

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
from hutong.operators.operators import find_operators, lock_operators, require
from hutong.operators.statements import sql

ApprovalHandler = Callable[[db.Tx, Proposal, datetime], Awaitable[None]]
"""The effect of an approval, in the approval's transaction. An error undoes both: the proposal stays open."""


async def propose(tx: db.Tx, new: Sequence[NewProposal], *, now: datetime) -> list[Proposal]:
    """Propose actions that a second person has to approve.

    Effects:
        Writes one audit entry per proposal.

    Errors:
        InvalidParameter: a reason is blank or too long.
        NotPermitted: a maker lacks the role, or is disabled.
    """
    for proposal in new:
        check_reason(proposal.reason)
    await _check_makers(tx, new)
    expiries = [now + proposal.validity for proposal in new]
    await sql.insert_proposals.execute(
        tx,
        rows=new,
        payload=[orjson.dumps(dict(proposal.payload)).decode() for proposal in new],
        proposed_at=now,
        expires_at=expiries,
    )
    entries = [
        AuditEntry(
            proposal.maker_id,
            "proposal.propose",
            "proposal",
            ids.encode(PROPOSAL_PREFIX, proposal.proposal_id),
            proposal.reason,
            after=_audited(proposal),
            request_id=proposal.request_id,
        )
        for proposal in new
    ]
    await audit(tx, entries, now=now)
    return [
        Proposal(
            proposal_id=proposal.proposal_id,
            action=proposal.action,
            object_kind=proposal.object_kind,
            object_id=proposal.object_id,
            payload=proposal.payload,
            reason=proposal.reason,
            maker_id=proposal.maker_id,
            proposed_at=now,
            expires_at=expires_at,
            state=ProposalState.OPEN,
        )
        for proposal, expires_at in zip(new, expiries, strict=True)
    ]


async def _check_makers(tx: db.Tx, new: Sequence[NewProposal]) -> None:
    await lock_operators(tx, [proposal.maker_id for proposal in new])
    makers = await find_operators(tx, [proposal.maker_id for proposal in new])
    for proposal in new:
        maker = makers.get(proposal.maker_id)
        if maker is None or maker.disabled_at is not None:
            raise NotPermitted("the operator is disabled")
        require(maker, Role.OPERATOR)


async def decide(tx: db.Tx, decisions: Sequence[ApprovalDecision], *, now: datetime) -> list[DecidedProposal]:
    """Approve or reject proposals of other persons. Executes nothing: the caller does, in this transaction.

    Effects:
        Writes one audit entry for each decision that takes effect.

    Repeat:
        A proposal is decided once; a second decision is ALREADY_DECIDED, also within one list. One whose maker was
        disabled is VOID.

    Returns:
        One result per decision, in order; an APPROVED one carries the payload.

    Errors:
        InvalidParameter: a reason is blank or too long.
        InvariantBroken: another decision took effect while this one held the lock.
    """
    for decision in decisions:
        check_reason(decision.reason)
    await lock_operators(tx, [decision.checker_id for decision in decisions])
    checkers = await find_operators(tx, [decision.checker_id for decision in decisions])
    rows = await sql.lock_proposals.fetch(tx, list({decision.proposal_id for decision in decisions}))
    by_id = {proposal.proposal_id: proposal for proposal in (_proposal(row, now) for row in rows)}
    results: list[DecidedProposal] = []
    effective: list[ApprovalDecision] = []
    for decision in decisions:
        proposal = by_id.get(decision.proposal_id)
        checker = checkers.get(decision.checker_id)
        permitted = checker is not None and checker.disabled_at is None and checker.role.covers(Role.APPROVER)
        outcome = _outcome(decision, proposal, permitted=permitted)
        if outcome in (DecisionOutcome.APPROVED, DecisionOutcome.REJECTED):
            assert proposal is not None
            proposal = by_id[decision.proposal_id] = _decided(proposal, decision, now)
            effective.append(decision)
        results.append(DecidedProposal(outcome, proposal))
    await _write(tx, effective, by_id, now)
    return results


async def conclude(
    tx: db.Tx, decision: ApprovalDecision, approval_handlers: Mapping[str, ApprovalHandler], *, now: datetime
) -> Proposal:
    """Decide one proposal and, if it is approved, execute its action; for the edges, in a transaction of its own.

    Errors:
        NotFound, NotPermitted, OwnProposal, ProposalClosed: the outcome of `decide`; nothing was done.
        InvariantBroken: no handler is attached to the proposal's action.
        Any error of the handler: the proposal then stays open.
    """
    (decided,) = await decide(tx, [decision], now=now)
    outcome, proposal = decided.outcome, decided.proposal
    if proposal is None:
        raise NotFound("no proposal has this id")
    if outcome is DecisionOutcome.NOT_PERMITTED:
        raise NotPermitted("this requires the role approver")
    if outcome is DecisionOutcome.OWN_PROPOSAL:
        raise OwnProposal("this is your own proposal; another person has to decide it")
    if outcome in (DecisionOutcome.ALREADY_DECIDED, DecisionOutcome.EXPIRED, DecisionOutcome.VOID):
        raise ProposalClosed(f"the proposal is {proposal.state}")
    if outcome is DecisionOutcome.APPROVED:
        handler = approval_handlers.get(proposal.action)
        if handler is None:
            raise InvariantBroken(f"no handler is attached to {proposal.action}")
        await handler(tx, proposal, now)
    return proposal


def _outcome(decision: ApprovalDecision, proposal: Proposal | None, *, permitted: bool) -> DecisionOutcome:
    if proposal is None:
        return DecisionOutcome.NOT_FOUND
    if not permitted:
        return DecisionOutcome.NOT_PERMITTED
    if proposal.maker_id == decision.checker_id:
        return DecisionOutcome.OWN_PROPOSAL
    if proposal.state is ProposalState.EXPIRED:
        return DecisionOutcome.EXPIRED
    if proposal.state is ProposalState.VOID:
        return DecisionOutcome.VOID
    if proposal.state is not ProposalState.OPEN:
        return DecisionOutcome.ALREADY_DECIDED
    return DecisionOutcome.APPROVED if decision.approve else DecisionOutcome.REJECTED


async def _write(
    tx: db.Tx, decisions: Sequence[ApprovalDecision], by_id: Mapping[UUID, Proposal], now: datetime
) -> None:
    if not decisions:
        return
    decided = [by_id[decision.proposal_id] for decision in decisions]
    written = await sql.decide_proposals.execute(tx, rows=decided, decided_at=now)
    if written != f"UPDATE {len(decided)}":
        raise InvariantBroken("a locked proposal was decided by another transaction")
    entries = [
        AuditEntry(
            decision.checker_id,
            "proposal.approve" if decision.approve else "proposal.reject",
            "proposal",
            ids.encode(PROPOSAL_PREFIX, decision.proposal_id),
            decision.reason,
            after=_audited(proposal),
            request_id=decision.request_id,
        )
        for decision, proposal in zip(decisions, decided, strict=True)
    ]
    await audit(tx, entries, now=now)


def _audited(proposal: NewProposal | Proposal) -> dict[str, str]:
    return {"action": proposal.action, "object_kind": proposal.object_kind, "object_id": proposal.object_id}


async def find_proposal(tx: db.Tx, proposal_id: UUID, *, now: datetime) -> Proposal:
    """Return the current state of one proposal.

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
    """Return proposals, newest first.

    Args:
        after: Only proposals older than this one.
        open_only: Only proposals that can still be decided.
    """
    rows = await sql.list_proposals.fetch(tx, after=after, open_only=open_only, now=now, limit=limit)
    return [_proposal(row, now) for row in rows]


def _decided(proposal: Proposal, decision: ApprovalDecision, now: datetime) -> Proposal:
    state = ProposalState.APPROVED if decision.approve else ProposalState.REJECTED
    return replace(
        proposal, state=state, checker_id=decision.checker_id, decision_reason=decision.reason, decided_at=now
    )


_read_proposal = db.reader(Proposal, sql["proposal"], payload=orjson.loads)


def _proposal(row: asyncpg.Record, now: datetime) -> Proposal:
    """Read a proposal; one that nobody decided in time is EXPIRED, whatever its row says."""
    proposal = _read_proposal(row)
    expired = proposal.state is ProposalState.OPEN and proposal.expires_at <= now
    return replace(proposal, state=ProposalState.EXPIRED) if expired else proposal
