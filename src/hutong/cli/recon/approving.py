"""`hutong recon resolve proposals`, `approve` and `reject`: the second person of decisions about differences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction, on_platform, read_key
from hutong.cli.output import print_json, print_line, print_result
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import app, db, operators

approving = typer.Typer()
ProposalId = Annotated[str, typer.Argument(metavar="PROPOSAL", help="The proposal, prp_….")]


@approving.command("proposals")
def list_proposals(as_json: Json = False) -> None:
    """List the proposals about differences that wait for another person, oldest first."""
    from hutong import ids, operators
    from hutong.clock import SystemClock, instant
    from hutong.reconciliation import differences

    now = SystemClock().now()
    documents = [
        {
            "proposal_id": ids.encode(operators.PROPOSAL_PREFIX, proposal.proposal_id),
            "maker_id": ids.encode(operators.OPERATOR_PREFIX, proposal.maker_id),
            "reason": proposal.reason,
            "expires_at": instant(proposal.expires_at),
            "actions": proposal.payload["actions"],
            "totals": proposal.payload["totals"],
        }
        for proposal in in_transaction(lambda tx: differences.list_proposals(tx, now=now))
        if proposal.state == "open"
    ]
    if as_json:
        print_json({"proposals": documents})
    elif documents:
        counted = [{"cases": sum(total["count"] for total in each["totals"].values())} for each in documents]
        shown = ("proposal_id", "maker_id", "reason", "expires_at")
        print_table(
            [{name: each[name] for name in shown} | count for each, count in zip(documents, counted, strict=True)]
        )
    else:
        print_line("no proposal waits")


@approving.command("approve")
def approve(proposal: ProposalId, key: KeyFile, reason: Reason, as_json: Json = False) -> None:
    """Approve another person's proposal about differences: what it decides is done now, or it stays open."""
    _conclude(proposal, key, reason, approve=True, as_json=as_json)


@approving.command("reject")
def reject(proposal: ProposalId, key: KeyFile, reason: Reason, as_json: Json = False) -> None:
    """Reject another person's proposal about differences; its cases go back to their owners."""
    _conclude(proposal, key, reason, approve=False, as_json=as_json)


def _conclude(proposal: str, key: Path, reason: str, *, approve: bool, as_json: bool) -> None:
    from hutong import ids, operators
    from hutong.errors import InvalidParameter
    from hutong.reconciliation import differences

    identifier = ids.decode(operators.PROPOSAL_PREFIX, proposal)

    async def work(platform: app.Platform) -> operators.Proposal:
        handlers, now = differences.approval_handlers(platform.transactions), platform.clock.now()

        async def conclude(tx: db.Tx) -> operators.Proposal:
            checker = await operators.authenticate(tx, read_key(key))
            if (await operators.find_proposal(tx, identifier, now=now)).action not in handlers:
                raise InvalidParameter("the proposal is not about differences", param="PROPOSAL")
            decision = operators.ApprovalDecision(identifier, checker.operator_id, approve, reason)
            return await operators.conclude(tx, decision, handlers, now=now)

        return await platform.database.run(conclude)

    state = on_platform(work).state
    print_result({"proposal_id": proposal, "state": state}, f"{proposal} is {state}", as_json=as_json)
