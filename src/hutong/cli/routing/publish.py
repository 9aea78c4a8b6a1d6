"""`hutong routing check`, `publish`, `approve` and `reject`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction, read_key

if TYPE_CHECKING:
    from hutong import db, operators, routing

publishing = typer.Typer()

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A configuration, or a file of decision tables that becomes its rules.")
]
ProposalId = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Such as prp_…")]


@publishing.command("check")
def check(
    file: File,
    here: Annotated[
        bool,
        typer.Option("--accounts", help="Also check names against the accounts in the database, and that one is left."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check whether a file may be published; if not, print the line and why. Needs a database only with --accounts."""
    from hutong import routing
    from hutong.cli.routing.state import read_draft, read_text, with_routing
    from hutong.errors import InvalidParameter

    source = read_text(file)

    async def against_accounts(database: db.Database, state: routing.RoutingState) -> None:
        await read_draft(database, state, source)

    try:
        if here:
            with_routing(against_accounts)
        else:
            routing.ConfigurationFile(source).check(version=1, candidates=None)
    except InvalidParameter as error:
        if not as_json:
            raise
        print(json.dumps({"ok": False, "code": error.code, "param": error.param, "detail": error.detail}))
        sys.exit(1)
    print(json.dumps({"ok": True}) if as_json else "it may be published")


@publishing.command("publish")
def publish(
    file: File,
    key: KeyFile,
    reason: Reason,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Publish although its trial does not support it; the reason says why.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a file against the accounts and propose it; it comes into force once another person has approved it."""
    from hutong import routing
    from hutong.cli.routing.state import acting_operator, new_id, read_draft, read_text, with_routing
    from hutong.clock import SystemClock

    source = read_text(file)

    async def work(database: db.Database, state: routing.RoutingState) -> operators.Proposal:
        draft = await read_draft(database, state, source)

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


@publishing.command("approve")
def approve(proposal: ProposalId, key: KeyFile, reason: Reason) -> None:
    """Approve another person's proposal; every process applies it within two seconds."""
    _decide(proposal, key, reason, approve=True)
    print("approved; every process applies it within two seconds")


@publishing.command("reject")
def reject(proposal: ProposalId, key: KeyFile, reason: Reason) -> None:
    """Reject another person's proposal."""
    _decide(proposal, key, reason, approve=False)
    print("rejected")


def _decide(proposal: str, key: Path, reason: str, *, approve: bool) -> None:
    from hutong import ids, operators, routing
    from hutong.clock import SystemClock

    identifier = ids.decode(operators.PROPOSAL_PREFIX, proposal)

    async def work(tx: db.Tx) -> None:
        checker = await operators.authenticate(tx, read_key(key))
        decision = operators.ApprovalDecision(identifier, checker.operator_id, approve, reason)
        await operators.conclude(tx, decision, routing.APPROVAL_HANDLERS, now=SystemClock().now())

    in_transaction(work)


def show_proposal(proposal: operators.Proposal, *, as_json: bool) -> None:
    """Print a proposal that waits for a second person."""
    from hutong import ids, operators

    shown = {"proposal_id": ids.encode(operators.PROPOSAL_PREFIX, proposal.proposal_id), "state": proposal.state}
    print(json.dumps(shown) if as_json else f"{shown['proposal_id']} waits for another person to approve it")
