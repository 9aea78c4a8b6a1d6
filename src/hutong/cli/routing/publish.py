"""`hutong routing check`, `publish`, `approve` and `reject`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason, exit_status
from hutong.cli.output import print_json, print_line, print_result
from hutong.cli.proposals import decide_proposal, show_proposal

if TYPE_CHECKING:
    from hutong import db, operators, routing

publishing = typer.Typer()

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A configuration, or a file of decision tables that becomes its rules.")
]
ProposalId = Annotated[str, typer.Argument(metavar="PROPOSAL", help="The proposal, prp_….")]


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
        print_json({"ok": False, "code": error.code, "param": error.param, "detail": error.detail})
        sys.exit(exit_status(error))
    print_result({"ok": True}, "it may be published", as_json=as_json)


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
    from hutong.routing import APPROVAL_HANDLERS

    decide_proposal(proposal, key, reason, APPROVAL_HANDLERS, approve=True)
    print_line("approved; every process applies it within two seconds")


@publishing.command("reject")
def reject(proposal: ProposalId, key: KeyFile, reason: Reason) -> None:
    """Reject another person's proposal."""
    decide_proposal(proposal, key, reason, {}, approve=False)
    print_line("rejected")
