"""`hutong routing status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from hutong.cli.common import Json
from hutong.cli.output import print_json, print_line

if TYPE_CHECKING:
    from hutong import db, routing

watching = typer.Typer()


@watching.command("status")
def status(as_json: Json = False) -> None:
    """Show the health of the accounts at each method, the configuration in force, and the overrides."""
    from hutong import routing
    from hutong.cli.routing.state import with_routing
    from hutong.clock import SystemClock

    async def work(database: db.Database, state: routing.RoutingState) -> dict[str, Any]:
        now = SystemClock().now()
        async with database.transaction() as tx:
            overrides = await routing.active_overrides(tx, now=now)
            suggestions = [routing.suggestion_document(each) for each in await routing.list_suggestions(tx)]
        return routing.routing_document(state, overrides, now=now) | {"suggestions": suggestions}

    document = with_routing(work)
    if as_json:
        print_json(document)
        return
    modes = ", ".join(f"{product or 'everything else'}: {mode}" for product, mode in document["modes"].items())
    print_line(f"configuration {document['configuration']}; modes: {modes}")
    if document["trial"]:
        print_line(f"{document['trial']}  a draft is being tried: hutong routing trial status")
    _print_accounts(document["accounts"])
    for override in document["overrides"]:
        until = f" until {override['until']}" if override["until"] else ""
        of = f" of {override['product']}" if override["product"] else ""
        at = f" {override['interface']}" if override["interface"] else ""
        print_line(f"{override['id']}  {override['kind']}{of} {override['account']}{at}{until}: {override['reason']}")
    for each in document["suggestions"]:
        print_line(f"{each['id']}  suggested: {each['what']} {each['account']} {each['interface']}: {each['why']}")


def _print_accounts(accounts: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from hutong.cli.tables import console

    table = Table("account", "method", "state", "share", "success", "since", "why")
    for account in accounts:
        blocked = f"blocked: {account['blocked']}" if account["blocked"] else ""
        if not account["interfaces"]:
            table.add_row(account["name"], "", "no recent attempts", "", "", "", blocked)
        for each in account["interfaces"]:
            reasons = "; ".join(part for part in (blocked, each["why"]) if part)
            figures = f"{each['share']:.0%}", f"{each['success']:.1%} ({each['confidence']:.0f} attempts)"
            table.add_row(account["name"], each["interface"], each["state"], *figures, each["since"] or "", reasons)
    console().print(table)
