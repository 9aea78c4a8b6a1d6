"""Proposals on the command line: how one is shown, and how a second person decides it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hutong.cli.common import in_transaction, read_key
from hutong.cli.output import print_result
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db, operators


def show_proposal(proposal: operators.Proposal, *, as_json: bool) -> None:
    """Print a proposal that waits for a second person."""
    from hutong import ids, operators

    shown = {"proposal_id": ids.encode(operators.PROPOSAL_PREFIX, proposal.proposal_id), "state": proposal.state}
    print_result(shown, f"{shown['proposal_id']} waits for another person to approve it", as_json=as_json)


def decide_proposal(
    proposal_id: str, key: Path, reason: str, handlers: Mapping[str, operators.ApprovalHandler], *, approve: bool
) -> None:
    """Approve or reject another person's proposal, as the operator of the key. Errors as `operators.conclude`.

    Args:
        handlers: The effects of the actions that the command may approve.
    """
    from hutong import ids, operators

    identifier = ids.decode(operators.PROPOSAL_PREFIX, proposal_id)

    async def work(tx: db.Tx) -> None:
        checker = await operators.authenticate(tx, read_key(key))
        decision = operators.ApprovalDecision(identifier, checker.operator_id, approve, reason)
        await operators.conclude(tx, decision, handlers, now=SystemClock().now())

    in_transaction(work)
