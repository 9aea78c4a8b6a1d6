"""Accounts, payments and rules to route by, for tests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hutong.routing import Candidate, Draws, Price, RoutingPolicy, RoutingRequest, Snapshot, Tier

NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)  # a Monday, noon in Beijing
MIDDLE = Draws(0.5, 0.5, 0.5, 0.5)


def account(number: int, **changed: Any) -> Candidate:
    made = Candidate(
        account_id=UUID(int=number),
        name=f"a{number}",
        channel=f"c{number}",
        methods=frozenset({"card"}),
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=1_000_000,
        price=Price((Tier(0, 6_000),)),
    )
    return replace(made, **changed)


def ask(**changed: Any) -> RoutingRequest:
    return replace(RoutingRequest(method="card", amount_minor=10_000, currency="CNY", at=NOW, fee_ppm=6_000), **changed)


def world(*candidates: Candidate, pin: str = "", pin_until: datetime | None = None, **policy: Any) -> Snapshot:
    return Snapshot(candidates, replace(RoutingPolicy(explore=0.0), **policy), pin, pin_until)


def table(*rows: dict[str, str], inputs: tuple[str, ...] = ("method", "amount_minor", "hour")) -> str:
    """A rule file, one row a line."""
    columns = [{"id": f"in_{name}", "name": name, "field": name} for name in inputs]
    outputs = [
        {"id": f"out_{name}", "name": name, "field": name}
        for name in ("target", "action", "points", "text_en", "text_zh")
    ]
    lines = [
        json.dumps(
            {"_id": f"row-{number}"}
            | {(f"in_{key}" if key in inputs else f"out_{key}"): value for key, value in row.items()},
            ensure_ascii=False,
        )
        for number, row in enumerate(rows)
    ]
    nodes = [
        {"id": "in", "type": "inputNode", "name": "payment", "position": {"x": 0, "y": 0}},
        {"id": "out", "type": "outputNode", "name": "says", "position": {"x": 0, "y": 0}},
    ]
    edges = [
        {"id": "e1", "sourceId": "in", "targetId": "t", "type": "edge"},
        {"id": "e2", "sourceId": "t", "targetId": "out", "type": "edge"},
    ]
    rules = ",\n".join(lines)
    return (
        '{\n"nodes": [\n'
        + ",\n".join(json.dumps(node) for node in nodes)
        + ',\n{"id": "t", "type": "decisionTableNode", "name": "rules", "position": {"x": 0, "y": 0}, "content": {\n'
        + f'"hitPolicy": "collect",\n"inputs": {json.dumps(columns)},\n"outputs": {json.dumps(outputs)},\n'
        + f'"rules": [\n{rules}\n], "passThrough": false}}}}\n],\n"edges": {json.dumps(edges)}\n}}\n'
    )
