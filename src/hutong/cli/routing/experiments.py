"""`hutong routing trial …`: a draft routes a share of the payments before it is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason
from hutong.cli.output import print_json, print_line
from hutong.cli.proposals import show_proposal
from hutong.cli.routing.options import Draft
from hutong.cli.tables import console

if TYPE_CHECKING:
    from hutong import db, operators, routing

trial = typer.Typer(help="Drafts that route a share of the payments.", no_args_is_help=True)


@trial.command("start")
def start(
    draft: Draft,
    key: KeyFile,
    reason: Reason,
    share: Annotated[
        float, typer.Option("--share", help="The share of payments for the draft, in percent; at most 50.")
    ] = 5.0,
    guardrail: Annotated[
        float,
        typer.Option(
            "--guardrail",
            help="How many percentage points lower its success rate may be; the trial ends if significantly more.",
        ),
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Propose to route a share of the payments by a draft; it starts once another person has approved it."""
    from hutong import routing
    from hutong.cli.routing.state import acting_operator, new_id, read_draft, read_text, with_routing
    from hutong.clock import SystemClock

    source = read_text(draft)

    async def work(database: db.Database, state: routing.RoutingState) -> operators.Proposal:
        checked = await read_draft(database, state, source)

        async def propose(tx: db.Tx) -> operators.Proposal:
            return await routing.propose_experiment(
                tx,
                checked.document,
                version=checked.version,
                share=share / 100,
                guardrail=guardrail / 100,
                candidates=state.candidates,
                proposal_id=new_id(),
                maker_id=await acting_operator(tx, key),
                reason=reason,
                now=SystemClock().now(),
            )

        return await database.run(propose)

    show_proposal(with_routing(work), as_json=as_json)


@trial.command("status")
def status(as_json: Json = False) -> None:
    """Show the outcomes of both arms of the running trial, or of the latest one."""
    from hutong import routing
    from hutong.cli.common import in_transaction
    from hutong.errors import NotFound

    latest = in_transaction(routing.latest_experiment)
    if latest is None:
        raise NotFound("no draft was ever tried")
    document = routing.experiment_document(latest)
    print_json(document) if as_json else _print(document)


@trial.command("stop")
def stop(key: KeyFile, reason: Reason) -> None:
    """End the running trial; every process applies the configuration in force within two seconds."""
    from hutong import routing
    from hutong.cli.common import in_transaction
    from hutong.cli.routing.state import acting_operator
    from hutong.clock import SystemClock

    async def work(tx: db.Tx) -> None:
        operator_id = await acting_operator(tx, key)
        await routing.end_experiment(tx, operator_id=operator_id, reason=reason, now=SystemClock().now())

    in_transaction(work)
    print_line("ended; every process applies the configuration in force within two seconds")


def _print(document: dict[str, Any]) -> None:
    from rich.table import Table

    state = "running" if document["ended_at"] is None else f"ended {document['ended_at']}: {document['end_reason']}"
    print_line(f"{document['id']}  {document['share']:.1%} since {document['started_at']}; {state}")
    table = Table("arm", "ended", "succeeded", "success", "currency", "captured", "cost", "share of captured")
    for arm in document["arms"]:
        head = arm["arm"], str(arm["ended"]), str(arm["succeeded"]), _share(arm["success"])
        for number, line in enumerate(arm["currencies"]):
            shown = line["currency"], line["captured"], line["cost"], _share(line["cost_share"])
            table.add_row(*(head if number == 0 else ("",) * len(head)), *shown)
        if not arm["currencies"]:
            table.add_row(*head)
    console().print(table)
    comparison = document["comparison"]
    interval = f"{comparison['low']:+.2%} to {comparison['high']:+.2%}, 95 % over all looks"
    print_line(f"difference {comparison['difference']:+.2%} ({interval}), p-value {comparison['p_value']:.3g}")
    print_line(f"the draft is {document['verdict']}; it may be {document['guardrail']:.2%} below")


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
