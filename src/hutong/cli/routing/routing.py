"""`hutong routing …`: the configuration of routing, the decisions that were made, and changes to both."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction
from hutong.cli.routing.experiments import trial
from hutong.cli.routing.options import Draft
from hutong.cli.routing.suggestions import suggestions

if TYPE_CHECKING:
    from hutong import db

routing = typer.Typer(help="Where payments go, why, and what a draft would change.", no_args_is_help=True)
routing.add_typer(suggestions, name="suggestions")
routing.add_typer(trial, name="trial")

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A configuration, or a file of decision tables that becomes its rules.")
]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Such as wechat/main.")]
Proposal = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Such as prp_…")]


@routing.command("explain")
def explain(
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="Such as pay_…")], as_json: Json = False
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
        print(json.dumps({"decisions": decisions}, default=str))
        return
    for decision in decisions:
        _print(decision)


@routing.command("check")
def check(
    file: File,
    here: Annotated[
        bool,
        typer.Option("--accounts", help="Also check names against the accounts in the database, and that one is left."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check whether a file may be published; if not, print the line and why. Needs a database only with --accounts."""
    from hutong.cli.routing.publish import run_check

    sys.exit(run_check(file, here=here, as_json=as_json))


@routing.command("publish")
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
    from hutong.cli.routing.publish import run_publish

    run_publish(file, key, reason, anyway=anyway, as_json=as_json)


@routing.command("approve")
def approve(proposal: Proposal, key: KeyFile, reason: Reason) -> None:
    """Approve another person's proposal; every process applies it within two seconds."""
    from hutong.cli.routing.publish import run_decide

    run_decide(proposal, key, reason, approve=True)


@routing.command("reject")
def reject(proposal: Proposal, key: KeyFile, reason: Reason) -> None:
    """Reject another person's proposal."""
    from hutong.cli.routing.publish import run_decide

    run_decide(proposal, key, reason, approve=False)


@routing.command("status")
def status(as_json: Json = False) -> None:
    """Show the health of the accounts at each method, the configuration in force, and the overrides."""
    from hutong.cli.routing.status import run_status

    run_status(as_json=as_json)


@routing.command("pin")
def pin(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="Such as payment; * is every product.")],
    account: Account,
    until: Annotated[str, typer.Option("--until", help="The end: an instant, or a duration such as 30m, 2h or 1d.")],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Send all payments through one account, whatever its health, until an end within seven days."""
    from hutong.cli.routing.overrides import run_pin

    run_pin("" if product == "*" else product, account, until, key, reason, as_json=as_json)


@routing.command("block")
def block(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Such as wechat/main, or a channel.")],
    key: KeyFile,
    reason: Reason,
    until: Annotated[
        str | None, typer.Option("--until", help="The end; by default the block lasts until it is lifted.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send no new payments through an account, or through a channel."""
    from hutong.cli.routing.overrides import run_block

    run_block(account, until, key, reason, as_json=as_json)


@routing.command("lift")
def lift(
    override: Annotated[str, typer.Argument(metavar="OVERRIDE", help="Such as rto_…")], key: KeyFile, reason: Reason
) -> None:
    """Lift a pin or a block before its end."""
    from hutong.cli.routing.overrides import run_lift

    run_lift(override, key, reason)


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
    print(f"{decision['attempt_id']}  {decision['decided_at']}  {payment}")
    print(f"  went to {decision['chosen']} by {decision['how']}, configuration {decision['configuration']}")
    print(f"  outcome: {decision['outcome']}{'' if decision['code'] is None else ', ' + decision['code']}")
    if decision["formula"]:
        print(f"  score = {decision['formula']}")
    for candidate in sorted(decision["candidates"], key=lambda each: -(each["score"] or 0)):
        score = "" if candidate["score"] is None else f"{candidate['score']:.4f}"
        print(f"  {candidate['account']:<32} {score:>8}  {candidate['refused'] or ''}")
        factors = "  ".join(f"{name} {value:.4g}" for name, value in candidate["factors"].items())
        if factors:
            print(f"    {factors}")
        for explanation in (candidate["explanation"], candidate["explanation_zh"]):
            if explanation:
                print(f"    {explanation}")
