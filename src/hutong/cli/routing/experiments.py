"""`hutong routing trial …`: a draft is tried on a share of the payments before it is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction

if TYPE_CHECKING:
    from hutong import db, operators, routing

trial = typer.Typer(help="Drafts that are tried on a share of the payments.", no_args_is_help=True)

Draft = Annotated[Path, typer.Option("--draft", metavar="FILE", help="A configuration, or a file of decision tables.")]


@trial.command("start")
def start(
    draft: Draft,
    key: KeyFile,
    reason: Reason,
    share: Annotated[float, typer.Option("--share", help="How many payments in a hundred; at most 50.")] = 5.0,
    guardrail: Annotated[
        float,
        typer.Option(
            "--guardrail", help="How many points its success rate may be below; significantly beyond, it ends."
        ),
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Propose to try a draft; it starts once another person has approved it."""
    from hutong import routing
    from hutong.cli.routing.publish import show_proposal
    from hutong.cli.routing.state import acting, new_id, read_text, standing_document, with_routing
    from hutong.clock import SystemClock

    source = read_text(draft)

    async def work(database: db.Database, live: routing.RoutingState) -> operators.Proposal:
        version, standing = await standing_document(database)
        read = routing.Draft(source, standing=standing)
        read.check(version=version, candidates=live.candidates)

        async def propose(tx: db.Tx) -> operators.Proposal:
            return await routing.propose_trial(
                tx,
                read.document,
                version=version,
                share=share / 100,
                guardrail=guardrail / 100,
                candidates=live.candidates,
                proposal_id=new_id(),
                maker_id=await acting(tx, key),
                reason=reason,
                now=SystemClock().now(),
            )

        return await database.run(propose)

    show_proposal(with_routing(work), as_json=as_json)


@trial.command("status")
def status(as_json: Json = False) -> None:
    """Show what has come of both arms of the trial that runs, or of the last one."""
    from hutong import routing
    from hutong.errors import NotFound

    found = in_transaction(routing.latest_trial)
    if found is None:
        raise NotFound("no draft was ever tried")
    document = routing.trial_document(found)
    print(json.dumps(document)) if as_json else _print(document)


@trial.command("stop")
def stop(key: KeyFile, reason: Reason) -> None:
    """End the trial that runs; every process goes by the configuration in force within two seconds."""
    from hutong import routing
    from hutong.cli.routing.state import acting
    from hutong.clock import SystemClock

    async def work(tx: db.Tx) -> None:
        operator_id = await acting(tx, key)
        await routing.end_trial(tx, operator_id=operator_id, reason=reason, now=SystemClock().now())

    in_transaction(work)
    print("ended; every process goes by the configuration in force within two seconds")


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    state = "runs" if document["ended_at"] is None else f"ended {document['ended_at']}: {document['end_reason']}"
    print(f"{document['id']}  {document['share']:.1%} since {document['started_at']}; {state}")
    table = Table("arm", "over", "succeeded", "success", "currency", "taken", "cost", "of what was taken")
    for arm in document["arms"]:
        head = arm["arm"], str(arm["ended"]), str(arm["succeeded"]), _share(arm["success"])
        for place, its in enumerate(arm["currencies"]):
            shown = its["currency"], its["captured"], its["cost"], _share(its["cost_share"])
            table.add_row(*(head if place == 0 else ("",) * len(head)), *shown)
        if not arm["currencies"]:
            table.add_row(*head)
    Console().print(table)
    found = document["comparison"]
    interval = f"{found['low']:+.2%} to {found['high']:+.2%}"
    print(f"difference {found['difference']:+.2%} ({interval}, 95 % over all looks), p-value {found['p_value']:.3g}")
    print(f"the draft is {document['verdict']}; it may be {document['guardrail']:.2%} below")


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
