"""`hutong routing …`: where payments go, why they went there, and what would be otherwise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction
from hutong.cli.routing.experiments import trial
from hutong.cli.routing.suggestions import suggestions

if TYPE_CHECKING:
    from hutong import db

routing = typer.Typer(help="Where payments go, why, and what a draft would change.", no_args_is_help=True)
routing.add_typer(suggestions, name="suggestions")
routing.add_typer(trial, name="trial")

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A configuration, or a file of decision tables that becomes its rules.")
]
Draft = Annotated[Path, typer.Option("--draft", metavar="FILE", help="A configuration, or a file of decision tables.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Such as wechat/main.")]
Proposal = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Such as prp_…")]


@routing.command("explain")
def explain(
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="Such as pay_…")], as_json: Json = False
) -> None:
    """Tell of each try of a payment which accounts there were, why some did not qualify, and why one was chosen."""
    from hutong import ids, payments
    from hutong.errors import NotFound

    identifier = ids.decode("pay", payment)

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        found = await payments.find_decisions(tx, identifier)
        return [payments.decision_document(one) for one in found if one.record is not None]

    decisions = in_transaction(work)
    if not decisions:
        raise NotFound("no decision of such a payment is kept")
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
        typer.Option("--accounts", help="Also against the accounts in the database: names, and a way for payments."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say whether a file may be published, and if not, its line and why. Without --accounts no database is asked."""
    from hutong.cli.routing.publish import run_check

    sys.exit(run_check(file, here=here, as_json=as_json))


@routing.command("publish")
def publish(
    file: File,
    key: KeyFile,
    reason: Reason,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Although it was tried and its trial does not speak for it; say why.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a file against the accounts and propose it; it is in force once another person has approved it."""
    from hutong.cli.routing.publish import run_publish

    run_publish(file, key, reason, anyway=anyway, as_json=as_json)


@routing.command("approve")
def approve(proposal: Proposal, key: KeyFile, reason: Reason) -> None:
    """Approve what somebody else has proposed; every process goes by it within two seconds."""
    from hutong.cli.routing.publish import run_decide

    run_decide(proposal, key, reason, approve=True)


@routing.command("reject")
def reject(proposal: Proposal, key: KeyFile, reason: Reason) -> None:
    """Reject what somebody else has proposed."""
    from hutong.cli.routing.publish import run_decide

    run_decide(proposal, key, reason, approve=False)


@routing.command("status")
def status(as_json: Json = False) -> None:
    """Show how the accounts are doing at each method and why, what is in force, and what operators want."""
    from hutong.cli.routing.status import run_status

    run_status(as_json=as_json)


@routing.command("pin")
def pin(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="Such as payment; * is every one.")],
    account: Account,
    until: Annotated[str, typer.Option("--until", help="When it ends: an instant, or such as 30m, 2h or 1d.")],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Send everything through one account until an end within seven days, however it is doing."""
    from hutong.cli.routing.overrides import run_pin

    run_pin("" if product == "*" else product, account, until, key, reason, as_json=as_json)


@routing.command("block")
def block(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Such as wechat/main, or a channel.")],
    key: KeyFile,
    reason: Reason,
    until: Annotated[str | None, typer.Option("--until", help="When it ends; by default when it is lifted.")] = None,
    as_json: Json = False,
) -> None:
    """Send nothing new through an account, or through a channel."""
    from hutong.cli.routing.overrides import run_block

    run_block(account, until, key, reason, as_json=as_json)


@routing.command("lift")
def lift(
    override: Annotated[str, typer.Argument(metavar="OVERRIDE", help="Such as rto_…")], key: KeyFile, reason: Reason
) -> None:
    """End a pin or a block before its time."""
    from hutong.cli.routing.overrides import run_lift

    run_lift(override, key, reason)


@routing.command("replay")
def replay(
    start: Annotated[str, typer.Option("--from", help="An instant, or how long ago: 30m, 2h or 1d.")],
    draft: Draft,
    end: Annotated[str | None, typer.Option("--to", help="The same; by default now.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Also draw it into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Make the recorded decisions of a time again under a draft and show, by account, what would change.

    First each is made again under the configuration that was in force, which must give what was recorded.
    """
    from hutong.cli.routing.replay import run_replay

    sys.exit(run_replay(start, end, draft, picture, as_json=as_json))


def _print(decision: dict[str, Any]) -> None:
    what = f"{decision['amount_minor']} {decision['currency']} by {decision['method']}"
    print(f"{decision['attempt_id']}  {decision['decided_at']}  {what}")
    print(f"  went to {decision['chosen']} by {decision['how']}, configuration {decision['configuration']}")
    print(f"  came to {decision['outcome']}{'' if decision['code'] is None else ': ' + decision['code']}")
    if decision["formula"]:
        print(f"  score = {decision['formula']}")
    for candidate in sorted(decision["candidates"], key=lambda one: -(one["score"] or 0)):
        score = "" if candidate["score"] is None else f"{candidate['score']:.4f}"
        print(f"  {candidate['account']:<32} {score:>8}  {candidate['refused'] or ''}")
        factors = "  ".join(f"{name} {value:.4g}" for name, value in candidate["factors"].items())
        if factors:
            print(f"    {factors}")
        for words in (candidate["explanation"], candidate["explanation_zh"]):
            if words:
                print(f"    {words}")
