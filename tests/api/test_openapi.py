"""The OpenAPI documents as documents: valid, complete, with names for clients, and each for its own readers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from hutong.api import ERROR_CODES, EVENT_TYPES, GENERAL_CODES
from hutong.api.schemas import enums
from hutong.events.model import DisabledReason
from hutong.field_errors import UNKNOWN_FORM, form_of
from hutong.ledger import AccountOwner
from hutong.operators.model import ProposalState
from hutong.payments.model import CloseReason
from hutong.payments.refunds import RefundMethod
from hutong.payments.unknown_numbers import NumberSource
from hutong.routing import OverrideKind
from hutong.routing.configuration.suggestions import SuggestionKind
from hutong.routing.experiments.assignment import Arm
from hutong.routing.experiments.significance import ExperimentVerdict
from hutong.routing.health import HealthState
from hutong.routing.model import Mode, SelectionReason
from support.described import PROBLEM, codes_of
from support.running_platform import PlatformApi

AUDIENCES = ["merchant", "operator"]
SCHEMA_KEYWORDS = {
    "$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum", "examples", "exclusiveMaximum",
    "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength",
    "minProperties", "minimum", "pattern", "patternProperties", "properties", "propertyNames", "required", "title",
    "type", "x-extensible-enum",
}  # fmt: skip
"""The keywords of JSON Schema 2020-12 that the documents need, and one of others': what is not here is a slip."""
VERBS = {
    "GET": {"get", "list", "search", "export", "check"},
    "POST": {
        "accept", "add", "advance", "approve", "assign", "book", "capture", "close", "confirm", "create", "decide",
        "dismiss", "enable", "end", "enter", "finish", "lift", "move", "open", "preview", "propose", "put", "query",
        "reject", "reopen", "replay", "resolve", "respond", "reverse", "rotate", "set", "start", "stop", "trigger",
    },
    "PUT": {"put", "set", "replace"},
    "PATCH": {"update"},
    "DELETE": {"delete", "disable", "remove"},
}  # fmt: skip
WITHOUT_KEY = {"accept_notification", "check_liveness", "check_readiness", "get_metrics"}
"""Operations that channels and machines call."""
NOT_FROM_OPERATIONS = {
    "bill_refused", "channel_unreachable", "channel_verb_not_offered", "configuration_error", "events_archived",
    "internal_error", "invariant_broken", "method_not_allowed", "notification_refused", "notification_replayed",
    "too_many_requests",
}  # fmt: skip
"""Codes of commands, of the cashier, of addresses without an operation, and of faults of our own."""


@pytest.fixture(params=AUDIENCES)
def audience(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def document(platform_api: PlatformApi, audience: str) -> Any:
    return getattr(platform_api.described, audience)


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, verbs in document["paths"].items():
        for method, operation in verbs.items():
            yield method.upper(), path, operation


def schemas(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Each schema of a document with its place, and those inside it."""
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from schemas(each, f"{place}/{number}")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "schemas" and place == "/components":
                for name, schema in value.items():
                    yield from inside(schema, f"{place}/schemas/{name}")
            elif key == "schema":
                yield from inside(value, f"{place}/schema")
            elif key not in ("example", "examples"):
                yield from schemas(value, f"{place}/{key}")


def inside(schema: Any, place: str) -> Iterator[tuple[str, Any]]:
    yield place, schema
    for name, field in schema.get("properties", {}).items():
        yield from inside(field, f"{place}/properties/{name}")
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            yield from inside(schema[key], f"{place}/{key}")
    for pattern, value in schema.get("patternProperties", {}).items():
        yield from inside(value, f"{place}/patternProperties/{pattern}")
    for number, option in enumerate(schema.get("anyOf", ())):
        yield from inside(option, f"{place}/anyOf/{number}")


def test_the_document_is_valid_by_the_schema_of_openapi_3_1(document: Any) -> None:
    assert [f"{error.instance_path}: {error.message}" for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize("part", ["info", "paths", "servers", "tags", "components"])
def test_a_document_with_a_broken_part_is_not_valid(document: Any, part: str) -> None:
    assert not OPENAPI_31_VALIDATOR.is_valid(document | {part: 3})


def test_no_schema_has_a_keyword_that_readers_do_not_know(document: Any) -> None:
    found = [(place, sorted(schema.keys() - SCHEMA_KEYWORDS)) for place, schema in schemas(document)]
    assert len(found) > 300
    assert [(place, keywords) for place, keywords in found if keywords] == []


def test_limits_of_lists_are_in_the_document(document: Any) -> None:
    limits = [
        parameter["schema"]
        for _, _, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if parameter["name"] == "limit"
    ]
    assert len(limits) > 3
    assert {(limit["minimum"], limit["maximum"]) for limit in limits} == {(1, 100)}


def test_each_operation_is_named_by_a_verb_that_fits_its_method_and_an_object(document: Any) -> None:
    ids = [(method, operation["operationId"]) for method, _, operation in operations(document)]
    assert [one for one, count in Counter(name for _, name in ids).items() if count > 1] == []
    for method, name in ids:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name), name
        assert name.partition("_")[0] in VERBS[method], (method, name)


def test_each_enumeration_has_a_name_and_a_list_of_its_own(document: Any) -> None:
    parts = document["components"]["schemas"]
    inline = [place for place, schema in schemas(document) if "enum" in schema and place.count("/") > 3]
    assert inline == []
    lists: dict[tuple[str, ...], list[str]] = {}
    for name, schema in parts.items():
        if "enum" in schema:
            lists.setdefault(tuple(sorted(schema["enum"])), []).append(name)
    assert [names for names in lists.values() if len(names) > 1] == []
    assert [name for name in parts if name.endswith("Object") or "__" in name] == []
    assert [name for name, schema in parts.items() if schema["title"] != name] == []


def test_enumerations_of_the_api_are_those_of_the_modules() -> None:
    whole = {
        "Arm": Arm, "CloseReason": CloseReason, "DisabledReason": DisabledReason, "HealthState": HealthState,
        "ProposalState": ProposalState, "RoutingMode": Mode, "SelectionReason": SelectionReason,
        "SuggestionKind": SuggestionKind, "TrialVerdict": ExperimentVerdict, "UnknownNumberSource": NumberSource,
    }  # fmt: skip
    for name, values in whole.items():
        assert set(get_args(getattr(enums, name).__value__)) == set(values), name
    parts = {"FallbackRoute": RefundMethod, "NewOverrideKind": OverrideKind, "SubjectOwner": AccountOwner}
    for name, values in parts.items():
        assert set(get_args(getattr(enums, name).__value__)) < {each.value for each in values}, name


def test_names_that_grow_are_strings_that_say_how_to_take_a_new_one(document: Any) -> None:
    growing = {name: one for name, one in document["components"]["schemas"].items() if "x-extensible-enum" in one}
    assert growing
    for name, schema in growing.items():
        assert schema["type"] == "string", name
        assert "Values may be added" in schema["description"], name
        assert len(schema["x-extensible-enum"]) > 2, name
    assert [place for place, one in schemas(document) if "x-extensible-enum" in one and place.count("/") > 3] == []


def test_each_document_has_the_operations_of_its_readers_alone(platform_api: PlatformApi) -> None:
    schemes = {"merchant": "ApiKey", "operator": "OperatorKey"}
    for audience, scheme in schemes.items():
        document = getattr(platform_api.described, audience)
        assert list(document["components"]["securitySchemes"]) == [scheme]
        for _, path, operation in operations(document):
            if operation["operationId"] in WITHOUT_KEY:
                assert audience == "operator"
                assert "security" not in operation
            else:
                (required,) = operation["security"]
                assert list(required) == [scheme], path
                assert all(required[scheme]), path
                assert len(required[scheme]) == (audience == "merchant"), path
    merchant, operator = platform_api.described.merchant, platform_api.described.operator
    assert set(merchant["paths"]) & set(operator["paths"]) == set()
    assert [path for path in merchant["paths"] if "/operator/" in path] == []


def test_what_two_documents_share_is_the_same(platform_api: PlatformApi) -> None:
    merchant = platform_api.described.merchant["components"]["schemas"]
    operator = platform_api.described.operator["components"]["schemas"]
    assert [name for name in merchant.keys() & operator.keys() if merchant[name] != operator[name]] == []


def test_tags_are_described_and_the_server_is_named(document: Any) -> None:
    described = [tag["name"] for tag in document["tags"]]
    assert described == list(dict.fromkeys(described))
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} == set(described)
    assert [tag["name"] for tag in document["tags"] if tag["description"] == tag["name"]] == []
    assert [server["url"] for server in document["servers"]] == ["/"]


def test_each_operation_names_the_codes_that_it_answers_with_and_no_empty_status(document: Any) -> None:
    for _, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            examples = answer.get("content", {}).get(PROBLEM, {}).get("examples")
            if status < "4" or (operation["operationId"] == "accept_notification" and status in ("400", "401")):
                continue
            assert examples, (path, status)
            assert {ERROR_CODES[code].status for code in examples} == {int(status)}
            for code in examples:
                assert f"`{code}`: {ERROR_CODES[code].meaning}" in answer["description"]
                example = document["components"]["examples"][code]["value"]
                assert (example["code"], example["status"]) == (code, int(status))


def test_every_code_belongs_to_an_operation_or_to_none_for_a_reason(platform_api: PlatformApi) -> None:
    named = {code for _, _, operation in operations(platform_api.described.whole) for code in codes_of(operation)}
    assert named | NOT_FROM_OPERATIONS == set(ERROR_CODES)
    assert named & NOT_FROM_OPERATIONS == set()
    assert named >= GENERAL_CODES


def test_every_answer_has_an_example_that_its_schema_allows(document: Any) -> None:
    count = 0
    for _, path, operation in operations(document):
        bodies = [("body", operation["requestBody"])] if "requestBody" in operation else []
        for place, one in [*bodies, *operation["responses"].items()]:
            for kind, media in one.get("content", {}).items():
                if kind == PROBLEM:
                    continue
                if kind != "application/json":
                    assert media["example"], (path, place)
                    continue
                values = [media["example"]] if "example" in media else [e["value"] for e in media["examples"].values()]
                check = jsonschema_rs.validator_for({**media["schema"], "components": document["components"]})
                for value in values:
                    assert [str(error) for error in check.iter_errors(value)] == [], (path, place)
                    count += 1
    assert count > 40


def test_every_pattern_of_a_request_has_a_text_for_people(document: Any) -> None:
    patterns = {schema["pattern"] for _, schema in schemas(document) if "pattern" in schema}
    assert len(patterns) > 10
    assert sorted(pattern for pattern in patterns if form_of(pattern) == UNKNOWN_FORM) == []
    assert sorted(pattern for pattern in patterns if re.search(r"[\\^$]", form_of(pattern))) == []


def test_webhooks_are_the_events_with_examples_that_their_schemas_allow(platform_api: PlatformApi) -> None:
    document = platform_api.described.merchant
    assert list(document["webhooks"]) == [event.name for event in EVENT_TYPES]
    for name, item in document["webhooks"].items():
        media = item["post"]["requestBody"]["content"]["application/json"]
        check = jsonschema_rs.validator_for({**media["schema"], "components": document["components"]})
        assert [str(error) for error in check.iter_errors(media["example"])] == []
        assert media["example"]["type"] == name
        assert not check.is_valid(media["example"] | {"type": "another"})
    assert "webhooks" not in platform_api.described.operator
