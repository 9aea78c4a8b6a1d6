"""`hutong routing …`: why payments went where they did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hutong import db

routing = typer.Typer(help="Why payments went where they did.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


@routing.command("explain")
def explain(
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="Such as pay_…")], as_json: Json = False
) -> None:
    """Tell of each try of a payment which accounts there were, why some did not qualify, and why one was chosen."""
    from hutong import config, ids, payments
    from hutong.cli.transaction import in_transaction
    from hutong.errors import NotFound

    identifier = ids.decode("pay", payment)

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        found = await payments.find_decisions(tx, identifier)
        return [payments.decision_document(one) for one in found if one.record is not None]

    decisions = in_transaction(config.load(), work)
    if not decisions:
        raise NotFound("no decision of such a payment is kept")
    if as_json:
        print(json.dumps({"decisions": decisions}, default=str))
        return
    for decision in decisions:
        _print(decision)


def _print(decision: dict[str, Any]) -> None:
    what = f"{decision['amount_minor']} {decision['currency']} by {decision['method']}"
    print(f"{decision['attempt_id']}  {decision['decided_at']}  {what}")
    print(f"  went to {decision['chosen']} by {decision['how']}, configuration {decision['configuration']}")
    print(f"  came to {decision['outcome']}{'' if decision['code'] is None else ': ' + decision['code']}")
    for candidate in sorted(decision["candidates"], key=lambda one: -(one["score"] or 0)):
        score = "" if candidate["score"] is None else f"{candidate['score']:.4f}"
        print(f"  {candidate['account']:<32} {score:>8}  {candidate['refused'] or ''}")
        factors = "  ".join(f"{name} {value:.4g}" for name, value in candidate["factors"].items())
        if factors:
            print(f"    {factors}")
        if candidate["explanation"]:
            print(f"    {candidate['explanation']}")
