"""`hutong routing suggestions …`: switches that an operator has to confirm or dismiss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason
from hutong.cli.output import print_json, print_line

if TYPE_CHECKING:
    from hutong import db, routing

suggestions = typer.Typer(help="Switches that an operator has to confirm or dismiss.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SUGGESTION", help="The suggestion, rts_….")]


@suggestions.command("list")
def list_all(as_json: Json = False) -> None:
    """List the switches that health suggests where operators confirm them."""
    from hutong import routing
    from hutong.cli.common import in_transaction

    found = [routing.suggestion_document(each) for each in in_transaction(routing.list_suggestions)]
    if as_json:
        print_json({"suggestions": found})
        return
    for each in found:
        switch = f"{each['what']} {each['account']} {each['interface']}"
        dismissed = " (dismissed)" if each["dismissed_at"] else ""
        print_line(f"{each['id']}  {switch}: {each['why']}, {each['since']}{dismissed}")
    if not found:
        print_line("There are no suggestions.")


@suggestions.command("confirm")
def confirm(suggestion: Name, key: KeyFile, reason: Reason) -> None:
    """Confirm a suggestion; every process applies it within two seconds. One person is enough."""
    confirmed = _decide(suggestion, key, reason, confirm=True)
    verb = "left" if confirmed.what == "leave" else "used again"
    print_line(f"{confirmed.account} is {verb} for {confirmed.interface} by every process within two seconds")


@suggestions.command("dismiss")
def dismiss(suggestion: Name, key: KeyFile, reason: Reason) -> None:
    """Dismiss a suggestion; it is not repeated while health stays the same."""
    _decide(suggestion, key, reason, confirm=False)
    print_line("dismissed")


def _decide(suggestion: str, key: Path, reason: str, *, confirm: bool) -> routing.Suggestion:
    from hutong import ids, routing
    from hutong.cli.common import in_transaction
    from hutong.cli.routing.state import acting_operator, new_id
    from hutong.clock import SystemClock

    identifier = ids.decode(routing.Suggestion.PREFIX, suggestion)

    async def work(tx: db.Tx) -> routing.Suggestion:
        return await routing.decide_suggestion(
            tx,
            identifier,
            confirm=confirm,
            operator_id=await acting_operator(tx, key),
            reason=reason,
            override_id=new_id(),
            now=SystemClock().now(),
        )

    return in_transaction(work)
