"""`hutong routing check`, `publish`, `approve` and `reject`."""

from __future__ import annotations

import json
from pathlib import Path

from hutong import db, ids, operators, routing
from hutong.cli.common import in_transaction, read_key
from hutong.cli.routing.state import acting_operator, active_configuration, new_id, read_text, with_routing
from hutong.clock import SystemClock
from hutong.errors import InvalidParameter


def run_check(file: Path, *, here: bool, as_json: bool) -> int:
    """Check a file; return the exit status, 0 if the file may be published."""
    source = read_text(file)

    async def against_accounts(database: db.Database, state: routing.RoutingState) -> None:
        version, active = await active_configuration(database)
        file = routing.ConfigurationFile(source, active=active)
        file.check(version=version + 1, candidates=state.candidates)

    try:
        if here:
            with_routing(against_accounts)
        else:
            routing.ConfigurationFile(source).check(version=1, candidates=None)
    except InvalidParameter as error:
        if not as_json:
            raise
        print(json.dumps({"ok": False, "code": error.code, "param": error.param, "detail": error.detail}))
        return 1
    print(json.dumps({"ok": True}) if as_json else "it may be published")
    return 0


def run_publish(file: Path, key: Path, reason: str, *, anyway: bool, as_json: bool) -> None:
    """Check a file and propose it."""
    source = read_text(file)

    async def work(database: db.Database, state: routing.RoutingState) -> operators.Proposal:
        version, active = await active_configuration(database)
        draft = routing.ConfigurationFile(source, active=active)
        draft.check(version=version + 1, candidates=state.candidates)

        async def propose(tx: db.Tx) -> operators.Proposal:
            return await routing.propose_configuration(
                tx,
                draft.document,
                candidates=state.candidates,
                anyway=anyway,
                proposal_id=new_id(),
                maker_id=await acting_operator(tx, key),
                reason=reason,
                now=SystemClock().now(),
            )

        return await database.run(propose)

    show_proposal(with_routing(work), as_json=as_json)


def run_decide(proposal: str, key: Path, reason: str, *, approve: bool) -> None:
    """Approve or reject another person's proposal about routing."""
    identifier = ids.decode(operators.PROPOSAL_PREFIX, proposal)

    async def work(tx: db.Tx) -> None:
        checker = await operators.authenticate(tx, read_key(key))
        decision = operators.ApprovalDecision(identifier, checker.operator_id, approve, reason)
        await operators.conclude(tx, decision, routing.APPROVAL_HANDLERS, now=SystemClock().now())

    in_transaction(work)
    print("approved; every process applies it within two seconds" if approve else "rejected")


def show_proposal(proposal: operators.Proposal, *, as_json: bool) -> None:
    """Print a proposal that waits for a second person."""
    shown = {"proposal_id": ids.encode(operators.PROPOSAL_PREFIX, proposal.proposal_id), "state": proposal.state}
    print(json.dumps(shown) if as_json else f"{shown['proposal_id']} waits for another person to approve it")
