"""`hutong routing …`: the configuration of routing, the decisions that were made, and changes to both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, in_transaction
from hutong.cli.output import print_json, print_line
from hutong.cli.routing.experiments import trial
from hutong.cli.routing.options import Draft
from hutong.cli.routing.overrides import overriding
from hutong.cli.routing.publish import publishing
from hutong.cli.routing.status import watching
from hutong.cli.routing.suggestions import suggestions

if TYPE_CHECKING:
    from hutong import db

routing = typer.Typer(help="Where payments go, why, and what a draft would change.", no_args_is_help=True)
routing.add_typer(publishing)
routing.add_typer(watching)
routing.add_typer(overriding)
routing.add_typer(suggestions, name="suggestions")
routing.add_typer(trial, name="trial")


@routing.command("explain")
def explain(
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment, pay_….")], as_json: Json = False
) -> None:
    """Explain each attempt of a payment: the accounts, why some did not qualify, and why one was selected."""
    from hutong import ids, payments, routing
    from hutong.errors import NotFound

    identifier = ids.decode("pay", payment)

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        existing = (await payments.find(tx, [identifier])).get(identifier)
        attempt_ids = [] if existing is None else [attempt.attempt_id for attempt in existing.attempts]
        outcomes = await payments.attempt_outcomes(tx, attempt_ids)
        decisions = await routing.find_decisions(tx, attempt_ids)
        return [routing.decision_document(decision, outcomes[decision.attempt_id]) for decision in decisions]

    decisions = in_transaction(work)
    if not decisions:
        raise NotFound("no decision is recorded for this payment")
    if as_json:
        print_json({"decisions": decisions}, default=str)
        return
    for decision in decisions:
        _print(decision)


@routing.command("replay")
def replay(
    start: Annotated[
        str, typer.Option("--from", help="The start: an instant, or how long ago, such as 30m, 2h or 1d.")
    ],
    draft: Draft,
    end: Annotated[str | None, typer.Option("--to", help="The end, in the same form; by default now.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Also draw the result into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Make recorded decisions again under a draft and show, by account, what would change.

    Each decision is first made again under the configuration that was in force, which must give the recorded one.
    """
    from hutong.cli.routing.replay import run_replay

    sys.exit(run_replay(start, end, draft, picture, as_json=as_json))


def _print(decision: dict[str, Any]) -> None:
    payment = f"{decision['amount_minor']} {decision['currency']} by {decision['method']}"
    print_line(f"{decision['attempt_id']}  {decision['decided_at']}  {payment}")
    print_line(f"  went to {decision['chosen']} by {decision['how']}, configuration {decision['configuration']}")
    print_line(f"  outcome: {decision['outcome']}{'' if decision['code'] is None else ', ' + decision['code']}")
    if decision["formula"]:
        print_line(f"  score = {decision['formula']}")
    for candidate in sorted(decision["candidates"], key=lambda each: -(each["score"] or 0)):
        score = "" if candidate["score"] is None else f"{candidate['score']:.4f}"
        print_line(f"  {candidate['account']:<32} {score:>8}  {candidate['refused'] or ''}")
        factors = "  ".join(f"{name} {value:.4g}" for name, value in candidate["factors"].items())
        if factors:
            print_line(f"    {factors}")
        for explanation in (candidate["explanation"], candidate["explanation_zh"]):
            if explanation:
                print_line(f"    {explanation}")
