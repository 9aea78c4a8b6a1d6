"""`hutong routing status`."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from hutong import db, routing
from hutong.cli.routing.state import with_routing
from hutong.clock import SystemClock


def run_status(*, as_json: bool) -> None:
    """Show how routing stands, from what the running processes have shared."""

    async def work(database: db.Database, live: routing.RoutingState) -> dict[str, Any]:
        now = SystemClock().now()
        async with database.transaction() as tx:
            overrides = await routing.standing_overrides(tx, now=now)
            suggestions = await routing.standing_suggestions(tx)
        found = routing.routing_document(live, overrides, now=now)
        return found | {"suggestions": [routing.suggestion_document(one) for one in suggestions]}

    found = with_routing(work)
    if as_json:
        print(json.dumps(found))
        return
    modes = ", ".join(f"{product or 'everything else'}: {mode}" for product, mode in found["modes"].items())
    print(f"configuration {found['configuration']}; modes: {modes}")
    if found["trial"]:
        print(f"{found['trial']}  a draft is being tried: hutong routing trial status")
    console = Console()
    console.print(_accounts(found["accounts"]))
    for override in found["overrides"]:
        until = f" until {override['until']}" if override["until"] else ""
        of = f" of {override['product']}" if override["product"] else ""
        at = f" {override['interface']}" if override["interface"] else ""
        print(f"{override['id']}  {override['kind']}{of} {override['account']}{at}{until}: {override['reason']}")
    for one in found["suggestions"]:
        print(f"{one['id']}  suggested: {one['what']} {one['account']} {one['interface']}: {one['why']}")


def _accounts(accounts: list[dict[str, Any]]) -> Table:
    table = Table("account", "method", "state", "share", "success", "since", "why")
    for account in accounts:
        blocked = f"blocked: {account['blocked']}" if account["blocked"] else ""
        if not account["interfaces"]:
            table.add_row(account["name"], "", "no tries lately", "", "", "", blocked)
        for each in account["interfaces"]:
            told = "; ".join(part for part in (blocked, each["why"]) if part)
            figures = f"{each['share']:.0%}", f"{each['success']:.1%} ({each['confidence']:.0f} tries)"
            table.add_row(account["name"], each["interface"], each["state"], *figures, each["since"] or "", told)
    return table
