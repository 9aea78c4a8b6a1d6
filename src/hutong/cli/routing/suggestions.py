"""`hutong routing suggestions …`: switches that wait for an operator's word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction

if TYPE_CHECKING:
    from hutong import db, routing

suggestions = typer.Typer(help="Switches that wait for an operator's word.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SUGGESTION", help="Such as rts_…")]


@suggestions.command("list")
def list_all(as_json: Json = False) -> None:
    """Show what health suggests where operators confirm each switch."""
    from hutong import routing

    found = [routing.suggestion_document(one) for one in in_transaction(routing.standing_suggestions)]
    if as_json:
        print(json.dumps({"suggestions": found}))
        return
    for one in found:
        dismissed = " (dismissed)" if one["dismissed_at"] else ""
        print(
            f"{one['id']}  {one['what']} {one['account']} {one['interface']}: {one['why']}, {one['since']}{dismissed}"
        )
    if not found:
        print("There is none.")


@suggestions.command("confirm")
def confirm(suggestion: Name, key: KeyFile, reason: Reason) -> None:
    """Do what is suggested; every process goes by it within two seconds. One person is enough."""
    done = _decide(suggestion, key, reason, confirm=True)
    verb = "left" if done.what == "leave" else "used again"
    print(f"{done.account} is {verb} for {done.interface} by every process within two seconds")


@suggestions.command("dismiss")
def dismiss(suggestion: Name, key: KeyFile, reason: Reason) -> None:
    """Leave things as they are; it does not come again while health says the same."""
    _decide(suggestion, key, reason, confirm=False)
    print("dismissed")


def _decide(suggestion: str, key: Path, reason: str, *, confirm: bool) -> routing.Suggestion:
    from hutong import ids, routing
    from hutong.cli.routing.state import acting, new_id
    from hutong.clock import SystemClock

    identifier = ids.decode(routing.SUGGESTION_PREFIX, suggestion)

    async def work(tx: db.Tx) -> routing.Suggestion:
        return await routing.decide_suggestion(
            tx,
            identifier,
            confirm=confirm,
            operator_id=await acting(tx, key),
            reason=reason,
            override_id=new_id(),
            now=SystemClock().now(),
        )

    return in_transaction(work)
