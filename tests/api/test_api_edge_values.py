"""Each parameter and each body field of each operation takes values at the edges: never a 5xx, always a named field."""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson
import pytest
from test_api_contract import document
from test_bad_input import check_problem

from hutong import ids, operators
from support.edge_values import DAYS, EDGES_SEED, INSTANTS, INTEGERS, TEXTS, URLS, some
from support.running_platform import Answer, PlatformApi, Shop

__all__ = ["document"]

Path = tuple[str | int, ...]
ABSENT = "01h455vb4pex5vsknk084sn02q"
AT_ONCE = 16
KEY = "key"
REQUIRED = {"amount_minor": "1999", "currency": "CNY", "layout": "wechat_trade"}
ACROSS = {
    "amount_minor": ("items", "body"), "items.0.id": ("discounts.0.item",),
    "items.0.amount_minor": ("discounts.0.amount_minor",),
    "discounts.0.amount_minor": ("items",), "object_id": ("object_kind",), "until": ("since",), "event_id": ("body",),
    "account": ("Content-Type",), "layout": ("Content-Type",), "name": ("Content-Type",), "day": ("Content-Type",),
}  # fmt: skip
"""Parameters whose value is refused by a rule about another one."""


@pytest.fixture
async def objects(platform_api: PlatformApi, shop: Shop, document: Any) -> dict[str, str]:
    """What the parameters of paths name, so that requests come as far as they can."""
    items = [{"id": "sku-1", "name": "x", "quantity": 1_000, "amount_minor": 1_000}]
    payment = await platform_api.create(shop, amount_minor=1_000, items=items)
    await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    await platform_api.until(shop, payment["id"], "succeeded")
    refund = await platform_api.call(
        "POST",
        f"/v1/payments/{payment['id']}/refunds",
        shop=shop,
        json={"merchant_refund_no": "r", "items": [{"id": "sku-1"}]},
    )
    endpoint = await platform_api.call(
        "POST", "/v1/webhook-endpoints", shop=shop, json={"url": "http://127.0.0.1:1/hook"}
    )
    async with platform_api.admin.transaction() as tx:
        limited = await tx.fetchval("SELECT id FROM ledger.account WHERE code = 2001 LIMIT 1")
        account, other = await tx.fetch(
            "SELECT a.id FROM ledger.account AS a JOIN ledger.transfer AS t ON a.id = ANY (ARRAY["
            "t.debit_account_id, t.credit_account_id]) WHERE t.user_data_128 = $1 LIMIT 2",
            ids.decode("pay", payment["id"]),
        )
        transfer = await tx.fetchval("SELECT id FROM ledger.transfer LIMIT 1")
    return {
        "payment_id": payment["id"],
        "refund_id": refund.json["id"],
        "customer_id": "u-1",
        "event_id": f"evt_{ABSENT}",
        "endpoint_id": endpoint.json["id"],
        "attempt_id": payment["attempts"][0]["id"],
        "channel account_id": ids.encode("acc", platform_api.account_id),
        "ledger account_id": str(limited),
        "debit_account_id": str(account["id"]),
        "credit_account_id": str(other["id"]),
        "transfer_id": str(transfer),
        "order_id": str(uuid4()),
        "decision_id": payment["attempts"][0]["id"],
        "proposal_id": f"prp_{ABSENT}",
        "exception_id": f"exc_{ABSENT}",
        "dispute_id": f"dsp_{ABSENT}",
        "difference_id": f"dif_{ABSENT}",
        "file_id": f"bfl_{ABSENT}",
        "request_id": f"rcq_{ABSENT}",
        "override_id": f"ovr_{ABSENT}",
        "suggestion_id": f"sug_{ABSENT}",
        "memo_ledger": "points",
        "period": "2026-03",
        "day": "2026-03-10",
        "tomorrow": (platform_api.clock.now() + timedelta(days=1)).isoformat(timespec="seconds"),
    }


def bodies(objects: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Whole bodies, where the document's example leaves something out or names what is absent."""
    debit, credit = objects["debit_account_id"], objects["credit_account_id"]
    return {
        "/v1/payments": {
            "merchant_order_no": "edge-1", "amount_minor": 1999, "currency": "CNY", "subject": "x",
            "items": [{"id": "sku-1", "name": "x", "quantity": 1, "amount_minor": 2099}],
            "discounts": [{"name": "x", "funder": "merchant", "amount_minor": 100, "item": "sku-1"}],
            "customer": {"id": "u-1", "name": "x", "avatar": "x"}, "metadata": {"key": "x"},
        },
        "/v1/payments/{payment_id}/refunds": {
            "merchant_refund_no": "edge-1", "items": [{"id": "sku-1", "quantity": 1}], "reason": "x",
            "payee": {"openid": "x"},
        },
        "/v1/webhook-endpoints/{endpoint_id}/replay": {"begin": "2026-01-01T00:00:00Z", "cursor": f"evt_{ABSENT}"},
        "/v1/operator/payments/{payment_id}/attach-success": {
            "attempt_id": objects["attempt_id"], "amount_minor": 1999, "currency": "CNY", "channel_order_no": "x",
            "bill": "x", "reason": "x",
        },
        "/v1/operator/payments/{payment_id}/disputes": {
            "amount_minor": 1, "amount_taken_minor": 1, "fee_minor": 1, "channel_dispute_no": "x",
            "dispute_reason": "x", "payer_statement": "x", "due_at": "2099-01-01T00:00:00Z", "reason": "x",
        },
        "/v1/operator/refunds/{refund_id}/route": {
            "route": "payout", "payout_account_id": objects["channel account_id"], "payee": {"openid": "x"},
            "reason": "x",
        },
        "/v1/operator/routing/overrides": {
            "kind": "block", "account": "unionpay/sandbox", "until": objects["tomorrow"], "reason": "x",
        },
        "/v1/operator/reconciliation/requests": {"account": objects["channel account_id"], "day": objects["day"]},
        "/v1/operator/ledger/accounts/{account_id}/overdraft": {"limit_minor": 1, "reason": "x"},
        "/v1/operator/ledger/transfers": {
            "transfer_id": str(uuid4()), "debit_account_id": debit, "credit_account_id": credit, "amount_minor": 1,
            "code": 99, "reference": str(uuid4()), "reason": "x",
        },
        "/v1/operator/ledger/entries": {
            "lines": [
                {"account_id": debit, "side": "debit", "amount_minor": 1, "currency": "CNY"},
                {"account_id": credit, "side": "credit", "amount_minor": 1, "currency": "CNY"},
            ],
            "reference": str(uuid4()), "reason": "x",
        },
        "/v1/operator/ledger/standing-orders": {
            "from_account_id": debit, "to_account_id": credit, "most_minor": 1, "every_minutes": 1, "reason": "x",
        },
    }  # fmt: skip


class Walk:
    """All operations of the document, with a body that is right and the values that go wrong."""

    def __init__(self, document: Any, objects: dict[str, str]) -> None:
        self.document = document
        self.objects = objects
        self.bodies = bodies(objects)
        self.random = Random(EDGES_SEED)

    def resolved(self, schema: Any) -> Any:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def fields(self, schema: Any, path: Path = ()) -> Iterator[tuple[Path, list[Any]]]:
        """Each field below a schema with the schemas of its values."""
        schema = self.resolved(schema)
        for variant in schema.get("anyOf") or schema.get("oneOf") or ():
            yield from self.fields(variant, path)
        for name, field in schema.get("properties", {}).items():
            yield (*path, name), field
            yield from self.fields(field, (*path, name))
        if schema.get("type") == "array":
            yield (*path, 0), schema["items"]
            yield from self.fields(schema["items"], (*path, 0))
        if isinstance(schema.get("additionalProperties"), dict):
            yield (*path, KEY), schema["additionalProperties"]

    def values(self, schema: Any) -> list[Any]:
        """Values of the schema's kind first of all; a few of any other kind."""
        text = orjson.dumps(self.resolved(schema)).decode()
        kinds: list[list[Any]] = [TEXTS]
        if '"integer"' in text or '"number"' in text:
            kinds.append(INTEGERS)
        if '"date-time"' in text:
            kinds.append(INSTANTS)
        if '"date"' in text:
            kinds.append(DAYS)
        if "url" in text.lower() or "origin" in text.lower():
            kinds.append(URLS)
        if prefixes := re.findall(r"\^\(?([a-z]{3})_\[0-7\]", text):
            kinds.append([f"{prefixes[0]}_{digit * 26}" for digit in "0789"] + [f"{prefixes[0]}_7{'z' * 25}"])
        count = 3 if len(kinds) == 1 else 2
        return [value for kind in kinds for value in some(kind, count, self.random)]

    def path(self, path: str, changed: str = "", value: str = "") -> str:
        for name in [part.partition("}")[0] for part in path.split("{")[1:]]:
            area = "ledger " if "/ledger/" in path else "channel "
            whole = self.objects.get(name) or self.objects[area + name]
            path = path.replace(
                f"{{{name}}}", quote(value, safe="", errors="surrogatepass") if name == changed else whole
            )
        return path

    def requests(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """The method, the path, the parameter at fault and the rest of each request."""
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                content = operation.get("requestBody", {}).get("content", {}).get("application/json")
                body = None
                if content:
                    body = self.bodies.get(path) or content["examples"]["one"]["value"]
                required = {
                    p["name"]: REQUIRED.get(p["name"], "2026-03-10" if "date" in orjson.dumps(p).decode() else "wechat")
                    for p in operation.get("parameters", ())
                    if p["in"] == "query" and p.get("required")
                }
                if "account" in required:
                    required["account"] = self.objects["channel account_id"]
                required |= (
                    {"owner": str(uuid4())} if path.endswith("/{memo_ledger}/entries") and method == "get" else {}
                )
                for parameter in operation.get("parameters", ()):
                    yield from self._parameter(method, path, parameter, body, required)
                if content:
                    for field, schema in self.fields(content["schema"]):
                        for value in self.values(schema):
                            if field[-1] == KEY and isinstance(value, str):
                                sent = _with(body, (*field[:-1], value), "x")
                                yield method, self.path(path), ".".join(map(str, field[:-1])), {"body": _dumps(sent)}
                            sent = _with(body, field, value)
                            yield method, self.path(path), ".".join(map(str, field)), {"body": _dumps(sent)}

    def _parameter(self, method: str, path: str, parameter: Any, body: Any, required: dict[str, str]) -> Any:
        name = parameter["name"]
        extra = {"body": _dumps(body)} if body is not None else {}
        for value in map(str, self.values(parameter["schema"])):
            if parameter["in"] == "path":
                if value not in ("", ".", ".."):
                    query = "&".join(f"{n}={v}" for n, v in required.items())
                    yield method, f"{self.path(path, name, value)}?{query}".rstrip("?"), name, extra
            elif parameter["in"] == "query":
                query = "&".join(
                    f"{n}={quote(v, safe='', errors='surrogatepass')}" for n, v in (required | {name: value}).items()
                )
                yield method, f"{self.path(path)}?{query}", name, extra
            elif value.isascii() and value.isprintable():
                yield method, self.path(path), name, extra | {"headers": {name: value}}


def _dumps(value: Any) -> bytes:
    import json  # orjson writes neither lone surrogates nor integers of more than 64 bits

    return json.dumps(value).encode()


def _with(body: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(body)
    place = changed
    for step, following in itertools.pairwise(path):
        empty: Any = [None] if following == 0 else {}
        if isinstance(step, int):
            place[step] = place[step] if isinstance(place[step], (dict, list)) else empty
        elif not isinstance(place.get(step), (dict, list)):
            place[step] = empty
        place = place[step]
    place[path[-1]] = value
    return changed


def complaint(name: str, answer: Answer) -> str | None:
    """What is wrong with an answer to a request whose parameter `name` is at an edge."""
    if answer.status >= 500:
        return "5xx"
    if answer.status < 400 or answer.status == 431 or (answer.status == 400 and not answer.body):
        return None
    problem = check_problem(answer)
    if answer.status not in (400, 422):
        return None
    at = (problem["param"] or "").replace("[", ".").replace("]", "")
    is_named = (
        at.lower() == name or at in ACROSS.get(name, ()) or name.startswith(f"{at}.") or at.startswith(f"{name}.")
    )
    return None if is_named else f"names {at!r}"


async def test_no_value_at_an_edge_is_more_than_a_named_error(
    platform_api: PlatformApi, shop: Shop, document: Any, objects: dict[str, str]
) -> None:
    _, admin = await platform_api.person(operators.Role.ADMIN)
    gate = asyncio.Semaphore(AT_ONCE)

    async def send(method: str, path: str, name: str, rest: dict[str, Any]) -> str | None:
        headers = rest.get("headers", {}) | (admin if path.startswith("/v1/operator/") else {})
        theirs = None if path.startswith("/v1/operator/") else shop
        async with gate:
            answer = await platform_api.call(method.upper(), path, shop=theirs, body=rest.get("body"), headers=headers)
        wrong = complaint(name, answer)
        return (
            wrong
            and f"{method} {path[:120]} {name} {str(rest)[:200]!r}: {wrong}: {answer.status} {answer.body[:300]!r}"
        )

    requests = list(Walk(document, objects).requests())
    assert len(requests) > 1_000
    found = await asyncio.gather(*(send(*request) for request in requests))
    assert [line for line in found if line] == []
