"""Decisions of persons about cases: checked against the table of rules, and proposed where money moves.

A proposal covers a list of cases by its digest: of each, the content, the amounts and the action. A case that a run
changes in the meantime leaves the proposal, so that the approval is refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import Conflict, HutongError, InvalidParameter
from hutong.operators import Operator, Role
from hutong.reconciliation.differences import cases, store
from hutong.reconciliation.differences.rules import DifferenceRule, rule_of
from hutong.reconciliation.differences.store import CaseEntry
from hutong.reconciliation.model import DIFFERENCE_PREFIX, Difference, DifferenceAction, DifferenceState
from hutong.reconciliation.statements import sql

RESOLVE = "difference.resolve"
"""The action of proposals about differences."""


@dataclass(frozen=True, slots=True)
class CaseDecision:
    """What a person decides about one case.

    Attributes:
        partner_id: The other case, for PAIR.
        content: The content that the person has seen, or its beginning; None for what there is now.
    """

    difference_id: UUID
    action: DifferenceAction
    reason: str
    partner_id: UUID | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedCase:
    """A decision that was not taken; `place` is its place in the list, from 0."""

    place: int
    difference_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The decisions that may be taken, with their cases as they are now.

    Attributes:
        accepted: Of a pair, both cases. Those that need another person have no proposal yet.
        digest: Of what would be done to what.
    """

    accepted: Sequence[tuple[Difference, DifferenceRule]]
    refused: Sequence[RefusedCase]
    digest: str


@dataclass(frozen=True, slots=True)
class CaseDecisions:
    """The outcome of a list of decisions.

    Attributes:
        proposal: Waits for another person; None if nothing needs one.
        done: The cases that are approved at once, because no money moves.
    """

    proposal: operators.Proposal | None
    done: Sequence[UUID] = ()
    refused: Sequence[RefusedCase] = field(default_factory=list)


async def check(tx: db.Tx, decisions: Sequence[CaseDecision], *, operator: Operator, now: datetime) -> Checked:
    """Lock the cases of decisions, and check each one.

    Errors:
        InvalidParameter: the list is too long.
    """
    if len(decisions) > cases.BULK_MAX:
        raise InvalidParameter(f"`decisions` must have at most {cases.BULK_MAX} entries", param="decisions")
    partners = {each.partner_id for each in decisions if each.partner_id is not None}
    locked = await cases.lock(tx, [*(each.difference_id for each in decisions), *partners])
    in_progress = await _open_proposals(tx, locked.values(), now=now)
    accepted: dict[UUID, tuple[Difference, DifferenceRule]] = {}
    refused: list[RefusedCase] = []
    for place, decision in enumerate(decisions):
        pair = _take(decision, locked, in_progress, accepted, operator)
        if isinstance(pair, str):
            refused.append(RefusedCase(place, decision.difference_id, pair))
        else:
            accepted |= {case.difference_id: (case, rule) for case, rule in pair}
    return Checked(list(accepted.values()), refused, digest_of(case for case, _ in accepted.values()))


async def decide(
    tx: db.Tx,
    decisions: Sequence[CaseDecision],
    *,
    operator: Operator,
    reason: str,
    now: datetime,
    new_id: Callable[[], UUID],
    digest: str | None = None,
    request_id: str | None = None,
) -> CaseDecisions:
    """Take decisions: at once where no money moves, as one proposal for another person where it does.

    Args:
        reason: Of the list; each decision has its own as well.
        digest: That of the preview that the person has seen.

    Effects:
        Writes the cases, their history, the proposal and the audit journal.

    Returns:
        The proposal, what is done, and which decisions were refused, each with its reason.

    Errors:
        InvalidParameter: a reason is blank or too long. NotPermitted: the person is a viewer.
        Conflict: the cases are not any more those of the preview.
    """
    operators.require(operator, Role.OPERATOR)
    operators.check_reason(reason)
    checked = await check(tx, decisions, operator=operator, now=now)
    if digest is not None and digest != checked.digest:
        raise Conflict("the cases have changed since the preview; look at them again")
    by, proposal_id = ids.encode(operators.OPERATOR_PREFIX, operator.operator_id), new_id()
    at_once = [case for case, rule in checked.accepted if not rule.two_persons]
    proposed = [case for case, rule in checked.accepted if rule.two_persons]
    await store.advance(tx, at_once)
    await store.advance(tx, proposed, proposal_id=proposal_id)
    entries = [_entry(case, "approved", by) for case in at_once] + [_entry(case, "proposed", by) for case in proposed]
    await store.write_history(tx, entries, now=now)
    if at_once:
        await operators.audit(tx, [_audit(at_once, operator, reason, request_id)], now=now)
    proposal = None
    if proposed:
        new = _proposal(proposed, proposal_id, operator, reason, request_id)
        (proposal,) = await operators.propose(tx, [new], now=now)
    return CaseDecisions(proposal, [case.difference_id for case in at_once], checked.refused)


def digest_of(chosen: Iterable[Difference]) -> str:
    """Return the digest of what is done to cases: their content, amounts, action and partner."""
    lines = sorted(
        f"{case.difference_id}:{case.content}:{case.currency}:{case.amount_minor}:{case.suspense_minor}:"
        f"{case.action}:{case.partner_id}"
        for case in chosen
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def totals_of(chosen: Iterable[Difference]) -> dict[str, dict[str, int]]:
    """Return the count and the amounts of cases by currency; long and short are never added up."""
    totals: dict[str, dict[str, int]] = {}
    for case in chosen:
        total = totals.setdefault(case.currency, {"count": 0, "long_minor": 0, "short_minor": 0})
        total["count"] += 1
        total["long_minor"] += max(case.amount_minor, 0)
        total["short_minor"] += max(-case.amount_minor, 0)
    return dict(sorted(totals.items()))


async def list_proposals(tx: db.Tx, *, now: datetime) -> list[operators.Proposal]:
    """Return the proposals that cases wait for, oldest first; one that is closed by now waits for `release_closed`."""
    rows = await sql.open_proposals_of_differences.fetch(tx)
    return [await operators.find_proposal(tx, row["proposal_id"], now=now) for row in rows]


async def release_closed(tx: db.Tx, *, now: datetime) -> int:
    """Take cases back from proposals that were rejected, have expired or are void. Return how many."""
    released: list[Difference] = []
    for proposal in await list_proposals(tx, now=now):
        if proposal.state != "open":
            rows = await sql.lock_proposed_differences.fetch(tx, proposal_id=proposal.proposal_id)
            released += [released_case(store.read(each)) for each in rows]
    await store.advance(tx, released)
    await store.write_history(tx, [CaseEntry(case.difference_id, "released") for case in released], now=now)
    return len(released)


def released_case(case: Difference) -> Difference:
    """Return a case as it is without its proposal."""
    state = DifferenceState.OPEN if case.owner_id is None else DifferenceState.ASSIGNED
    return replace(case, state=state, action=None, proposal_id=None, partner_id=None, reason=None)


async def _open_proposals(tx: db.Tx, locked: Iterable[Difference], *, now: datetime) -> set[UUID]:
    waiting = {case.proposal_id for case in locked if case.state is DifferenceState.PROPOSED}
    found = [await operators.find_proposal(tx, each, now=now) for each in sorted(each for each in waiting if each)]
    return {proposal.proposal_id for proposal in found if proposal.state == "open"}


def _take(
    decision: CaseDecision,
    locked: Mapping[UUID, Difference],
    in_progress: set[UUID],
    accepted: Mapping[UUID, object],
    operator: Operator,
) -> list[tuple[Difference, DifferenceRule]] | str:
    """Return the case of a decision, and its partner, as they would become; or the reason of a refusal."""
    case = locked.get(decision.difference_id)
    if case is None:
        return "no difference has this id"
    reason = _unfit(case, in_progress, accepted)
    if reason is not None:
        return reason
    if decision.content is not None and not case.content.startswith(decision.content):
        return "the difference has changed since it was exported"
    try:
        operators.check_reason(decision.reason)
    except HutongError as error:
        return error.detail
    rule = _permitted(case, decision.action, operator)
    if isinstance(rule, str):
        return rule
    chosen = _chosen(case, decision, rule, decision.partner_id)
    if decision.action is not DifferenceAction.PAIR:
        return "only pair takes a partner" if decision.partner_id else [(chosen, rule)]
    partner = locked.get(decision.partner_id) if decision.partner_id else None
    if partner is None or partner.difference_id == case.difference_id:
        return "pair needs another difference as the partner"
    reason = _unfit(partner, in_progress, accepted)
    if reason is not None:
        return f"the partner cannot be paired: {reason}"
    if partner.currency != case.currency or partner.suspense_minor != -case.suspense_minor or not case.suspense_minor:
        return "a pair needs the same amount in the same currency, once long and once short"
    other = _permitted(partner, DifferenceAction.PAIR, operator)
    if isinstance(other, str):
        return f"the partner cannot be paired: {other}"
    return [(chosen, rule), (_chosen(partner, decision, other, case.difference_id), other)]


def _permitted(case: Difference, action: DifferenceAction, operator: Operator) -> DifferenceRule | str:
    rule = rule_of(case, action)
    if isinstance(rule, str):
        return rule
    if not operator.role.covers(rule.role):
        return f"{action.value} needs the role {rule.role.value} here"
    if not operator.has_duty(case.layer, action):
        return f"{case.layer.value}:{action.value} is not among the duties of the operator"
    return rule


def _unfit(case: Difference, in_progress: set[UUID], accepted: Mapping[UUID, object]) -> str | None:
    if case.difference_id in accepted:
        return "the difference is decided twice in this list"
    if case.state is DifferenceState.RESOLVED:
        return "the difference is resolved"
    if case.state is DifferenceState.ROLLED:
        return "the difference waits for the next file"
    if case.state is DifferenceState.PROPOSED and case.proposal_id in in_progress:
        return "the difference is proposed already"
    return None


def _chosen(case: Difference, decision: CaseDecision, rule: DifferenceRule, partner_id: UUID | None) -> Difference:
    state = DifferenceState.PROPOSED if rule.two_persons else DifferenceState.APPROVED
    return replace(
        case, state=state, action=decision.action, reason=decision.reason, partner_id=partner_id, proposal_id=None
    )


def _entry(case: Difference, what: str, by: str) -> CaseEntry:
    return CaseEntry(case.difference_id, what, by, f"{case.action}: {case.reason}", case.amount_minor)


def _facts(chosen: Sequence[Difference]) -> dict[str, Any]:
    return {
        "digest": digest_of(chosen),
        "actions": dict(sorted(Counter(str(case.action) for case in chosen).items())),
        "totals": totals_of(chosen),
    }


def _object_of(chosen: Sequence[Difference]) -> tuple[str, str]:
    if len(chosen) == 1:
        return "difference", ids.encode(DIFFERENCE_PREFIX, chosen[0].difference_id)
    return "differences", digest_of(chosen)


def _proposal(
    chosen: Sequence[Difference], proposal_id: UUID, operator: Operator, reason: str, request_id: str | None
) -> operators.NewProposal:
    kind, object_id = _object_of(chosen)
    return operators.NewProposal(
        proposal_id=proposal_id,
        maker_id=operator.operator_id,
        action=RESOLVE,
        object_kind=kind,
        object_id=object_id,
        payload=_facts(chosen),
        reason=reason,
        request_id=request_id,
    )


def _audit(chosen: Sequence[Difference], operator: Operator, reason: str, request_id: str | None) -> Any:
    kind, object_id = _object_of(chosen)
    return operators.AuditEntry(
        operator.operator_id, "difference.approve", kind, object_id, reason, after=_facts(chosen),
        request_id=request_id,
    )  # fmt: skip
