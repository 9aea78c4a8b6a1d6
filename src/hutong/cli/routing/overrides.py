"""`hutong routing pin`, `block` and `lift`."""

from __future__ import annotations

import json
from pathlib import Path

from hutong import db, ids, routing
from hutong.cli.common import in_transaction
from hutong.cli.routing.state import acting, moment, new_id, with_routing
from hutong.clock import SystemClock, instant


def run_pin(product: str, account: str, until: str, key: Path, reason: str, *, as_json: bool) -> None:
    """Send everything through one account."""
    _add(routing.Kind.PIN, product, account, until, key, reason, as_json=as_json)


def run_block(account: str, until: str | None, key: Path, reason: str, *, as_json: bool) -> None:
    """Send nothing new through an account."""
    _add(routing.Kind.BLOCK, "", account, until, key, reason, as_json=as_json)


def run_lift(override: str, key: Path, reason: str) -> None:
    """End a pin or a block."""
    identifier = ids.decode(routing.OVERRIDE_PREFIX, override)

    async def work(tx: db.Tx) -> None:
        operator_id = await acting(tx, key)
        await routing.lift_override(tx, identifier, operator_id=operator_id, reason=reason, now=SystemClock().now())

    in_transaction(work)
    print("lifted; every process goes by it within two seconds")


def _add(
    kind: routing.Kind, product: str, account: str, until: str | None, key: Path, reason: str, *, as_json: bool
) -> None:
    now = SystemClock().now()
    end = None if until is None else moment(until, "--until", now=now)

    async def work(database: db.Database, live: routing.RoutingState) -> routing.Override:
        async def add(tx: db.Tx) -> routing.Override:
            operator_id = await acting(tx, key)
            wanted = routing.Override(new_id(), kind, product, account, end, reason, operator_id, now)
            products = live.configuration.policies.keys()
            return await routing.add_override(tx, wanted, candidates=live.candidates, products=products)

        return await database.run(add)

    made = with_routing(work)
    if as_json:
        print(json.dumps(routing.override_document(made)))
        return
    ending = "until it is lifted" if made.until is None else f"until {instant(made.until)}"
    number = ids.encode(routing.OVERRIDE_PREFIX, made.override_id)
    print(f"{number}  {kind} {account} {ending}; every process goes by it within two seconds")
