"""`hutong routing pin`, `block` and `lift`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction
from hutong.cli.output import print_json, print_line

if TYPE_CHECKING:
    from hutong import db, routing

overriding = typer.Typer()


@overriding.command("pin")
def pin(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="Such as payment; * is every product.")],
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Such as wechat/main.")],
    until: Annotated[str, typer.Option("--until", help="The end: an instant, or a duration such as 30m, 2h or 1d.")],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Send all payments through one account, whatever its health, until an end within seven days."""
    _add("pin", "" if product == "*" else product, account, until, key, reason, as_json=as_json)


@overriding.command("block")
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
    _add("block", "", account, until, key, reason, as_json=as_json)


@overriding.command("lift")
def lift(
    override: Annotated[str, typer.Argument(metavar="OVERRIDE", help="The override, rto_….")],
    key: KeyFile,
    reason: Reason,
) -> None:
    """Lift a pin or a block before its end."""
    from hutong import ids, routing
    from hutong.cli.routing.state import acting_operator
    from hutong.clock import SystemClock

    identifier = ids.decode(routing.Override.PREFIX, override)

    async def work(tx: db.Tx) -> None:
        operator_id = await acting_operator(tx, key)
        await routing.lift_override(tx, identifier, operator_id=operator_id, reason=reason, now=SystemClock().now())

    in_transaction(work)
    print_line("lifted; every process applies it within two seconds")


def _add(kind: str, product: str, account: str, until: str | None, key: Path, reason: str, *, as_json: bool) -> None:
    from hutong import ids, routing
    from hutong.cli.routing.state import acting_operator, new_id, read_instant, with_routing
    from hutong.clock import SystemClock, instant

    now = SystemClock().now()
    end = None if until is None else read_instant(until, "--until", now=now)

    async def work(database: db.Database, state: routing.RoutingState) -> routing.Override:
        async def add(tx: db.Tx) -> routing.Override:
            operator_id = await acting_operator(tx, key)
            override = routing.Override(
                new_id(), routing.OverrideKind(kind), product, account, end, reason, operator_id, now
            )
            products = state.configuration.policies.keys()
            return await routing.add_override(tx, override, candidates=state.candidates, products=products)

        return await database.run(add)

    override = with_routing(work)
    if as_json:
        print_json(routing.override_document(override))
        return
    ending = "until it is lifted" if override.until is None else f"until {instant(override.until)}"
    override_id = ids.encode(routing.Override.PREFIX, override.override_id)
    print_line(f"{override_id}  {kind} {account} {ending}; every process applies it within two seconds")
