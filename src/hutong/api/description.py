"""The OpenAPI documents: one of the merchants' operations, one of the operators'.

FastAPI describes the routes; here the description gets what it cannot know: the codes of errors with their meanings,
examples of answers, the events that a merchant receives, and names for clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

import hutong
from hutong.api.error_codes import ERROR_CODES
from hutong.api.examples import add_examples
from hutong.api.problems import OWN_CODES, Problem
from hutong.api.schemas.event import EVENT_TYPES, WEBHOOK_HEADERS
from hutong.api.scopes import SCOPES
from hutong.errors import InvariantBroken
from hutong.http_responses import PROBLEM_MEDIA_TYPE

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
_REFERENCES = SCHEMAS + "{model}"

_GENERAL = """
Amounts are integers in minor units (`1999` is 19.99 in CNY) beside an ISO 4217 code. Instants are RFC 3339 in UTC.
Errors are problem documents (RFC 9457) with a stable `code`; each operation names those of its own. An `enum` is
complete for this version of the API. A string with `x-extensible-enum` has the values of this version, and more may
come: a client must take one that it does not know as the description of the field says, and never refuse the answer.
"""
MERCHANT_TEXT = f"""
Take payments through one API, at any channel.
{_GENERAL}
A request that is repeated with the same `Idempotency-Key` and body gets the first answer again.
"""
OPERATOR_TEXT = f"""
Run the platform: decide what takes two persons, look into payments, route them, keep the books. For the people and the
programs of the installation; merchants have another document.
{_GENERAL}
"""
_TAGS = {
    "Payments": "Orders to pay for, and the attempts to pay them.",
    "Refunds": "Money that goes back to payers.",
    "Disputes": "Payers' claims against payments, and your answers.",
    "Balance": "What your accounts in the books hold.",
    "Bills": "Records of finished payments, to search and to export.",
    "Webhooks": "Endpoints that receive events, their deliveries and replays, and the events themselves.",
    "Sandbox": "What only an installation without real money has: a clock to move.",
    "Operators": "Proposals, the audit journal, and single payments, refunds, disputes and exceptions.",
    "Routing": "Where payments go, and why.",
    "Ledger": "Accounts, bookings, periods and reports of the books.",
    "Reconciliation": "Channels' bills and bank statements against the books.",
    "Channel notifications": "For channels only: each is answered in the channel's own form.",
    "Operation": "Liveness, readiness and metrics of a process.",
}
_CLIENT_NAMES = {
    "About": "ExceptionSubject", "Arm": "TrialArm", "Funder": "DiscountFunder", "ListedEvent": "Event",
    "RefundMethod": "RefundRoute", "ResponseState": "DisputeResponseState", "Scheme": "SignatureScheme",
    "Side": "LedgerSide", "Source": "ReportSource",
}  # fmt: skip
"""Names that say enough in their module and too little in a client."""

_ANY = {
    400: "invalid_request",
    401: "unauthorized",
    422: "invalid_parameter unknown_parameter",
    503: "overloaded unavailable",
}
_WITH_REQUIRED = {422: "missing_parameter"}
_WITH_BODY = {400: "invalid_json", 413: "body_too_large", 415: "unsupported_media_type", **_WITH_REQUIRED}
_WRITES = {403: "foreign_origin", 503: "credentials_unreadable outcome_unknown"}
_OF_MERCHANTS = {401: "api_key_expired", 403: "merchant_disabled scope_missing"}
GENERAL_CODES = frozenset(
    code for part in (_ANY, _WITH_BODY, _WRITES, _OF_MERCHANTS) for codes in part.values() for code in codes.split()
)
"""Codes that an operation may answer with by its form alone: as far as it takes a body or writes, whatever it does."""


@dataclass(frozen=True)
class Description:
    """One OpenAPI document, made when it is first asked for.

    Attributes:
        text: What it is about, in Markdown.
        routes: The routes that it describes.
        receives_events: Whether its readers receive webhooks.
    """

    title: str
    text: str
    routes: Sequence[APIRoute]
    receives_events: bool = False

    @cached_property
    def document(self) -> Json:
        """The finished document."""
        document: Json = get_openapi(
            title=self.title,
            version=hutong.__version__,
            description=self.text,
            routes=self.routes,
            servers=[{"url": "/", "description": "The installation that serves this document."}],
            license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        )
        for route in self.routes:
            for method in route.methods or () if route.include_in_schema else ():
                operation = document["paths"][route.path][method.lower()]
                operation["operationId"] = route.name
                if (method, route.path) in SCOPES:
                    operation["security"] = [{"ApiKey": [SCOPES[method, route.path]]}]
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)  # such requests get a problem document
        problem = Problem.model_json_schema(ref_template=_REFERENCES)
        schemas |= problem.pop("$defs") | {"Problem": problem}
        if self.receives_events:
            document["webhooks"] = _webhooks(schemas)
        codes = {code for method, one in operations(document) for code in _describe_errors(method, one)}
        document["components"]["examples"] = {code: _problem_example(code) for code in sorted(codes)}
        present = {tag for _, operation in operations(document) for tag in operation["tags"]}
        document["tags"] = [{"name": tag, "description": _TAGS.get(tag, tag)} for tag in _in_order(present)]
        document = _with_client_names(document)
        add_examples(document)
        return document


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield the operations of a document with their methods, in lower case; without its webhooks."""
    for path in document["paths"].values():
        yield from path.items()


def _in_order(tags: set[str]) -> list[str]:
    return [tag for tag in _TAGS if tag in tags] + sorted(tags - _TAGS.keys())


def _describe_errors(method: str, operation: Json) -> list[str]:
    """Replace the errors of an operation by those that it can answer with, each with its meaning.

    Returns:
        Their codes.
    """
    answers = operation["responses"]
    for answer in answers.values():
        answer["description"] = answer["description"].replace("Successful Response", "Success.")
    declared = {status: answers.pop(status) for status in sorted(answers) if status >= "4"}
    codes = {int(status): set(entry[OWN_CODES]) for status, entry in declared.items() if OWN_CODES in entry}
    if operation.get("security"):
        _add_general(method, operation, codes)
    for status, named in sorted(codes.items()):
        answers[str(status)] = {
            "description": "\n".join(f"- `{code}`: {ERROR_CODES[code].meaning}" for code in sorted(named)),
            "content": {
                PROBLEM_MEDIA_TYPE: {
                    "schema": {"$ref": SCHEMAS + "Problem"},
                    "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in sorted(named)},
                }
            },
        }
    # Channels are answered in their own form. What else has no codes is the framework's, for requests that we refuse.
    answers |= {
        status: entry for status, entry in declared.items() if OWN_CODES not in entry and "content" not in entry
    }
    return [code for named in codes.values() for code in named]


def _add_general(method: str, operation: Json, codes: dict[int, set[str]]) -> None:
    """Add the codes that follow from the form of an operation."""
    has_body, writes = "requestBody" in operation, method != "get"
    required = any(one["in"] == "query" and one.get("required") for one in operation.get("parameters", ()))
    parts = [_ANY, *[_WITH_BODY] * has_body, *[_WITH_REQUIRED] * required, *[_WRITES] * writes]
    of_merchants = any("ApiKey" in each for each in operation["security"])
    parts += [_OF_MERCHANTS] * of_merchants
    # By the statuses that its route declares.
    parts += [{403: "not_permitted"}] * (403 in codes and not of_merchants)
    parts += [{404: "not_found"}] * (404 in codes)
    parts += [{409: "conflict"}] * (codes.get(409) == set())
    for part in parts:
        for status, named in part.items():
            codes.setdefault(status, set()).update(named.split())


def _problem_example(code: str) -> Json:
    entry = ERROR_CODES[code]
    value = {
        "type": f"urn:hutong:error:{code}",
        "title": HTTPStatus(entry.status).phrase,
        "status": entry.status,
        "detail": entry.meaning,
        "code": code,
        "param": None,
        "request_id": "req_01kas0000000000000000000aa",
    }
    return {"summary": entry.meaning, "description": f"{entry.cause} {entry.action}", "value": value}


def _webhooks(schemas: Json) -> Json:
    """Return the events as operations of the merchant's own server, and add their schemas."""
    models = [(event.model, "serialization") for event in EVENT_TYPES]
    _, found = models_json_schema(models, ref_template=_REFERENCES)  # type: ignore[arg-type]
    for name, schema in found["$defs"].items():
        schemas.setdefault(name, schema)
    headers = [
        {"name": name, "in": "header", "required": True, "schema": schema} for name, schema in WEBHOOK_HEADERS.items()
    ]
    return {
        str(event.name): {
            "post": {
                "operationId": f"receive_{event.name.replace('.', '_')}",
                "tags": ["Webhooks"],
                "summary": f"{event.when}.",
                "description": "Sent to each of your endpoints that subscribes to this type; verify the signature.",
                "parameters": headers,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": SCHEMAS + event.model.__name__}}},
                },
                "responses": {"2XX": {"description": "Received. Any other answer is repeated within about 24 hours."}},
            }
        }
        for event in EVENT_TYPES
    }


def _with_client_names(document: Json) -> Json:
    """Return the document with schemas named as clients have them: `Payment`, and no `PaymentObject`."""
    schemas = document["components"]["schemas"]
    names = {name: _CLIENT_NAMES.get(name, name.removesuffix("Object")) for name in schemas}
    if len(set(names.values())) < len(names):
        raise InvariantBroken("two schemas of the API have one name")
    renamed: Json = _renamed(document, {SCHEMAS + old: SCHEMAS + new for old, new in names.items()})
    schemas = renamed["components"]["schemas"]
    renamed["components"]["schemas"] = {names[old]: schemas[old] | {"title": names[old]} for old in sorted(schemas)}
    return renamed


def _renamed(node: Any, references: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed(each, references) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: references.get(value, value) if key == "$ref" else _renamed(value, references)
        for key, value in node.items()
    }
