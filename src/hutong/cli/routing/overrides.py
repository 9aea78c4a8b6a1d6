"""`hutong routing pin`, `block` and `lift`."""

from __future__ import annotations

import json
from pathlib import Path

from hutong import db, ids, routing
from hutong.cli.common import in_transaction
from hutong.cli.routing.state import acting_operator, new_id, read_instant, with_routing
from hutong.clock import SystemClock, instant


def run_pin(product: str, account: str, until: str, key: Path, reason: str, *, as_json: bool) -> None:
    """Send all payments through one account."""
    _add(routing.OverrideKind.PIN, product, account, until, key, reason, as_json=as_json)


def run_block(account: str, until: str | None, key: Path, reason: str, *, as_json: bool) -> None:
    """Send no new payments through an account."""
    _add(routing.OverrideKind.BLOCK, "", account, until, key, reason, as_json=as_json)


def run_lift(override: str, key: Path, reason: str) -> None:
    """Lift a pin or a block."""
    identifier = ids.decode(routing.Override.PREFIX, override)

    async def work(tx: db.Tx) -> None:
        operator_id = await acting_operator(tx, key)
        await routing.lift_override(tx, identifier, operator_id=operator_id, reason=reason, now=SystemClock().now())

    in_transaction(work)
    print("lifted; every process applies it within two seconds")


def _add(
    kind: routing.OverrideKind, product: str, account: str, until: str | None, key: Path, reason: str, *, as_json: bool
) -> None:
    now = SystemClock().now()
    end = None if until is None else read_instant(until, "--until", now=now)

    async def work(database: db.Database, state: routing.RoutingState) -> routing.Override:
        async def add(tx: db.Tx) -> routing.Override:
            operator_id = await acting_operator(tx, key)
            override = routing.Override(new_id(), kind, product, account, end, reason, operator_id, now)
            products = state.configuration.policies.keys()
            return await routing.add_override(tx, override, candidates=state.candidates, products=products)

        return await database.run(add)

    override = with_routing(work)
    if as_json:
        print(json.dumps(routing.override_document(override)))
        return
    ending = "until it is lifted" if override.until is None else f"until {instant(override.until)}"
    override_id = ids.encode(routing.Override.PREFIX, override.override_id)
    print(f"{override_id}  {kind} {account} {ending}; every process applies it within two seconds")
